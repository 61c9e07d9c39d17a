"""Settings of the transfer model, compared without a look at the devices that it is judged on.

HELP's nine meta-training devices of NAS-Bench-201, each learned from the others without the same
hardware at other batch sizes, and its four validation devices, learned from all nine. For every
setting: Spearman's correlation, the share within 10 %, the coverage of 90 % intervals and their
interval score (Gneiting and Raftery, 2007, eq. 43; smaller is better), over 1,000 architectures;
means over devices and support sets. The score is that of the logarithms of costs, so that an error
counts by its factor; costs and bounds below a fiftieth of a device's median count as that, since
else three cells that are published with 5 microseconds are most of it. Needs HWNAS_DATA::

    python -m benchmarks.predictors.choose_transfer --power 0 0.5 0.75 1
    python -m benchmarks.predictors.choose_transfer --widened 1 2 3
    python -m benchmarks.predictors.choose_transfer --pool brp-nas --pruned-power 0.75 1
    python -m benchmarks.predictors.choose_transfer --space fbnet --extra macs
    python -m benchmarks.predictors.choose_transfer --archs 1500 --trust 0.2 0.5 0.8
    python -m benchmarks.predictors.choose_transfer --archs 1500 --trust 0.5 0.5,0.25 --pool brp-nas
    python -m benchmarks.predictors.choose_transfer --archs 1500 --wrong 0.02 0.05 --off 2

``--pool brp-nas`` takes every second of BRP-NAS's fourteen devices, each learned from the others of
them without the same hardware; the other half is never looked at. ``--pruned-power`` is the power
of these, which prune. ``random`` supports are not told what the device did with dead operations.
``--archs N`` learns from and judges on N random architectures; supports are of all that the devices
have costs of, each chosen from other candidates, as users with other seeds have them. FBNet's pools
are learned from costs without the devices' drift (`row_order`) and judged on those with it.
``--trust`` is the probability of the pool before a measurement, ``0.5`` of all devices or
``0.5,0.25`` of those that execute dead operations and of those that prune them; the one that ships
if not given. The rule for it: the largest mean Spearman over both pools and both kinds of support,
since searches compare predictions; the interval score where that says the same.
``--wrong`` is the probability that a measurement is wrong, before it is looked at, and ``--off F``
multiplies or divides one measurement of each support by F.
"""

from __future__ import annotations

import argparse
import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.predictors.methods import Rows, interval_rows, power_of
from benchmarks.predictors.row_order import to_learn_from
from benchmarks.predictors.transfer import Split, judge, some_of, splits, supports
from hwnas.data.device_pool import DevicePool, brp_nas_pool, device_pool
from hwnas.data.help import help_dataset
from hwnas.typing import DeadOperations, FloatArray
from hwnas_predictors import beliefs, device_prior
from hwnas_predictors.transfer import TransferPredictor

Trust = Mapping[DeadOperations, float]
Lines = dict[tuple[str, int, str, float], list[list[float]]]
"""Scores by kind of support, number of samples, trust in the pool and probability of an error."""
LEVEL = 0.9
_FLOOR = 0.02
"""Least cost that is told apart, over a device's median."""
COLUMNS = ("Spearman", "within 10 %", "coverage", "interval score")


def seen_splits(pool: DevicePool[Any]) -> Iterator[Split]:
    """Give what to learn from and what to judge on, without the unseen devices of the paper.

    Where the paper has no split, without every second device.
    """
    if pool.split is None:
        yield from splits(pool.select(pool.names[::2]), leave_one_out=True, devices=[])
        return
    yield from splits(pool.select(pool.split.train), leave_one_out=True, devices=[])
    yield list(pool.split.train), list(pool.split.validation)


def score(model: TransferPredictor[Any], archs: list[Any], cost: FloatArray) -> list[float]:
    """Give what `COLUMNS` says of the architectures whose intervals are checked."""
    some = interval_rows(len(archs))
    checked, true = [archs[i] for i in some], cost[some]
    low, high = model.predict_interval(checked, LEVEL).T
    rank, within, _ = judge(model.predict(checked), None, true)
    known = np.isfinite(true)
    inside = ((low <= true) & (true <= high))[known].mean()
    return [rank, within, float(inside), interval_score(low[known], high[known], true[known])]


def interval_score(low: FloatArray, high: FloatArray, true: FloatArray) -> float:
    """Give the mean interval score of the logarithms of `(n,)` costs, by their bounds."""
    least = _FLOOR * float(np.median(true))
    below, above, own = (np.log(np.maximum(x, least)) for x in (low, high, true))
    missed = np.maximum(below - own, 0) + np.maximum(own - above, 0)
    return float(np.mean(above - below + 2 / (1 - LEVEL) * missed))


