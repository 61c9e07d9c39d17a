"""Sizes of a network: the baselines that every proxy has to beat."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hwnas.errors import ProxyError
from hwnas.proxies.engine.signals import OwnSignal
from hwnas.tasks.batch import draw_inputs
from hwnas.typing import Direction, Signal, Signals

if TYPE_CHECKING:
    from hwnas.proxies.engine.subject import Subject


@dataclass(frozen=True)
class ParameterShapes(OwnSignal[tuple[tuple[int, ...], ...]]):
    """Shapes of the parameter tensors, each shared tensor once."""

    runs: ClassVar[bool] = False

    def measure(self, subject: Subject) -> tuple[tuple[int, ...], ...]:
        """List them in the order of `named_parameters`."""
        return tuple(tuple(parameter.shape) for parameter in subject.plain.parameters())


@dataclass(frozen=True)
class WeightLayerNames(OwnSignal[tuple[str, ...]]):
    """Names of the convolutions and linear layers."""

    runs: ClassVar[bool] = False

    def measure(self, subject: Subject) -> tuple[str, ...]:
        """List them in the order in which they were defined."""
        from hwnas.networks.layers import weight_layers

        return tuple(weight_layers(subject.plain))


@dataclass(frozen=True)
class FlopCount(OwnSignal[int]):
    """Floating-point operations of the forward pass of one image."""

    def measure(self, subject: Subject) -> int:
        """Count them as `hwnas.costs.counters.count` does.

        Raises:
            ProxyError: the network has an operator without a formula.
        """
        from hwnas.networks.operations import count_macs

        images = subject.batch_size if subject.batch is None else len(subject.batch)
        spec, generator = subject.spec, subject.generator("flops")
        counted = count_macs(
            subject.plain,
            spec.shape,
            (1, images),
            lambda shape: draw_inputs(spec, shape[0], generator),
        )
        if counted.macs is None:
            raise ProxyError(
                f"There must be a formula for every operator, but there is none for "
                f"{', '.join(counted.uncounted)}."
            )
        return 2 * counted.macs


@dataclass(frozen=True)
class Params:
    """Number of parameters, trainable or not; a shared tensor counts once. Larger is better.

    A weight that is computed from others, e.g. by weight norm, counts itself, and they do not.

    It needs no pass. Buffers, e.g. running statistics, do not count.
    """

    name: ClassVar[str] = "params"
    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1
    own_images: ClassVar[int] = 0
    needs: ClassVar[frozenset[Signal[object]]] = frozenset({ParameterShapes()})

    def score(self, signals: Signals) -> float:
        """Sum the sizes of the parameter tensors."""
        return float(sum(math.prod(shape) for shape in signals[ParameterShapes()]))


@dataclass(frozen=True)
class Flops:
    """FLOPs of one image: two for each multiply-accumulate of convolutions, products and attention.

    `hwnas.networks.macs` has the formulas. Batch norm, pooling, activations and the like count as
    0, as usual in the field; many papers call the number of multiply-accumulates, half of this,
    "FLOPs". A network with an operator that has no formula has no score. It is the complexity of
    AZ-NAS (Lee and Ham, CVPR 2024), whose code takes it from the benchmark's API. Larger is better.
    """

    name: ClassVar[str] = "flops"
    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 2
    own_images: ClassVar[int] = 0
    needs: ClassVar[frozenset[Signal[object]]] = frozenset({FlopCount()})

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
    needs: ClassVar[frozenset[Signal[object]]] = frozenset({WeightLayerNames()})

    def score(self, signals: Signals) -> float:
        """Count the layers."""
        return float(len(signals[WeightLayerNames()]))
