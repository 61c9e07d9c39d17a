"""How well a new device is predicted from few measurements, and what front a search finds with it.

For each unseen device, number of samples and method: Spearman's correlation over all
architectures, the share of predictions within 10 %, the share of measurements within the 90 %
intervals (1,000 architectures), and the CPU seconds of adapting and predicting once the features of
all architectures are known. In NAS-Bench-201 also the front of published CIFAR-10 validation
accuracies and *predicted* costs over all live cells, rated by its true costs against the true
front: tight hypervolume, recall, and its number of members, which is what measuring the whole front
would cost. Needs HWNAS_DATA::

    python -m benchmarks.predictors.transfer --samples 10 20
    python -m benchmarks.predictors.transfer --leave-one-out --pool brp-nas --samples 10
    python -m benchmarks.predictors.transfer --nasflat --samples 20 --repeats 3
    python -m benchmarks.predictors.transfer --nasflat --space fbnet --samples 20 --repeats 3

Pools of FBNet are learned from costs without the devices' drift (`row_order`) unless
``--as-published`` is said; what is judged on is as it was published.
``--nasflat`` runs the six splits of devices that NASFLAT (Akhauri and Abdelfattah, 2024) publishes
for a space, and prints the mean of each; ``--archs N`` learns from and judges on N random ones of
the architectures alone, which takes minutes instead of hours.

Unseen devices are those of HELP's split, or with ``--leave-one-out`` each device of the pool in
turn, learned from all others but the same hardware with other batch sizes. ``chosen`` and
``random`` are the transfer model with a designed and with a random support set, the designed one
told what the device did with dead operations; ``told`` is ``random`` with that knowledge. The
baselines see the same random ones. ``alone`` is the same model without a pool (slow), ``ridge``
ridge regression of one-hot choices, ``counts`` of how often each operation is chosen,
``live-counts`` of how often it is in the network without dead operations (penalties chosen by
leaving one out), ``pca-ridge`` of six principal components of the pool. ``help`` sees the pool's
ten published references and random others, ``references`` is the transfer model with these, and
``brp-nas`` always sees 900 random cells, once.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from benchmarks.predictors.methods import (
    Method,
    Rows,
    extra_of,
    interval_rows,
    make_methods,
    power_of,
)
from benchmarks.predictors.nasflat import nasflat_splits
from benchmarks.predictors.row_order import to_learn_from
from hwnas.data.device_pool import DevicePool, brp_nas_pool, cell_pool, device_pool
from hwnas.data.help import help_dataset
from hwnas.data.nasbench201 import accuracies
from hwnas.pareto.metrics import front_quality, is_non_dominated
from hwnas.typing import DeadOperations, DeviceKey, FloatArray
from hwnas_predictors.transfer import TransferPredictor

METHODS = ("chosen", "random", "counts", "live-counts", "pca-ridge", "ridge", "flops", "params")
MORE = ("told", "alone", "references", "help", "brp-nas")
_WITH_REFERENCES = ("references", "help")
LEARNED, REFERENCES = 900, 10
COLUMNS = ("Spearman", "<=10 %", "coverage", "tight HV", "recall", "members", "CPU s")
Split = tuple[list[str], list[str]]
# Names of one device. BRP-NAS's latencies of the Core i7 are those of its GTX 1080 Ti but for 3 %,
# with a rank correlation of .997, so neither is unseen to who knows the other.
_HARDWARE = {
    **dict.fromkeys(
        (
            "desktop-cpu-core-i7-7820x-fp32",
            "desktop-gpu-gtx-1080ti-fp32",
            "desktop-gpu-gtx-1080ti-large",
        ),
        "1080ti",
    ),
    "embedded-tpu-edgetpu-large": "edgetpu",
    "embeeded-tpu-edgetpu-int8": "edgetpu",
}


@dataclass(frozen=True)
class Accuracies:
    """Live cells of NAS-Bench-201, by their number, and how wrong they are.

    Attributes:
        rows: `(c,)` numbers of the live cells with a path from input to output.
        losses: `(c,)` published accuracies in percent, negated.
    """

    rows: npt.NDArray[np.intp]
    losses: FloatArray

    @classmethod
    def read(cls, pool: DevicePool[Any]) -> Accuracies:
        """Read the published accuracies of the pool's cells."""
        live = [i for i, c in enumerate(pool.archs) if c.is_live() and pool.space.is_valid(c)]
        table = accuracies("cifar10")
        return cls(np.array(live), np.array([-table[str(pool.archs[i])] for i in live]))

    def front(self, predicted: FloatArray, cost: FloatArray) -> list[float]:
        """Give tight hypervolume, recall and members of the front that predictions lead to."""
        true = np.column_stack([self.losses, cost[self.rows]])
        guess = np.column_stack([self.losses, predicted[self.rows]])
        known = np.isfinite(true).all(axis=1)
        true, found = true[known], is_non_dominated(guess[known])
        quality = front_quality(true[found], true)
        return [quality.tight_hypervolume, quality.recall, float(found.sum())]


