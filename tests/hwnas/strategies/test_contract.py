from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from hwnas import registry
from hwnas.errors import UnknownNameError
from hwnas.strategies import AskTell, Knowledge, Problem, Proposer, make_proposer
from hwnas.strategies.ageing_evolution import AgeingEvolution
from hwnas.strategies.pareto_evolution import ParetoEvolution
from hwnas.strategies.pareto_local_search import ParetoLocalSearch
from hwnas.strategies.predictor_guided import PredictorGuided
from hwnas.strategies.random_search import RandomSearch
from hwnas.strategies.rank_evolution import RankEvolution
from hwnas.testing import StrategyContract
from hwnas.typing import SearchSpace

# Small numbers, so that the contract's few rounds reach every part of an algorithm.
MAKE: Mapping[str, Callable[[Problem[Any]], Proposer[Any]]] = {
    "random": RandomSearch,
    "random, warm": lambda problem: RandomSearch(problem, warm_up=6),
    "pareto-evolution": lambda problem: ParetoEvolution(problem, population=4),
    "pareto-local-search": lambda problem: ParetoLocalSearch(problem, initial=4),
    "predictor-guided": lambda problem: PredictorGuided(problem, initial=4),
    "rank-evolution": lambda problem: RankEvolution(problem, population=4),
}
MAKE_SINGLE: Mapping[str, Callable[[Problem[Any]], Proposer[Any]]] = {
    "ageing": lambda problem: AgeingEvolution(problem, population=6, sample=2),
    "ageing, warm, move": lambda problem: AgeingEvolution(
        problem, population=6, sample=2, warm_up=3, parents="scores"
    ),
    # Without scores, which would leave nothing to chance.
    "predictor-guided": lambda problem: PredictorGuided(Problem(problem.space), initial=4),
}


class Contract(StrategyContract):
    rounds = 4
    largest_to_exhaust = 256

    @pytest.fixture
    def space(self, words: SearchSpace[Any]) -> SearchSpace[Any]:
        return words

    @pytest.fixture
    def problem(
        self, space: SearchSpace[Any], knowledge: Callable[[], Knowledge[Any]]
    ) -> Problem[Any]:
        return Problem(space, knowledge=knowledge())


class TestSeveralObjectives(Contract):
    @pytest.fixture(params=sorted(MAKE))
    def make_strategy(
        self,
        request: pytest.FixtureRequest,
        space: SearchSpace[Any],
        problem: Problem[Any],
    ) -> Callable[[int], AskTell[Any]]:
        return lambda seed: AskTell(MAKE[request.param](problem), space, seed)


class TestUnlistedSpace(TestSeveralObjectives):
    @pytest.fixture
    def space(self, unlisted_words: SearchSpace[Any]) -> SearchSpace[Any]:
        return unlisted_words


class TestOneObjective(Contract):
    objectives = 1

    @pytest.fixture(params=sorted(MAKE_SINGLE))
    def make_strategy(
        self,
        request: pytest.FixtureRequest,
        space: SearchSpace[Any],
        problem: Problem[Any],
    ) -> Callable[[int], AskTell[Any]]:
        return lambda seed: AskTell(MAKE_SINGLE[request.param](problem), space, seed)


@pytest.mark.parametrize("name", registry.names("strategies"))
def test_every_name_makes_a_proposer(name: str, words: SearchSpace[Any]) -> None:
    strategy = AskTell(make_proposer(name, Problem(words)), words)
    assert len(strategy.ask(3)) == 3


def test_misspelt_names_are_corrected(words: SearchSpace[Any]) -> None:
    with pytest.raises(UnknownNameError, match="pareto-evolution"):
        make_proposer("pareto-evolutoin", Problem(words))
