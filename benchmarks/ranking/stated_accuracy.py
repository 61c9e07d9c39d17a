"""Try what `hwnas-model` states of cells that it did not learn from.

Of the live cells of NAS-Bench-201 some are drawn as labels; of the others are printed Kendall's
tau, how often the 95 % and the 50 % interval hold the validation accuracy, the mean distance of the
expected from the known accuracy in points, and the mean chance to be among the best hundredth that
the cells of the best hundredth get. Each figure is the mean over the choices. Needs HWNAS_DATA.

    python benchmarks/ranking/stated_accuracy.py --labels 5 20 50 --choices 4
    python benchmarks/ranking/stated_accuracy.py --labels 100 500 1024
    python benchmarks/ranking/stated_accuracy.py --labels 50 --choices 4 --images cifar10-sample
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import numpy as np

from hwnas.data.nasbench201 import DATASETS, accuracies
from hwnas.data.own_images import IMAGES
from hwnas.rank_study.population import shipped_population
from hwnas.ranking.metrics import kendall
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.study.accuracy_learning import learn_from
from hwnas.study.sample import Sample
from hwnas.tables.shipped import shipped_scores
from hwnas.tables.table import Table
from hwnas.typing import FloatArray

SPACE = NasBench201()
NAMES = ("tau", "95 % holds", "50 % holds", "points off", "chance of the best")


def figures(
    members: Table[Cell], alike: Mapping[str, float], truth: FloatArray, labels: int, seed: int
) -> list[float]:
    """Learn from a choice of cells, and look at the others."""
    order = np.random.default_rng(seed).permutation(len(truth))
    some, rest = order[:labels], np.sort(order[labels:])
    sample = Sample(SPACE, members.archs, members.columns, alike)
    told = learn_from(sample, some, truth[some], seed=seed)
    found = [kendall(told.means[rest], truth[rest])]
    for level in (0.95, 0.5):
        low, high = told.interval(level)
        found.append(float(((truth >= low) & (truth <= high))[rest].mean()))
    found.append(float(np.abs(told.expected() - truth)[rest].mean()))
    best = rest[truth[rest] >= np.sort(truth)[-(len(truth) // 100)]]
    return [*found, float(told.chance_among_best()[best].mean())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=int, nargs="+", default=[50])
    parser.add_argument("--choices", type=int, default=1)
    parser.add_argument("--images", choices=IMAGES, default="gaussian")
    arguments = parser.parse_args()
    scores = shipped_scores("nasbench201", "cifar10", arguments.images)
    assert scores is not None
    cells = [cell for cell in SPACE if cell.is_live()]
    members, alike = shipped_population(SPACE, scores, cells, seed=0)
    print(" | ".join(("labels", "data set", *NAMES)), flush=True)
    for labels in arguments.labels:
        for dataset in DATASETS:
            known = accuracies(dataset)
            truth = np.array([known[str(cell)] for cell in members.archs])
            seeds = range(arguments.choices)
            rows = [figures(members, alike, truth, labels, seed) for seed in seeds]
            means = " | ".join(f"{value:.3f}" for value in np.mean(rows, axis=0))
            print(f"{labels} | {dataset} | {means}", flush=True)


if __name__ == "__main__":
    main()
