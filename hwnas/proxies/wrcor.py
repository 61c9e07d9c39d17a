"""WRCor: are the responses of different images uncorrelated, above all deep in the network?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hwnas.deferred import deferred
from hwnas.errors import ProxyError
from hwnas.proxies.engine.signals import Collector, PassSignal, Setting
from hwnas.typing import Direction, Signal, Signals

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from hwnas.proxies.engine.subject import Subject
else:
    torch = deferred("torch")

_AS_BUILT = Setting("as_built")
# Nearer to 1 is what a correlation of 1 is after passes in float32, whose errors count squared.
_EQUAL = 1e-10
# Correlations up to here are as good by products in float32, whose errors are 1e-6 at most.
_SIMILAR = 0.99
# Least share of the variance in the squares of rows that need not be centred.
_VARYING = 0.1
# Least mean square in float32: what is lost of smaller products does not count beside it.
_LEAST_SQUARE = 1e-30


@dataclass(frozen=True)
class ResponseCorrelations(PassSignal["Tensor"]):
    """(B, B) float64: weighted sum of correlations between images, see `WRCor`."""

    def collector(self, subject: Subject) -> Collector[Tensor]:
        """Take one backward pass to the inputs of the activations; `ProxyError` for tokens."""
        _ = subject.real_shape
        return _ResponseCollector(subject.blocks)


class _ResponseCollector(Collector["Tensor"]):
    def __init__(self, blocks: list[str]) -> None:
        self.blocks = blocks
        self.inputs: list[Tensor] = []
        self.depths: list[int] = []

    @contextmanager
    def watch(self, network: nn.Module, images: Tensor) -> Iterator[None]:
        from hwnas.proxies.engine.activation_inputs import ActivationInputs

        images.requires_grad_()
        self.depth = 0
        named = dict(network.named_modules())
        places = {id(named[name]): i for i, name in enumerate(self.blocks, start=1)}
        handles = [
            named[name].register_forward_pre_hook(lambda m, _: self.enter(places[id(m)]))
            for name in self.blocks
        ]
        try:
            with ActivationInputs(self.add):
                yield
        finally:
            for handle in handles:
                handle.remove()

    def enter(self, depth: int) -> None:
        """Note which block runs."""
        self.depth = depth

    def add(self, values: Tensor) -> Tensor:
        """Keep the input (B, ...) of an activation, and give it a copy to overwrite."""
        if values.ndim < 2 or not values.requires_grad:
            return values
        self.inputs.append(values)
        self.depths.append(self.depth)
        return values.clone()

    def finish(self, logits: Tensor) -> Tensor:
        if not self.inputs:
            raise ProxyError("`model` must have a ReLU, GELU or the like, but none ran.")
        if not logits.requires_grad:
            raise ProxyError("The output of the network must depend on its input.")
        gradients = torch.autograd.grad(
            logits.sum(), self.inputs, retain_graph=self.keeps_graph, materialize_grads=True
        )
        deepest = max(self.depths)
        total = torch.zeros(len(logits), len(logits), dtype=torch.float64)
        for values, gradient, depth in zip(self.inputs, gradients, self.depths, strict=True):
            # Weights 2^l, divided by that of the deepest one, which shifts all scores alike.
            both = _correlations(values.detach()) + _correlations(gradient)
            total += 2.0 ** (depth - deepest) * both
        return total


def _correlations(responses: Tensor) -> Tensor:
    """Give the (B, B) float64 sizes of the correlations of (B, ...) rows; 0 with a constant row.

    Products in float64 take twice the time: they are left to rows that are similar, or far from 0
    beside how they vary, or too small or large for squares in float32.
    """
    if responses.ndim == 4:
        responses = responses.permute(0, 2, 3, 1)  # needs no copy in the channels_last layout
    rows = responses.flatten(1)
    squares = (rows @ rows.T).double()
    sums = (rows @ rows.new_ones(rows.shape[1])).double()
    products = squares - torch.outer(sums, sums) / rows.shape[1]
    sizes = squares.diagonal()
    exact = (sizes > _LEAST_SQUARE * rows.shape[1]) & (products.diagonal() > _VARYING * sizes)
    found = _scaled(products) if bool(exact.all()) else None
    if found is None or not bool((found.triu(diagonal=1) < _SIMILAR).all()):
        return _exact_correlations(rows)
    return found


def _exact_correlations(rows: Tensor) -> Tensor:
    """Centre (B, N) rows in their own precision, and multiply them in float64.

    In float32, 1 - r of similar rows, by which a determinant lives, would be rounding alone.
    """
    rows = rows - rows[:, :1]  # of a constant row, nothing is left
    rows -= rows.mean(dim=1, keepdim=True)
    largest = rows.abs().amax(dim=1, keepdim=True)  # whose square may be too small for float32
    rows /= torch.where(largest > 0, largest, 1.0)
    rows = rows.double()
    return _scaled(rows @ rows.T)


def _scaled(products: Tensor) -> Tensor:
    """Turn (B, B) products into sizes of correlations."""
    norms = products.diagonal().sqrt()
    scales = torch.where(norms > 0, 1 / norms, 0.0)
    return (products * scales[:, None] * scales).abs()


@dataclass(frozen=True)
class WRCor:
    """Weighted response correlation. Larger is better.

    ``log det sum_a 2^l(a) (|R_a| + |G_a|)`` over the activations a: R_a is the (B, B) matrix of
    correlations between the images of the input of a, G_a that of the gradient of the summed
    logits by it, and l(a) the number of the block that a is in (Jing et al., Zero-Shot Neural
    Architecture Search with Weighted Response Correlation, Neurocomputing 2025). The weights are
    divided by that of the deepest block, so that depth alone, which shifts the logarithm by B log 2
    a block, does not decide. It needs one training-mode forward and backward pass, no labels. NaN
    where two images have the same responses, up to factors: entry ij of the sum is that of ii and
    jj, within 1e-10.
    """

    name: ClassVar[str] = "wrcor"
    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Signal[object]]] = frozenset({ResponseCorrelations(_AS_BUILT)})

    def score(self, signals: Signals) -> float:
        """Take the determinant."""
        total = signals[ResponseCorrelations(_AS_BUILT)]
        own = total.diagonal()
        alike = total >= (1 - _EQUAL) * torch.outer(own, own).sqrt()
        sign, size = torch.linalg.slogdet(total)
        if alike.triu(diagonal=1).any() or sign <= 0:
            raise ProxyError("Responses must differ between images, but the determinant is 0.")
        return float(size)
