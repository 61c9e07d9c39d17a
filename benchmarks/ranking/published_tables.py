"""Tables and figures of papers about rankings, our figures beside the published ones in brackets.

    python -m benchmarks.ranking.published_tables
    python -m benchmarks.ranking.published_tables --table vkdnw-1 survey-18
    python -m benchmarks.ranking.published_tables --table epsilon-6 epsilon-9 --cells 50

By the scores that ship with hwnas and HWNAS_DATA, NAS-Bench-201 throughout:

- ``vkdnw-1``, ``vkdnw-6``: VKDNW (CVPR 2025), Tables I and VI: Kendall, Spearman and nDCG of live
  and of all cells, by the accuracies of networks trained on all images.
- ``vkdnw-4``: its Table IV: Kendall's tau of members with the number of trainable layers.
- ``vkdnw-9``: its Tables III and IX: every choice of members of its aggregate, ImageNet16-120.
- ``survey-4``: the survey of Li et al. (2024), Table IV: the accuracy of the cell that a proxy
  finds best.
- ``survey-6``: its Figures 6, 7 and 13: Spearman and Kendall among the best 100 to 5 % by test
  accuracy. They are drawings without numbers.
- ``survey-18``: its Figure 18: what the front of a proxy and a cost is worth; without numbers too.
- ``nasgraph-5``: NASGraph (2024), Table 5: which operations a score prefers.
- ``epsilon-1``, ``epsilon-2``: the epsilon paper, Tables 1 and 2: all cells and the best tenth, and
  the best-scored of N random cells; ``nasgraph-6`` is the latter for NASGraph's Table 6, whose
  numbers are not in the text at hand.
- ``epsilon-6``, ``epsilon-9``, ``epsilon-11``: its ablations of weights, initialisations and
  images, for some cells that are scored anew: not shown unless they are named.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

import hwnas
from benchmarks.ranking.choice_of_n import EPSILON_2, NASGRAPH_6, choices_of_n
from benchmarks.ranking.columns import beside, show
from benchmarks.ranking.epsilon_tables import (
    epsilon_images,
    epsilon_initialisations,
    epsilon_ranks,
    epsilon_weights,
)
from hwnas.data.nasbench201 import DATASETS, accuracies
from hwnas.data.nasbench201_figures import BEST, METRICS, OPERATION_BIAS, published
from hwnas.proxies import make_proxies, proxy_direction, proxy_names
from hwnas.rank_study.population import shipped_population
from hwnas.ranking.aggregation import log_rank
from hwnas.ranking.metrics import kendall, ndcg, spearman, top_by_accuracy
from hwnas.ranking.recipes import RECIPES
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
_SURVEYED = (
    "params", "flops", "grad_norm", "snip", "grasp", "gradsign", "fisher", "jacob_cov", "synflow",
    "zen", "ntk_cond",
)  # fmt: skip
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


def ranked(
    names: Sequence[str], split: str, cells: str, **options: Any
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Give the rows of `hwnas rank` for some scores by data set, the best first."""
    for found in hwnas.rank(
        "nasbench201",
        DATASETS,
        names,
        split=split,
        population=cells,
        note=lambda _: None,
        **options,
    ):
        rows = [row for row in found.rows if row["score"] in names]
        yield found.rows[0]["dataset"], sorted(rows, key=lambda row: -row["kendall"])


def _beside(row: dict[str, Any], metric: str, dataset: str, cells: str, digits: int) -> str:
    paper = published(metric, row["score"], dataset, cells)
    return beside(row[metric], None if paper is None else paper.value, digits)


def vkdnw_ranks(cells: str) -> None:
    names = [
        name for name in (*proxy_names(), *RECIPES) if published("ndcg", name, "cifar10", cells)
    ]
    for dataset, rows in ranked(names, "full-test", cells):
        body = []
        for row in rows:
            pairs = [_beside(row, metric, dataset, cells, 3) for metric in METRICS]
            body.append([row["score"], *pairs])
        show(f"{dataset}, {rows[0]['n']:,} cells", ["score", "KT", "SPR", "nDCG@1000"], body)


def vkdnw_components() -> None:
    cells = population(live=True)
    known = truth(cells, "ImageNet16-120", "full-test")
    chosen = [c for k in range(1, 6) for c in itertools.combinations(MEMBERS, k)]
    body = []
    for letters, paper in zip(chosen, COMPONENTS, strict=True):
        columns = np.column_stack([oriented(cells, MEMBERS[letter]) for letter in letters])
        up: list[Direction] = ["maximize"] * len(letters)
        score = log_rank(columns, up)
        ours = (kendall(score, known), spearman(score, known), ndcg(score, known, 1000))
        pairs = zip(ours, paper, strict=True)
        body.append(["".join(letters), *(beside(a, b, 3) for a, b in pairs)])
    legend = ", ".join(f"{letter} {name}" for letter, name in MEMBERS.items())
    show(f"ImageNet16-120, live cells\n{legend}", ["members", "KT", "SPR", "nDCG@1000"], body)


