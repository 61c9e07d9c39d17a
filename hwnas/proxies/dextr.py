"""Dextr: are channels independent, and does the output bend as the input turns?"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hwnas.deferred import deferred
from hwnas.errors import InvalidValueError, ProxyError
from hwnas.process_state import unwarned
from hwnas.proxies.derivatives.spectra import by_shape, eigenvalues
from hwnas.proxies.engine.signals import Collector, OwnSignal, PassSignal, Setting
from hwnas.proxies.meco import FeatureMaps
from hwnas.typing import Direction, Signal, Signals

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from hwnas.proxies.engine.subject import Subject
else:
    torch = deferred("torch")

ONE_IMAGE = Setting("as_built", batch_size=1)
# Outputs that differ by more, as a part of the largest, depend on the number of images.
_NEAR = 1e-3


@dataclass(frozen=True)
class InverseConditions(PassSignal[tuple[float, ...]]):
    """``s_min / s_max`` of the singular values of each feature map of one image, as (C, H*W).

    0 where there are fewer positions than channels, or the map is 0.
    """

    def collector(self, subject: Subject) -> Collector[tuple[float, ...]]:
        """Reduce each map while the pass runs."""
        del subject
        return _ConditionCollector()


class _ConditionCollector(Collector[tuple[float, ...]]):
    uses_graph = False

    def __init__(self) -> None:
        self.products: list[Tensor] = []
        self.singular = 0

    def watch(self, network: nn.Module, images: Tensor) -> AbstractContextManager[object]:
        return FeatureMaps(network, images, self.add)

    def add(self, output: Tensor, module: nn.Module, source: object) -> None:
        """Reduce the output (B, C, H, W) of a module to its (C, C) products."""
        del module, source
        with self.timed(), torch.no_grad():
            channels = output[0].flatten(1).double()
            self.singular += len(channels) > channels.shape[1]
            if len(channels) <= channels.shape[1]:
                self.products.append(channels @ channels.T)

    def finish(self, logits: Tensor) -> tuple[float, ...]:
        del logits
        spectra = by_shape(eigenvalues, self.products)
        found = [float((s[0].clamp(min=0) / s[-1]).sqrt()) if s[-1] > 0 else 0.0 for s in spectra]
        return (*found, *[0.0] * self.singular)


@dataclass(frozen=True)
class ExtrinsicCurvature(OwnSignal[float]):
    """Mean curvature of the path of the output while the input goes round a circle.

    The inputs are n points of a circle ``sqrt(d) (u cos t + w sin t)``, d the elements of an input
    and u, w orthonormal, that turn together; v and a are the first and second derivative of each
    one's output by the angle. The curvature is ``sqrt(|v|^2 |a|^2 - (v . a)^2) / |v|^3`` (Poole et
    al., Exponential expressivity in deep neural networks through transient chaos, NeurIPS 2016).

    Where a network's functions have rules in `hwnas.proxies.derivatives.second_tangents`, the
    derivatives go through it beside the values; else PyTorch's forward mode is nested, with norms
    written out, whose second derivatives it has wrong.

    Attributes:
        angles: points n.
    """

    angles: int = 8

    def measure(self, subject: Subject) -> float:
        """Differentiate twice in forward mode."""
        from hwnas.networks.device import random_states, set_random_states
        from hwnas.networks.layers import batch_norms

        network = subject.network(Setting("as_built"))
        for norm in batch_norms(network).values():
            # Buffers, which training mode does not read, cannot be updated under differentiation.
            norm.running_mean = norm.running_var = norm.num_batches_tracked = None
            norm.track_running_stats = False
        circle = _circle(subject.real_shape, self.angles, subject.generator("circle"))
        layout = torch.channels_last if len(subject.real_shape) == 3 else torch.preserve_format

        def points(turn: Tensor) -> Tensor:
            return circle(turn).contiguous(memory_format=layout)

        states = random_states(subject.device)
        found = _carried(network, points)
        if found is None:
            set_random_states(subject.device, states)
            found = _nested(network, points)
        v, a = found
        v, a = v.double(), a.double()
        speeds = v.square().sum(dim=1)
        bent = speeds * a.square().sum(dim=1) - (v * a).sum(dim=1).square()
        if not bool((speeds > 0).all()):
            raise ProxyError("The output must change as the input turns, but does not.")
        return float((bent.clamp(min=0).sqrt() / speeds**1.5).mean())


def _carried(
    network: nn.Module, points: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor] | None:
    """Give both (n, K) derivatives where the network's functions have rules; else None."""
    from hwnas.proxies.derivatives.second_tangents import SecondTangents

    start, quarter = points(torch.zeros(())), points(torch.tensor(math.pi / 2))
    inputs = torch.cat([start, quarter, -start])
    with torch.no_grad():
        try:
            with SecondTangents(inputs) as tangents:
                answer = network(inputs)
            values, v, a = tangents.parts(answer.flatten(1))
            alone = network(start).flatten(1)
            if values.shape != alone.shape:  # depends on the number of images
                return None
        except Exception:  # no rule, or whatever the network raises: it raises again
            return None
    near = (values - alone).abs().max() <= _NEAR * alone.abs().max()
    return (v, a) if bool(near) else None


