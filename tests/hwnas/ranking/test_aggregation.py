import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError

from hwnas.errors import InvalidValueError
from hwnas.ranking.aggregation import Method, ReferenceRanking, log_rank, rank_sum, vote
from hwnas.typing import Direction

UP: Direction = "maximize"
DOWN: Direction = "minimize"


def test_rank_sum_by_hand() -> None:
    # Ranks 1, 2, 3 and, smaller being better, 1.5, 3, 1.5.
    values = [[10, 5], [20, 1], [30, 5]]
    assert rank_sum(values, (UP, DOWN)).tolist() == [2.5, 5.0, 4.5]


def test_log_rank_by_hand() -> None:
    values = [[10, 5], [20, 1], [30, 5]]
    expected = [math.log(1 / 3 * 0.5), math.log(2 / 3), math.log(0.5)]
    np.testing.assert_allclose(log_rank(values, (UP, DOWN)), expected)


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_missing_values_rank_worst(direction: Direction) -> None:
    # Two share the lowest ranks 1 and 2, whichever direction.
    values = [[np.nan], [7.0], [np.nan]]
    assert rank_sum(values, (direction,)).tolist() == [1.5, 3.0, 1.5]


def test_the_best_in_everything_has_zero() -> None:
    assert log_rank([[1.0, 2.0], [3.0, 4.0]], (UP, UP))[1] == 0


def test_an_empty_population_is_empty() -> None:
    assert log_rank(np.zeros((0, 2)), (UP, UP)).shape == (0,)


def test_reference_ranking_by_hand() -> None:
    # Reference 1, 2, 2, 4. Score 2: 1 worse, 2 ties -> 2.5 / 5; 0: 0.5 / 5; 9: 4.5 / 5.
    ranking = ReferenceRanking((UP,)).fit([[4.0], [2.0], [1.0], [2.0]])
    expected = [math.log(0.5), math.log(0.1), math.log(0.9)]
    np.testing.assert_allclose(ranking.score([[2.0], [0.0], [9.0]]), expected)


def test_reference_ranking_of_two_scores_adds_up() -> None:
    ranking = ReferenceRanking((UP, DOWN)).fit([[1.0, 10.0], [2.0, 20.0]])
    # 1 worse and 1 tie -> 2 / 3; smaller is better: 2 worse -> 2.5 / 3.
    np.testing.assert_allclose(ranking.score([[2.0, 5.0]]), [math.log(2 / 3) + math.log(2.5 / 3)])


def test_reference_ranking_of_missing_values() -> None:
    ranking = ReferenceRanking((UP,)).fit([[np.nan], [1.0], [2.0]])
    # A missing value ties with the missing one; a present one is better than it.
    np.testing.assert_allclose(
        ranking.score([[np.nan], [0.0]]), [math.log(1 / 4), math.log(1.5 / 4)]
    )


def test_a_constant_column_says_nothing() -> None:
    ranking = ReferenceRanking((UP, UP)).fit([[1.0, 3.0], [2.0, 3.0], [3.0, 3.0]])
    scores = ranking.score([[1.0, 3.0], [3.0, 3.0]])
    alone = ReferenceRanking((UP,)).fit([[1.0], [2.0], [3.0]]).score([[1.0], [3.0]])
    np.testing.assert_allclose(scores - alone, math.log(0.5))


numbers = st.lists(st.one_of(st.integers(-5, 5), st.just(math.nan)), min_size=1, max_size=20)


@given(numbers, numbers)
def test_reference_ranking_against_counting(reference: list[float], values: list[float]) -> None:
    ranking = ReferenceRanking((UP,)).fit([[r] for r in reference])
    known = [-math.inf if math.isnan(r) else r for r in reference]
    for value, score in zip(values, ranking.score([[v] for v in values]), strict=True):
        v = -math.inf if math.isnan(value) else value
        worse, ties = sum(r < v for r in known), sum(r == v for r in known)
        assert math.isclose(score, math.log((worse + ties / 2 + 0.5) / (len(known) + 1)))


@given(numbers)
def test_the_order_within_the_reference_is_that_of_the_population(values: list[float]) -> None:
    column = [[v] for v in values]
    inside = log_rank(column, (UP,))
    outside = ReferenceRanking((UP,)).fit(column).score(column)
    assert np.array_equal(np.argsort(inside, kind="stable"), np.argsort(outside, kind="stable"))


