"""Figures that papers report for rankings of TransNAS-Bench-101 micro: the facet `RankFigures`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hwnas.spaces.transnasbench101.micro import TransNasMicro

DATASETS = ("class_object", "class_scene", "room_layout", "segmentsemantic")
_Pair = tuple[float, float]
_NASGRAPH: Mapping[str, tuple[_Pair, _Pair, _Pair, _Pair]] = {
    "nasgraph_avg_degree": ((0.55, 0.38), (0.70, 0.50), (0.37, 0.24), (0.66, 0.47)),
    "nasgraph_density": ((0.53, 0.36), (0.68, 0.48), (0.35, 0.22), (0.55, 0.39)),
    "nasgraph_resilience": ((0.62, 0.43), (0.74, 0.54), (0.47, 0.31), (0.34, 0.24)),
    "nasgraph_wedge": ((0.59, 0.41), (0.74, 0.54), (0.42, 0.27), (0.68, 0.49)),
}
"""Spearman and Kendall by data set: Huang et al., NASGraph, 2024, Table 10, 16 channels."""
_OTHERS: Mapping[str, tuple[float, float, float, float]] = {
    "plain": (0.34, 0.24, 0.36, -0.02),
    "grasp": (-0.22, -0.27, -0.29, 0.00),
    "fisher": (0.44, 0.66, 0.30, 0.12),
    "epe_nas": (0.39, 0.51, 0.40, 0.00),
    "grad_norm": (0.39, 0.65, 0.25, 0.60),
    "snip": (0.45, 0.70, 0.32, 0.68),
    "synflow": (0.48, 0.72, 0.30, 0.00),
    "l2_norm": (0.32, 0.53, 0.18, 0.48),
    "params": (0.45, 0.64, 0.30, 0.68),
    "zen": (0.54, 0.72, 0.38, 0.67),
    "jacob_cov": (0.51, 0.75, 0.40, 0.80),
    "flops": (0.46, 0.65, 0.30, 0.69),
    "naswot": (0.39, 0.60, 0.25, 0.53),
    "zico": (0.55, 0.68, 0.26, 0.61),
}
"""Spearman by data set: the same paper, Table 3."""


@dataclass(frozen=True)
class MicroFigures:
    """The facet `RankFigures` of the micro space.

    The paper ranks all 4,096 cells. A random sample of them estimates the same figure, so it stands
    beside one of any size; `hwnas rank` samples different networks, each once.
    """

    space: TransNasMicro

    def published(self, row: Mapping[str, Any], labels: int | None) -> dict[str, float | None]:
        """Give what the paper reports; nothing for learned rankings and for other networks."""
        if labels is not None or row["dataset"] not in DATASETS or self.space.channels != 64:
            return {}
        # As in the paper's text or as in its code: both are held against its table.
        score = row["score"].removesuffix(".published")
        place = DATASETS.index(row["dataset"])
        spearman, kendall = None, None
        if score in _NASGRAPH:
            spearman, kendall = _NASGRAPH[score][place]
        elif score in _OTHERS:
            spearman = _OTHERS[score][place]
        return {"published_spearman": spearman, "published_kendall": kendall}

    def remark(self, split: str) -> str | None:
        """Say nothing: the paper does not say which split it ranks by, and they differ little."""
        del split
        return None
