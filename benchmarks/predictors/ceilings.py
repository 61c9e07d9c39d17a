"""How well a device can be predicted at all, with thousands of its own measurements.

BRP-NAS's devices: how far apart equal networks were measured (median and 95th percentile over pairs
of a class), and Spearman's correlation and the share within 10 % on cells that were not learned
from, of boosted trees and of a robust sum of operations and additions, from 5,000 random cells of
the device. Needs HWNAS_DATA::

    python -m benchmarks.predictors.ceilings
    python -m benchmarks.predictors.ceilings --fbnet

With ``--fbnet`` HELP's devices of FBNet, as published: Spearman's correlation on 1,000 networks
that were not learned from, of ridge regression of the choices and of boosted trees, from 4,000
networks of the device; then the means of the six splits of devices that NASFLAT publishes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge

from benchmarks.predictors.nasflat import nasflat_splits
from hwnas.data.device_pool import brp_nas_pool, device_pool
from hwnas.typing import FloatArray
from hwnas_predictors.encodings import one_hot
from hwnas_predictors.features import ArchFeatures

LEARNED, LEARNED_FBNET = 5000, 4000
_ROUNDS = 8


def apart(costs: FloatArray, classes: list[str], rng: np.random.Generator) -> FloatArray:
    """Give the relative differences of random pairs of equal networks."""
    waiting: dict[str, float] = {}
    found = []
    for row in rng.permutation(len(costs)):
        other = waiting.pop(classes[row], None)
        if other is None:
            waiting[classes[row]] = costs[row]
        else:
            found.append(2 * abs(costs[row] - other) / (costs[row] + other))
    return np.array(found)


def robust_sum(features: FloatArray, costs: FloatArray) -> FloatArray:
    """Fit weights whose relative errors count by their amount beyond two deviations."""
    weights = np.ones(len(costs))
    for _ in range(_ROUNDS):
        scale = weights / costs
        solved = np.linalg.lstsq(features * scale[:, None], costs * scale, rcond=None)[0]
        found = np.asarray(solved, dtype=np.float64)
        errors = np.abs(features @ found / costs - 1)
        bound = 2 * 1.4826 * float(np.median(errors))
        weights = 1 / np.sqrt(np.maximum(1, errors / max(bound, 1e-9)))
    return found


def judge(predicted: FloatArray, costs: FloatArray) -> str:
    """Write Spearman's correlation and the share within 10 %."""
    within = np.mean(np.abs(predicted / costs - 1) <= 0.1)
    return f"{spearmanr(predicted, costs).statistic:.3f} / {within:.2f}"


def fbnet(devices: Sequence[str]) -> None:
    """Print a line for each device that a split judges on, or for those given, then each split."""
    pool = device_pool("fbnet")
    splits = [test for _, test in nasflat_splits(pool)]
    archs = list(pool.archs)
    choices, rows = one_hot(pool.space, archs), np.random.default_rng(0).permutation(len(archs))
    counts = ArchFeatures(pool.space).blocks(archs)[0]
    found: dict[str, list[float]] = {}
    print("| device | ridge regression of choices | boosted trees |\n| --- | --- | --- |")
    for name in devices or sorted({name for test in splits for name in test}):
        logs = np.log(pool.cost_of(name))
        known = rows[np.isfinite(logs[rows])]
        learned, rest = known[:LEARNED_FBNET], known[LEARNED_FBNET:]
        trees = HistGradientBoostingRegressor(max_iter=150, max_leaf_nodes=8, random_state=0)
        models = ((Ridge(), choices), (trees, np.concatenate([choices, counts], axis=1)))
        found[name] = []
        for model, features in models:
            model.fit(features[learned], logs[learned])
            predicted = model.predict(features[rest])
            found[name].append(float(spearmanr(predicted, logs[rest]).statistic))
        print(f"| {name} | {' | '.join(f'{value:.3f}' for value in found[name])} |", flush=True)
    for number, test in enumerate(splits):
        if all(name in found for name in test):
            means = np.mean([found[name] for name in test], axis=0)
            print(f"| split {number} | {' | '.join(f'{value:.3f}' for value in means)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", nargs="+", help="[all]")
    parser.add_argument("--fbnet", action="store_true", help="HELP's devices of FBNet")
    arguments = parser.parse_args()
    if arguments.fbnet:
        fbnet(arguments.device or [])
        return
    pool = brp_nas_pool()
    archs, features = list(pool.archs), ArchFeatures(pool.space)
    counts, serial, _, graph, *_ = features.blocks(archs, "pruned")
    represented = [pool.space.representative(arch) for arch in archs]
    every = np.concatenate([counts, graph, one_hot(pool.space, represented)], axis=1)
    sums = np.column_stack([np.ones(len(archs)), serial])
    classes = [pool.space.canonical_key(arch) for arch in archs]
    print("| device | equal networks apart, median, 95 % | boosted trees | sum |")
    print("| --- | --- | --- | --- |")
    for name in arguments.device or pool.names:
        rng, costs = np.random.default_rng(0), pool.cost_of(name)
        known = rng.permutation(np.flatnonzero(np.isfinite(costs)))
        pairs = apart(costs[known], [classes[row] for row in known], rng)
        learned, rest = known[:LEARNED], known[LEARNED:]
        trees = HistGradientBoostingRegressor(loss="absolute_error", max_iter=300, random_state=0)
        trees.fit(every[learned], np.log(costs[learned]))
        line = robust_sum(sums[learned], costs[learned])
        texts = [
            judge(np.exp(trees.predict(every[rest])), costs[rest]),
            judge(sums[rest] @ line, costs[rest]),
        ]
        middle, high = np.quantile(pairs, [0.5, 0.95])
        print(f"| {name} | {middle:.3f}, {high:.3f} | {' | '.join(texts)} |", flush=True)


if __name__ == "__main__":
    main()