def judge(predicted: FloatArray, interval: FloatArray | None, cost: FloatArray) -> list[float]:
    """Give Spearman, the share within 10 %, and coverage (NaN without intervals)."""
    known = np.isfinite(cost)
    correlation = float(spearmanr(predicted[known], cost[known]).statistic)
    within = float((np.abs(predicted / cost - 1) <= 0.1)[known].mean())
    if interval is None:
        return [correlation, within, float("nan")]
    some = cost[interval_rows(len(cost))]
    inside = (interval[:, 0] <= some) & (some <= interval[:, 1])
    return [correlation, within, float(inside[np.isfinite(some)].mean())]


def supports(
    method: str,
    predictor: TransferPredictor[Any],
    pool: DevicePool[Any],
    common: Rows,
    n: int,
    repeats: int,
    dead: DeadOperations | None,
) -> list[Rows]:
    """Give `repeats` support sets of architectures that every device has a cost of.

    Those that are chosen stand for their class of equal networks where the devices prune.
    """
    if method == "chosen":
        known = [pool.archs[i] for i in common]
        if dead == "pruned":  # any of a class was run as what represents it
            known = [pool.space.representative(arch) for arch in known]
        number = dict(zip(known, common, strict=True))
        chosen = (predictor.choose_support(n, r, known, dead) for r in range(repeats))
        return [[number[arch] for arch in archs] for archs in chosen]
    first = list(pool.references) if method in _WITH_REFERENCES else []
    others = np.setdiff1d(common, first)
    draws = (np.random.default_rng([r, n]) for r in range(repeats))
    return [[*first, *rng.choice(others, n - len(first), replace=False)] for rng in draws]


def sizes(method: str, arguments: argparse.Namespace) -> list[tuple[int, int]]:
    """Give the numbers of samples of a method, each with the number of support sets."""
    if method == "brp-nas":
        return [(LEARNED, 1)]
    # With ten samples they see the references alone.
    once = method in _WITH_REFERENCES
    samples = [n for n in arguments.samples if not once or n >= REFERENCES]
    return [(n, 1 if once and n == REFERENCES else arguments.repeats) for n in samples]


def measure(
    method: Method, sets: list[Rows], cost: FloatArray, key: DeviceKey, known: Accuracies | None
) -> list[float]:
    """Give the means of all figures over the support sets."""
    results = []
    for rows in sets:
        start = time.process_time()
        predicted, interval = method(rows, cost[rows], key)
        seconds = time.process_time() - start
        front = [float("nan")] * 3 if known is None else known.front(predicted, cost)
        results.append([*judge(predicted, interval, cost), *front, seconds])
    means: list[float] = np.mean(results, axis=0).tolist()
    return means


def splits(pool: DevicePool[Any], leave_one_out: bool, devices: list[str]) -> Iterator[Split]:
    """Give the devices to learn from and those to judge on, if they are among `devices`."""
    if not leave_one_out:
        assert pool.split is not None, "this pool has no published split: use --leave-one-out"
        yield list(pool.split.train), [n for n in pool.split.test if not devices or n in devices]
        return
    hardware = {
        name: _HARDWARE.get(name, name.removesuffix(f"_{key.batch}"))
        for name, key in zip(pool.names, pool.devices, strict=True)
    }
    for test in devices or pool.names:
        yield [name for name in pool.names if hardware[name] != hardware[test]], [test]


