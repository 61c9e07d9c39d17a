from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils import prune as _prune

from hwnas.costs.counters import count
from hwnas.networks.layers import kaiming_weights_
from hwnas.networks.plain import plain_network
from hwnas.onnx_export.export import EXPORTER_KEY, export_onnx
from hwnas.proxies import make_proxies
from hwnas.proxies.engine.scoring import score_network
from hwnas.runtimes.agreement import verify_onnx

prune: Any = _prune  # it has no types
SHAPE = (3, 8, 8)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 6)
    )


WRAPS: dict[str, Callable[[nn.Module], object]] = {
    "old weight norm": lambda m: torch.nn.utils.weight_norm(m),
    "weight norm": parametrizations.weight_norm,
    "old spectral norm": lambda m: torch.nn.utils.spectral_norm(m),
    "spectral norm": lambda m: parametrizations.spectral_norm(m),
    "orthogonal": lambda m: parametrizations.orthogonal(m),
    "pruned": lambda m: prune.l1_unstructured(m, "bias", 0.5),
}


@pytest.fixture(params=WRAPS)
def computed(request: pytest.FixtureRequest) -> nn.Sequential:
    model = network()
    for i in (0, 4):
        WRAPS[request.param](model[i])
    return model


pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")


def test_the_plain_network_computes_the_same_with_parameters_only(computed: nn.Module) -> None:
    before = copy.deepcopy(computed.state_dict())
    kinds = [type(module) for module in computed.modules()]
    plain, images = plain_network(computed), torch.randn(2, *SHAPE)
    expected = computed.eval()(images)
    assert torch.allclose(plain.eval()(images), expected, atol=1e-6)
    names = [name for name, _ in plain.named_parameters()]
    assert names == ["0.weight", "0.bias", "4.weight", "4.bias"]
    assert not any(module._forward_pre_hooks for module in plain.modules())
    # The original still has its own way to compute weights.
    assert [type(module) for module in computed.modules()] == kinds
    assert all(torch.equal(tensor, before[name]) for name, tensor in computed.state_dict().items())
    assert torch.equal(computed(images), expected)


def test_initialisation_reaches_the_weights(computed: nn.Module) -> None:
    plain, expected = plain_network(computed), network()
    kaiming_weights_(plain, seed=1)
    kaiming_weights_(expected, seed=1)
    assert torch.equal(plain.get_submodule("0").weight, expected[0].weight)  # type: ignore[arg-type]


def test_counts_and_exports_are_those_of_the_equal_network(computed: nn.Module) -> None:
    assert count(computed, SHAPE) == count(network(), SHAPE)
    exported = export_onnx(computed, SHAPE)
    assert {p.key: p.value for p in exported.metadata_props}[EXPORTER_KEY] == "direct"
    verify_onnx(exported, computed, SHAPE)


def test_a_plain_network_is_given_back() -> None:
    model = network()
    assert plain_network(model) is model


def test_hooks_that_set_no_weight_stay() -> None:
    model = network()
    ran: list[int] = []
    model[0].register_forward_pre_hook(lambda *args: ran.append(len(args)))
    vars(model[0])["scale"] = torch.ones(1)
    plain = plain_network(model)
    assert len(plain.get_submodule("0")._forward_pre_hooks) == 1
    assert [name for name, _ in plain.named_parameters()] == list(dict(model.named_parameters()))


def test_parameters_of_recurrent_layers_keep_their_order() -> None:
    lstm = nn.LSTM(4, 5, num_layers=2)
    names = [name for name, _ in lstm.named_parameters()]
    expected = lstm(torch.ones(3, 1, 4))[0]
    parametrizations.weight_norm(lstm, "weight_hh_l1")
    plain = plain_network(lstm)
    assert [name for name, _ in plain.named_parameters()] == names
    assert torch.allclose(plain(torch.ones(3, 1, 4))[0], expected, atol=1e-6)


def test_a_parametrised_buffer_stays_a_buffer() -> None:
    model = nn.BatchNorm1d(3)
    parametrize.register_parametrization(model, "running_mean", nn.Softplus())
    plain = plain_network(model)
    assert dict(plain.named_buffers()).keys() == dict(nn.BatchNorm1d(3).named_buffers()).keys()
    expected = torch.full((3,), 2.0).log()  # softplus(0)
    assert torch.allclose(plain.get_buffer("running_mean"), expected)


def test_frozen_sources_give_a_frozen_weight() -> None:
    layer = parametrizations.weight_norm(nn.Linear(2, 2))
    layer.requires_grad_(False)
    assert not any(p.requires_grad for p in plain_network(layer).parameters())


def test_weights_of_ones_own_making_are_one_sentence() -> None:
    model = nn.Sequential(_own_convolution(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    scores = score_network(model, SHAPE, make_proxies(["grad_norm", "naswot"]), batch_size=4)
    for score in scores.values():
        assert "'0' computes it in a way of its own" in str(score.error)


def _own_convolution() -> nn.Module:
    layer = nn.Conv2d(3, 4, 3)
    weight = layer._parameters.pop("weight")
    kind = type("Own", (nn.Conv2d,), {"weight": property(lambda self: 2 * self._parameters["own"])})
    layer.register_parameter("own", weight)
    layer.__class__ = kind
    return layer
