"""Warm-up, ageing evolution, Pareto evolution, local search, evolution by joint ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy.stats import rankdata

from hwnas.errors import InvalidValueError
from hwnas.strategies import AskTell, History, Knowledge, Problem, Proposer
from hwnas.strategies.ageing_evolution import AgeingEvolution
from hwnas.strategies.pareto_evolution import ParetoEvolution
from hwnas.strategies.pareto_local_search import ParetoLocalSearch
from hwnas.strategies.random_search import RandomSearch
from hwnas.strategies.rank_evolution import RankEvolution
from hwnas.typing import FloatArray


def history(space: Any, texts: Sequence[str], losses: Any, taken: Sequence[str] = ()) -> Any:
    archs = [space.parse(text) for text in texts]
    keys = {space.canonical_key(arch) for arch in archs}
    return History(archs, np.array(losses, dtype=np.float64), [], keys | set(taken), 0)


def parents_of(space: Any, child: Any, texts: Sequence[str]) -> list[str]:
    """Give the words that have the child's class among their neighbours' classes."""
    key = space.canonical_key(child)
    neighbours = {t: map(space.canonical_key, space.neighbours(space.parse(t))) for t in texts}
    return [text for text, keys in neighbours.items() if key in keys]


def children(proposer: Proposer[Any], seen: Any, n: int = 40) -> list[Any]:
    return [proposer.propose(seen, np.random.default_rng(seed)) for seed in range(n)]


def test_warm_up_takes_the_best_by_the_joint_ranks_of_its_scores(words: Any) -> None:
    def scores(archs: Sequence[Any]) -> FloatArray:
        return np.array([[a.letters.count("d"), a.letters.count("c")] for a in archs], float)

    problem = Problem(words, knowledge=Knowledge(scores=scores))
    strategy = AskTell(RandomSearch(problem, warm_up=3), words, seed=1)
    first = [words.canonical_key(arch) for arch in strategy.ask(3)]
    listed = sorted({words.canonical_key(a) for a in words if words.is_valid(a)})
    table = scores([words.parse(text) for text in listed])
    joint = np.log(rankdata(table, axis=0)).sum(axis=1)
    best = sorted(joint)[-3:]
    assert sorted(joint[listed.index(key)] for key in first) == pytest.approx(best)


def test_scores_that_are_missing_are_asked_for(words: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"`knowledge` must have scores for a warm-up"):
        RandomSearch(Problem(words), warm_up=3)
    with pytest.raises(InvalidValueError, match=r"`knowledge` must have scores for a move"):
        AgeingEvolution(Problem(words), parents="scores")
    with pytest.raises(InvalidValueError, match=r"`warm_up` must be in 0 to 3000"):
        RandomSearch(Problem(words), warm_up=3001)


def test_ageing_evolution_forgets_the_oldest(words: Any) -> None:
    # The best word is the oldest one: with room for two it is no parent any more.
    texts = ["dddd", "aaab", "bbbb"]
    seen = history(words, texts, [[0.0], [1.0], [2.0]])
    evolution = AgeingEvolution(Problem(words), population=2, sample=2)
    for child in children(evolution, seen):
        assert "aaab" in parents_of(words, child, texts)
    whole = AgeingEvolution(Problem(words), population=3, sample=3)
    for child in children(whole, seen):
        assert "dddd" in parents_of(words, child, texts)


def test_a_move_takes_the_parent_with_the_best_score(words: Any, knowledge: Any) -> None:
    texts = ["aaab", "dddd", "bbbb"]
    seen = history(words, texts, [[0.0], [9.0], [2.0]])
    problem = Problem(words, knowledge=knowledge())
    evolution = AgeingEvolution(problem, population=3, sample=3, parents="scores")
    for child in children(evolution, seen):
        assert "dddd" in parents_of(words, child, texts)


def test_ageing_evolution_refuses_several_objectives(words: Any) -> None:
    seen = history(words, ["abcd"], [[0.0, 1.0]])
    with pytest.raises(InvalidValueError, match=r"one objective.*got 2"):
        AgeingEvolution(Problem(words)).propose(seen, np.random.default_rng(0))


def test_pareto_evolution_mutates_the_best_layers(words: Any) -> None:
    # Two on the front; the other two are behind both.
    texts = ["dddd", "aaab", "bbbb", "bbbc"]
    seen = history(words, texts, [[0.0, 1.0], [1.0, 0.0], [5.0, 5.0], [6.0, 6.0]])
    evolution = ParetoEvolution(Problem(words), population=2)
    for child in children(evolution, seen):
        assert set(parents_of(words, child, texts)) & {"dddd", "aaab"}


def test_local_search_turns_to_the_next_layer_when_the_front_has_no_new_neighbours(
    words: Any,
) -> None:
    texts = ["dddd", "aabb"]
    seen = history(words, texts, [[0.0], [1.0]])
    search = ParetoLocalSearch(Problem(words), initial=2)
    for child in children(search, seen):
        assert "dddd" in parents_of(words, child, texts)
    around = history(words, texts, [[0.0], [1.0]], taken=["addd", "bddd", "cddd"])
    for child in children(search, around):
        assert parents_of(words, child, texts) == ["aabb"]


def test_rank_evolution_mutates_who_is_good_in_everything(words: Any) -> None:
    # Ranks of the losses, 3 best: (3, 1), (2, 2), (1, 3): the products are 3, 4 and 3.
    texts = ["dddd", "aabb", "aaac"]
    seen = history(words, texts, [[0.0, 9.0], [1.0, 5.0], [2.0, 0.0]])
    for child in children(RankEvolution(Problem(words), population=1), seen):
        assert "aabb" in parents_of(words, child, texts)
