import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.proxies import make_proxies
from hwnas.proxies.derivatives.loss_gradients import AS_BUILT
from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.engine.subject import Subject
from hwnas.proxies.saliency import Fisher, GradNorm, L2Norm, Plain, Snip
from hwnas.proxies.zico import ZiCo
from hwnas.tasks.batch import Batch
from hwnas.typing import Proxy

SHAPE = (3, 8, 8)
NAMES = ["grad_norm", "snip", "plain", "fisher", "l2_norm"]


def scores(model: nn.Module, batch: Batch | None = None) -> dict[str, float]:
    proxies = [*make_proxies(NAMES), GradNorm(whole=True)]
    found = score_network(model, SHAPE, proxies, batch=batch, batch_size=5, seed=4)
    assert {name: s.error for name, s in found.items() if s.error} == {}
    return {name: s.value for name, s in found.items()}


def reference(model: nn.Module) -> tuple[nn.Module, Tensor, Tensor]:
    subject = Subject(model, SHAPE, batch_size=5, seed=4)
    images, labels = subject.input(AS_BUILT)
    return subject.network(AS_BUILT).double().requires_grad_(), images.double(), labels


def layers(network: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    return [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]


def test_one_weight_matrix_by_hand() -> None:
    # Weights (2, 0), image 1, label 0: p = sigmoid(2) for class 0, gradients (p - 1, 1 - p).
    linear = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[2.0], [0.0]]))
    batch = Batch(torch.ones(1, 1, 1, 1), torch.tensor([0]))
    model = nn.Sequential(nn.Flatten(), linear)
    proxies: list[Proxy] = [GradNorm(), GradNorm(whole=True), Snip(), Plain(), Fisher(), L2Norm()]
    found = score_network(model, (1, 1, 1), proxies, batch=batch)
    miss = 1 / (1 + math.exp(2))
    expected = {
        "grad_norm": math.sqrt(2) * miss,
        "grad_norm.global": math.sqrt(2) * miss,
        "snip": 2 * miss,
        "plain": -2 * miss,
        "fisher": (2 * miss) ** 2 / 2,
        "l2_norm": 2.0,
    }
    for name, value in expected.items():
        assert math.isclose(found[name].value, value, rel_tol=1e-6), name


def test_against_an_ordinary_backward_pass(resnet: nn.Module) -> None:
    network, images, labels = reference(resnet)
    F.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
    pairs = [(m.weight.detach(), m.weight.grad) for m in layers(network)]
    found = scores(resnet)
    norms = [float(g.square().sum()) for _, g in pairs if g is not None]
    everything = [float(p.grad.square().sum()) for p in network.parameters() if p.grad is not None]
    products = [w * g for w, g in pairs if g is not None]
    assert math.isclose(found["grad_norm"], sum(map(math.sqrt, norms)), rel_tol=1e-4)
    assert math.isclose(found["grad_norm.global"], math.sqrt(sum(everything)), rel_tol=1e-4)
    assert math.isclose(found["snip"], sum(float(p.abs().sum()) for p in products), rel_tol=1e-4)
    assert math.isclose(found["plain"], sum(float(p.sum()) for p in products), rel_tol=1e-3)
    l2_norm = sum(math.sqrt(float(w.square().sum())) for w, _ in pairs)
    assert math.isclose(found["l2_norm"], l2_norm, rel_tol=1e-6)


def test_fisher_against_gates_of_ones(resnet: nn.Module) -> None:
    # The gradient by a gate z that multiplies a channel of one image is sum_pos a * dL/da.
    network, images, labels = reference(resnet)
    gates: list[tuple[nn.Conv2d | nn.Linear, Tensor]] = []

    def gate(layer: nn.Module, args: object, output: Tensor) -> Tensor:
        del args
        assert isinstance(layer, (nn.Conv2d, nn.Linear))
        z = torch.ones(output.shape[:2], dtype=torch.float64, requires_grad=True)
        gates.append((layer, z))
        return output * z.reshape(*z.shape, *[1] * (output.ndim - 2))

    for layer in layers(network):
        layer.register_forward_hook(gate)
    F.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
    expected = 0.0
    for layer, z in gates:
        assert z.grad is not None
        for row in z.grad.tolist():
            expected += sum(g * g / 2 / 5 for g in row) * layer.weight[0].numel()
    assert math.isclose(scores(resnet)["fisher"], expected, rel_tol=1e-4)


