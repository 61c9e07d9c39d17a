"""NASGraph's Table 10, found for the benchmark's own networks alone."""

from __future__ import annotations

from typing import Any

import pytest

from hwnas.data.transnasbench101_figures import DATASETS, MicroFigures
from hwnas.spaces.facets import RankFigures, facet
from hwnas.spaces.transnasbench101.micro import TransNasMicro


def row(score: str, dataset: str) -> dict[str, Any]:
    return {"score": score, "dataset": dataset, "n": 200}


def test_the_wedge_counts_of_table_10() -> None:
    figures = facet(TransNasMicro(), RankFigures)
    assert isinstance(figures, MicroFigures)
    found = [figures.published(row("nasgraph_wedge", dataset), None) for dataset in DATASETS]
    assert [f["published_spearman"] for f in found] == [0.59, 0.74, 0.42, 0.68]
    assert [f["published_kendall"] for f in found] == [0.41, 0.54, 0.27, 0.49]
    assert figures.remark("test") is None


@pytest.mark.parametrize("score", ["avg_degree", "density", "resilience", "wedge"])
def test_spearman_exceeds_kendall(score: str) -> None:
    for dataset in DATASETS:
        found = MicroFigures(TransNasMicro()).published(row(f"nasgraph_{score}", dataset), None)
        assert (found["published_spearman"] or 0) > (found["published_kendall"] or 1)


def test_the_variant_of_the_code_stands_beside_the_same_table() -> None:
    figures = MicroFigures(TransNasMicro())
    found = [
        figures.published(row(f"nasgraph_density{variant}", "class_object"), None)
        for variant in ("", ".published")
    ]
    assert found == [{"published_spearman": 0.53, "published_kendall": 0.36}] * 2


def test_other_proxies_of_table_3() -> None:
    figures = MicroFigures(TransNasMicro())
    found = [figures.published(row("jacob_cov", dataset), None) for dataset in DATASETS]
    assert [f["published_spearman"] for f in found] == [0.51, 0.75, 0.40, 0.80]
    assert [f["published_kendall"] for f in found] == [None] * 4


def test_what_was_not_published() -> None:
    figures = MicroFigures(TransNasMicro())
    assert figures.published(row("meco", "class_scene"), None)["published_spearman"] is None
    assert figures.published(row("nasgraph_wedge", "jigsaw"), None) == {}
    assert figures.published(row("nasgraph_wedge", "class_scene"), 50) == {}
    other = MicroFigures(TransNasMicro(channels=16))
    assert other.published(row("nasgraph_wedge", "class_scene"), None) == {}
