"""Tables of papers about NAS-Bench-201 that need more than a row a score, beside our figures.

    python -m benchmarks.ranking.published_tables
    python -m benchmarks.ranking.published_tables --table vkdnw-components

By the scores that ship with hwnas and HWNAS_DATA:

- ``vkdnw-components``: VKDNW (CVPR 2025), Tables III and IX: every choice of members of its
  aggregate, ImageNet16-120, live cells, accuracies of networks trained on all images.
- ``vkdnw-size``: its Table IV: Kendall's tau of members with the number of trainable layers.
- ``survey-shares``: the survey of Li et al. (2024), Figures 6, 7 and 13: Spearman and Kendall among
  the best 100 to 5 % by test accuracy. Its figures are drawings without numbers.
- ``epsilon-weights``: the epsilon paper's ablation of the two weights, see `epsilon_weights.py`;
  it scores 100 cells anew.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Mapping

import numpy as np

from benchmarks.ranking.epsilon_weights import epsilon_weights
from hwnas.data.nasbench201 import DATASETS, accuracies
from hwnas.proxies import make_proxies, proxy_direction
from hwnas.rank_study.population import shipped_population
from hwnas.ranking.aggregation import log_rank
from hwnas.ranking.metrics import kendall, ndcg, spearman, top_by_accuracy
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.tables.shipped import shipped_scores
from hwnas.tables.table import Table
from hwnas.typing import Direction, FloatArray

SPACE = NasBench201()
MEMBERS = {
    "V": "vkdnw",
    "J": "jacob_cov",
    "E": "expressivity",
    "T": "trainability",
    "F": "flops",
}
COMPONENTS = (
    (0.622, 0.814, 0.608), (0.603, 0.781, 0.339), (0.588, 0.779, 0.274), (0.353, 0.517, 0.233),
    (0.545, 0.718, 0.403), (0.677, 0.851, 0.565), (0.675, 0.851, 0.489), (0.622, 0.821, 0.552),
    (0.619, 0.811, 0.557), (0.630, 0.815, 0.349), (0.621, 0.818, 0.505), (0.695, 0.863, 0.574),
    (0.616, 0.818, 0.463), (0.642, 0.818, 0.434), (0.617, 0.815, 0.580), (0.698, 0.879, 0.632),
    (0.686, 0.858, 0.515), (0.696, 0.868, 0.616), (0.698, 0.882, 0.612), (0.672, 0.848, 0.512),
    (0.681, 0.870, 0.675), (0.674, 0.862, 0.527), (0.695, 0.859, 0.484), (0.726, 0.899, 0.673),
    (0.702, 0.883, 0.630), (0.717, 0.891, 0.623), (0.706, 0.871, 0.553), (0.736, 0.905, 0.695),
    (0.722, 0.896, 0.658), (0.735, 0.901, 0.646), (0.743, 0.906, 0.664),
)  # fmt: skip
"""Kendall, Spearman, nDCG of Table IX. The text at hand says how many members a row ticks and
not which: rows are taken to be in the order of `itertools.combinations`."""
WITH_LAYERS: Mapping[str, tuple[float, float, float]] = {
    "vkdnw entropy": (0.041, -0.090, -0.107),
    "trainability": (0.220, 0.220, 0.253),
    "expressivity": (0.539, 0.539, 0.539),
    "progressivity": (0.398, 0.398, 0.385),
}
SHARES = (1.0, 0.8, 0.6, 0.4, 0.2, 0.1, 0.05)


def population(live: bool) -> Table[Cell]:
    """Give cells with their shipped scores."""
    scores = shipped_scores("nasbench201", "cifar10")
    assert scores is not None
    return shipped_population(SPACE, scores, [c for c in SPACE if c.is_live() or not live], 0)[0]


def truth(cells: Table[Cell], dataset: str, split: str) -> FloatArray:
    known = accuracies(dataset, split)
    return np.array([known[str(cell)] for cell in cells.archs])


def oriented(cells: Table[Cell], name: str) -> FloatArray:
    """Give a score of which more is better."""
    sign = 1 if proxy_direction(name) == "maximize" else -1
    return sign * cells.columns[name]


def vkdnw_components() -> None:
    cells = population(live=True)
    known = truth(cells, "ImageNet16-120", "full-test")
    print("| members | KT | published | SPR | published | nDCG | published |")
    print("| --- " * 7 + "|")
    chosen = [c for k in range(1, 6) for c in itertools.combinations(MEMBERS, k)]
    for letters, published in zip(chosen, COMPONENTS, strict=True):
        columns = np.column_stack([oriented(cells, MEMBERS[letter]) for letter in letters])
        up: list[Direction] = ["maximize"] * len(letters)
        score = log_rank(columns, up)
        ours = (kendall(score, known), spearman(score, known), ndcg(score, known, 1000))
        pairs = " | ".join(f"{a:.3f} | {b:.3f}" for a, b in zip(ours, published, strict=True))
        print(f"| {''.join(letters)} | {pairs} |", flush=True)


def vkdnw_size() -> None:
    cells = population(live=True)
    names = [p.name for p in make_proxies([f"fim_decile:decile={d}" for d in range(1, 10)])]
    deciles = np.column_stack([cells.columns[name] for name in names])
    shares = deciles / (deciles.sum(axis=1, keepdims=True) + 1e-10)
    scores = {"vkdnw entropy": -(shares * np.log(shares + 1e-10)).sum(axis=1)}
    scores |= {name: oriented(cells, name) for name in WITH_LAYERS if name in cells.columns}
    print("| score | KT with layers | published, each data set |")
    print("| --- " * 3 + "|")
    for name, published in WITH_LAYERS.items():
        found = kendall(scores[name], cells.columns["layers"])
        print(f"| {name} | {found:.3f} | {' / '.join(f'{v:.3f}' for v in published)} |")


def survey_shares() -> None:
    cells = population(live=False)
    print("| data set | score | metric | " + " | ".join(f"{s:.0%}" for s in SHARES) + " |")
    print("| --- " * (3 + len(SHARES)) + "|")
    names = [n for n in ("params", "flops", "grad_norm", "snip", "grasp", "gradsign", "fisher",
                         "jacob_cov", "synflow", "zen", "ntk_cond")]  # fmt: skip
    for dataset in DATASETS[1:]:
        known = truth(cells, dataset, "test")
        for name in names:
            score = oriented(cells, name)
            for label, metric in (("SPR", spearman), ("KT", kendall)):
                values = [
                    metric(score[top], known[top])
                    for top in (top_by_accuracy(known, share) for share in SHARES)
                ]
                text = " | ".join(f"{value:.2f}" for value in values)
                print(f"| {dataset} | {name} | {label} | {text} |", flush=True)


TABLES: Mapping[str, Callable[[], None]] = {
    "vkdnw-components": vkdnw_components,
    "vkdnw-size": vkdnw_size,
    "survey-shares": survey_shares,
    "epsilon-weights": epsilon_weights,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", choices=list(TABLES), nargs="+", default=list(TABLES))
    for name in parser.parse_args().table:
        print(f"\n{name}\n")
        TABLES[name]()


if __name__ == "__main__":
    main()