def compare(
    pool: DevicePool[Any],
    source: DevicePool[Any],
    whole: DevicePool[Any],
    arguments: argparse.Namespace,
) -> None:
    """Print a line for each setting, kind of support and number of samples.

    Costs that are learned from are those of `source`, supports are of the architectures of `whole`.
    """
    archs = list(pool.archs)
    common: Rows = np.flatnonzero(np.isfinite(whole.costs).all(axis=0)).tolist()
    for power, pruned, k, widened in itertools.product(
        arguments.power or [power_of(pool.space.name)],
        arguments.pruned_power,
        arguments.components,
        arguments.widened,
    ):
        device_prior.WIDENED = widened
        lines: Lines = defaultdict(list)
        for train, tests in seen_splits(pool):
            learned = source.select(train)
            predictor = TransferPredictor[Any](
                pool.space,
                power=power,
                pruned_power=pruned,
                components=k,
                extra=arguments.extra,
                dataset=help_dataset(pool.space.name),
            ).fit(archs, learned.costs, [key.dead_operations for key in learned.devices])
            for device in tests:
                judge_device(predictor, pool, whole, device, common, arguments, lines)
        for (kind, n, trust, wrong), scores in lines.items():
            numbers = " | ".join(f"{value:.3f}" for value in np.nanmean(scores, axis=0))
            setting = f"{power:g} | {pruned:g} | {k} | {widened:g} | {trust} | {wrong:g}"
            print(f"| {setting} | {kind} | {n} | {numbers} |", flush=True)


def judge_device(
    predictor: TransferPredictor[Any],
    pool: DevicePool[Any],
    whole: DevicePool[Any],
    device: str,
    common: Rows,
    arguments: argparse.Namespace,
    lines: Lines,
) -> None:
    """Add the scores of a device by what `Lines` names."""
    archs, cost, measured = list(pool.archs), pool.cost_of(device), whole.cost_of(device)
    key = pool.devices[pool.names.index(device)]
    for kind, n in itertools.product(("chosen", "random"), arguments.samples):
        told = key if kind == "chosen" else replace(key, dead_operations=None)
        sets = supports(kind, predictor, whole, common, n, arguments.repeats, key.dead_operations)
        choices = itertools.product(enumerate(sets), arguments.trust, arguments.wrong)
        for (number, rows), trust, wrong in choices:
            beliefs.TRUST, beliefs.WRONG = trust, wrong
            costs = measured[rows].copy()
            costs[number % n] *= arguments.off if number % 2 else 1 / arguments.off
            model = predictor.adapt([whole.archs[i] for i in rows], costs, told)
            lines[kind, n, text_of(trust), wrong].append(score(model, archs, cost))


def trust_of(text: str) -> Trust:
    """Read one probability for both views, or those of executed and pruned.

    Raises:
        ValueError: they are no probabilities between 0 and 1, or more than two.
    """
    executed, _, pruned = text.partition(",")
    trust: Trust = {"executed": float(executed), "pruned": float(pruned or executed)}
    if not all(0 < value < 1 for value in trust.values()):
        raise ValueError(f"`trust` must be above 0 and below 1, but got {text!r}.")
    return trust


def text_of(trust: Trust) -> str:
    """Write it as `trust_of` reads it."""
    return f"{trust['executed']:g},{trust['pruned']:g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="nasbench201")
    parser.add_argument("--extra", nargs="*", default=[], help="counts and proxies")
    parser.add_argument("--power", type=float, nargs="+", help="[that of the shipped pool]")
    parser.add_argument("--pruned-power", type=float, nargs="+", default=[1.0])
    parser.add_argument("--components", type=int, nargs="+", default=[6])
    parser.add_argument("--widened", type=float, nargs="+", default=[device_prior.WIDENED])
    parser.add_argument(
        "--trust",
        type=trust_of,
        nargs="+",
        default=[beliefs.TRUST],
        metavar="EXECUTED,PRUNED",
        help="probabilities of the pool, or one for both [those that ship]",
    )
    parser.add_argument("--wrong", type=float, nargs="+", default=[beliefs.WRONG])
    parser.add_argument("--off", type=float, default=1.0, help="factor of a wrong measurement")
    parser.add_argument("--pool", choices=("help", "brp-nas"), default="help")
    parser.add_argument("--archs", type=int, help="random architectures to learn from and judge on")
    parser.add_argument("--samples", type=int, nargs="+", default=[10, 20])
    parser.add_argument("--repeats", type=int, default=6)
    arguments = parser.parse_args()
    print(
        "| power | pruned | components | widened | trust | wrong | support | samples | "
        f"{' | '.join(COLUMNS)} |"
    )
    print("| --- " * (8 + len(COLUMNS)) + "|")
    pool = brp_nas_pool() if arguments.pool == "brp-nas" else device_pool(arguments.space)
    source = to_learn_from(pool)  # of all rows, since drift is that of rows side by side
    whole = pool
    if arguments.archs is not None:
        pool, source = some_of(pool, arguments.archs), some_of(source, arguments.archs)
    compare(pool, source, whole, arguments)


if __name__ == "__main__":
    main()
