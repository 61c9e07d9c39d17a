"""APD: how evenly are activations and weights spread?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hwnas.deferred import deferred
from hwnas.errors import ProxyError
from hwnas.proxies.derivatives.spectra import by_shape, eigenvalues
from hwnas.proxies.engine.signals import Collector, OwnSignal, PassSignal, Setting
from hwnas.typing import Direction, Signal, Signals

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from hwnas.proxies.engine.subject import Subject
else:
    torch = deferred("torch")

_AS_BUILT = Setting("as_built")


@dataclass(frozen=True)
class NormStableRanks(PassSignal[tuple[float, ...]]):
    """``||M||_F^2 / ||M||_2^2`` of each batch norm's output M, as (C, B*H*W); 0 where it is 0."""

    def collector(self, subject: Subject) -> Collector[tuple[float, ...]]:
        """Reduce each output to its (C, C) products while the pass runs."""
        del subject
        return _RankCollector()


class _RankCollector(Collector[tuple[float, ...]]):
    uses_graph = False

    def __init__(self) -> None:
        self.products: list[Tensor] = []

    @contextmanager
    def watch(self, network: nn.Module, images: Tensor) -> Iterator[None]:
        from hwnas.networks.layers import batch_norms

        del images
        norms = batch_norms(network).values()
        handles = [norm.register_forward_hook(self.add) for norm in norms]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def add(self, norm: nn.Module, args: Any, output: Tensor) -> None:
        """Reduce the output (B, C, ...) of a batch norm."""
        del norm, args
        with self.timed(), torch.no_grad():
            rows = output.movedim(1, -1).flatten(0, -2)  # (n, C)
            self.products.append((rows.T @ rows).double())

    def finish(self, logits: Tensor) -> tuple[float, ...]:
        del logits
        spectra = by_shape(eigenvalues, self.products)
        return tuple(float(s.sum() / s[-1]) if s[-1] != 0 else 0.0 for s in spectra)


@dataclass(frozen=True)
class WeightSpreads(OwnSignal[tuple[float, ...]]):
    """``||W||_1 / ||W||_2`` of each convolution's weight, over its elements; 0 where it is 0."""

    runs: ClassVar[bool] = False

    def measure(self, subject: Subject) -> tuple[float, ...]:
        """Compute them in float64."""
        from torch.nn.modules.conv import _ConvNd

        from hwnas.networks.layers import weight_layers

        layers = weight_layers(subject.plain).values()
        return tuple(_spread(layer.weight) for layer in layers if isinstance(layer, _ConvNd))


def _spread(weight: Tensor) -> float:
    flat = weight.detach().double().flatten()
    return float(flat.abs().sum() / flat.norm()) if flat.any() else 0.0


@dataclass(frozen=True)
class Apd:
    """Spread of activations times spread of weights. Larger is better.

    ``(sum_b ||M_b||_F^2 / ||M_b||_2^2) (sum_l ||W_l||_1 / ||W_l||_2)``: M_b is the output of batch
    norm b as a matrix of channels by images and positions, W_l the weight of convolution l, whose
    norms are over its elements ("APD"). The first ratio is the stable rank of the
    activations, at most the number of channels; the second at most the root of the number of
    weights. It needs one training-mode forward pass on the weights as they are, no labels. NaN
    where a network has no batch norm or no convolution, e.g. a transformer.
    """

    name: ClassVar[str] = "apd"
    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Signal[object]]] = frozenset(
        {NormStableRanks(_AS_BUILT), WeightSpreads()}
    )

    def score(self, signals: Signals) -> float:
        """Multiply both sums."""
        ranks, spreads = signals[NormStableRanks(_AS_BUILT)], signals[WeightSpreads()]
        if not ranks or not spreads:
            raise ProxyError("`model` must have batch norms and convolutions, but lacks them.")
        return sum(ranks) * sum(spreads)
