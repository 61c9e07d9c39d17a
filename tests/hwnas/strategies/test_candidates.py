from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from torch import nn

from hwnas.spaces.functions import FunctionSpace
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.strategies import Problem
from hwnas.strategies.candidates import Candidates
from hwnas.strategies.each_architecture import each_architecture

RNG = np.random.default_rng


@pytest.fixture(params=["listed", "drawn"])
def space(request: pytest.FixtureRequest, words: Any, unlisted_words: Any) -> Any:
    return words if request.param == "listed" else unlisted_words


def test_draws_are_valid_representatives_that_are_not_taken(space: Any) -> None:
    taken = {"abcd", "aabb", "aaac"}
    for seed in range(60):
        word = Candidates(Problem(space)).draw(taken, RNG(seed))
        assert word is not None
        assert word == space.representative(word)
        assert str(word) not in {*taken, "aaaa"}


def test_infeasible_words_are_never_drawn_and_asked_about_once(space: Any) -> None:
    asked: list[str] = []

    def feasible(words: Any) -> Any:
        asked.extend(map(str, words))
        return np.array(["d" not in word.letters for word in words])

    candidates = Candidates(Problem(space, feasible))
    drawn = {str(candidates.draw(set(), RNG(seed))) for seed in range(50)}
    assert not any("d" in text for text in drawn)
    assert len(asked) == len(set(asked))
    # Words of a, b and c: 15 classes, of which one is invalid.
    every = candidates.draw_many(100, RNG(0))
    assert len(every) == 14
    assert candidates.draw(every.keys(), RNG(0)) is None


def test_something_is_left_as_long_as_something_can_be_drawn(words: Any) -> None:
    def feasible(words: Any) -> Any:
        return np.array(["d" not in word.letters for word in words])

    candidates = Candidates(Problem(words, feasible))
    *taken, last = candidates.draw_many(100, RNG(0))
    assert candidates.any_left(set(taken))
    assert not candidates.any_left({*taken, last})


def test_equal_spaces_are_listed_once_and_one_without_a_hash_too() -> None:
    class Unhashable(NasBench201):
        __hash__ = None  # type: ignore[assignment]

    listed = Problem(NasBench201()).listed
    assert listed is not None
    assert Problem(NasBench201()).listed is listed
    assert Problem(NasBench201(channels=4)).listed is not listed
    assert Problem(Unhashable()).listed == listed


WIDTHS = [2, 3]


def of_widths(trial: Any) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(4, trial.suggest_categorical("width", WIDTHS)))


@pytest.mark.parametrize("wrap", [lambda space: space, each_architecture])
def test_a_function_that_reads_what_has_changed_is_listed_anew(
    wrap: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count() -> int:
        return len(Problem(wrap(FunctionSpace(of_widths, (1, 2, 2), 2))).listed or ())

    before = count()
    monkeypatch.setattr(sys.modules[__name__], "WIDTHS", [2, 3, 4])
    assert (before, count()) == (2, 3)


def test_listed_draws_are_uniform_over_the_classes_left(words: Any) -> None:
    candidates = Candidates(Problem(words))
    assert candidates.listed is not None
    left = {key for key, _ in candidates.listed[:4]}
    taken = {key for key, _ in candidates.listed[4:]}
    drawn = [words.canonical_key(candidates.draw(taken, RNG(seed))) for seed in range(400)]
    counts = [drawn.count(key) for key in left]
    # Four classes of one quarter each: five standard deviations.
    assert all(abs(count - 100) < 5 * np.sqrt(400 * 3 / 16) for count in counts)


def test_given_candidates_may_share_a_class(words: Any) -> None:
    given = [words.parse(text) for text in ("abab", "baba", "dcba", "aaaa")]
    candidates = Candidates(Problem(words, candidates=given))
    assert candidates.listed == [("aabb", given[0]), ("aabb", given[1]), ("abcd", given[2])]
    # A neighbour stands for itself where it is one of them, else for its class.
    new = list(candidates.new(map(words.parse, ("baba", "bbaa", "abcd", "abbb")), set()))
    assert list(map(str, new)) == ["baba", "abab", "dcba"]
