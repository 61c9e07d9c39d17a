"""Tables of the user's own as costs."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np
import pytest

from hwnas.costs.published import PublishedCost
from hwnas.costs.source import make_cost
from hwnas.errors import DataFormatError, DataNotFoundError, InvalidValueError, UnknownNameError
from hwnas.evaluation.evaluator import Evaluator
from hwnas.functions.search import search
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.study.configuration import EvaluationSetup, make_objectives
from hwnas.tasks.catalogue import get_task
from hwnas.testing import CostModelContract
from hwnas.testing.samples import draw

SPACE = NasBench201()
TASK = get_task("cifar10")
CELLS = [cell for cell in SPACE if cell.is_live()][1000:1006]


def table(folder: Path, header: str, *rows: str, name: str = "my board.csv") -> str:
    (folder / name).write_text("\n".join([f"architecture,{header}", *rows, ""]))
    return f"table:{folder / name}"


def cost_of(text: str) -> PublishedCost[Cell]:
    found = make_cost(text, SPACE, TASK)
    assert isinstance(found, PublishedCost)
    return found


class TestTable(CostModelContract):
    @pytest.fixture
    def space(self) -> NasBench201:
        return SPACE

    @pytest.fixture
    def cost(self, tmp_path: Path) -> PublishedCost[Cell]:
        rows = [f"{cell},{i + 1}" for i, cell in enumerate(draw(SPACE, self.samples))]
        return cost_of(table(tmp_path, "latency_ms", *rows))


def test_runs_have_their_median_and_equal_networks_one_value(tmp_path: Path) -> None:
    equal = next(
        other
        for other in SPACE
        if other != CELLS[0] and SPACE.canonical_key(other) == SPACE.canonical_key(CELLS[0])
    )
    runs = [f"{CELLS[0]},{value}" for value in (3, 1, 20)]
    text = table(tmp_path, "latency_ms", *runs, f"{CELLS[1]},7", f"{CELLS[2]},")
    cost = cost_of(text)
    assert (cost.metric, cost.unit, cost.device.device) == ("latency", "ms", "my_board")
    np.testing.assert_array_equal(
        cost.predict([CELLS[0], equal, *CELLS[1:4]]), [3, 3, 7, math.nan, math.nan]
    )
    assert cost.covers == CELLS[:2]
    assert pickle.loads(pickle.dumps(cost)).predict(CELLS[:1]) == [3]
    table(tmp_path, "latency_ms", f"{equal},5", *runs)
    assert cost_of(text) != cost
    np.testing.assert_array_equal(cost_of(text).predict([equal, CELLS[0]]), [5, 3])


def test_a_column_is_named_where_there_are_several(tmp_path: Path) -> None:
    rows = [f"{cell},2,{i + 1},pixel,0.5" for i, cell in enumerate(CELLS)]
    text = table(tmp_path, "latency_ms,energy_mJ,device,size", *rows)
    cost = cost_of(f"{text}:energy_mJ")
    assert (cost.metric, cost.unit, cost.device.device) == ("energy", "mJ", "pixel")
    assert cost.predict(CELLS[1:2]) == [2]
    assert (cost_of(f"{text}:size").metric, cost_of(f"{text}:size").unit) == ("size", "")
    with pytest.raises(InvalidValueError, match="one of latency_ms, energy_mJ, size, but no col"):
        cost_of(text)
    with pytest.raises(UnknownNameError, match="Did you mean 'energy_mJ'"):
        cost_of(f"{text}:energy")


def test_columns_of_one_metric_in_two_units_are_two_costs(tmp_path: Path) -> None:
    rows = [f"{cell},{i + 2},{3 * i + 1}" for i, cell in enumerate(CELLS)]
    text = table(tmp_path, "latency_ms,latency_s", *rows)
    columns = [f"{text}:latency_ms", f"{text}:latency_s"]
    assert cost_of(columns[0]) != cost_of(columns[1])
    objectives = make_objectives(EvaluationSetup(SPACE, TASK), [], columns)
    (found,) = Evaluator(SPACE, objectives).evaluate(CELLS[1:2])
    assert found.values == {"my_board_latency_ms": 3, "my_board_latency_s": 4}


@pytest.mark.parametrize("name", ["accuracy", "val_top-5", "mIoU", "images_per_second", "fps"])
def test_what_should_be_large_is_minimised_by_nobody(name: str, tmp_path: Path) -> None:
    text = table(tmp_path, name, *[f"{cell},{i + 1}" for i, cell in enumerate(CELLS)])
    with pytest.raises(InvalidValueError, match=f"say which values of '{name}' are better: write"):
        cost_of(text)
    assert cost_of(f"{text}:{name}:minimize").direction == "minimize"
    largest = cost_of(f"{text}:{name}:maximize")
    assert largest.direction == cost_of(f"{text}:maximize").direction == "maximize"
    assert largest != cost_of(f"{text}:{name}:minimize")


@pytest.mark.filterwarnings("ignore:.*only these are proposed")
def test_a_search_maximises_the_column_that_says_so(tmp_path: Path) -> None:
    text = table(tmp_path, "accuracy", *[f"{cell},{i + 1}" for i, cell in enumerate(CELLS)])
    front = search(objectives="params", costs=f"{text}:maximize", trials=50, note=print)
    assert front.objectives[1].direction == "maximize"
    assert max(member.values[1] for member in front.members) == len(CELLS)


@pytest.mark.parametrize(
    ("header", "row", "text"),
    [
        ("latency_ms", "nothing,1", "Line 2"),
        ("latency_ms", f"{CELLS[0]},-1", "a cost must be positive"),
        ("latency_ms", f"{CELLS[0]},", "must have costs in the column 'latency_ms'"),
    ],
)
def test_what_is_no_table_is_told(header: str, row: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match=text):
        cost_of(table(tmp_path, header, row))


def test_a_file_must_be_there() -> None:
    for text in ("table:absent.csv", "table:absent.csv:latency_ms"):
        with pytest.raises(
            DataNotFoundError, match=r"^`absent\.csv` must be a CSV file, but there"
        ):
            cost_of(text)
    with pytest.raises(InvalidValueError, match="table:FILE"):
        cost_of("table:")


@pytest.mark.filterwarnings("ignore:.*only these are proposed")
def test_a_search_proposes_what_the_table_has_and_goes_on_with_it_alone(tmp_path: Path) -> None:
    rows = [f"{cell},{i + 1}" for i, cell in enumerate(CELLS)]
    text = table(tmp_path, "latency_ms", *rows)

    def run(trials: int) -> list[str]:
        front = search(
            objectives="params", costs=text, trials=trials, out=tmp_path / "out", note=print
        )
        return [entry.key for entry in front.evaluated]

    assert len(run(2)) == 2
    assert set(run(50)) == {SPACE.canonical_key(cell) for cell in CELLS}
    table(tmp_path, "latency_ms", *rows[1:])
    with pytest.raises(InvalidValueError, match="my_board_latency_ms has changed since"):
        run(50)
