from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hwnas import registry
from hwnas.strategies import AskTell, Problem, make_proposer
from hwnas.testing import StrategyContract
from hwnas.typing import SearchSpace


class _Named(StrategyContract):
    @pytest.fixture(params=registry.names("strategies"))
    def make_strategy(
        self, request: pytest.FixtureRequest, space: SearchSpace[Any]
    ) -> Callable[[int], AskTell[Any]]:
        return lambda seed: AskTell(make_proposer(request.param, Problem(space)), space, seed)


class TestListedSpace(_Named):
    rounds = 4
    largest_to_exhaust = 256

    @pytest.fixture
    def space(self, words: SearchSpace[Any]) -> SearchSpace[Any]:
        return words


class TestUnlistedSpace(_Named):
    rounds = 4

    @pytest.fixture
    def space(self, unlisted_words: SearchSpace[Any]) -> SearchSpace[Any]:
        return unlisted_words
