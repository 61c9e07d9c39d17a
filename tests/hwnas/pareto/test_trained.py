from __future__ import annotations

import itertools

import numpy as np
import pytest

from hwnas.errors import InvalidValueError
from hwnas.pareto import ObjectiveInfo, ParetoSet
from hwnas.pareto.trained import with_accuracies

SCORE, LATENCY = ObjectiveInfo("score", "", "maximize"), ObjectiveInfo("latency_ms", "ms")


def front(n: int = 5, **provenance: object) -> ParetoSet:
    """Members k0, k1, …, of which the first has the highest score and latency."""
    values = [[n - i, n - i] for i in range(n)]
    archs = [f"a{i}" for i in range(n)]
    keys = [f"k{i}" for i in range(n)]
    infos = (SCORE, LATENCY)
    return ParetoSet.from_values(archs, keys, values, infos, space="S()", provenance=provenance)


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas.pareto.trained.RESAMPLES", 40)


def test_a_member_has_mean_deviation_and_number_of_its_runs() -> None:
    found = with_accuracies(front(), {"k0": [90.0, 93.0], "k3": [70.0], "other": [1.0]}).front
    assert dict(found.members[0].attributes) == {
        "accuracy": 91.5,
        "accuracy_std": pytest.approx(np.sqrt(2 * 1.5**2)),
        "accuracy_runs": 2,
        "on_accuracy_front": True,
    }
    assert found.members[3].attributes["accuracy_std"] is None
    assert dict(found.members[1].attributes) == {}
    assert found.provenance["trained"]["members"] == 2
    assert found.provenance["trained"]["runs"] == 3
    assert [m.key for m in found.members] == [m.key for m in front().members]


def test_what_is_less_accurate_and_not_cheaper_leaves_the_front_of_accuracy() -> None:
    # Latencies 5, 4, 3, 2, 1: the second is beaten by the third, the fourth by the fifth.
    values = {"k0": [95.0], "k1": [80.0], "k2": [90.0], "k3": [60.0], "k4": [60.0]}
    found = with_accuracies(front(), values).front
    stays = [m.attributes["on_accuracy_front"] for m in found.members]
    assert stays == [True, False, True, False, True]


def test_the_settings_of_the_search_say_which_objectives_are_costs() -> None:
    values = {"k0": [95.0], "k1": [96.0]}
    scores_only = front(2, settings={"objectives": ["score", "condition"], "costs": []})
    found = with_accuracies(scores_only, values).front
    assert [m.attributes["on_accuracy_front"] for m in found.members] == [False, True]
    found = with_accuracies(front(2), values).front
    assert [m.attributes["on_accuracy_front"] for m in found.members] == [False, True]
    found = with_accuracies(front(2), {"k0": [96.0], "k1": [95.0]}).front
    assert [m.attributes["on_accuracy_front"] for m in found.members] == [True, True]


def test_agreement_is_kendalls_tau_of_the_means() -> None:
    values = [91.0, 93.0, 90.0, 92.0, 89.0]
    accuracies = {f"k{i}": [v - 0.5, v + 0.5] for i, v in enumerate(values)}
    beside: dict[str, list[float]] = {"params": [1, 2, 3, 4, 5], "unknown": [1, 2, np.nan, 4, 5]}
    found = with_accuracies(front(), accuracies, beside)
    pairs = list(itertools.combinations(range(5), 2))
    # The score falls from the first to the last member.
    tau = sum(1 if values[i] > values[j] else -1 for i, j in pairs) / len(pairs)
    assert [(a.name, a.members) for a in found.agreements] == [
        ("score", 5),
        ("latency_ms", 5),
        ("params", 5),
    ]
    assert [a.kendall for a in found.agreements] == pytest.approx([tau, tau, -tau])
    assert all(a.low <= a.kendall <= a.high for a in found.agreements)
    assert found.agreements[0].low < 0 < found.agreements[0].high
    again = with_accuracies(front(), accuracies, beside)
    assert again.agreements == found.agreements
    assert found.front.provenance["trained"]["agreements"][0]["name"] == "score"


def test_one_member_has_no_agreement() -> None:
    (score, _) = with_accuracies(front(), {"k0": [90.0]}).agreements
    assert np.isnan(score.kendall)
    assert np.isnan(score.low)


@pytest.mark.parametrize(
    ("accuracies", "message"),
    [
        ({}, "none is one's"),
        ({"other": [90.0]}, "none is one's"),
        ({"k0": [101.0]}, "0 to 100, but got 101"),
        ({"k0": [float("nan")]}, "got nan"),
        ({"k0": [0.91], "k1": [0.8]}, "multiply shares by 100"),
    ],
)
def test_what_is_no_percentage_is_refused(accuracies: dict[str, list[float]], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        with_accuracies(front(), accuracies)
