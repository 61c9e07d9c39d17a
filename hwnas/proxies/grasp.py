"""GraSP: how does the removal of weights change the flow of gradients?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F

from hwnas.errors import ProxyError
from hwnas.proxies.layers import weight_layers
from hwnas.proxies.loss_gradients import AS_BUILT
from hwnas.proxies.signals import OwnSignal
from hwnas.proxies.subject import Subject
from hwnas.typing import Direction, Signal, Signals


@dataclass(frozen=True)
class HessianGradient(OwnSignal[float]):
    """``W . (H g)`` over the weights W of convolutions and linear layers.

    g is their gradient of the mean cross-entropy and H their Hessian.
    """

    def measure(self, subject: Subject) -> float:
        """Run one forward pass, and a backward pass through itself."""
        network = subject.network(AS_BUILT)
        weights = [layer.weight.requires_grad_() for layer in weight_layers(network).values()]
        if not weights:
            raise ProxyError("`model` must have a convolution or a linear layer, but has none.")
        images, labels = subject.input(AS_BUILT)
        loss = F.cross_entropy(network(images), labels)
        gradients = torch.autograd.grad(loss, weights, create_graph=True, materialize_grads=True)
        product = torch.stack([(g * g.detach()).sum() for g in gradients]).sum()
        if not product.requires_grad:
            return 0.0
        of_product = torch.autograd.grad(product, weights, materialize_grads=True)
        return sum(
            float((w.detach().double() * h.double()).sum())
            for w, h in zip(weights, of_product, strict=True)
        )


@dataclass(frozen=True)
class Grasp:
    """Decrease of the gradient's size when weights shrink. Larger is better.

    ``-W . (H g)`` over the weights of convolutions and linear layers, with the gradient g and the
    Hessian H of the mean cross-entropy of a batch (Wang et al., Picking Winning Tickets Before
    Training by Preserving Gradient Flow, ICLR 2020; as a score: Abdelfattah et al., Zero-Cost
    Proxies for Lightweight NAS, ICLR 2021, whose sign this is). It needs one training-mode forward
    pass and a backward pass that is differentiated in turn, about 4 passes, on the weights as they
    are, with labels: random ones stand in where the user gives none.

    A layer that is followed by a training-mode batch norm contributes ``||g_l||^2`` but for the
    batch norm's epsilon, by Euler's identity: its gradient is homogeneous of degree -1.
    """

    name: ClassVar[str] = "grasp"
    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Signal[Any]]] = frozenset({HessianGradient()})

    def score(self, signals: Signals) -> float:
        """Negate the product."""
        return -signals[HessianGradient()]
