import math

import numpy as np
import pytest

from hwnas.rank_study.fronts import front_of_score

COSTS = np.array([1.0, 2.0, 3.0, 4.0])
ACCURACIES = np.array([10.0, 20.0, 15.0, 30.0])


def test_members_are_those_that_none_beats_in_score_and_cost() -> None:
    # By the score 1 and 4 are dominated by the second, which costs less than the fourth.
    found = front_of_score(np.array([0.5, 3.0, 1.0, 2.0]), ACCURACIES, COSTS)
    assert found["front_members"] == 2
    # The true front is the first, second and fourth cell.
    assert found["front_recall"] == pytest.approx(2 / 3)
    perfect = front_of_score(ACCURACIES, ACCURACIES, COSTS)
    assert perfect["front_members"] == 3
    assert perfect["front_tight_hypervolume"] == pytest.approx(1)


def test_missing_scores_and_costs_are_on_no_front() -> None:
    scores = np.array([math.nan, 3.0, 1.0, 4.0])
    found = front_of_score(scores, ACCURACIES, np.array([1.0, 2.0, 3.0, math.nan]))
    assert found["front_members"] == 1
    assert found["front_recall"] == pytest.approx(1 / 2)
