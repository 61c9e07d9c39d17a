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
_VKDNW_ALL = "Týbl and Neumann, VKDNW, CVPR 2025, Table VI"
_NASGRAPH = "Huang et al., NASGraph, 2024, Tables 1 and 4"
_NASGRAPH_BIAS = "Huang et al., NASGraph, 2024, Table 5"
_EPSILON = "Gracheva, arXiv 2302.04406, Table 1 (cells with a value)"


@dataclass(frozen=True)
class PublishedFigure:
    """A figure that a paper reports.

    Attributes:
        value: the figure.
        cells: population.
        source: paper and table.
    """

    value: float
    cells: Cells
    source: str


_Triple = tuple[float, float, float]
_Row = tuple[_Triple, _Triple, _Triple]
"""Kendall, Spearman and nDCG@1000 for each data set."""
_TABLE_I: Mapping[str, _Row] = {
    "flops": ((0.623, 0.799, 0.745), (0.586, 0.763, 0.576), (0.545, 0.718, 0.403)),
    "grad_norm": ((0.328, 0.438, 0.509), (0.341, 0.451, 0.278), (0.310, 0.418, 0.265)),
    "grasp": ((0.352, 0.505, 0.518), (0.349, 0.498, 0.284), (0.359, 0.502, 0.281)),
    "snip": ((0.431, 0.591, 0.513), (0.440, 0.597, 0.286), (0.389, 0.521, 0.286)),
    "synflow": ((0.561, 0.758, 0.709), (0.553, 0.750, 0.594), (0.531, 0.719, 0.511)),
    "jacob_cov": ((0.616, 0.800, 0.540), (0.639, 0.820, 0.402), (0.602, 0.779, 0.356)),
    "naswot": ((0.571, 0.762, 0.607), (0.607, 0.799, 0.475), (0.605, 0.794, 0.490)),
    "zen": ((0.102, 0.103, 0.120), (0.079, 0.072, 0.115), (0.091, 0.109, 0.073)),
    "zico": ((0.607, 0.802, 0.751), (0.614, 0.809, 0.607), (0.587, 0.779, 0.523)),
    "te-nas": ((0.536, 0.722, 0.602), (0.537, 0.723, 0.327), (0.523, 0.709, 0.330)),
    "az-nas": ((0.712, 0.892, 0.749), (0.696, 0.880, 0.549), (0.673, 0.859, 0.534)),
    "layers": ((0.626, 0.767, 0.671), (0.646, 0.787, 0.525), (0.623, 0.764, 0.497)),
    "vkdnw": ((0.618, 0.815, 0.751), (0.634, 0.829, 0.617), (0.622, 0.814, 0.608)),
    "vkdnw-agg": ((0.750, 0.919, 0.785), (0.753, 0.919, 0.636), (0.743, 0.906, 0.664)),
    "graf-model": ((0.820, 0.953, 0.935), (0.809, 0.948, 0.858), (0.796, 0.941, 0.828)),
    "vkdnw-model": ((0.647, 0.831, 0.750), (0.636, 0.821, 0.602), (0.611, 0.798, 0.575)),
    "vkdnw-zcs-graf-model": ((0.859, 0.971, 0.946), (0.847, 0.966, 0.895), (0.842, 0.963, 0.867)),
}
_TABLE_VI: Mapping[str, _Row] = {
    "flops": ((0.578, 0.753, 0.729), (0.551, 0.727, 0.565), (0.517, 0.691, 0.386)),
    "grad_norm": ((0.356, 0.483, 0.407), (0.359, 0.489, 0.202), (0.322, 0.441, 0.192)),
    "grasp": ((0.315, 0.454, 0.439), (0.322, 0.461, 0.224), (0.333, 0.470, 0.207)),
    "snip": ((0.454, 0.615, 0.433), (0.462, 0.620, 0.221), (0.403, 0.539, 0.212)),
    "synflow": ((0.571, 0.769, 0.691), (0.565, 0.761, 0.584), (0.555, 0.747, 0.504)),
    "jacob_cov": ((0.545, 0.712, 0.362), (0.554, 0.720, 0.249), (0.537, 0.701, 0.240)),
    "naswot": ((0.556, 0.742, 0.572), (0.579, 0.768, 0.449), (0.583, 0.768, 0.459)),
    "zen": ((0.244, 0.321, 0.110), (0.232, 0.300, 0.110), (0.250, 0.344, 0.065)),
    "zico": ((0.590, 0.785, 0.732), (0.600, 0.794, 0.597), (0.594, 0.787, 0.516)),
    "te-nas": ((0.489, 0.676, 0.481), (0.481, 0.664, 0.214), (0.459, 0.641, 0.143)),
    "az-nas": ((0.739, 0.912, 0.702), (0.722, 0.899, 0.473), (0.694, 0.876, 0.482)),
    "layers": ((0.580, 0.723, 0.631), (0.594, 0.737, 0.491), (0.574, 0.716, 0.483)),
    "vkdnw": ((0.606, 0.800, 0.724), (0.613, 0.807, 0.592), (0.605, 0.795, 0.583)),
    "vkdnw-agg": ((0.740, 0.911, 0.743), (0.736, 0.906, 0.578), (0.723, 0.893, 0.614)),
    "graf-model": ((0.832, 0.957, 0.921), (0.818, 0.952, 0.859), (0.812, 0.946, 0.832)),
    "vkdnw-model": ((0.682, 0.864, 0.757), (0.655, 0.840, 0.573), (0.642, 0.826, 0.506)),
    "vkdnw-zcs-graf-model": ((0.878, 0.978, 0.927), (0.869, 0.975, 0.871), (0.874, 0.975, 0.856)),
}
_OTHERS: Mapping[str, tuple[_Triple, str]] = {
    "nasgraph_avg_degree": ((0.78, 0.80, 0.77), _NASGRAPH),
    "nasgraph+jacob_cov": ((0.85, 0.85, 0.82), _NASGRAPH),
    "zero-cost-vote": ((0.82, 0.83, 0.82), _NASGRAPH),
}
"""Spearman's coefficient of all cells for each data set."""
_Six = tuple[float, float, float, float, float, float]
EPSILON_TABLE_1: Mapping[str, tuple[_Six, _Six, _Six]] = {
    "synflow": (
        (0.74, 0.18, 0.54, 0.12, 0.4575, 29),
        (0.76, 0.42, 0.57, 0.29, 0.4971, 45),
        (0.75, 0.55, 0.56, 0.39, 0.4357, 26),
    ),
    "grad_norm": (
        (0.59, -0.36, 0.43, -0.21, 0.3026, 1),
        (0.64, -0.09, 0.47, -0.05, 0.35, 0),
        (0.58, 0.12, 0.43, 0.09, 0.3129, 0),
    ),
    "grasp": (
        (0.51, -0.35, 0.36, -0.21, 0.3077, 3),
        (0.55, -0.10, 0.39, -0.06, 0.3532, 3),
        (0.55, 0.10, 0.39, 0.07, 0.3161, 2),
    ),
    "snip": (
        (0.60, -0.36, 0.44, -0.21, 0.3065, 1),
        (0.64, -0.08, 0.47, -0.05, 0.3525, 0),
        (0.58, 0.13, 0.43, 0.09, 0.3116, 0),
    ),
    "fisher": (
        (0.36, -0.38, 0.26, -0.24, 0.0499, 0),
        (0.39, -0.15, 0.28, -0.10, 0.0422, 0),
        (0.33, 0.02, 0.25, 0.01, 0.0461, 0),
    ),
    "epsilon.published": (
        (0.87, 0.55, 0.70, 0.40, 0.6739, 59),
        (0.90, 0.59, 0.72, 0.43, 0.8124, 62),
        (0.85, 0.53, 0.67, 0.37, 0.7151, 59),
    ),
}
"""All cells, and the best of them, by data set: `EPSILON_METRICS`; epsilon's for the cells with a
value."""
EPSILON_METRICS = (
    "spearman",
    "spearman_top10",
    "kendall",
    "kendall_top10",
    "top10_top10",
    "top64_top5",
)
OPERATION_BIAS: Mapping[str, _Triple] = {
    "naswot": (0.3, 0.27, 0.19),
    "grad_norm": (0.32, 0.3, 0.24),
    "snip": (0.31, 0.29, 0.24),
    "grasp": (0.31, 0.28, 0.24),
    "fisher": (0.52, 0.52, 0.53),
    "synflow": (0.22, 0.18, 0.27),
    "jacob_cov": (0.39, 0.42, 0.22),
    "nasgraph_avg_degree": (0.22, 0.14, 0.27),
    "nasgraph+jacob_cov": (0.17, 0.17, 0.12),
}
"""Difference of the operations among the best tenth of all cells by data set."""
_SURVEY_BEST: Mapping[str, tuple[float, float]] = {
    "grad_norm": (60.02, 29.27),
    "snip": (60.02, 29.27),
    "grasp": (60.02, 5.46),
    "gradsign": (60.02, 5.46),
    "fisher": (60.02, 29.27),
    "jacob_cov": (68.89, 25.07),
    "synflow": (62.22, 26.08),
    "zen": (68.10, 40.77),
    "params": (71.11, 41.44),
    "flops": (71.11, 41.44),
}
"""Test accuracy of the cell with the largest score, CIFAR-100 and ImageNet16-120; the survey prints
the same figures for GraSP and GradSign."""
_SURVEY = "Li et al., Zero-Shot Neural Architecture Search, 2024, Table IV"
TOP = tuple(name for name in EPSILON_METRICS if "top" in name)
BEST, BIAS = "best_accuracy", "operation_bias"
METRICS = ("kendall", "spearman", "ndcg")
NDCG_P = 1000
"""Architectures that the published nDCG looks at."""
TEST_ACCURACIES = (
    "The published figures fit the test accuracies of networks trained on all images: "
    "--split full-test compares like with like."
)
"""The tables do not say which accuracies they rank by. Their rows for FLOPs and layers, which
depend on no seed or input, are those of ``full-test``, see `hwnas.data.nasbench201.accuracies`."""