def test_a_score_does_not_change_with_the_others() -> None:
    ranking = ReferenceRanking((UP, DOWN)).fit(np.arange(20.0).reshape(10, 2))
    together = ranking.score([[3.0, 4.0], [9.0, 1.0]])
    assert together[0] == ranking.score([[3.0, 4.0]])[0]


def test_the_arguments_are_not_changed() -> None:
    values = np.array([[np.nan], [1.0]])
    log_rank(values, (DOWN,))
    assert np.isnan(values[0, 0])
    assert values[1, 0] == 1


def test_errors() -> None:
    with pytest.raises(InvalidValueError, match=r"must have shape \(n, 2\)"):
        log_rank([[1.0]], (UP, UP))
    with pytest.raises(InvalidValueError, match="at least 1 row"):
        ReferenceRanking((UP,)).fit(np.zeros((0, 1)))
    with pytest.raises(InvalidValueError, match="'minimize' or 'maximize'"):
        log_rank([[1.0]], ("up",))  # type: ignore[arg-type]
    with pytest.raises(NotFittedError, match="`fit` must be called"):
        ReferenceRanking((UP,)).score([[1.0]])


def test_weights_by_hand() -> None:
    values = [[10, 5], [20, 1], [30, 5]]
    # Ranks 1, 2, 3 and, smaller being better, 1.5, 3, 1.5.
    assert rank_sum(values, (UP, DOWN), (2, 1)).tolist() == [3.5, 7.0, 7.5]
    expected = [2 * math.log(1 / 3) + math.log(0.5), 2 * math.log(2 / 3), math.log(0.5)]
    np.testing.assert_allclose(log_rank(values, (UP, DOWN), (2, 1)), expected)


def test_votes_by_hand() -> None:
    # Row 0 wins two of three scores against both, row 1 one score against row 2, which wins one.
    values = [[3.0, 3.0, 0.0], [2.0, 1.0, 1.0], [1.0, 1.0, 2.0]]
    np.testing.assert_allclose(vote(values, (UP, UP, UP)), [2 / 3, -1 / 3, -1 / 3])
    # With three votes the last score decides alone.
    np.testing.assert_allclose(vote(values, (UP, UP, UP), (1, 1, 3)), [-2 / 3, 0, 2 / 3])


@given(
    st.lists(
        st.tuples(*[st.one_of(st.integers(-3, 3), st.just(math.nan))] * 3), min_size=1, max_size=9
    ),
    st.tuples(*[st.sampled_from([1.0, 2.0, 0.5])] * 3),
)
def test_votes_agree_with_counting_pairs(
    rows: list[tuple[float, ...]], weights: tuple[float, ...]
) -> None:
    def prefers(a: float, b: float) -> int:
        a, b = (-math.inf if math.isnan(x) else x for x in (a, b))
        return (a > b) - (a < b)

    expected = [
        np.mean(
            [
                np.sign(
                    sum(w * prefers(a, b) for a, b, w in zip(mine, other, weights, strict=True))
                )
                for other in rows
            ]
        )
        for mine in rows
    ]
    np.testing.assert_allclose(vote(rows, (UP, UP, UP), weights), expected)


def test_a_large_population_votes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(50, 3))
    whole = vote(values, (UP, UP, DOWN))
    monkeypatch.setattr("hwnas.ranking.aggregation._CHUNK", 120)
    np.testing.assert_array_equal(vote(values, (UP, UP, DOWN)), whole)


@pytest.mark.parametrize("method", ["log", "sum", "vote"])
def test_a_reference_orders_its_own_members_as_the_population_does(method: Method) -> None:
    values = np.random.default_rng(1).normal(size=(40, 3))
    functions = {"log": log_rank, "sum": rank_sum, "vote": vote}
    inside = functions[method](values, (UP, DOWN, UP), (1, 2, 1))
    against = ReferenceRanking((UP, DOWN, UP), method, (1, 2, 1)).fit(values).score(values)
    assert np.corrcoef(inside, against)[0, 1] > 0.99
    if method == "sum":
        np.testing.assert_allclose(against, inside / 41)
    if method == "vote":
        np.testing.assert_allclose(against, inside)


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 0.0), (1.0, -2.0), (1.0, math.nan)])
def test_bad_weights(weights: tuple[float, ...]) -> None:
    with pytest.raises(InvalidValueError, match="`weights` must be 2 positive numbers"):
        log_rank([[1.0, 2.0]], (UP, UP), weights)
