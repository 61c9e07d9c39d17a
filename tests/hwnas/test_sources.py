from __future__ import annotations

import torch

from hwnas.proxies import make_proxies
from hwnas.proxies.batch import Batch
from hwnas.sources import CostValues, ProxyValues
from hwnas.spaces.nasbench201 import Cell, NasBench201

SPACE = NasBench201(channels=4, cells=1)
CELL = Cell(("nor_conv_1x1", "none", "none", "none", "nor_conv_3x3", "none"))
EQUAL = Cell(("none", "nor_conv_1x1", "none", "none", "none", "nor_conv_3x3"))


def source(**changes: object) -> ProxyValues[Cell]:
    settings: dict[str, object] = {"num_classes": 10, "in_shape": (3, 8, 8), "batch_size": 4}
    space = changes.pop("space", SPACE)
    proxies = tuple(make_proxies(["naswot"]))
    return ProxyValues(space, proxies, **(settings | changes))  # type: ignore[arg-type]


def test_everything_that_changes_a_score_is_in_its_cache_key() -> None:
    images = torch.zeros(4, 3, 8, 8)
    variants = [
        source(),
        source(seed=1),
        source(batch_size=5),
        source(num_classes=9),
        source(in_shape=(3, 16, 16)),
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


def test_equal_networks_have_equal_scores_and_seeds_matter() -> None:
    first = source().compute(CELL, ["naswot"])["naswot"].value
    assert source().compute(EQUAL, ["naswot"])["naswot"].value == first
    assert source(seed=1).compute(CELL, ["naswot"])["naswot"].value != first


def test_cost_names_carry_device_and_unit() -> None:
    from hwnas.costs.source import make_cost
    from hwnas.data.datasets import get_dataset

    def name(spec: str) -> str:
        return CostValues(SPACE, make_cost(spec, SPACE, get_dataset("cifar10"))).name

    assert name("count:params") == "params"
    assert name("count:peak_memory") == "peak_memory_bytes"
    assert name("onnxruntime:cpu:latency") == "cpu_latency_ms"
