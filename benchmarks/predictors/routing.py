"""How few measurements a search with a predictor needs for the front of measuring everything.

HELP's six unseen devices of NAS-Bench-201: each seed draws the candidates of a search, random live
cells with published CIFAR-10 validation accuracies, and adapts the transfer model, learned from
HELP's meta-training devices, to ten chosen cells of the device. `hwnas.pareto.routing.route`
measures, i.e. looks up, what the predictions leave open, within a fifth of the candidates, the ten
included.
The tight hypervolume of what each way finds, over the true front of the candidates: all measured is
1 by definition; none measured but the ten; routed; and as many measured at random, the others
predicted. ``--rounds 3`` is how a search measures through bundles. Needs HWNAS_DATA::

    python -m benchmarks.predictors.routing --candidates 300 --seeds 20
    python -m benchmarks.predictors.routing --candidates 300 --seeds 20 --rounds 3
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from benchmarks.predictors.methods import power_of
from benchmarks.predictors.transfer import some_of
from hwnas.data.device_pool import DevicePool, device_pool
from hwnas.data.nasbench201 import accuracies
from hwnas.pareto import ObjectiveInfo, ParetoSet
from hwnas.pareto.metrics import front_quality
from hwnas.pareto.routing import ROUNDS, route
from hwnas.typing import FloatArray
from hwnas_predictors.transfer import TransferPredictor

COST = "cell_latency_ms"
OBJECTIVES = (ObjectiveInfo("accuracy", "percent", "maximize"), ObjectiveInfo(COST, "ms"))


def quality(front: ParetoSet, true: dict[str, float], table: dict[str, float]) -> float:
    """Give the tight hypervolume of the members' true values over that of the candidates."""
    every = np.array([[-table[row.arch], true[row.arch]] for row in front.evaluated])
    found = np.array([[-table[member.arch], true[member.arch]] for member in front.members])
    return front_quality(found, every).tight_hypervolume


def predicted_front(
    pool: DevicePool[Any], archs: list[Any], costs: FloatArray, table: dict[str, float]
) -> ParetoSet:
    space = pool.space
    values = np.column_stack([[table[str(arch)] for arch in archs], costs])
    keys = [space.canonical_key(arch) for arch in archs]
    return ParetoSet.from_values(archs, keys, values, OBJECTIVES, space=space)


def judge(
    pool: DevicePool[Any],
    device: str,
    live: list[Any],
    table: dict[str, float],
    start: TransferPredictor[Any],
    supports: list[list[Any]],
    seed: int,
    arguments: argparse.Namespace,
) -> list[float]:
    """Give the tight hypervolumes of predicting, routing and measuring at random, and the count."""
    cost = pool.cost_of(device)
    true = {str(arch): float(value) for arch, value in zip(pool.archs, cost, strict=True)}
    rng = np.random.default_rng(seed)
    drawn = {pool.space.canonical_key(a): a for a in (live[i] for i in rng.permutation(len(live)))}
    archs = list(drawn.values())[: arguments.candidates]  # a network each, as a search has them
    chosen = supports[seed]
    model = start.adapt(chosen, [true[str(arch)] for arch in chosen])
    front = predicted_front(pool, archs, model.predict(archs), table)
    budget = int(arguments.share * arguments.candidates) - arguments.samples

    def measure(wanted: Any) -> FloatArray:
        return np.array([true[str(arch)] for arch in wanted])

    routed = route(front, COST, pool.space, model, measure, budget, rounds=arguments.rounds)
    some = rng.choice(len(archs), budget, replace=False)
    mixed = model.observe([archs[i] for i in some], measure([archs[i] for i in some])).predict(
        archs
    )
    mixed[some] = measure([archs[i] for i in some])
    guessed = predicted_front(pool, archs, mixed, table)
    fronts = (front, routed.front, guessed)
    return [*(quality(each, true, table) for each in fronts), routed.measured + arguments.samples]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=300)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="parts of the budget")
    parser.add_argument("--archs", type=int, default=1500, help="cells that the pool is learned on")
    arguments = parser.parse_args()
    pool = device_pool("nasbench201")
    assert pool.split is not None
    learned = some_of(pool, arguments.archs).select(pool.split.train)
    start = TransferPredictor[Any](pool.space, power=power_of(pool.space.name)).fit(
        list(learned.archs), learned.costs, [key.dead_operations for key in learned.devices]
    )
    known: list[bool] = np.all(np.isfinite(pool.costs), axis=0).tolist()
    live = [a for a, k in zip(pool.archs, known, strict=True) if k and a.is_live()]
    live = [arch for arch in live if pool.space.is_valid(arch)]
    table = accuracies("cifar10")
    # No measurement is needed to choose them, so they serve every device.
    supports = [
        start.choose_support(arguments.samples, seed, live, "pruned")
        for seed in range(arguments.seeds)
    ]
    print("| device | predicted | routed | at random | measured | routed, least |")
    print("| --- | --- | --- | --- | --- | --- |")
    for device in pool.split.test:
        lines = [
            judge(pool, device, live, table, start, supports, seed, arguments)
            for seed in range(arguments.seeds)
        ]
        means = np.mean(lines, axis=0)
        least = min(line[1] for line in lines)
        text = " | ".join(f"{value:.4f}" for value in means[:3])
        print(f"| {device} | {text} | {means[3]:.0f} | {least:.4f} |", flush=True)


if __name__ == "__main__":
    main()
