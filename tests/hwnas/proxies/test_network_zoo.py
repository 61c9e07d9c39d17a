"""Each proxy has the right value for every kind of network, or one sentence says why not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

import pytest
import torch

from hwnas.errors import InvalidValueError, ProxyError
from hwnas.proxies import make_proxies, proxy_names
from hwnas.proxies.engine.scoring import score_network
from hwnas.tables.result import Result
from tests.hwnas.proxies.network_kinds import SHAPE, Build
from tests.hwnas.proxies.network_zoo import KINDS
from tests.hwnas.proxies.plain_scores import OF_BATCHES, PLAIN, PlainScores

BATCH = 4
# It scores surrogates in search spaces only, and says so for any network that is given as it is.
NAMES = [name for name in proxy_names() if name != "te_nas_regions"]
SCORED = [name for name, kind in KINDS.items() if not kind.refused]
OTHER_KINDS = [name for name in SCORED if KINDS[name].plain is not KINDS[name].build]

# Said once a process: as an error it would make one network run in another layout, whose weights
# are drawn in another order.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")


@cache
def scores_of(build: Build) -> Mapping[str, Result]:
    return score_network(build(), SHAPE, make_proxies(NAMES), batch_size=BATCH)


def test_the_zoo_is_large() -> None:
    assert len(KINDS) >= 120


@pytest.mark.parametrize("name", SCORED)
def test_every_proxy_has_a_value_or_one_sentence(name: str) -> None:
    for proxy, score in scores_of(KINDS[name].build).items():
        if score.error is None:
            assert math.isfinite(score.value), proxy
        else:
            assert math.isnan(score.value), proxy
            assert score.error.strip(), proxy
            assert "\n" not in score.error, (proxy, score.error)
            assert "raised" not in score.error, (proxy, score.error)
    for proxy, sentence in KINDS[name].sentences.items():
        assert sentence in str(scores_of(KINDS[name].build)[proxy].error), proxy


@pytest.mark.parametrize("name", OTHER_KINDS)
def test_scores_are_those_of_the_equal_plain_network(name: str) -> None:
    kind = KINDS[name]
    expected, got = scores_of(kind.plain), scores_of(kind.build)
    for proxy in NAMES:
        if proxy in kind.own:
            continue
        assert got[proxy].error == expected[proxy].error
        close = pytest.approx(expected[proxy].value, rel=1e-4, abs=1e-9, nan_ok=True)
        assert got[proxy].value == close, proxy


@pytest.mark.parametrize("name", SCORED)
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_scores_are_those_of_plain_autograd(name: str) -> None:
    kind = KINDS[name]
    got, plain = scores_of(kind.build), PlainScores(kind.plain(), SHAPE, BATCH)
    for proxy, (formula, tolerance) in PLAIN.items():
        if got[proxy].error is None and not (kind.random and proxy in OF_BATCHES):
            torch.manual_seed(0)
            assert got[proxy].value == pytest.approx(formula(plain), rel=tolerance), proxy


@pytest.mark.parametrize("name", [name for name in KINDS if KINDS[name].refused])
def test_what_cannot_be_scored_is_one_sentence(name: str) -> None:
    with pytest.raises((ProxyError, InvalidValueError), match=KINDS[name].refused) as caught:
        scores_of(KINDS[name].build)
    assert "\n" not in str(caught.value)
