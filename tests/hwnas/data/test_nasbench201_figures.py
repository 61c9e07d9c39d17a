"""Published figures, found for the population that they belong to alone."""

from __future__ import annotations

from typing import Any

import pytest

from hwnas.data.nasbench201 import DATASETS
from hwnas.data.nasbench201_figures import METRICS, CellFigures, published
from hwnas.spaces.nasbench201 import NasBench201


def values(metric: str, score: str, cells: str) -> list[float | None]:
    found = [published(metric, score, dataset, cells) for dataset in DATASETS]
    return [None if figure is None else figure.value for figure in found]


def test_the_aggregate_of_vkdnw_in_tables_1_and_6() -> None:
    assert values("kendall", "vkdnw-agg", "live") == [0.750, 0.753, 0.743]
    assert values("spearman", "vkdnw-agg", "live") == [0.919, 0.919, 0.906]
    assert values("ndcg", "vkdnw-agg", "live") == [0.785, 0.636, 0.664]
    assert values("kendall", "vkdnw-agg", "all") == [0.740, 0.736, 0.723]
    assert values("ndcg", "vkdnw-agg", "all") == [0.743, 0.578, 0.614]


def test_other_papers_and_unknown_scores() -> None:
    assert values("spearman", "nasgraph_avg_degree", "all") == [0.78, 0.80, 0.77]
    assert values("kendall", "nasgraph_avg_degree", "all") == [None] * 3
    assert values("spearman", "epsilon.published", "all") == [0.87, 0.90, 0.85]
    assert values("kendall", "epsilon.published", "all") == [0.70, 0.72, 0.67]
    assert values("spearman", "synflow", "all") == [0.769, 0.761, 0.747]  # VKDNW's comes first
    assert values("kendall", "meco", "live") == [None] * 3
    assert values("kendall", "vkdnw-agg", "networks") == [None] * 3
    assert published("kendall", "flops", "svhn", "live") is None
    assert published("top10_top10", "flops", "cifar10", "live") is None


@pytest.mark.parametrize("cells", ["live", "all"])
def test_spearman_exceeds_kendall_in_each_row(cells: str) -> None:
    for score in ("flops", "synflow", "vkdnw", "az-nas", "graf-model", "vkdnw-zcs-graf-model"):
        for tau, rho in zip(*(values(m, score, cells) for m in METRICS[:2]), strict=True):
            assert tau is not None
            assert rho is not None
            assert 0 < tau < rho < 1


def test_gains_of_another_number_of_architectures_are_no_comparison() -> None:
    row: dict[str, Any] = {"score": "vkdnw-agg", "dataset": "cifar10", "n": 9_445, "live": 9_445}
    figures = CellFigures(NasBench201())
    assert figures.published({**row, "ndcg_p": 1000}, None)["published_ndcg"] == 0.785
    assert "published_ndcg" not in figures.published({**row, "ndcg_p": 100}, None)
    assert figures.published({**row, "n": 9_444, "ndcg_p": 1000}, None) == {}


def test_figures_among_the_best_are_of_all_cells_alone() -> None:
    row = {"score": "synflow", "dataset": "cifar100", "n": 15_625, "live": 9_445, "ndcg_p": 1000}
    found = CellFigures(NasBench201()).published(row, None)
    assert found["published_top10_top10"] == 0.4971
    assert found["published_top64_top5"] == 45
    assert found["published_best_accuracy"] == 62.22
    assert found["published_operation_bias"] == 0.18
    of_fisher = CellFigures(NasBench201()).published({**row, "score": "fisher"}, None)
    assert of_fisher["published_top10_top10"] == 0.0422
    of_live = CellFigures(NasBench201()).published({**row, "n": 9_445}, None)
    assert not {"published_top10_top10", "published_best_accuracy"} & of_live.keys()
    of_cifar10 = CellFigures(NasBench201()).published({**row, "dataset": "cifar10"}, None)
    assert "published_best_accuracy" not in of_cifar10
    assert of_cifar10["published_kendall_top10"] == 0.12
