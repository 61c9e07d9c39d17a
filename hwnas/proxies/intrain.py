"""InTrain: many directions in each layer's activations, and gradients of one size in each layer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from hwnas.deferred import deferred
from hwnas.errors import ProxyError
from hwnas.proxies.derivatives.covariance import covariance
from hwnas.proxies.derivatives.loss_gradients import AS_BUILT, LossGradients
from hwnas.proxies.engine.signals import Collector, PassSignal
from hwnas.typing import Direction, Signal, Signals

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from hwnas.proxies.engine.subject import Subject
else:
    torch = deferred("torch")
    nn = deferred("torch.nn")

_RIDGE = 1e-10
_EPSILON = 1e-8


@dataclass(frozen=True)
class ParticipationRatios(PassSignal[tuple[tuple[str, float], ...]]):
    """Layer and ``(tr C)^2 / tr C^2`` of each layer's output, C its channels' covariance.

    A convolution's positions and images are the observations, of a linear layer all but the last
    dimension. It is 1 where one direction has all the variance, and the number of channels where
    all have the same. A constant output has all directions alike, by the ridge of 1e-10.
    """

    def collector(self, subject: Subject) -> Collector[tuple[tuple[str, float], ...]]:
        """Compute each ratio while the pass runs."""
        del subject
        return _RatioCollector()


class _RatioCollector(Collector[tuple[tuple[str, float], ...]]):
    uses_graph = False

    def __init__(self) -> None:
        self.ratios: list[tuple[str, float]] = []

    @contextmanager
    def watch(self, network: nn.Module, images: Tensor) -> Iterator[None]:
        from hwnas.networks.layers import weight_layers

        del images
        layers = weight_layers(network).items()
        handles = [layer.register_forward_hook(partial(self.add, name)) for name, layer in layers]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def add(self, name: str, layer: nn.Module, args: Any, output: Tensor) -> None:
        """Reduce the output (B, C, ...) of a convolution, or (..., C) of a linear layer."""
        del args
        with self.timed(), torch.no_grad():
            last = output if isinstance(layer, nn.Linear) else output.movedim(1, -1)
            rows = last.flatten(0, -2)  # (n, C)
            C = covariance(rows)  # or a matrix of the same eigenvalues but for zeros
            ridge, channels = _RIDGE, rows.shape[1]
            trace = float(C.trace())
            # tr (C + r I) and tr (C + r I)^2
            total = trace + channels * ridge
            squares = float(C.square().sum()) + 2 * ridge * trace + channels * ridge**2
            self.ratios.append((name, total**2 / squares))

    def finish(self, logits: Tensor) -> tuple[tuple[str, float], ...]:
        del logits
        return tuple(self.ratios)


@dataclass(frozen=True)
class InTrain:
    """Intrinsic trainability. Larger is better.

    ``g (1 + o) / log(L + 1)`` with ``g = sum_l log((tr C_l)^2 / tr C_l^2)`` over the L layers, C_l
    the covariance of their channels over images and positions, and ``o = sum_w min(1, std(dw) /
    max|dw|)`` over their weights, dw the gradient of the loss (Zhou et al., InTrain: Intrinsic
    Trainability for Zero-Cost Neural Architecture Search, CVPR 2026). It needs a training-mode
    forward pass, and one forward and backward pass with labels, on the weights as they are. NaN if
    a layer's output is not finite.

    Layers are convolutions and linear layers that the loss depends on, looked at before
    normalisation and activation, so that the score exists for transformers too. The paper scores 64
    Gaussian images of 64x64 pixels; here they are those of the batch.
    """

    name: ClassVar[str] = "intrain"
    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Signal[object]]] = frozenset(
        {ParticipationRatios(AS_BUILT), LossGradients()}
    )

    def score(self, signals: Signals) -> float:
        """Join both parts."""
        gradients = {n: g for n, g in signals[LossGradients()].gradients.items() if g.any()}
        ratios = [r for name, r in signals[ParticipationRatios(AS_BUILT)] if name in gradients]
        if not ratios:
            raise ProxyError("`model` must have layers that the loss depends on, but has none.")
        if not all(map(math.isfinite, ratios)):
            raise ProxyError("Each layer's output must be finite, but one is not.")
        capacity = sum(math.log(ratio) for ratio in ratios)
        resilience = sum(_health(gradient.double()) for gradient in gradients.values())
        return capacity * (1 + resilience) / math.log(len(ratios) + 1)


def _health(gradient: Tensor) -> float:
    """Give ``min(1, std / max)`` of a gradient."""
    deviation = float(gradient.std(correction=0))
    return min(1.0, deviation / (float(gradient.abs().max()) + _EPSILON))
