from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwnas.errors import DataFormatError, InvalidValueError
from hwnas.strategies import AskTell, History, Problem
from hwnas.strategies.random_search import RandomSearch


class Recorder:
    """Proposes at random and keeps what it was shown."""

    def __init__(self, problem: Problem[Any]) -> None:
        self.shown: list[History[Any]] = []
        self.search = RandomSearch(problem)

    def propose(self, history: History[Any], rng: np.random.Generator) -> Any:
        self.shown.append(history)
        return self.search.propose(history, rng)


def test_proposers_see_what_is_finished_failed_and_pending(words: Any) -> None:
    recorder = Recorder(Problem(words))
    strategy = AskTell(recorder, words, seed=5)
    first, second, third = strategy.ask(3)
    strategy.tell([third, first], [[1.0, 2.0], [np.inf, 0.0]])
    strategy.ask(1)
    shown = recorder.shown[-1]
    assert shown.archs == [third, first]
    assert shown.pending == [second]
    assert shown.taken == {words.canonical_key(arch) for arch in (first, second, third)}
    assert shown.seed == 5
    assert np.array_equal(shown.losses, [[1.0, 2.0], [np.nan, np.nan]], equal_nan=True)
    archs, losses = shown.complete()
    assert archs == [third]
    assert losses.tolist() == [[1, 2]]


def test_architectures_of_others_can_be_told(words: Any) -> None:
    strategy = AskTell(RandomSearch(Problem(words)), words)
    strategy.tell([words.parse("dcba")], [[1.0]])
    assert all(words.canonical_key(arch) != "abcd" for arch in strategy.ask(40))


def test_misuse_is_named(words: Any) -> None:
    strategy = AskTell(RandomSearch(Problem(words)), words)
    word, equal = words.parse("abcd"), words.parse("dcba")
    with pytest.raises(InvalidValueError, match="`n` must not be negative, but got -1"):
        strategy.ask(-1)
    with pytest.raises(InvalidValueError, match=r"shape \(1, m\).*got \(1,\)"):
        strategy.tell([word], [1.0])
    with pytest.raises(InvalidValueError, match="each class once"):
        strategy.tell([word, equal], [[1.0], [2.0]])
    strategy.tell([word], [[1.0]])
    with pytest.raises(InvalidValueError, match=r"each class once.*dcba"):
        strategy.tell([equal], [[1.0]])
    with pytest.raises(InvalidValueError, match=r"shape \(1, 1\).*got \(1, 2\)"):
        strategy.tell([words.parse("aabb")], [[1.0, 2.0]])


@pytest.mark.parametrize(
    "change", [{"seed": None}, {"format": 7}, {"archs": ["xyz"]}, {"losses": 3}]
)
def test_foreign_states_are_refused_and_change_nothing(words: Any, change: dict[str, Any]) -> None:
    strategy = AskTell(RandomSearch(Problem(words)), words)
    strategy.tell(strategy.ask(2), [[1.0], [np.nan]])
    before = strategy.state()
    with pytest.raises(DataFormatError, match="`state`"):
        strategy.restore({**before, **change})
    assert strategy.state() == before
