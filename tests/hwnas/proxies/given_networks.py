"""Networks that are given in all sorts of forms, and those that cannot be scored."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tests.hwnas.proxies.network_kinds import (
    CLASSES,
    SHAPE,
    Build,
    Kind,
    Stages,
    add,
    cnn,
    weight_only,
)

GIVEN: dict[str, Kind] = {}
_add = functools.partial(add, GIVEN)

# --- how a network is given -------------------------------------------------------------------


def _frozen() -> nn.Module:
    return cnn().requires_grad_(False)


def _quiet(make: Callable[[nn.Module], Any]) -> Build:
    def build() -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network: nn.Module = make(weight_only())
        return network

    return build


def _lazy() -> nn.Module:
    return nn.Sequential(
        nn.LazyConv2d(6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.LazyLinear(CLASSES),
    )  # fmt: skip


def _sized() -> nn.Module:
    network = _lazy()
    network(torch.zeros(2, *SHAPE))
    return network


def _half(dtype: torch.dtype) -> Build:
    return lambda: weight_only().to(dtype)


def _rounded(dtype: torch.dtype) -> Build:
    return lambda: weight_only().to(dtype).float()


def _built_in_inference_mode() -> nn.Module:
    with torch.inference_mode():
        return cnn()


def _channels_last(network: nn.Module) -> nn.Module:
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network


_add("frozen parameters", _frozen, cnn)
_add("float16 weights", _half(torch.float16), _rounded(torch.float16))
_add("bfloat16 weights", _half(torch.bfloat16), _rounded(torch.bfloat16))
_add("float64 weights", _half(torch.float64), weight_only)
_add("channels last", lambda: _channels_last(cnn()), cnn)
_add("built in inference mode", _built_in_inference_mode, cnn)
_add("sized lazy layers", _sized)


class Heads(Stages):
    """Has a second head, which it runs in training mode if ever."""

    def __init__(self, runs: bool) -> None:
        super().__init__()
        self.second = nn.Linear(3, CLASSES)
        self.runs = runs

    def forward(self, x: Tensor) -> Any:
        logits = super().forward(x)
        if self.runs and self.training:
            return logits, self.second(x.mean(dim=(2, 3)))
        return logits


class Results(Stages):
    """Returns a dataclass, with what its layers gave."""

    def forward(self, x: Tensor) -> Any:
        return _Result(None, super().forward(x), [x])


class Anything:
    """An object that nobody has told PyTorch of."""

    def __init__(self, hidden: Tensor, logits: Tensor) -> None:
        self.hidden, self.logits = hidden, logits


class Objects(Stages):
    """Returns an object of one's own, as model hubs do."""

    def forward(self, x: Tensor) -> Any:
        return Anything(x, super().forward(x))


class Waves(Stages):
    """Returns complex numbers."""

    def forward(self, x: Tensor) -> Any:
        return torch.fft.fft(super().forward(x))


class TwoDimensional(Stages):
    """Returns maps before its logits."""

    def forward(self, x: Tensor) -> Any:
        return x, super().forward(x)


class Silent(Stages):
    def forward(self, x: Tensor) -> Any:
        super().forward(x)


class Nested(Stages):
    def forward(self, x: Tensor) -> Any:
        return (x,), [super().forward(x)]


@dataclass
class _Result:
    loss: Tensor | None
    logits: Tensor
    hidden: list[Tensor]


def _by_torchscript(make: Callable[[Any, nn.Module], nn.Module]) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch will drop it
        return make(torch.jit, cnn().eval())


def _without_values() -> nn.Module:
    with torch.device("meta"):
        return cnn()


_add("tuple", TwoDimensional, Stages)
_add("dictionary", lambda: Stages(output="dict"), Stages)
_add("dataclass", Results, Stages)
_add("object of one's own", Objects, Stages)
_add("complex numbers", Waves, refused="must return real numbers, but got torch.complex64")
_add("second head in training mode", lambda: Heads(True), lambda: Heads(False))
_add("lists in a tuple", Nested, Stages)
_add("no tensor", Silent, refused="must return a tensor, or some")
_add("scripted", lambda: _by_torchscript(lambda jit, m: jit.script(m)), refused="of TorchScript")
_add(
    "traced part",
    lambda: nn.Sequential(_by_torchscript(lambda jit, m: jit.trace(m, torch.zeros(2, *SHAPE)))),
    refused="of TorchScript",
)
_add("meta", _without_values, refused="on the meta device")
