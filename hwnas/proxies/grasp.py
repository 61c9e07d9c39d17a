"""GraSP: how does the removal of weights change the flow of gradients?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hwnas.deferred import deferred
from hwnas.proxies.derivatives.loss_gradients import LossGradients
from hwnas.proxies.engine.signals import OwnSignal
from hwnas.typing import Direction, Signal, Signals

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hwnas.proxies.engine.subject import Subject
else:
    torch = deferred("torch")


@dataclass(frozen=True)
class HessianGradient(OwnSignal[float]):
    """``W . (H g)`` over the weights W of convolutions and linear layers.

    g is their gradient of the mean cross-entropy and H their Hessian.
    """

    first: ClassVar[bool] = True

    def measure(self, subject: Subject) -> float:
        """Differentiate twice where it must be.

        With the weights split into those whose scale cannot change the loss, for which
        ``W . (H g) = -||g||^2``, and the rest R, for which ``W_R . (H g)_R = g . (H W_R)``: the
        gradient has to be differentiated in the direction of the rest only.
        """
        from torch.nn.attention import SDPBackend, sdpa_kernel

        from hwnas.proxies.derivatives.second_derivatives import (
            FastSecondDerivatives,
            has_fused_attention,
            scale_free_weights,
        )

        request = LossGradients()
        with FastSecondDerivatives():
            graph = request.run(subject)
        # Of another device, fast batch norms have not the bits that the other proxies have alone.
        shared = subject.device.type == "cpu"
        if has_fused_attention(graph.loss):  # it has no second derivative in PyTorch
            shared = False
            with FastSecondDerivatives(), sdpa_kernel(SDPBackend.MATH):
                graph = request.run(subject)
        free, weights = scale_free_weights(graph.loss), graph.weights
        rest = [w for w in weights.values() if w not in free]
        if shared:  # where a gradient is to be differentiated, it may have other bits
            gradients = torch.autograd.grad(
                graph.loss, graph.parameters, retain_graph=True, materialize_grads=True
            )
            found = request.known(subject, graph.answer(gradients))
        else:
            found = request.measure(subject)
        products = _product(graph.loss, rest, list(weights.values()))
        total = 0.0
        for name, product in zip(weights, products, strict=True):
            gradient = found.gradients[name].double()
            total += float((gradient * product.double()).sum())
            total -= float(gradient.square().sum()) if weights[name] in free else 0
        return total


def _product(
    loss: Tensor, direction: Sequence[Tensor], weights: Sequence[Tensor]
) -> Sequence[Tensor]:
    """Give the Hessian of a loss by the weights times the values of some of them."""
    if not direction:
        return [torch.zeros_like(weight) for weight in weights]
    gradients = torch.autograd.grad(loss, direction, create_graph=True, materialize_grads=True)
    terms = [(w.detach() * g).sum() for w, g in zip(direction, gradients, strict=True)]
    along = torch.stack(terms).sum()
    if not along.requires_grad:
        return [torch.zeros_like(weight) for weight in weights]
    return torch.autograd.grad(along, weights, materialize_grads=True)


@dataclass(frozen=True)
class Grasp:
    """Decrease of the gradient's size when weights shrink. Larger is better.

    ``-W . (H g)`` over the weights of convolutions and linear layers, with the gradient g and the
    Hessian H of the mean cross-entropy of a batch (Wang et al., Picking Winning Tickets Before
    Training by Preserving Gradient Flow, ICLR 2020; as a score: Abdelfattah et al., Zero-Cost
    Proxies for Lightweight NAS, ICLR 2021, whose sign this is). It needs the training-mode forward
    and backward pass of `hwnas.proxies.saliency`, which is differentiated in turn where it leads to
    the layers that no batch norm follows, on the weights as they are, with labels: random ones
    stand in where the user gives none.

    A layer that is followed by a training-mode batch norm contributes ``||g_l||^2`` but for the
    batch norm's epsilon, by Euler's identity: its gradient is homogeneous of degree -1. That is
    used where epsilon is below a hundredth of the variance, and keeps memory small; where the parts
    of layers nearly cancel, the difference can be some percent of their sum.

    Unstable: with 16 images the ranks of two seeds agree with a Spearman coefficient of .84 (60
    different networks of NAS-Bench-201).
    """

    name: ClassVar[str] = "grasp"
    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 2
    needs: ClassVar[frozenset[Signal[object]]] = frozenset({HessianGradient()})

    def score(self, signals: Signals) -> float:
        """Negate the product."""
        return -signals[HessianGradient()]
