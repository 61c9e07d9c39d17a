from __future__ import annotations

import pytest

from hwnas.data import nasbench201_figures
from hwnas.rank_study.rows import KnownAccuracies, learned_rows
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.tables.table import Table


@pytest.fixture(scope="module")
def live() -> list[Cell]:
    return [cell for cell in NasBench201() if cell.is_live()]


def found(cells: list[Cell]) -> list[dict[str, object]]:
    accuracies = {str(c): 50.0 + sum(o.startswith("nor_conv") for o in c.operations) for c in cells}
    truth = KnownAccuracies(NasBench201(), "cifar10", "validation", accuracies)
    return learned_rows(Table(cells, {}), truth, 30, p=100, seed=0, stability={})


def test_a_published_figure_of_other_labels_is_no_comparison(
    live: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    (graf,) = (row for row in found(live) if row["score"] == "graf-model")
    assert (graf["labels"], graf["n"], graf["published_kendall"]) == (30, 9_415, None)
    monkeypatch.setattr(nasbench201_figures, "PUBLISHED_LABELS", 30)
    (graf,) = (row for row in found(live) if row["score"] == "graf-model")
    assert graf["published_kendall"] == 0.820
    (graf,) = (row for row in found(live[:-1]) if row["score"] == "graf-model")
    assert graf["published_kendall"] is None
