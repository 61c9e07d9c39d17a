"""Sizes of a network: the baselines that every proxy has to beat."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from hwnas.networks.layers import weight_layers
from hwnas.proxies.engine.signals import OwnSignal, Setting
from hwnas.proxies.engine.subject import Subject
from hwnas.typing import Direction, Signal, Signals


@dataclass(frozen=True)
class ParameterShapes(OwnSignal[tuple[tuple[int, ...], ...]]):
    """Shapes of the parameter tensors, each shared tensor once."""

    runs: ClassVar[bool] = False

    def measure(self, subject: Subject) -> tuple[tuple[int, ...], ...]:
        """List them in the order of `named_parameters`."""
        return tuple(tuple(parameter.shape) for parameter in subject.model.parameters())


@dataclass(frozen=True)
class WeightLayerNames(OwnSignal[tuple[str, ...]]):
    """Names of the convolutions and linear layers."""

    runs: ClassVar[bool] = False

    def measure(self, subject: Subject) -> tuple[str, ...]:
        """List them in the order in which they were defined."""
        return tuple(weight_layers(subject.model))


@dataclass(frozen=True)
class FlopCount(OwnSignal[int]):
    """Floating-point operations of the forward pass of one image."""

    def measure(self, subject: Subject) -> int:
        """Count them while one image runs through."""
        setting = Setting("as_built", "eval", 1)
        network, (images, _) = subject.network(setting), subject.input(setting)
        counter = _FlopCounter()
        with torch.no_grad(), _plain_attention(), counter:
            network(images)
        return counter.flops


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Split attention, and layers made of it, into products, which have formulas."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


class _FlopCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up PyTorch's formulas; its own counter tracks modules too, which takes most of it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if formula := flop_registry.get(func.overloadpacket):
            flops: int = formula(*args, **kwargs, out_val=result)
            self.flops += flops
        return result


@dataclass(frozen=True)
class Params:
    """Number of parameters, trainable or not; a shared tensor counts once. Larger is better.

    It needs no pass. Buffers, e.g. running statistics, do not count.
    """

    name: ClassVar[str] = "params"
    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1
    own_images: ClassVar[int] = 0
    needs: ClassVar[frozenset[Signal[Any]]] = frozenset({ParameterShapes()})

    def score(self, signals: Signals) -> float:
        """Sum the sizes of the parameter tensors."""
        return float(sum(math.prod(shape) for shape in signals[ParameterShapes()]))


@dataclass(frozen=True)
class Flops:
    """FLOPs of one image: 2 a multiply-accumulate of convolutions, matrix products, attention.

    Everything else (batch norm, pooling, activations) counts as 0, as usual in the field; many
    papers call the number of multiply-accumulates, half of this, "FLOPs". It is the complexity of
    AZ-NAS (Lee and Ham, CVPR 2024), whose code takes it from the benchmark's API. Larger is better.
    """

    name: ClassVar[str] = "flops"
    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 2
    own_images: ClassVar[int] = 0
    needs: ClassVar[frozenset[Signal[Any]]] = frozenset({FlopCount()})

    def score(self, signals: Signals) -> float:
        """Give the count."""
        return float(signals[FlopCount()])


@dataclass(frozen=True)
class Layers:
    """Number of trainable layers: convolutions and linear layers. Larger is better.

    Batch norms are not counted. VKDNW (Týbl and Neumann, CVPR 2025) takes the number of parameter
    tensors for it, which `hwnas.proxies.vkdnw.Vkdnw` does as well.
    """

    name: ClassVar[str] = "layers"
    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1
    own_images: ClassVar[int] = 0
    needs: ClassVar[frozenset[Signal[Any]]] = frozenset({WeightLayerNames()})

    def score(self, signals: Signals) -> float:
        """Count the layers."""
        return float(len(signals[WeightLayerNames()]))
