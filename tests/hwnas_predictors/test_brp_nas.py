from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwnas import registry
from hwnas.costs.source import CostRequest
from hwnas.errors import InvalidValueError
from hwnas.files.predictor_file import read_predictor_file
from hwnas.spaces.fbnet import FBNet
from hwnas.spaces.nasbench201 import EDGES, NasBench201
from hwnas.tasks.catalogue import get_task
from hwnas.testing import PredictorContract
from hwnas.typing import Predictor
from hwnas_predictors import brp_nas
from hwnas_predictors.binary_relation import BinaryRelationPredictor, select_iteratively
from hwnas_predictors.brp_nas import GcnPredictor, MlpPredictor, graph_tensors, node_features
from hwnas_predictors.gcn import BinaryRelation, GraphRegression
from hwnas_predictors.graph_batches import graph_batch, graph_labels

KINDS = (GcnPredictor, MlpPredictor, BinaryRelationPredictor)
SMALL: dict[str, Any] = {"hidden": 24, "layers": 2, "epochs": 30}


class TestContract(PredictorContract):
    @pytest.fixture(params=KINDS)
    def make_predictor(
        self, space: NasBench201, request: pytest.FixtureRequest
    ) -> Callable[[], Predictor[Any]]:
        return lambda: request.param(space, **SMALL)


def tensors(space: NasBench201, n: int, nodes: int | None = None) -> list[torch.Tensor]:
    rng = np.random.default_rng(0)
    batch = graph_batch(space, [space.sample(rng) for _ in range(n)], nodes=nodes)
    arrays = (batch.adjacency, batch.features, batch.mask)
    return [*map(torch.from_numpy, arrays), torch.from_numpy(rng.normal(size=(n, 2))).float()]


def network(features: int) -> GraphRegression:
    torch.manual_seed(0)
    return GraphRegression(features, 16, 3, extra=2)


def test_names_of_nodes_do_not_matter(space: NasBench201) -> None:
    adjacency, features, mask, extra = tensors(space, 8)
    order = torch.from_numpy(np.random.default_rng(1).permutation(mask.shape[1]))
    model = network(features.shape[2])
    renamed = model(adjacency[:, order][:, :, order], features[:, order], mask[:, order], extra)
    torch.testing.assert_close(renamed, model(adjacency, features, mask, extra))


def test_direction_of_edges_matters(space: NasBench201) -> None:
    adjacency, features, mask, extra = tensors(space, 8)
    model = network(features.shape[2])
    assert not torch.allclose(
        model(adjacency.transpose(1, 2), features, mask, extra),
        model(adjacency, features, mask, extra),
    )


def test_padding_does_not_matter(space: NasBench201) -> None:
    plain, padded = tensors(space, 8), tensors(space, 8, nodes=15)
    model = network(plain[1].shape[2])
    torch.testing.assert_close(model(*padded), model(*plain))


def test_relation_is_antisymmetric() -> None:
    torch.manual_seed(0)
    relation = BinaryRelation(5, 16, 2)
    a, b = torch.randn(2, 9, 16)
    torch.testing.assert_close(relation(a, b), -relation(b, a))
    assert torch.equal(relation(a, a), torch.zeros(9))


