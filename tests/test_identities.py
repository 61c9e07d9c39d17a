"""Identities that must outlive any change of structure.

Caches, shipped scores, studies, fronts and predictor files are found again by these texts. They
are written down in ``identities.json``: a change of one is a change of what users have kept, and
belongs into the CHANGELOG with a way for old files to be opened. `python tests/test_identities.py`
prints what the code gives now.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hwnas.costs.counters import METRICS, CounterCost
from hwnas.costs.measured import RuntimeCost
from hwnas.costs.published import PublishedCost
from hwnas.evaluation.sources import CostValues, ProxyValues
from hwnas.files.identity import identity_text
from hwnas.files.predictor_file import FORMAT as PREDICTOR_FORMAT
from hwnas.pareto.json_csv import FORMAT as FRONT_FORMAT
from hwnas.pareto.json_csv import SCHEMA
from hwnas.proxies import make_proxies, proxy_names
from hwnas.ranking.recipes import RECIPES, Recipe
from hwnas.seeding import derive_seed
from hwnas.spaces.fbnet import FBNet
from hwnas.spaces.mobilenetv3 import MobileNetV3
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.study.configuration import reference_sample
from hwnas.study.settings import DEFAULT_COST, DEFAULT_SCORE, SearchSettings
from hwnas.tables.shipped import shipped_name, shipped_scores
from hwnas.tables.table import Table
from hwnas.tasks.batch import Batch
from hwnas.tasks.catalogue import get_task
from hwnas.typing import DeviceKey

FILE = Path(__file__).with_name("identities.json")
VARIANTS = (
    "vkdnw_entropy:batch_size=64,elements=2",
    "vkdnw_entropy:published=True",
    "epsilon:weights=(1e-6,1)",
)
SPACES: dict[str, Any] = {
    "nasbench201": NasBench201(),
    "nasbench201 narrow": NasBench201(channels=8, cells=1),
    "fbnet": FBNet(),
    "mobilenetv3": MobileNetV3(),
}


def identities() -> dict[str, Any]:
    """Give every identity as plain JSON values."""
    space = NasBench201()
    device = DeviceKey("raspi4", "onnxruntime-1.32.0", "int8", 4, 2)
    published: PublishedCost[Any] = PublishedCost(
        "latency", "ms", DeviceKey("raspi4", "hw-nas-bench"), "cifar10",
        {"sha256": "0" * 64}, partial(Table([], {"ms": np.array([])}).values, "ms"),
    )  # fmt: skip
    measured, raw = RuntimeCost(space), RuntimeCost(space, reference=False)
    return {
        "formats": [FRONT_FORMAT, SCHEMA, PREDICTOR_FORMAT],
        "defaults": [DEFAULT_SCORE, DEFAULT_COST],
        "settings": SearchSettings().identity(),
        "seeds": [derive_seed(0, "a"), derive_seed(1, "a", 2.5), derive_seed(repr(space))],
        "devices": [str(device), repr(device), str(DeviceKey("cpu"))],
        "spaces": {name: _space(s) for name, s in SPACES.items()},
        "proxies": {
            name: _prefixes(s, ProxyValues.cache_prefix)
            for name, s in SPACES.items()
            if name in ("nasbench201", "mobilenetv3")
        },
        "proxies with images": _prefixes(space, ProxyValues.cache_prefix, _zeros()),
        "former proxies": {
            name: _prefixes(s, _former)
            for name, s in SPACES.items()
            if name in ("nasbench201", "mobilenetv3")
        },
        "former proxies with images": _prefixes(space, _former, _zeros()),
        "costs": {
            "counts": [repr(CounterCost(space, metric)) for metric in METRICS],
            "count names": [CostValues(space, CounterCost(space, m)).name for m in METRICS],
            "published": [repr(published), CostValues(space, published).name],
            "measured": [identity_text(cost=measured), CostValues(space, measured).name],
            "former measured": repr(raw),
            "measured without a reference": [identity_text(cost=raw), CostValues(space, raw).name],
        },
        # Where one of these changes, its version counts up: studies of the former are refused.
        "recipes": {name: _recipe(recipe) for name, recipe in RECIPES.items()},
        "shipped": {
            shipped_name("nasbench201", "cifar10", i): _shipped(i)
            for i in ("gaussian", "cifar10-sample")
        },
    }


def _recipe(recipe: Recipe) -> dict[str, Any]:
    return {k: v for k, v in asdict(recipe).items() if k not in ("name", "source")}


def _zeros() -> Batch:
    return Batch(torch.zeros(4, 3, 32, 32), torch.zeros(4, dtype=torch.int64), "zeros")


def _space(space: Any) -> dict[str, Any]:
    drawn = [space.sample(np.random.default_rng(seed)) for seed in range(4)]
    return {
        "repr": repr(space),
        "name": space.name,
        "parameters": {name: list(values) for name, values in space.parameters.items()},
        "texts": [str(arch) for arch in drawn],
        "keys": [space.canonical_key(arch) for arch in drawn],
        "representatives": [str(space.representative(arch)) for arch in drawn],
        "encoded": [space.encode(arch) for arch in drawn],
        "reference": [str(arch) for arch in reference_sample(space, 4, 0)],
    }


def _former(source: ProxyValues[Any], column: str) -> str:
    (prefix,) = source.former_prefixes(column)
    return prefix


def _prefixes(
    space: Any, state: Callable[[ProxyValues[Any], str], str], batch: Batch | None = None
) -> dict[str, str]:
    proxies = make_proxies([*proxy_names(), *VARIANTS])
    source = ProxyValues(space, tuple(proxies), get_task("cifar10"), 64, 0, batch)
    return {name: state(source, name) for name in source.columns}


def _shipped(images: str) -> dict[str, Any]:
    scores = shipped_scores("nasbench201", "cifar10", images)
    assert scores is not None
    columns = scores.table.columns
    values = np.stack([np.nan_to_num(columns[name]) for name in sorted(columns)])
    return {
        "columns": {name: about.identity for name, about in sorted(scores.about.items())},
        "keys": hashlib.sha256("".join(scores.keys).encode()).hexdigest(),
        "values": hashlib.sha256(values.tobytes()).hexdigest(),
    }


def test_identities_are_those_that_were_written_down() -> None:
    expected = json.loads(FILE.read_text(encoding="utf-8"))
    found = json.loads(json.dumps(identities()))
    assert found.keys() == expected.keys()
    for name in expected:
        assert found[name] == expected[name], name


if __name__ == "__main__":
    print(json.dumps(identities(), indent=1, sort_keys=True))
