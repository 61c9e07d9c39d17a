import numpy as np
import pytest

from hwnas.proxies import proxy_names
from hwnas.ranking.recipes import RECIPES


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