def published(metric: str, score: str, dataset: str, cells: str) -> PublishedFigure | None:
    """Find what was published for a score, or None.

    Args:
        metric: one of `METRICS`, `TOP`, `BEST` or `BIAS`.
        score: name of the proxy or ready-made score.
        dataset: name of the data set.
        cells: population that our figure is about; a figure of another one is no comparison.
    """
    place = DATASETS.index(dataset) if dataset in DATASETS else None
    if place is None:
        return None
    if cells == "all" and metric == BIAS and score in OPERATION_BIAS:
        return PublishedFigure(OPERATION_BIAS[score][place], "all", _NASGRAPH_BIAS)
    if cells == "all" and metric == BEST and score in _SURVEY_BEST and place > 0:
        return PublishedFigure(_SURVEY_BEST[score][place - 1], "all", _SURVEY)
    table, source = (_TABLE_I, _VKDNW) if cells == "live" else (_TABLE_VI, _VKDNW_ALL)
    if metric in METRICS and cells in ("live", "all") and score in table:
        value = table[score][place][METRICS.index(metric)]
        return PublishedFigure(value, "live" if cells == "live" else "all", source)
    if cells == "all" and metric == "spearman" and score in _OTHERS:
        values, source = _OTHERS[score]
        return PublishedFigure(values[place], "all", source)
    return _of_epsilon(metric, score, place) if cells == "all" else None


