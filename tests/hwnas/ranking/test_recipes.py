import numpy as np
import pytest

from hwnas.proxies import proxy_names
from hwnas.ranking.recipes import RECIPES, Recipe


@pytest.mark.parametrize("name", list(RECIPES))
def test_recipes_use_known_proxies(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.name == name
    assert set(recipe.proxies) <= set(proxy_names())
    assert tuple(proxy.name for proxy in recipe.make()) == recipe.needed


def test_the_published_sets() -> None:
    assert set(RECIPES["az-nas"].proxies) == {
        "expressivity",
        "progressivity",
        "trainability",
        "flops",
    }
    assert set(RECIPES["vkdnw-agg"].proxies) == {
        "vkdnw",
        "flops",
        "expressivity",
        "trainability",
        "jacob_cov",
    }


def test_both_ways_of_joining() -> None:
    recipe = RECIPES["jacob_cov+params"]
    values = np.array([[-1.0, 5.0], [-3.0, 9.0]])
    # Ranks (2, 1) and (1, 2) of 2: log 1 + log 1/2 each.
    np.testing.assert_allclose(recipe.in_population(values), np.log([0.5, 0.5]))
    # Against the same: (1 worse, 1 tie), (0 worse, 1 tie) -> 2/3 * 1/3.
    np.testing.assert_allclose(recipe.against(values).score(values), np.log([2 / 9, 2 / 9]))


def test_an_opposed_member_counts_the_other_way_round() -> None:
    values = np.array([[1.0, 5.0], [1.0, 2.0], [1.0, np.nan]])
    recipe = Recipe("mine", ("params", "grad_norm"), "", opposed=("grad_norm",))
    assert recipe.members == ("params", "-grad_norm")
    # All have rank 2 of 3 in params; the smallest gradient is best, none at all the worst.
    ranks = np.array([2.0, 3.0, 1.0])
    np.testing.assert_allclose(recipe.in_population(values), np.log(2 / 3) + np.log(ranks / 3))
    assert recipe.against(values).score(values).argsort().tolist() == [2, 0, 1]
    # A proxy that is to be small anyway is to be large.
    assert Recipe("mine", ("ntk_cond",), "", opposed=("ntk_cond",)).directions == ("maximize",)