@pytest.mark.parametrize("kind", [GcnPredictor, MlpPredictor])
def test_a_tiny_set_is_learned_by_heart(space: NasBench201, kind: type[Any]) -> None:
    rng = np.random.default_rng(2)
    archs = list({space.sample(rng) for _ in range(12)})
    costs = np.exp(rng.normal(size=len(archs)))
    model = kind(space, hidden=64, layers=3, epochs=400, rate=5e-3).fit(archs, costs)
    np.testing.assert_allclose(model.predict(archs), costs, rtol=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_costs_are_left_out(space: NasBench201, kind: type[Any]) -> None:
    rng = np.random.default_rng(3)
    archs = [space.sample(rng) for _ in range(12)]
    costs = np.arange(1.0, 13.0)
    some = np.where(np.arange(12) % 3 == 0, np.nan, costs)
    known = ~np.isnan(some)
    left = kind(space, **SMALL).fit(archs, some)
    short = kind(space, **SMALL).fit(
        [a for a, k in zip(archs, known, strict=True) if k], costs[known]
    )
    np.testing.assert_array_equal(left.predict(archs), short.predict(archs))


@pytest.mark.parametrize("kind", KINDS)
def test_file_of_another_space_is_refused(
    space: NasBench201, kind: type[Any], tmp_path: Path
) -> None:
    rng = np.random.default_rng(4)
    kind(space, **SMALL).fit([space.sample(rng) for _ in range(4)], [1, 2, 3, 4]).save(
        tmp_path / "p"
    )
    source = registry.load("costs", "predictor")()
    with pytest.raises(InvalidValueError, match="`space` must be"):
        source.open(tmp_path / "p", CostRequest(FBNet(), None, None, get_task("cifar10")))
    assert read_predictor_file(tmp_path / "p").kind == kind.kind


@pytest.mark.parametrize("kind", KINDS)
def test_torch_keeps_its_random_state(space: NasBench201, kind: type[Any]) -> None:
    rng = np.random.default_rng(5)
    before = torch.get_rng_state()
    kind(space, **SMALL).fit([space.sample(rng) for _ in range(4)], [1, 2, 3, 4])
    assert torch.equal(torch.get_rng_state(), before)


def test_iterations_find_better_architectures_than_chance(space: NasBench201) -> None:
    rng = np.random.default_rng(6)
    archs = list(dict.fromkeys(space.sample(rng) for _ in range(200)))
    value = {a: 1.0 + a.operations.count("nor_conv_3x3") for a in archs}
    model = BinaryRelationPredictor(space, **SMALL)
    found, values = select_iteratively(
        model, archs, lambda some: [value[a] for a in some], budget=40, iterations=4, seed=0
    )
    assert len(set(found)) == 40
    assert values.tolist() == [value[a] for a in found]
    assert values[10:].mean() > np.mean(list(value.values())) + 0.5
    model = BinaryRelationPredictor(space, "latency", "ms", "minimize", **SMALL)
    _, values = select_iteratively(
        model, archs, lambda some: [value[a] for a in some], budget=40, iterations=4, seed=0
    )
    assert values[10:].mean() < np.mean(list(value.values())) - 0.5


def test_budget_must_fit(space: NasBench201) -> None:
    with pytest.raises(InvalidValueError, match="`budget` must be from 4 to 3"):
        select_iteratively(
            BinaryRelationPredictor(space), list(space)[:3], lambda a: [1.0] * len(a),
            budget=8, iterations=2, seed=0,
        )  # fmt: skip


def test_the_graph_network_is_told_which_operations_are_live(space: NasBench201) -> None:
    cells = list(space)[::100]
    _, features, _ = graph_tensors(space, cells)
    assert features.shape[2] == node_features(space)
    live = (features[:, 1:-1, -2] * features[:, 1:-1, -1]).numpy() > 0
    for cell, flags in zip(cells, live, strict=True):
        assert {e for e, flag in zip(EDGES, flags, strict=True) if flag} == cell.live_edges()
    # Chains of layers have no dead operations, and no such features.
    fbnet = FBNet()
    _, features, _ = graph_tensors(fbnet, [fbnet.sample(np.random.default_rng(0))])
    assert features.shape[2] == node_features(fbnet) == len(graph_labels(fbnet)) + 2
    assert all(len(tensor) == 0 for tensor in graph_tensors(space, []))


def test_measurements_that_went_wrong_move_the_others_little(
    space: NasBench201, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(7)
    archs = list(dict.fromkeys(space.sample(rng) for _ in range(120)))
    costs = np.array([2.0 + a.operations.count("nor_conv_3x3") for a in archs])
    wrong = np.where(np.arange(len(archs)) < 12, 20 * costs, costs)
    errors = []
    for delta in (brp_nas._DELTA, 1e9):
        monkeypatch.setattr(brp_nas, "_DELTA", delta)
        model = MlpPredictor(space, hidden=24, layers=1, epochs=30, rate=5e-3).fit(archs, wrong)
        errors.append(np.mean(np.abs(model.predict(archs[12:]) / costs[12:] - 1)))
    # A squared loss, the second one, is moved by a quarter.
    assert errors[0] < 0.1 < errors[1]