def _of_epsilon(metric: str, score: str, place: int) -> PublishedFigure | None:
    if metric not in EPSILON_METRICS or score not in EPSILON_TABLE_1:
        return None
    value = EPSILON_TABLE_1[score][place][EPSILON_METRICS.index(metric)]
    return PublishedFigure(value, "all", _EPSILON)


@dataclass(frozen=True)
class CellFigures:
    """The facet `RankFigures` of NAS-Bench-201."""

    space: NasBench201

    def published(self, row: Mapping[str, Any], labels: int | None) -> dict[str, float | None]:
        """Give what papers report for the same population; nothing if it is one of our own."""
        cells = _POPULATIONS.get((row["n"], row["live"]))
        if cells is None or labels not in (None, PUBLISHED_LABELS):
            return {}
        alike = METRICS if row.get("ndcg_p") == NDCG_P else METRICS[:2]
        found = {
            f"published_{metric}": figure.value if figure else None
            for metric in (*alike, *TOP, BEST, BIAS)
            for figure in [published(metric, row["score"], row["dataset"], cells)]
        }
        # What hardly any table has is named where it is there alone.
        few = {f"published_{metric}" for metric in (*TOP, BEST, BIAS)}
        return {
            name: value for name, value in found.items() if value is not None or name not in few
        }

    def remark(self, split: str) -> str | None:
        """Say that the published figures are of another split."""
        return None if split == "full-test" else TEST_ACCURACIES