def study(
    pool: DevicePool[Any], source: DevicePool[Any], arguments: argparse.Namespace
) -> Mapping[tuple[str, int], list[list[float]]]:
    """Print a line for each device, and give the lines by method and number of samples.

    Costs that are learned from are those of `source`.
    """
    archs = list(pool.archs)
    known = Accuracies.read(pool) if pool.space.name == "nasbench201" else None
    lines: dict[tuple[str, int], list[list[float]]] = defaultdict(list)
    for train, tests in all_splits(pool, arguments):
        learned, judged = source.select(train), pool.select(tests)
        common = np.flatnonzero(np.isfinite(judged.costs).all(axis=0)).tolist()
        predictor = TransferPredictor[Any](
            pool.space,
            power=power_of(pool.space.name),
            extra=extra_of(pool.space.name) if arguments.extra is None else arguments.extra,
            dataset=help_dataset(pool.space.name),
        ).fit(archs, learned.costs, [key.dead_operations for key in learned.devices])
        methods = make_methods(pool, learned, predictor)
        own: dict[tuple[str, int], list[list[float]]] = defaultdict(list)
        for name in arguments.methods:
            for n, repeats in sizes(name, arguments):
                sets = {
                    dead: supports(name, predictor, pool, common, n, repeats, dead)
                    for dead in {key.dead_operations for key in judged.devices}
                }
                for device, key in zip(judged.names, judged.devices, strict=True):
                    support = sets[key.dead_operations]
                    line = measure(methods[name], support, pool.cost_of(device), key, known)
                    own[name, n].append(line)
                    report(name, n, device, line)
        for at, rows in own.items():
            lines[at] += [np.mean(rows, axis=0).tolist()] if arguments.nasflat else rows
            if arguments.nasflat:
                report(*at, f"mean of {', '.join(tests)}"[:48], lines[at][-1])
    return lines


def all_splits(pool: DevicePool[Any], arguments: argparse.Namespace) -> Iterator[Split]:
    """Give the splits that the arguments ask for."""
    if arguments.nasflat:
        yield from nasflat_splits(pool)
    else:
        yield from splits(pool, arguments.leave_one_out, arguments.device)


def report(method: str, n: int, device: str, line: list[float]) -> None:
    texts = [
        f"{value:>8.{places}f}" for value, places in zip(line, (4, 3, 3, 3, 3, 1, 2), strict=True)
    ]
    print(f"{method:10} {n:4} {device:48} {' '.join(texts)}", flush=True)


def read_pool(arguments: argparse.Namespace) -> DevicePool[Any]:
    """Read the devices that the arguments ask for."""
    if arguments.space == "nasbench201" and (arguments.nasflat or arguments.pool == "both"):
        return cell_pool()
    return brp_nas_pool() if arguments.pool == "brp-nas" else device_pool(arguments.space)


def some_of(pool: DevicePool[Any], n: int) -> DevicePool[Any]:
    """Give the pool of `n` random ones of its architectures, its references aside."""
    rows = np.sort(np.random.default_rng(0).permutation(len(pool.archs))[:n])
    archs = tuple(pool.archs[i] for i in rows)
    return replace(pool, archs=archs, costs=pool.costs[:, rows], references=())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="nasbench201", help="HELP's: nasbench201, fbnet, ...")
    parser.add_argument("--pool", choices=("help", "brp-nas", "both"), default="help")
    parser.add_argument("--nasflat", action="store_true", help="its six splits of the space")
    parser.add_argument("--leave-one-out", action="store_true")
    parser.add_argument("--device", nargs="+", default=[], help="devices to judge on [all]")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--samples", type=int, nargs="+", default=[5, 10, 20, 50, 100])
    parser.add_argument("--methods", nargs="+", choices=[*METHODS, *MORE], default=METHODS)
    parser.add_argument(
        "--extra",
        nargs="*",
        help="counts and proxies that the transfer model sees too [those of the shipped pool]",
    )
    parser.add_argument("--archs", type=int, help="random architectures to learn from and judge on")
    parser.add_argument("--as-published", action="store_true", help="leave drift in FBNet's pools")
    arguments = parser.parse_args()
    pool = read_pool(arguments)
    source = pool if arguments.as_published else to_learn_from(pool)
    if arguments.archs is not None:
        pool, source = some_of(pool, arguments.archs), some_of(source, arguments.archs)
    print(f"{'method':10} {'n':>4} {'device':48} {' '.join(f'{c:>8}' for c in COLUMNS)}")
    lines = study(pool, source, arguments)
    for (method, n), rows in lines.items():
        report(method, n, f"mean of {len(rows)}", np.mean(rows, axis=0).tolist())


if __name__ == "__main__":
    main()
