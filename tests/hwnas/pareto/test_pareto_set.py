from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.errors import InvalidValueError, UnknownNameError
from hwnas.pareto import (
    Member,
    ObjectiveInfo,
    ParetoSet,
    describe_environment,
    front_quality,
    hypervolume,
    igd,
    igd_plus,
    is_non_dominated,
    normalise,
    recall,
    to_losses,
)
from hwnas.pareto.provenance import plain
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.spaces.space_text import read_space
from hwnas.typing import DeviceKey, FloatArray

NAN, INF = math.nan, math.inf
SCORE = ObjectiveInfo("score", "", "maximize")
LATENCY = ObjectiveInfo("latency_ms", "ms", "minimize")


def dominates(a: list[float], b: list[float]) -> bool:
    """Compare two rows by the definition."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


def tables(m: int) -> st.SearchStrategy[list[list[float]]]:
    # Few different values make ties and equal rows likely.
    value = st.one_of(st.integers(0, 4).map(float), st.just(NAN), st.just(INF))
    return st.lists(st.lists(value, min_size=m, max_size=m), max_size=12)


def grid_volume(rows: list[list[float]], reference: list[float]) -> int:
    """Count the unit cells below the reference that an integer row dominates."""
    cells = np.stack(np.meshgrid(*[np.arange(r) for r in reference], indexing="ij"), -1)
    covered = np.zeros(cells.shape[:-1], dtype=bool)
    for row in rows:
        covered |= (cells >= np.array(row)).all(axis=-1)
    return int(covered.sum())


class TestNonDomination:
    def test_equal_rows_stay_and_missing_values_never_win(self) -> None:
        losses: list[list[float]] = [[1, 4], [2, 2], [2, 2], [4, 1], [3, 3], [2, 3], [0, NAN]]
        expected = [True, True, True, True, False, False, False]
        assert is_non_dominated(losses).tolist() == expected

    @given(st.integers(1, 4).flatmap(tables))
    def test_agrees_with_the_definition(self, rows: list[list[float]]) -> None:
        usable = [row for row in rows if not any(map(math.isnan, row))]
        expected = [
            not any(map(math.isnan, row)) and not any(dominates(other, row) for other in usable)
            for row in rows
        ]
        assert is_non_dominated(rows).tolist() == expected

    def test_nothing_gives_nothing(self) -> None:
        assert is_non_dominated([]).shape == (0,)
        assert is_non_dominated([[NAN, 1.0]]).tolist() == [False]

    def test_needs_a_table(self) -> None:
        with pytest.raises(InvalidValueError, match=r"`losses` must have shape \(n, m\)"):
            is_non_dominated([1.0, 2.0])


class TestHypervolume:
    def test_of_a_staircase(self) -> None:
        # Below (4, 4): 3 × 1 + 2 × 1 + 1 × 1 unit squares.
        assert hypervolume([[1, 3], [2, 2], [3, 1]], [4, 4]) == 6.0

    def test_leaves_out_what_is_missing_or_beyond_the_reference(self) -> None:
        rows: list[list[float]] = [[1, 3], [0, NAN], [5, 0], [4, 0], [-INF, 1]]
        assert hypervolume(rows, [4, 4]) == 3.0
        assert hypervolume([], [4, 4]) == 0.0

    @given(
        st.integers(1, 3).flatmap(
            lambda m: st.lists(
                st.lists(st.integers(0, 5).map(float), min_size=m, max_size=m),
                min_size=1,
                max_size=8,
            )
        )
    )
    def test_agrees_with_counting_cells(self, rows: list[list[float]]) -> None:
        reference = [5.0] * len(rows[0])
        assert hypervolume(rows, reference) == pytest.approx(grid_volume(rows, reference))

    @pytest.mark.parametrize("reference", [[1.0], [1.0, INF], [1.0, NAN]])
    def test_refuses_a_bad_reference(self, reference: list[float]) -> None:
        with pytest.raises(InvalidValueError):
            hypervolume([[0.0, 0.0]], reference)


class TestDistances:
    def test_igd_is_the_mean_distance_from_the_front(self) -> None:
        # From (0, 3) the nearest is (0, 0) at 3, from (4, 0) it is (4, 5) or (0, 0), at 4.
        assert igd([[0, 0], [4, 5]], [[0, 3], [4, 0]]) == pytest.approx(3.5)
        assert igd([[0, 0]], [[3, 4]]) == pytest.approx(5.0)

    def test_igd_plus_counts_only_what_is_worse(self) -> None:
        # (1, 2) is better than (3, 2) in the first loss and equal in the second: distance 0.
        assert igd_plus([[1, 2]], [[3, 2]]) == 0.0
        assert igd([[1, 2]], [[3, 2]]) == 2.0
        # Worse by 3 and 4 in both.
        assert igd_plus([[5, 6]], [[2, 2]]) == pytest.approx(5.0)

    def test_nothing_found_is_infinitely_far(self) -> None:
        assert igd([], [[1, 1]]) == INF
        assert igd_plus([[NAN, 0]], [[1, 1]]) == INF

    def test_the_front_must_be_known(self) -> None:
        with pytest.raises(InvalidValueError, match="`front` must have at least one row"):
            igd([[1, 1]], [])
        with pytest.raises(InvalidValueError, match="only finite losses"):
            igd_plus([[1, 1]], [[NAN, 1]])


def test_recall_counts_distinct_members() -> None:
    assert recall(["a", "a", "x"], ["a", "b", "c", "d"]) == 0.25
    assert recall([], ["a"]) == 0.0
    with pytest.raises(InvalidValueError, match="`front` must not be empty"):
        recall(["a"], [])


def test_normalise_maps_low_and_high_and_keeps_a_constant_loss() -> None:
    losses: list[list[float]] = [[1, 5, 7], [3, 5, NAN]]
    scaled = normalise(losses, [1, 5, 0], [5, 5, 7])
    np.testing.assert_array_equal(scaled, [[0, 0, 1], [0.5, 0, NAN]])
    with pytest.raises(InvalidValueError, match="`high` must not be below `low`"):
        normalise([[1.0]], [2.0], [1.0])


def test_losses_of_maximised_values_are_negated() -> None:
    assert to_losses([[1, 2], [3, 4]], ["maximize", "minimize"]).tolist() == [[-1, 2], [-3, 4]]
    with pytest.raises(InvalidValueError, match=r"shape \(n, 1\)"):
        to_losses([[1, 2]], ["minimize"])


class TestFrontQuality:
    # Scaled to [0, 1] the population is (0, 1), (.5, .5), (1, 0) and the dominated (.5, 1),
    # (1, .5), (1, 1); the 75th percentiles are 1 and 1.
    population = ((10, 300), (20, 200), (30, 100), (20, 300), (30, 200), (30, 300))

    def test_of_the_whole_front_is_perfect(self) -> None:
        quality = front_quality(self.population[:3], self.population)
        assert quality.hypervolume == pytest.approx(1.0)
        assert quality.tight_hypervolume == pytest.approx(1.0)
        assert quality.igd == 0.0
        assert quality.recall == 1.0

    def test_of_a_part(self) -> None:
        # Found: the middle of the front, a dominated point and a failure.
        quality = front_quality([(20, 200), (30, 200), (NAN, 1)], self.population)
        # Up to 1.01 the true front fills: x from 0 to .5: .01 high; .5 to 1: .51; to 1.01: 1.01.
        whole = 0.5 * 0.01 + 0.5 * 0.51 + 0.01 * 1.01
        assert quality.hypervolume == pytest.approx(0.51**2 / whole)
        # Reference (1, 1): only the middle point adds anything, .5 × .5.
        assert quality.tight_hypervolume == pytest.approx(1.0)
        # (1, 0) is nearest to the dominated (1, .5).
        assert quality.igd == pytest.approx((math.hypot(0.5, 0.5) + 0.0 + 0.5) / 3)
        assert quality.recall == pytest.approx(1 / 3)

    def test_the_tight_reference_is_the_third_quartile(self) -> None:
        # Five losses of each kind, evenly spaced: the third quartile is the fourth of them, so
        # only the middle point is strictly below it in both.
        line = [(0, 4), (1, 3), (2, 2), (3, 1), (4, 0)]
        assert front_quality([(2, 2)], line).tight_hypervolume == pytest.approx(1.0)
        assert front_quality([(1, 3), (3, 1)], line).tight_hypervolume == 0.0

    def test_does_not_depend_on_units(self) -> None:
        found = np.array(self.population[1:4], dtype=float)
        scale, shift = np.array([0.001, 7.0]), np.array([5.0, -100.0])
        other = front_quality(found * scale + shift, np.array(self.population) * scale + shift)
        one = front_quality(found, self.population)
        assert other.hypervolume == pytest.approx(one.hypervolume)
        assert other.tight_hypervolume == pytest.approx(one.tight_hypervolume)
        assert other.igd == pytest.approx(one.igd)

    def test_of_nothing_is_worst(self) -> None:
        quality = front_quality([], self.population)
        assert (quality.hypervolume, quality.igd, quality.recall) == (0.0, INF, 0.0)

    def test_without_a_population_is_not_defined(self) -> None:
        with pytest.raises(InvalidValueError, match="`population` must have a row"):
            front_quality([[1, 1]], [[NAN, 1]])


def example(values: list[list[float]], **settings: object) -> ParetoSet:
    names = [chr(ord("a") + i) for i in range(len(values))]
    return ParetoSet.from_values(
        names,
        settings.pop("keys", names),  # type: ignore[arg-type]
        values,
        [SCORE, LATENCY],
        space="toy",
        **settings,  # type: ignore[arg-type]
    )


class TestParetoSet:
    def test_keeps_the_best_of_the_first_objective_first(self) -> None:
        # c is beaten by b, e misses a value; the score is maximised.
        found = example([[1, 1], [3, 2], [2, 2], [5, 9], [9, NAN]])
        assert [member.arch for member in found.members] == ["d", "b", "a"]
        assert found.values().tolist() == [[5, 9], [3, 2], [1, 1]]
        assert found.losses().tolist() == [[-5, 9], [-3, 2], [-1, 1]]
        assert dict(found.provenance) == {
            "evaluated": 5,
            "failed": 1,
            "infeasible": 0,
            "repeated": 0,
        }
        assert found.evaluated[4].values == (9.0, None)
        assert [row.status for row in found.evaluated] == ["complete"] * 4 + ["failed"]

    def test_infinities_are_no_values(self) -> None:
        assert [m.arch for m in example([[INF, 1], [1, 2]]).members] == ["b"]

    def test_a_canonical_key_has_one_member_the_first_with_values(self) -> None:
        values: list[list[float]] = [[NAN, 1], [2, 2], [3, 1], [1, 1.5]]
        found = example(values, keys=["k", "k", "k", "other"])
        # The third row would beat the rest, but the key's first usable value is the second row's.
        assert [(m.arch, m.key) for m in found.members] == [("b", "k"), ("d", "other")]
        assert found.provenance["repeated"] == 1

    def test_ties_between_keys_all_stay_in_a_fixed_order(self) -> None:
        one = example([[1, 1], [1, 1]], keys=["z", "y"])
        assert [m.key for m in one.members] == ["y", "z"]

    def test_infeasible_rows_are_counted_and_no_members(self) -> None:
        found = example(
            [[9, 1], [1, 2], [NAN, NAN]], statuses=["infeasible", "complete", "infeasible"]
        )
        assert [m.arch for m in found.members] == ["b"]
        assert (found.provenance["infeasible"], found.provenance["failed"]) == (2, 0)

    def test_can_be_empty(self) -> None:
        empty = example([])
        assert len(empty) == 0
        assert empty.values().shape == (0, 2)
        with pytest.raises(InvalidValueError, match="empty set has no knee"):
            empty.knee()

    def test_knee_is_nearest_to_the_ideal_point(self) -> None:
        # Scaled losses (0, 1), (.25, .25), (1, 0): distances 1, .35 and 1.
        assert example([[8, 40], [6, 10], [0, 0]]).knee().arch == "b"

    def test_knee_is_nearest_by_the_euclidean_distance_of_scaled_losses(self) -> None:
        # Losses of a (to maximise) and b (to minimise, a hundred times larger) as scaled: the sum
        # would choose the last one (.64 < .70), the larger of both the fourth (.40 < .50).
        scaled = [(0, 1), (1, 0), (0.2, 0.5), (0.4, 0.4), (0.02, 0.62)]
        chosen = example([[-x, 100 * y] for x, y in scaled]).knee()
        assert chosen.values == (-0.2, 50)

    @given(st.integers(0, 2**32 - 1))
    def test_members_dominate_the_rest_and_not_one_another(self, seed: int) -> None:
        values = np.random.default_rng(seed).integers(0, 6, size=(12, 2)).astype(float)
        found = example(values.tolist())
        losses: FloatArray = to_losses(values, found.directions)
        front = found.losses().tolist()
        for row in losses.tolist():
            assert row in front or any(dominates(other, row) for other in front)
        assert not any(dominates(a, b) for a in front for b in front)

    def test_attributes_and_provenance_become_plain_values(self) -> None:
        found = example(
            [[1, 1]],
            attributes=[{"params": np.int64(3), "ratio": NAN, "shape": (1, 2)}],
            provenance={"device": DeviceKey("cpu"), "evaluated": 7},
        )
        assert found.members[0].attributes == {"params": 3, "ratio": None, "shape": [1, 2]}
        assert found.provenance["device"] == "cpu/unknown/float32/b1"
        assert found.provenance["evaluated"] == 7

    def test_refuses_rows_that_do_not_fit(self) -> None:
        with pytest.raises(InvalidValueError, match=r"their lengths are \[1, 2\]"):
            example([[1, 1]], keys=["a", "b"])
        with pytest.raises(InvalidValueError, match=r"shape \(n, 2\)"):
            example([[1, 1, 1]])
        with pytest.raises(InvalidValueError, match="different names"):
            ParetoSet("toy", (SCORE, SCORE), ())
        with pytest.raises(InvalidValueError, match="`values` must have 1 entries"):
            ParetoSet("toy", (SCORE,), (Member("a", "a", (1.0, 2.0)),))
        with pytest.raises(InvalidValueError, match="`direction` must be minimize or maximize"):
            ObjectiveInfo("x", "", "lower")  # type: ignore[arg-type]


def test_objectives_are_written_with_unit_and_arrow() -> None:
    assert str(LATENCY) == "latency_ms (ms) ↓"
    assert str(SCORE) == "score ↑"


def test_the_environment_is_plain_and_names_versions() -> None:
    environment = describe_environment()
    assert environment == plain(environment)
    assert environment["versions"]["numpy"] == np.__version__
    assert environment["created"].endswith("+00:00")
    assert environment["host"]["cpu"]


class TestReadSpace:
    @pytest.mark.parametrize("space", [NasBench201(), NasBench201(channels=4, cells=2)])
    def test_reads_back_a_repr(self, space: NasBench201) -> None:
        assert read_space(repr(space)) == space

    def test_reads_a_registered_name(self) -> None:
        assert read_space("nasbench201") == NasBench201()
        assert read_space("nasbench201:cells=2,channels=4") == NasBench201(channels=4, cells=2)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "NasBench201(channels=",
            "NasBench201(width=3)",
            "NasBench201(channels=0)",
            "NasBench201(channels=open('x'))",
            "os.system('true')",
            "NasBench201(**{'channels': 4})()",
        ],
    )
    def test_refuses_other_texts(self, text: str) -> None:
        with pytest.raises(InvalidValueError, match=r"`(space|settings|channels)`.* must be"):
            read_space(text)

    def test_suggests_a_close_name(self) -> None:
        with pytest.raises(UnknownNameError, match="Did you mean 'nasbench201'"):
            read_space("nasbench301")
