from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import hwnas
from hwnas.spaces.transnasbench101.micro import TransNasMicro


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, Any]:
    cells = [str(cell) for cell in islice(hwnas.NasBench201(), 0, 4_000, 100)]
    pd.DataFrame({"arch": cells, "accuracy": range(40)}).to_csv(tmp_path / "t.csv", index=False)
    scores = {"arch": cells, "synflow": range(40), "grasp": [-n for n in range(40)]}
    scores["rows_left"] = range(39, -1, -1)
    pd.DataFrame(scores).to_csv(tmp_path / "s.csv", index=False)
    return {"truth": tmp_path / "t.csv", "scores": str(tmp_path / "s.csv")}


def test_rows_are_those_of_every_data_set_and_score(tables: dict[str, Any]) -> None:
    found = hwnas.rank("nasbench201", **tables)
    assert len(found) == 1
    assert found[0].population.origin
    rows = {row["score"]: row for row in found.rows}
    assert (rows["synflow"]["kendall"], rows["synflow"]["n"]) == (1, 40)
    assert rows["grasp"]["spearman"] == -rows["synflow"]["spearman"]
    assert found.to_dataframe()["score"].tolist() == [row["score"] for row in found.rows]


def test_a_space_is_given_as_it_is_and_one_proxy_by_its_name(tables: dict[str, Any]) -> None:
    with pytest.warns(UserWarning, match="columns left alone.*: grasp"):
        found = hwnas.rank(hwnas.NasBench201(), proxies="synflow", **tables)
    assert [row["score"] for row in found.rows] == ["synflow"]


def test_a_space_is_ranked_by_its_usual_data_set_and_its_shipped_scores(tmp_path: Path) -> None:
    space = TransNasMicro()
    cells = [str(cell) for cell in islice(space, 0, 4_096, 63)]
    known = pd.DataFrame({"arch": cells, "accuracy": range(len(cells))})
    known.to_csv(tmp_path / "t.csv", index=False)
    found = hwnas.rank(
        space, proxies="hwnas-any", truth=tmp_path / "t.csv", population="all", note=print
    )
    (row,) = [row for row in found.rows if row["score"] == "hwnas-any"]
    assert (row["dataset"], row["n"]) == ("class_object", len(cells))
    assert row["failed"] == 2  # nothing reaches their outputs


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"sample": 4}, "must not be given with --scores"),
        ({"scores": None, "second_seed": 2}, "must be given with --sample"),
        ({"population": "live"}, "`--population` must be given without"),
        ({"images": "cifar10-sample"}, "`--images` must not be given with --scores"),
        ({"scores": None, "sample": 1}, "`sample` must be at least 2"),
        ({"ndcg": 0}, "`ndcg` must be at least 1"),
        ({"bootstrap": -1}, "`bootstrap` must be at least 0"),
        ({"seed": -1}, "`seed` must be at least 0"),
        ({"labels": 0}, "`labels` must be at least 1"),
        ({"proxies": "synflw"}, "Did you mean 'synflow'"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    settings: dict[str, Any], text: str, tables: dict[str, Any]
) -> None:
    with pytest.raises(hwnas.HwnasError, match=text):
        hwnas.rank(**{**tables, **settings})
