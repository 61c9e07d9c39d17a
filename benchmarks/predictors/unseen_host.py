"""The walk of a user whose device no one trained on: ten cells are measured, all are predicted.

The ten cells that the shipped pool of NAS-Bench-201 asks for are measured on this host, then random
cells of the whole space, those with dead operations included; the predictor that learns from the
ten is judged on the random ones: Spearman's correlation, the share of predictions within 10 % and
the coverage of 90 % intervals, over all of them and over those without dead operations. ``again``
is what a second measurement of the random cells has, as far as it was made. Then cells of the
random ones are learned from in place of the ten, means of twenty draws::

    python -m benchmarks.predictors.unseen_host measure ort.csv --cost onnxruntime:cpu:latency
    python -m benchmarks.predictors.unseen_host judge ort.csv

A measurement that was interrupted goes on from its file, and measures again what failed;
``--again FILE`` measures the random cells once more, into another file that ``judge`` compares.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.predictors.methods import interval_rows
from benchmarks.predictors.own_space import measure, read
from benchmarks.predictors.transfer import judge
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.typing import DeadOperations, DeviceKey, FloatArray
from hwnas_predictors.transfer import TransferPredictor

SAMPLES, RANDOM, DRAWS = 10, 150, 20


def cells(support: int, n: int, seed: int) -> list[Cell]:
    """Give the cells of a support, then random ones with a path from input to output."""
    space = NasBench201()
    chosen = TransferPredictor.shipped(space).choose_support(support)
    rng, found = np.random.default_rng([seed, 201]), dict[Cell, None]()
    while len(found) < n:
        cell = space.sample(rng)
        if space.is_valid(cell) and cell not in chosen:
            found[cell] = None
    return [*chosen, *found]


def figures(
    pool: TransferPredictor[Cell],
    archs: list[Cell],
    costs: FloatArray,
    support: list[int],
    dead: DeadOperations | None,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give the figures of all cells and of live ones that are not learned from, and predictions."""
    key = DeviceKey("this host", dead_operations=dead)
    mine = pool.adapt([archs[i] for i in support], costs[support], key)
    rest = [i for i in range(SAMPLES, len(archs)) if i not in support and np.isfinite(costs[i])]
    live = [i for i in rest if archs[i].is_live()]
    results = []
    for rows in (rest, live):
        some = [archs[i] for i in rows]
        checked = [some[i] for i in interval_rows(len(some))]
        interval = mine.predict_interval(checked, 0.9)
        results.append(judge(mine.predict(some), interval, costs[rows]))
    return np.array(results[0]), np.array(results[1]), mine.predict(archs)


def show(name: str, every: FloatArray, live: FloatArray) -> None:
    numbers = " | ".join(f"{value:.3f}" for value in (*every, *live))
    print(f"| {name} | {numbers} |", flush=True)


def report(path: Path, again: Path | None, dead: DeadOperations | None, worst: int) -> None:
    """Print a line for chosen and random cells, and the predictions that are the furthest off."""
    space = NasBench201()
    pool = TransferPredictor.shipped(space)
    archs, costs = read(space, path)
    every, live, predicted = figures(pool, archs, costs, list(range(SAMPLES)), dead)
    show(f"{path.stem}, chosen", every, live)
    draws = (np.random.default_rng(i) for i in range(DRAWS))
    others = SAMPLES + np.flatnonzero(np.isfinite(costs[SAMPLES:]))
    supports = [rng.choice(others, SAMPLES, replace=False).tolist() for rng in draws]
    found = [figures(pool, archs, costs, support, dead) for support in supports]
    show(f"{path.stem}, random", *(np.mean([f[k] for f in found], axis=0) for k in (0, 1)))
    if again is not None:
        second = dict(zip(*read(space, again), strict=True))
        both = [i for i in others if np.isfinite(second.get(archs[i], np.nan))]
        values = np.array([second.get(cell, np.nan) for cell in archs])
        parts = (both, [i for i in both if archs[i].is_live()])
        show(f"{path.stem}, again", *(np.array(judge(values[p], None, costs[p])) for p in parts))
    off = np.log(predicted / costs)
    for i in np.argsort(-np.nan_to_num(np.abs(off)))[:worst].tolist():
        print(
            f"{archs[i]} {costs[i]:.4g} ms, predicted {predicted[i]:.4g}, {np.expm1(off[i]):+.0%}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("measure", "judge"))
    parser.add_argument("file", type=Path, nargs="+")
    parser.add_argument("--cost", default="onnxruntime:cpu:latency")
    parser.add_argument("--random", type=int, default=RANDOM)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", type=Path)
    parser.add_argument("--dead-operations", choices=("executed", "pruned"))
    parser.add_argument("--worst", type=int, default=0, help="predictions to be shown")
    arguments = parser.parse_args()
    if len(arguments.file) > 1 and (arguments.again or arguments.action == "measure"):
        parser.error("`measure` and `--again` take one FILE.")
    if arguments.action == "measure":
        space = NasBench201()
        wanted = cells(SAMPLES, arguments.random, arguments.seed)
        measure(space, arguments.file[0], wanted, arguments.cost)
        if arguments.again is not None:
            measure(space, arguments.again, wanted[SAMPLES:], arguments.cost)
        return
    head = "Spearman | within 10 % | coverage"
    print(f"| file, ten cells | all: {head} | live: {head} |\n{'| --- ' * 7}|")
    for path in arguments.file:
        report(path, arguments.again, arguments.dead_operations, arguments.worst)


if __name__ == "__main__":
    main()
