from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwnas.errors import DataNotFoundError, InvalidValueError, UnknownNameError
from hwnas.ranking.recipes import RECIPES
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.strategies import AskTell, Knowledge, Problem
from hwnas.strategies.predictor_guided import PredictorGuided
from hwnas.strategies.score_knowledge import LEARN_FROM, score_knowledge, shipped_knowledge
from hwnas.tables.shipped import shipped_scores


def test_rows_are_found_by_class_and_scores_grow_with_quality(words: Any) -> None:
    # The condition number of the tangent kernel is to be minimised, naswot to be maximised.
    columns = {"naswot": [1.0, 2.0], "ntk_cond": [10.0, 20.0]}
    knowledge = score_knowledge(words, ["abcd", "bbbb"], columns, begin_with=("ntk_cond", "naswot"))
    archs = [words.parse(text) for text in ("bbbb", "dcba", "aaad")]
    assert knowledge.features is not None
    assert knowledge.scores is not None
    nan = float("nan")
    features = [[2.0, 20.0], [1.0, 10.0], [nan, nan]]
    assert np.array_equal(knowledge.features(archs), features, equal_nan=True)
    scores = [[-20.0, 2.0], [-10.0, 1.0], [nan, nan]]
    assert np.array_equal(knowledge.scores(archs), scores, equal_nan=True)


def test_a_search_with_missing_scores_learns_from_the_others(words: Any, word_losses: Any) -> None:
    listed = [arch for arch in words if words.is_valid(arch)]
    scores = -word_losses(listed)[:, 0]
    scores[[arch.letters[0] == "b" for arch in listed]] = np.nan
    keys = [words.canonical_key(arch) for arch in listed]
    knowledge = score_knowledge(words, keys, {"naswot": scores}, begin_with=["naswot"])
    guided = PredictorGuided(Problem(words, knowledge=knowledge), initial=2)
    # Known ones come first, the best of all among them; the features keep what is known.
    assert str(AskTell(guided, words).ask(1)[0]) == "dddd"
    with_scores = guided._pool.features.shape[1]
    without = PredictorGuided(Problem(words))._pool.features.shape[1]
    assert with_scores == without + 1


def test_proxies_that_are_no_column_are_named(words: Any) -> None:
    with pytest.raises(UnknownNameError, match="`begin_with` must be one of naswot"):
        score_knowledge(words, ["abcd"], {"naswot": [1.0]}, begin_with=["nasewot"])


def test_a_model_sees_more_proxies_no_louder_than_one(words: Any, word_losses: Any) -> None:
    listed = [arch for arch in words if words.is_valid(arch)]
    scores = word_losses(listed)[:, 0]

    def weight(proxies: int) -> float:
        table = np.tile(scores[:, None], proxies)
        knowledge = Knowledge[Any](features=lambda archs: table[[listed.index(a) for a in archs]])
        features = PredictorGuided(Problem(words, knowledge=knowledge))._pool.features
        return float((features[:, -proxies:] ** 2).sum() / len(features))

    assert weight(1) == pytest.approx(25)
    assert weight(40) == pytest.approx(25)


def test_shipped_knowledge_is_of_the_proxies_that_are_learned_from() -> None:
    space = NasBench201()
    shipped = shipped_scores("nasbench201", "cifar10")
    real = shipped_scores("nasbench201", "cifar10", "cifar10-sample")
    assert shipped is not None
    assert real is not None
    cells = [space.parse(text) for text in shipped.table.archs[1000:1005]]
    known = {1: lambda archs: np.ones(len(archs))}
    knowledge = shipped_knowledge(space, "cifar10", known)
    assert knowledge.features is not None
    assert knowledge.scores is not None
    expected = np.column_stack([shipped.table.columns[name][1000:1005] for name in LEARN_FROM])
    assert np.array_equal(knowledge.features(cells), expected)
    assert {"meco", "params"} < set(LEARN_FROM)
    # The first evaluations are chosen by hwnas-agg, its ranks taken among all networks.
    recipe = RECIPES["hwnas-agg"]
    table = np.column_stack([shipped.table.columns[name] for name in recipe.proxies])
    assert np.array_equal(knowledge.scores(cells)[:, 0], recipe.in_population(table)[1000:1005])

    assert knowledge.known_losses == known
    seen = shipped_knowledge(space, images="cifar10-sample").features
    assert seen is not None
    expected = np.column_stack([real.table.columns[name][1000:1005] for name in LEARN_FROM])
    assert np.array_equal(seen(cells), expected)


def test_a_table_without_its_proxies_begins_with_the_cheap_ones(words: Any) -> None:
    columns = {"jacob_cov": [-9.0, -3.0], "params": [5.0, 2.0]}
    knowledge = score_knowledge(words, ["abcd", "bbbb"], columns)
    assert knowledge.scores is not None
    found = knowledge.scores([words.parse("bbbb"), words.parse("abcd")])
    assert found.tolist() == [[-3.0, 2.0], [-9.0, 5.0]]


def test_spaces_without_shipped_scores_are_told_what_to_do(words: Any) -> None:
    with pytest.raises(DataNotFoundError, match="hwnas score --out"):
        shipped_knowledge(words)


def test_of_several_rows_of_a_class_the_last_one_counts(words: Any) -> None:
    keys = ["abcd", "bbbb", "abcd"]
    knowledge = score_knowledge(words, keys, {"naswot": [1.0, 2.0, 3.0]}, begin_with=["naswot"])
    assert knowledge.features is not None
    found = knowledge.features([words.parse(text) for text in ("dcba", "bbbb", "aaad")])
    assert np.array_equal(found, [[3.0], [2.0], [np.nan]], equal_nan=True)


@pytest.mark.parametrize("columns", [{}, {"naswot": [1.0]}, {"naswot": [[1.0], [2.0]]}])
def test_columns_that_do_not_fit_the_keys_are_refused(words: Any, columns: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match="for each of the 2 keys"):
        score_knowledge(words, ["abcd", "bbbb"], columns, begin_with=())


def test_knowledge_of_another_space_is_refused_when_it_is_used(words: Any) -> None:
    knowledge = score_knowledge(words, ["other"], {"naswot": [1.0]}, begin_with=["naswot"])
    with pytest.raises(InvalidValueError, match="known for some of the 34 architectures"):
        AskTell(PredictorGuided(Problem(words, knowledge=knowledge)), words).ask(1)


@pytest.mark.parametrize(
    ("give", "shape"),
    [(lambda a: np.ones(len(a) + 1), "35"), (lambda a: np.ones((len(a), 0)), "0")],
)
def test_knowledge_of_a_wrong_shape_is_refused(words: Any, give: Any, shape: str) -> None:
    knowledge = Knowledge[Any](scores=give)
    with pytest.raises(InvalidValueError, match=f"gave the shape .*{shape}"):
        AskTell(PredictorGuided(Problem(words, knowledge=knowledge)), words).ask(1)


def test_known_losses_are_of_objectives(words: Any, word_losses: Any) -> None:
    knowledge = Knowledge[Any](known_losses={2: lambda archs: word_losses(archs)[:, 1]})
    search = AskTell(PredictorGuided(Problem(words, knowledge=knowledge), initial=2), words)
    asked = search.ask(2)
    search.tell(asked, word_losses(asked))
    with pytest.raises(InvalidValueError, match="objectives 0 to 1, but got 2"):
        search.ask(1)
