from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from hwnas.errors import ProxyError
from hwnas.evaluation.cache import ResultCache
from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.objectives import proxy_objective
from hwnas.evaluation.sources import CostValues, ProxyValues
from hwnas.proxies import make_proxies
from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.nasgraph import NasGraphAverageDegree
from hwnas.seeding import derive_seed
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.tables.result import Result
from hwnas.tasks.batch import Batch
from hwnas.tasks.task import image_task
from hwnas.typing import Surrogate

SPACE = NasBench201(channels=4, cells=1)
CELL = Cell(("nor_conv_1x1", "none", "none", "none", "nor_conv_3x3", "none"))
EQUAL = Cell(("none", "nor_conv_1x1", "none", "none", "none", "nor_conv_3x3"))


def source(**changes: object) -> ProxyValues[Cell]:
    settings: dict[str, object] = {"task": image_task(10, (3, 8, 8)), "batch_size": 4}
    space = changes.pop("space", SPACE)
    proxies = changes.pop("proxies", tuple(make_proxies(["naswot"])))
    return ProxyValues(space, proxies, **(settings | changes))  # type: ignore[arg-type]


def test_everything_that_changes_a_score_is_in_its_cache_key() -> None:
    images = torch.zeros(4, 3, 8, 8)
    variants = [
        source(),
        source(seed=1),
        source(batch_size=5),
        source(task=image_task(9, (3, 8, 8))),
        source(task=image_task(10, (3, 16, 16))),
        source(space=NasBench201(channels=5, cells=1)),
        source(space=NasBench201(channels=4, cells=2)),
        source(batch=Batch(images)),
        source(batch=Batch(images + 1)),
        source(batch=Batch(images, torch.zeros(4, dtype=torch.int64))),
        source(batch=Batch(images, torch.ones(4, dtype=torch.int64))),
    ]
    keys = [variant.cache_prefix("naswot") for variant in variants]
    assert len(set(keys)) == len(keys)
    assert source(batch=Batch(images)).cache_prefix("naswot") == keys[7]


def test_a_proxy_with_images_of_its_own_is_the_same_for_every_batch() -> None:
    proxies = [p for p in make_proxies(["all"]) if getattr(p, "surrogate", None) is None]
    small, large = (source(proxies=tuple(proxies), batch_size=size) for size in (40, 44))
    names = [p.name for p in proxies]
    first, second = small.compute(CELL, names), large.compute(CELL, names)
    same = {n for n in names if small.cache_prefix(n) == large.cache_prefix(n)}
    assert same == {p.name for p in proxies if getattr(p, "own_images", None) is not None}
    assert {"params", "synflow", "meco", "swap", "vkdnw", "epsilon"} <= same
    for name in same:
        values = [first[name].value, second[name].value]
        assert values[0] == values[1] or np.isnan(values).all(), name
    changed = {n for n in names if first[n].value != second[n].value and n not in same}
    assert {"naswot", "jacob_cov", "snip", "zico", "gradsign"} <= changed


def test_equal_networks_have_equal_scores_and_seeds_matter() -> None:
    first = source().compute(CELL, ["naswot"])["naswot"].value
    assert source().compute(EQUAL, ["naswot"])["naswot"].value == first
    assert source(seed=1).compute(CELL, ["naswot"])["naswot"].value != first


def test_cost_names_carry_device_and_unit() -> None:
    from hwnas.costs.source import make_cost
    from hwnas.tasks.catalogue import get_task

    def name(spec: str) -> str:
        return CostValues(SPACE, make_cost(spec, SPACE, get_task("cifar10"))).name

    assert name("count:params") == "params"
    assert name("count:peak_memory") == "peak_memory_bytes"
    assert name("onnxruntime:cpu:latency") == "cpu_latency_ms"


