"""The strategy runs over every kind of model space: it proposes, NNI freezes, builds and scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

nni = pytest.importorskip("nni", reason="the extra nni is not installed")

import nni.nas.hub.pytorch as hub  # noqa: E402
from nni.nas.execution import SequentialExecutionEngine  # noqa: E402
from nni.nas.nn.pytorch import (  # noqa: E402
    Cell,
    InputChoice,
    LayerChoice,
    ModelSpace,
    MutableConv2d,
    Repeat,
)
from nni.nas.space import RawFormatModelSpace, SimplifiedModelSpace  # noqa: E402
from torch import nn  # noqa: E402

from hwnas_nni import ParetoStrategy, ProxyEvaluator, codec_of  # noqa: E402

IMAGE = (3, 32, 32)


def conv(c_in: int, c_out: Any, kernel: Any = 3) -> nn.Module:
    return nn.Sequential(MutableConv2d(c_in, c_out, kernel, padding="same"), nn.ReLU())


class Space(ModelSpace):
    """A stem of 8 channels, a body to be chosen from, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 8)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))

    def forward(self, x: Any) -> Any:
        return self.head(self.body(self.stem(x)))


@nni.trace
class Layers(Space):
    def __init__(self) -> None:
        super().__init__()
        self.body = LayerChoice({"conv": conv(8, 8), "pool": nn.MaxPool2d(2)}, label="layer")


@nni.trace
class Inputs(Space):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = conv(8, 8), conv(8, 8, 5)
        self.inputs = InputChoice(3, n_chosen=2, label="inputs")

    def body(self, x: Any) -> Any:
        return self.inputs([x, self.one(x), self.two(x)])


@nni.trace
class Repeated(Space):
    def __init__(self) -> None:
        super().__init__()
        self.body = Repeat(
            lambda i: LayerChoice([conv(8, 8), conv(8, 8, 1)], label=f"b{i}"),
            (1, 3),
            label="depth",
        )


@nni.trace
class Values(Space):
    def __init__(self) -> None:
        super().__init__()
        width = nni.choice("width", [4, 8, 16])
        self.body = nn.Sequential(
            conv(8, width * 2, nni.choice("k", [1, 3, 5])), conv(width * 2, 8)
        )


@nni.trace
class Nested(Space):
    def __init__(self) -> None:
        super().__init__()
        inner = LayerChoice([conv(8, 8, nni.choice("k", [1, 3])), nn.Identity()], label="inner")
        self.body = LayerChoice([nn.Sequential(inner, conv(8, 8)), nn.AvgPool2d(2)], label="outer")


@nni.trace
class Cells(Space):
    def __init__(self) -> None:
        super().__init__()
        operations = {"conv": lambda *_: conv(8, 8), "skip": lambda *_: nn.Identity()}
        self.body = Cell(operations, 1, 2, 1, label="cell")


@nni.trace
class Functions(Space):
    """Classes to choose from: nothing that JSON knows."""

    def __init__(self) -> None:
        super().__init__()
        activation = self.add_mutable(nni.choice("activation", [nn.ReLU, nn.GELU, nn.Identity]))
        self.body = nn.Sequential(conv(8, 8), nni.mutable.ensure_frozen(activation)())

    def freeze(self, sample: Any) -> Any:
        with nni.nas.space.model_context(sample):
            return type(self)()


HAND_WRITTEN = [Layers, Inputs, Repeated, Values, Nested, Cells, Functions]
HUB: dict[str, tuple[Callable[[], Any], tuple[int, int, int]]] = {
    "NasBench101": (
        lambda: hub.NasBench101(8, num_stacks=1, num_modules_per_stack=1, max_num_vertices=4),
        IMAGE,
    ),
    "NasBench201": (lambda: hub.NasBench201(4, 1), IMAGE),
    "DARTS": (lambda: hub.DARTS(4, 3, "cifar"), IMAGE),
    "NASNet": (lambda: hub.NASNet(4, 3, "cifar"), IMAGE),
    "ENAS": (lambda: hub.ENAS(4, 3, "cifar"), IMAGE),
    "AmoebaNet": (lambda: hub.AmoebaNet(4, 3, "cifar"), IMAGE),
    "PNAS": (lambda: hub.PNAS(4, 3, "cifar"), IMAGE),
    "ProxylessNAS": (lambda: hub.ProxylessNAS(10), (3, 64, 64)),
    "MobileNetV3": (lambda: hub.MobileNetV3Space(10), (3, 64, 64)),
    "ShuffleNet": (lambda: hub.ShuffleNetSpace(10), (3, 224, 224)),
    # No rectifier, so none of the patterns that naswot counts.
    "AutoFormer": (lambda: hub.AutoFormer(img_size=32, patch_size=8, num_labels=10), IMAGE),
}


def search(make: Callable[[], Any], kind: Any, in_shape: Any, proxies: list[str]) -> ParetoStrategy:
    evaluator = ProxyEvaluator(proxies, in_shape=in_shape, batch_size=2)
    strategy = ParetoStrategy(evaluator.objectives, max_trials=2)
    strategy(kind.from_model(make(), evaluator), SequentialExecutionEngine())
    return strategy


@pytest.mark.parametrize("kind", [SimplifiedModelSpace, RawFormatModelSpace])
@pytest.mark.parametrize("make", HAND_WRITTEN)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_hand_written_spaces_are_searched(make: Any, kind: Any) -> None:
    strategy = search(make, kind, IMAGE, ["layers", "naswot"])
    assert len(strategy.pareto_set()) > 0
    assert strategy.pareto_set().provenance["failed"] == 0
    codec = codec_of(kind.from_model(make()))
    for record in strategy._records:
        network = codec.space.build(codec.space.parse(str(record.arch)))
        assert network(torch.zeros(2, *IMAGE)).shape == (2, 10)


@pytest.mark.parametrize("name", HUB)
def test_spaces_of_the_hub_are_searched(name: str) -> None:
    make, in_shape = HUB[name]
    proxies = ["params", "layers"] if name == "AutoFormer" else ["params", "naswot"]
    strategy = search(make, SimplifiedModelSpace, in_shape, proxies)
    front = strategy.pareto_set()
    assert front.provenance["evaluated"] == 2
    assert front.provenance["failed"] == 0
    model_space = SimplifiedModelSpace.from_model(make())
    codec = codec_of(model_space)
    for record in strategy._records:
        network = model_space.freeze(codec.to_sample(record.arch)).executable_model()
        assert record.metrics["params"] == sum(p.numel() for p in network.parameters())
