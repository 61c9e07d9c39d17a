import numpy as np
import pytest

from hwnas.data.nasbench201 import accuracies
from hwnas.proxies import make_proxies
from hwnas.rank_study.model_recipes import MODEL_RECIPES
from hwnas.rank_study.population import shipped_population
from hwnas.ranking.metrics import kendall, spearman
from hwnas.ranking.recipes import RECIPES
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.spaces.nasbench201.features import graf_features
from hwnas.study.accuracy_learning import learn_from
from hwnas.study.sample import BEGINNING, Sample
from hwnas.tables.shipped import shipped_scores

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


def test_a_ready_made_score_decides_where_labels_are_few() -> None:
    rng = np.random.default_rng(0)
    cells = list(SPACE)[:300]
    proxies = RECIPES["hwnas-agg"].proxies
    columns = {name: rng.normal(size=300) for name in proxies}
    score = RECIPES["hwnas-agg"].in_population(np.column_stack(list(columns.values())))
    # Accuracies that contradict the score: two labels do not outweigh it, two hundred do.
    recipe = MODEL_RECIPES["hwnas-model"]
    few, many = np.arange(2), np.arange(200)
    rest = np.arange(200, 300)
    found = recipe.predict(SPACE, columns, cells, few, -score[few], 0)
    assert spearman(found[rest], score[rest]) > 0.8
    found = recipe.predict(SPACE, columns, cells, many, -score[many], 0)
    assert spearman(found[rest], score[rest]) < -0.8


def test_it_begins_with_those_members_of_the_score_that_there_are() -> None:
    recipe = MODEL_RECIPES["hwnas-model"]
    # A network's accuracy depends on no edge that is not in it.
    live = [cell for cell in SPACE if cell.is_live() and SPACE.representative(cell) == cell]
    cells = live[:50]
    meco = np.random.default_rng(1).normal(size=50)
    columns = {"meco": meco, "epsilon": np.full(50, np.nan)}
    before = Sample(SPACE, cells, columns).belief(BEGINNING)
    assert before is not None
    np.testing.assert_array_equal(np.argsort(before(columns)), np.argsort(meco))
    assert Sample(SPACE, cells, {"naswot": meco}).belief(BEGINNING) is None
    labelled = np.arange(0, 50, 5)
    truth = graf_features(cells)[:, 2]
    found = recipe.predict(SPACE, {"naswot": meco}, cells, labelled, truth[labelled], 0)
    assert spearman(found, truth) > 0.8


def test_proxies_that_rank_at_random_are_no_inputs() -> None:
    recipe = MODEL_RECIPES["hwnas-model"]
    cells = list(SPACE)[:60]
    columns = {"naswot": np.arange(60.0), "plain": np.random.default_rng(1).normal(size=60)}
    labelled = np.arange(0, 60, 4)
    known = {"naswot": 1.0, "plain": 0.1}
    with_noise = recipe.predict(SPACE, columns, cells, labelled, labelled * 1.0, 0, known)
    without = recipe.predict(
        SPACE, {"naswot": columns["naswot"]}, cells, labelled, labelled * 1.0, 0
    )
    np.testing.assert_array_equal(with_noise, without)


@pytest.mark.data
@pytest.mark.usefixtures("data_folder")
def test_stated_accuracies_are_true_of_nasbench201() -> None:
    """Intervals hold about as often as they say, on cells that were not learned from."""
    cells = [cell for cell in SPACE if cell.is_live()]
    known = accuracies("cifar10")
    truth = np.array([known[str(cell)] for cell in cells])
    shipped = shipped_scores("nasbench201", "cifar10")
    assert shipped is not None
    members, alike = shipped_population(SPACE, shipped, cells, seed=0)
    truth = np.array([known[str(cell)] for cell in members.archs])
    part = members.take(np.arange(3000))
    labelled, rest = np.arange(50), np.arange(50, 3000)
    sample = Sample(SPACE, part.archs, part.columns, alike)
    found = learn_from(sample, labelled, truth[labelled])
    assert kendall(found.means[rest], truth[rest]) > 0.79
    for level, least, most in ((0.5, 0.4, 0.65), (0.95, 0.88, 0.99)):
        low, high = found.interval(level)
        inside = (truth[:3000] >= low) & (truth[:3000] <= high)
        assert least < inside[rest].mean() < most
    # The best one of a hundred: what is said of the members of it, in the mean.
    best = truth[:3000] >= np.sort(truth[:3000])[-30]
    chances = found.chance_among_best(0.01)
    assert chances.sum() == pytest.approx(30)
    assert chances[best].mean() > 10 * chances[~best].mean()