def test_an_activation_that_is_changed_in_place_counts_as_it_was() -> None:
    class Scaled(nn.Module):
        def __init__(self, in_place: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.in_place = nn.Conv2d(3, 4, 3), in_place

        def forward(self, x: Tensor) -> Tensor:
            maps: Tensor = self.conv(x)
            maps = maps.add_(3.0) if self.in_place else maps + 3.0
            return maps.mean(dim=(2, 3))

    assert scores(Scaled(True))["fisher"] == scores(Scaled(False))["fisher"]


def test_a_layer_over_tokens_is_summed_over_positions() -> None:
    class Tokens(nn.Module):
        def __init__(self, convolve: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.linear = nn.Linear(3, 4)
            self.conv = nn.Conv2d(3, 4, 1)
            self.conv.load_state_dict(
                {"weight": self.linear.weight[:, :, None, None], "bias": self.linear.bias}
            )
            self.convolve = convolve

        def forward(self, x: Tensor) -> Tensor:
            if self.convolve:
                return F.relu(self.conv(x)).mean(dim=(2, 3))
            return F.relu(self.linear(x.flatten(2).transpose(1, 2))).mean(dim=1)

    fisher = scores(Tokens(False))["fisher"]
    assert fisher > 0
    assert math.isclose(fisher, scores(Tokens(True))["fisher"], rel_tol=1e-5)


def test_a_layer_without_a_row_an_image_has_no_fisher() -> None:
    class Folded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            rows: Tensor = self.linear(x.flatten(0, 2))
            return rows.reshape(len(x), -1, 4).mean(dim=1)

    found = score_network(Folded(), SHAPE, [Fisher(), Snip()], batch_size=5)
    assert math.isnan(found["fisher"].value)
    assert "one row an image" in str(found["fisher"].error)
    assert found["snip"].error is None


def test_layers_before_a_batch_norm_hardly_count_in_plain() -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)
    model = nn.Sequential(conv, norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = scores(model)
    assert found["snip"] > 0.1
    assert abs(found["plain"]) < 1e-4 * found["snip"]


def test_unused_layers_count_in_the_size_of_weights_only(resnet: nn.Module) -> None:
    before = scores(resnet)
    resnet.spare = nn.Conv2d(3, 3, 1)
    after = scores(resnet)
    assert after["l2_norm"] > before["l2_norm"]
    # The whole gradient's norm has one more term, 0, which may change the order of its sum.
    others = [name for name in before if name != "l2_norm"]
    assert all(math.isclose(after[n], before[n], rel_tol=1e-14) for n in others)


def test_one_pass_a_batch_serves_all(resnet: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    forward = type(resnet).forward

    def counted(self: nn.Module, x: Tensor) -> Tensor:
        runs.append(len(x))
        maps: Tensor = forward(self, x)
        return maps

    monkeypatch.setattr(type(resnet), "forward", counted)
    proxies = [*make_proxies(NAMES), ZiCo()]
    score_network(resnet, SHAPE, proxies, batch_size=6)
    assert runs == [2, 6, 6]
    runs.clear()
    score_network(resnet, SHAPE, proxies, batch=Batch(torch.randn(6, *SHAPE)))
    assert sorted(runs) == [2, 3, 3, 6]


def test_a_network_without_layers_has_no_score() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = score_network(model, SHAPE, make_proxies(NAMES), batch_size=4)
    assert found["l2_norm"].value == 0
    for name in NAMES[:-1]:
        assert "must have a convolution" in str(found[name].error), name