def test_a_proxy_of_a_surrogate_scores_that_and_nothing_else_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small, whole = (NasGraphAverageDegree(s) for s in (Surrogate(4, 1, 2), None))
    scored = source(proxies=(small, whole)).compute(CELL, [small.name, whole.name])
    network = SPACE.build_surrogate(CELL, Surrogate(4, 1, 2), image_task(10, (3, 8, 8)))
    seed = derive_seed(0, SPACE.canonical_key(CELL))
    expected = score_network(network, (3, 8, 8), [small], seed=seed)[small.name].value
    assert scored[small.name].value == expected != scored[whole.name].value
    monkeypatch.delattr(NasBench201, "build")
    assert source(proxies=(small,)).compute(EQUAL, [small.name])[small.name].value == expected


def test_published_measures_score_a_surrogate_with_nodes_for_none() -> None:
    proxies = [NasGraphAverageDegree(Surrogate(4, 1, 2), published) for published in (False, True)]
    scored = source(proxies=tuple(proxies)).compute(CELL, [proxy.name for proxy in proxies])
    seed = derive_seed(0, SPACE.canonical_key(CELL))
    for proxy, zeros in zip(proxies, (False, True), strict=True):
        surrogate = Surrogate(4, 1, 2, zeros=zeros)
        cell = SPACE.representative(CELL)
        network = SPACE.build_surrogate(cell, surrogate, image_task(10, (3, 8, 8)))
        found = score_network(network, (3, 8, 8), [proxy], seed=seed)[proxy.name]
        assert scored[proxy.name].value == found.value
    assert len({score.value for score in scored.values()}) == 2


def test_a_surrogate_may_have_images_of_its_own() -> None:
    proxy = NasGraphAverageDegree(Surrogate(2, 1, 1, stem=False, in_shape=(2, 3, 3)))
    images = Batch(torch.zeros(4, 3, 8, 8))
    assert source(proxies=(proxy,), batch=images).compute(CELL, [proxy.name])[proxy.name].value > 0


def test_a_space_without_surrogates_says_so() -> None:
    class Plain:
        name = "plain"
        representative = SPACE.representative
        canonical_key = SPACE.canonical_key

    proxy = NasGraphAverageDegree()
    result = source(space=Plain(), proxies=(proxy,)).compute(CELL, [proxy.name])[proxy.name]
    assert math.isnan(result.value)
    assert "plain builds no surrogates: set `surrogate=None`" in str(result.error)


def test_errors_that_were_mended_are_computed_anew_and_others_are_not() -> None:
    mine = source(proxies=tuple(make_proxies(["trainability", "naswot"])))
    key = SPACE.canonical_key(CELL)
    shapes = "mat1 and mat2 shapes cannot be multiplied (3x128 and 512x3)"
    old = f"Running the network raised RuntimeError: {shapes}"
    with ResultCache(None) as cache:
        for name in mine.columns:
            cache.put({f"{mine.cache_prefix(name)}|{key}": Result(math.nan, old)})
        objectives = [proxy_objective(mine, name) for name in mine.columns]
        found = Evaluator(SPACE, objectives, cache=cache, require_valid=False)(CELL)
        assert found.values["trainability"] <= 0
        assert found.errors == {"naswot": old}
        kept = cache.get([f"{mine.cache_prefix('trainability')}|{key}"])
        assert [result.value for result in kept.values()] == [found.values["trainability"]]


def test_what_is_wrong_with_the_network_itself_stays_cached() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(5, 3))
    with pytest.raises(ProxyError, match="mat1 and mat2 shapes cannot be multiplied") as raised:
        score_network(network, (3, 8, 8), make_proxies(["trainability"]))
    mine = source(proxies=tuple(make_proxies(["trainability"])))
    key = f"{mine.cache_prefix('trainability')}|{SPACE.canonical_key(CELL)}"
    with ResultCache(None) as cache:
        cache.put({key: Result(math.nan, str(raised.value))})
        objectives = [proxy_objective(mine, "trainability")]
        found = Evaluator(SPACE, objectives, cache=cache, require_valid=False)(CELL)
    assert found.errors == {"trainability": str(raised.value)}