def _nested(network: nn.Module, points: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Give both (n, K) derivatives by PyTorch's forward mode, whatever the functions are."""
    from torch.func import jvp

    from hwnas.proxies.derivatives.written_out_norms import WrittenOutNorms

    def output(turn: Tensor) -> Tensor:
        answer: Tensor = network(points(turn))
        return answer.flatten(1)

    def speed(turn: Tensor) -> Tensor:
        velocity: Tensor = jvp(output, (turn,), (torch.ones(()),))[1]
        return velocity

    # PyTorch's forward mode compiles its own formulas in a way that it calls deprecated.
    with torch.no_grad(), unwarned(DeprecationWarning), WrittenOutNorms():
        try:
            v, a, *_ = jvp(speed, (torch.zeros(()),), (torch.ones(()),))
        except (RuntimeError, NotImplementedError) as error:
            text = str(error).splitlines()[0]
            raise ProxyError(f"`model` must have second derivatives, but: {text}") from error
    return v, a


def _circle(
    shape: tuple[int, ...], angles: int, generator: torch.Generator
) -> Callable[[Tensor], Tensor]:
    """Give the function from a turn to (n, *shape) points of a circle."""
    size = math.prod(shape)
    drawn = torch.randn(size, 2, generator=generator, device="cpu")
    plane = torch.linalg.qr(drawn)[0].T * math.sqrt(size)
    first: Tensor = torch.arange(angles) * (2 * math.pi / angles)
    plane = plane.to(first.device)

    def points(turn: Tensor) -> Tensor:
        angle = first + turn
        rows = angle.cos()[:, None] * plane[0] + angle.sin()[:, None] * plane[1]
        circle: Tensor = rows.reshape(angles, *shape)
        return circle

    return points


@dataclass(frozen=True)
class Dextr:
    """Independence of channels joined with the curvature of the output. Larger is better.

    ``S K / (S + K)`` with ``S = log(1 + sum_m s_min(m) / s_max(m))`` over the feature maps of one
    image, s their singular values as matrices of channels by positions, and ``K = log(1 + k)`` with
    the curvature k of `ExtrinsicCurvature` (Asthana et al., Dextr: Zero-Shot Neural Architecture
    Search with Singular Value Decomposition and Extrinsic Curvature, TMLR 2025). It needs a
    training-mode pass of the first image, and one with two forward derivatives of n inputs of its
    own, no labels. Feature maps are the different (B, C, H, W) outputs of all modules; NaN where
    there is none.

    Attributes:
        angles: points n of the circle.
    """

    angles: int = 8

    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 2
    own_images: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.angles < 2:
            raise InvalidValueError(f"`angles` must be at least 2, but got {self.angles}.")

    @property
    def name(self) -> str:
        """``dextr``, with the number of angles where it is not 8."""
        return "dextr" if self.angles == 8 else f"dextr.{self.angles}angles"

    @property
    def needs(self) -> frozenset[Signal[object]]:
        """The maps' conditions and the curvature."""
        return frozenset({InverseConditions(ONE_IMAGE), ExtrinsicCurvature(self.angles)})

    def score(self, signals: Signals) -> float:
        """Take half the harmonic mean of both logarithms."""
        conditions = signals[InverseConditions(ONE_IMAGE)]
        if not conditions:
            raise ProxyError("`model` must have a module that gives (B, C, H, W), but has none.")
        independence = math.log1p(sum(conditions))
        curvature = math.log1p(signals[ExtrinsicCurvature(self.angles)])
        total = independence + curvature
        return independence * curvature / total if total else 0.0
