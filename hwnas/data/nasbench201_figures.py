"""Figures that papers report for rankings of NAS-Bench-201: the facet `RankFigures`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hwnas.data.nasbench201 import DATASETS
from hwnas.spaces.nasbench201 import NasBench201

Cells = Literal["live", "all", "networks"]
"""``live``: the 9,445 cells without a dead operation; ``all``: 15,625; ``networks``: 5,425."""

PUBLISHED_LABELS = 1024
"""Labels that the published learned rankings learned from."""
_POPULATIONS: Mapping[tuple[int, int], Cells] = {(9_445, 9_445): "live", (15_625, 9_445): "all"}
"""Populations by their architectures and live ones."""
_VKDNW = "Týbl and Neumann, VKDNW, CVPR 2025, Table I"
_NASGRAPH = "Huang et al., NASGraph, 2024, Tables 1 and 4"
_EPSILON = "Gracheva, arXiv 2302.04406, Table 1 (cells with a value)"


@dataclass(frozen=True)
class PublishedFigure:
    """A rank correlation that a paper reports.

    Attributes:
        value: the figure.
        cells: population.
        source: paper and table.
    """

    value: float
    cells: Cells
    source: str


def _row(
    values: tuple[float, float, float], cells: Cells, source: str
) -> dict[str, PublishedFigure]:
    return {
        dataset: PublishedFigure(value, cells, source)
        for dataset, value in zip(DATASETS, values, strict=True)
    }


KENDALL: Mapping[str, Mapping[str, PublishedFigure]] = {
    name: _row(values, "live", _VKDNW)
    for name, values in {
        "flops": (0.623, 0.586, 0.545),
        "layers": (0.626, 0.646, 0.623),
        "grad_norm": (0.328, 0.341, 0.310),
        "grasp": (0.352, 0.349, 0.359),
        "snip": (0.431, 0.440, 0.389),
        "synflow": (0.561, 0.553, 0.531),
        "jacob_cov": (0.616, 0.639, 0.602),
        "naswot": (0.571, 0.607, 0.605),
        "zen": (0.102, 0.079, 0.091),
        "zico": (0.607, 0.614, 0.587),
        "vkdnw": (0.618, 0.634, 0.622),
        "te-nas": (0.536, 0.537, 0.523),
        "az-nas": (0.712, 0.696, 0.673),
        "vkdnw-agg": (0.750, 0.753, 0.743),
        "graf-model": (0.820, 0.809, 0.796),
        "vkdnw-model": (0.647, 0.636, 0.611),
        "vkdnw-zcs-graf-model": (0.859, 0.847, 0.842),
    }.items()
}
"""Kendall's tau-b by score and data set.

The table does not say which accuracies it ranks by. Its rows for FLOPs and layers, which depend on
no seed or input, are those of ``full-test``, see `hwnas.data.nasbench201.accuracies`.
"""
TEST_ACCURACIES = (
    "The published Kendall figures fit the test accuracies of networks trained on all images: "
    "--split full-test compares like with like."
)

SPEARMAN: Mapping[str, Mapping[str, PublishedFigure]] = {
    "nasgraph_avg_degree": _row((0.78, 0.80, 0.77), "all", _NASGRAPH),
    "nasgraph+jacob_cov": _row((0.85, 0.85, 0.82), "all", _NASGRAPH),
    "zero-cost-vote": _row((0.82, 0.83, 0.82), "all", _NASGRAPH),
    "epsilon.published": _row((0.87, 0.90, 0.85), "all", _EPSILON),
}
"""Spearman's coefficient by score and data set."""


def published(metric: str, score: str, dataset: str, cells: str) -> PublishedFigure | None:
    """Find what was published for a score, or None.

    Args:
        metric: ``kendall`` or ``spearman``.
        score: name of the proxy or ready-made score.
        dataset: name of the data set.
        cells: population that our figure is about; a figure of another one is no comparison.
    """
    table = {"kendall": KENDALL, "spearman": SPEARMAN}.get(metric, {})
    figure = table.get(score, {}).get(dataset)
    return figure if figure is not None and figure.cells == cells else None


@dataclass(frozen=True)
class CellFigures:
    """The facet `RankFigures` of NAS-Bench-201."""

    space: NasBench201

    def published(self, row: Mapping[str, Any], labels: int | None) -> dict[str, float | None]:
        """Give what papers report for the same population; nothing if it is one of our own."""
        cells = _POPULATIONS.get((row["n"], row["live"]))
        if cells is None or labels not in (None, PUBLISHED_LABELS):
            return {}
        return {
            f"published_{metric}": figure.value if figure else None
            for metric in (("spearman", "kendall") if labels is None else ("kendall",))
            for figure in [published(metric, row["score"], row["dataset"], cells)]
        }

    def remark(self, split: str) -> str | None:
        """Say that the published figures are of another split."""
        return None if split == "full-test" else TEST_ACCURACIES
