import numpy as np
import pytest

from hwnas.pareto import Member, ObjectiveInfo, ParetoSet
from hwnas.pareto.expected import (
    AMONG_BEST,
    EXPECTED,
    HIGH,
    LOW,
    chance_text,
    expectation_text,
    has_expectations,
    with_expectations,
)
from hwnas.ranking.accuracy_model import Accuracies, AccuracyScale
from hwnas.reports.report_table import card_values, members_table

FRONT = ParetoSet(
    "own",
    (ObjectiveInfo("score", "", "maximize"),),
    (Member("a", "k1", (1.0,)), Member("b", "k2", (2.0,))),
)


def stated() -> ParetoSet:
    scale = AccuracyScale.of(np.linspace(60.0, 80.0, 9))
    told = Accuracies(np.array([0.0, -1.0, 0.5, 0.2]), np.full(4, 0.3), scale, 9)
    return with_expectations(FRONT, told, [2, 0], [0, 1, 3], {"accuracies": "mine.csv"})


def test_members_get_what_is_expected_of_their_place_in_the_pool() -> None:
    front = stated()
    scale = AccuracyScale.of(np.linspace(60.0, 80.0, 9))
    told = Accuracies(np.array([0.0, -1.0, 0.5, 0.2]), np.full(4, 0.3), scale, 9)
    low, high = told.interval()
    first = front.members[0].attributes
    assert first[EXPECTED] == pytest.approx(told.expected()[2])
    assert (first[LOW], first[HIGH]) == (low[2], high[2])
    assert first[AMONG_BEST] == told.chance_among_best(of=[0, 1, 3])[2]
    assert front.provenance["expected"] == {"labels": 9, "drawn": 3, "accuracies": "mine.csv"}
    assert has_expectations(front)
    assert not has_expectations(FRONT)


def test_nothing_expected_is_a_dash() -> None:
    assert expectation_text(FRONT.members[0]) == chance_text(FRONT.members[0]) == "–"


def test_the_report_shows_one_cell_with_the_interval() -> None:
    front = stated()
    table = members_table(front, None)
    names = [column.name for column in table.columns]
    assert names[-2:] == ["expected accuracy", "among best 1 %"]
    assert LOW not in names
    assert table.rows[0][-2].text == expectation_text(front.members[0])
    assert ("expected accuracy", expectation_text(front.members[0])) in card_values(
        front, front.members[0]
    )