def vkdnw_size() -> None:
    cells = population(live=True)
    names = [p.name for p in make_proxies([f"fim_decile:decile={d}" for d in range(1, 10)])]
    deciles = np.column_stack([cells.columns[name] for name in names])
    shares = deciles / (deciles.sum(axis=1, keepdims=True) + 1e-10)
    scores = {"vkdnw entropy": -(shares * np.log(shares + 1e-10)).sum(axis=1)}
    scores |= {name: oriented(cells, name) for name in WITH_LAYERS if name in cells.columns}
    body = [
        [name, f"{kendall(scores[name], cells.columns['layers']):.3f}", *(f"{v:.3f}" for v in each)]
        for name, each in WITH_LAYERS.items()
    ]
    show("Kendall's tau with the number of layers", ["score", "ours", *DATASETS], body)


def survey_best() -> None:
    found = dict(ranked(_SURVEYED, "test", "all"))
    body = []
    for name in _SURVEYED:
        cells = [name]
        for dataset in DATASETS[1:]:
            row = next(row for row in found[dataset] if row["score"] == name)
            cells.append(_beside(row, BEST, dataset, "all", 2))
        body.append(cells)
    show("test accuracy of the best-scored cell, %", ["score", *DATASETS[1:]], body)


def survey_shares() -> None:
    cells = population(live=False)
    for dataset in DATASETS[1:]:
        known = truth(cells, dataset, "test")
        tops = [top_by_accuracy(known, share) for share in SHARES]
        for label, metric in (("Spearman", spearman), ("Kendall", kendall)):
            body = []
            for name in _SURVEYED:
                score = oriented(cells, name)
                body.append([name, *(f"{metric(score[top], known[top]):.2f}" for top in tops)])
            title = f"{dataset}, {label} among the best"
            show(title, ["score", *(f"{share:.0%}" for share in SHARES)], body)


def survey_fronts() -> None:
    names = ("front_members", "front_tight_hypervolume", "front_recall")
    rows = dict(ranked(_SURVEYED, "test", "all", cost="hw-nas-bench:edgegpu:energy"))["cifar100"]
    body = [
        [row["score"], row[names[0]], *(f"{row[name]:.3f}" for name in names[1:])]
        for row in sorted(rows, key=lambda row: -row[names[1]])
    ]
    show(
        "cifar100, energy on Edge GPU: the front by a score, without an evaluation",
        ["score", "members", "tight hypervolume", "recall"],
        body,
    )


def nasgraph_bias() -> None:
    found = dict(ranked([*OPERATION_BIAS], "test", "all"))
    body = []
    for name, paper in OPERATION_BIAS.items():
        rows = [next(r for r in found[d] if r["score"] == name) for d in DATASETS]
        pairs = zip(rows, paper, strict=True)
        body.append([name, *(beside(row["operation_bias"], p, 2) for row, p in pairs)])
    show("difference of the operations among the best tenth", ["score", *DATASETS], body)


SCORED_NOW: Mapping[str, Callable[[int], None]] = {
    "epsilon-6": epsilon_weights,
    "epsilon-9": epsilon_initialisations,
    "epsilon-11": epsilon_images,
}
TABLES: Mapping[str, Callable[[], None]] = {
    "vkdnw-1": partial(vkdnw_ranks, "live"),
    "vkdnw-4": vkdnw_size,
    "vkdnw-6": partial(vkdnw_ranks, "all"),
    "vkdnw-9": vkdnw_components,
    "survey-4": survey_best,
    "survey-6": survey_shares,
    "survey-18": survey_fronts,
    "nasgraph-5": nasgraph_bias,
    "nasgraph-6": partial(choices_of_n, NASGRAPH_6),
    "epsilon-1": epsilon_ranks,
    "epsilon-2": partial(choices_of_n, EPSILON_2),
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--table", choices=[*TABLES, *SCORED_NOW], nargs="+", default=list(TABLES), metavar="TABLE"
    )
    parser.add_argument("--cells", type=int, default=100, help="random cells that are scored anew")
    given = parser.parse_args(arguments)
    for name in given.table:
        print(f"\n{name}", flush=True)
        if name in TABLES:
            TABLES[name]()
        else:
            SCORED_NOW[name](given.cells)


if __name__ == "__main__":
    main()
