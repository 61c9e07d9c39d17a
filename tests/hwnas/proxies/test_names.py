import pytest

from hwnas.errors import InvalidValueError, UnknownNameError
from hwnas.proxies import make_proxies, proxy_direction
from hwnas.proxies.epsilon import Epsilon
from hwnas.proxies.vkdnw import VkdnwEntropy


def test_settings_are_read_from_the_text() -> None:
    texts = ["vkdnw_entropy:batch_size=64,elements=2", "epsilon:weights=(1e-6,1)"]
    fisher, epsilon, gradient = make_proxies([*texts, "jacob_cov:init=as_built"])
    assert fisher == VkdnwEntropy(batch_size=64, elements=2)
    assert epsilon == Epsilon(weights=(1e-6, 1))
    assert gradient.name == "jacob_cov.as_built"


def test_equal_proxies_are_made_once() -> None:
    assert len(make_proxies(["jacob_cov", "jacob_cov:init=kaiming", "jacob_cov"])) == 1


@pytest.mark.parametrize(
    "text",
    ["naswot:3", "naswot:init", "naswot:init=", "naswot:**{}", "naswot:init=f()", "naswot:)("],
)
def test_unreadable_settings(text: str) -> None:
    with pytest.raises(InvalidValueError, match="must be NAME or NAME:SETTING=VALUE"):
        make_proxies([text])


def test_unknown_names_and_settings() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'naswot'"):
        make_proxies(["naswott:init=as_built"])
    with pytest.raises(InvalidValueError, match="must be its own"):
        make_proxies(["naswot:foo=1"])


def test_directions_of_variants() -> None:
    assert proxy_direction("ntk_cond") == proxy_direction("ntk_cond.train") == "minimize"
    assert proxy_direction("vkdnw.batch64") == "maximize"
