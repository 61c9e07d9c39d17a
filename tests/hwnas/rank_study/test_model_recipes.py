from dataclasses import replace

import numpy as np
import pytest

from hwnas.proxies import make_proxies
from hwnas.rank_study.model_recipes import MODEL_RECIPES
from hwnas.ranking.ensemble import ensemble
from hwnas.ranking.metrics import spearman
from hwnas.ranking.model_driven import ModelRanking
from hwnas.ranking.recipes import RECIPES
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.spaces.nasbench201.features import graf_features

SPACE = NasBench201()
FIM = [proxy.name for proxy in make_proxies([f"fim_decile:decile={d}" for d in range(1, 10)])]


@pytest.mark.parametrize("name", list(MODEL_RECIPES))
def test_recipes_use_known_proxies(name: str) -> None:
    recipe = MODEL_RECIPES[name]
    assert recipe.name == name
    needed = [proxy.name for proxy in make_proxies(recipe.proxies)]
    assert len(needed) == len(recipe.proxies)
    assert recipe.columns([*needed, "naswot"]) is not None


def test_inputs_are_chosen_among_the_columns() -> None:
    given = [*FIM, "layers", "flops", "naswot"]
    assert MODEL_RECIPES["vkdnw-model"].columns(given) == given[:-1]
    assert MODEL_RECIPES["vkdnw-zcs-graf-model"].columns(given) == given
    assert MODEL_RECIPES["graf-model"].columns(given) == []
    assert MODEL_RECIPES["hwnas-model"].columns(["naswot"]) == ["naswot"]
    assert MODEL_RECIPES["vkdnw-model"].columns(given[1:]) is None


def test_only_labelled_accuracies_are_learned_from() -> None:
    cells = list(SPACE)[:400]
    score = np.arange(400.0)
    labelled = np.arange(0, 400, 4)
    recipe = MODEL_RECIPES["vkdnw-model"]
    columns = dict.fromkeys(("fim_decile.1", "layers"), score)
    predicted = recipe.predict(SPACE, columns, cells, labelled, -score[labelled], 0)
    assert np.corrcoef(predicted, -score)[0, 1] > 0.99
    again = recipe.predict(SPACE, columns, cells, labelled, -score[labelled], 0)
    np.testing.assert_array_equal(predicted, again)


def test_the_graph_is_an_input_where_a_recipe_says_so() -> None:
    cells = list(SPACE)[::20]
    truth = graf_features(cells)[:, :3] @ [1.0, 5.0, 25.0]
    labelled = np.arange(0, len(cells), 2)
    rest = np.arange(1, len(cells), 2)
    predicted = MODEL_RECIPES["graf-model"].predict(SPACE, {}, cells, labelled, truth[labelled], 0)
    assert np.corrcoef(predicted[rest], truth[rest])[0, 1] > 0.95


def test_the_ensemble_sees_ranks_of_accuracies() -> None:
    # A monotone change of the accuracies changes no order.
    rng = np.random.default_rng(0)
    table = rng.normal(size=(120, 4))
    truth = table @ [1.0, 2.0, 0.5, 0.0]
    first, second = (
        np.argsort(ModelRanking(ensemble(0, 80)).fit(table[:80], labels).predict(table[80:]))
        for labels in (truth[:80], np.exp(truth[:80]))
    )
    np.testing.assert_array_equal(first, second)


def test_a_ready_made_score_decides_where_labels_are_few() -> None:
    rng = np.random.default_rng(0)
    cells = list(SPACE)[:300]
    proxies = RECIPES["hwnas-agg"].proxies
    columns = {name: rng.normal(size=300) for name in proxies}
    score = RECIPES["hwnas-agg"].in_population(np.column_stack(list(columns.values())))
    # Accuracies that contradict the score: four labels do not outweigh it, two hundred do.
    recipe = replace(MODEL_RECIPES["hwnas-model"], graph=False)
    few, many = np.arange(4), np.arange(200)
    rest = np.arange(200, 300)
    assert (
        spearman(recipe.predict(SPACE, columns, cells, few, -score[few], 0)[rest], score[rest])
        > 0.9
    )
    found = recipe.predict(SPACE, columns, cells, many, -score[many], 0)
    assert spearman(found[rest], score[rest]) < -0.8


def test_without_the_proxies_of_the_prior_there_is_none() -> None:
    cells = list(SPACE)[:60]
    columns = {"naswot": np.arange(60.0)}
    labelled = np.arange(0, 60, 2)
    recipe = MODEL_RECIPES["hwnas-model"]
    expected = replace(recipe, prior=None).predict(
        SPACE, columns, cells, labelled, labelled * 1.0, 0
    )
    found = recipe.predict(SPACE, columns, cells, labelled, labelled * 1.0, 0)
    np.testing.assert_array_equal(found, expected)
