"""Pruning criteria as scores: what the loss of one batch says about the weights.

Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, ICLR 2021, made scores of networks of
them. All look at the weights as they are, in training mode, and share one forward and backward
pass, which is the first one of ZiCo as well. Layers are convolutions and linear layers; biases and
batch norms do not count. They need labels: random ones stand in where the user gives none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hwnas.deferred import deferred
from hwnas.errors import ProxyError
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
class GradNorm:
    """Sum over the layers of the L2 norm of the loss gradient. Larger is better.

    ``sum_l ||dL/dW_l||_2`` (Abdelfattah et al., ICLR 2021). It needs one training-mode
    forward and backward pass with labels.

    ZenNAS, AZ-NAS and VKDNW compute another number under this name: the norm of the gradient by
    all parameters together, batch norms and biases included (`whole=True`), on kaiming weights.

    Attributes:
        whole: one norm over all parameters.
    """

    whole: bool = False

    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Signal[object]]] = frozenset({LossGradients()})

    @property
    def name(self) -> str:
        """``grad_norm``, with ``.global`` for the variant."""
        return "grad_norm.global" if self.whole else "grad_norm"

    def score(self, signals: Signals) -> float:
        """Add the norms up."""
        loss = signals[LossGradients()]
        if self.whole:
            return loss.norm
        return sum(float(g.double().norm()) for g in loss.gradients.values())


@dataclass(frozen=True)
class Snip:
    """How much the loss reacts to the removal of weights. Larger is better.

    ``sum_w |w * dL/dw|`` (Lee et al., SNIP: Single-shot Network Pruning based on Connection
    Sensitivity, ICLR 2019, without its normalisation; as a score: Abdelfattah et al., ICLR
    2021). It needs one training-mode forward and backward pass with labels.

    Published code multiplies each weight by a mask of ones and takes the gradient by the mask,
    which is this product.
    """

    name: ClassVar[str] = "snip"
    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Signal[object]]] = frozenset({LossGradients()})

    def score(self, signals: Signals) -> float:
        """Add the sizes of the products up."""
        return float(torch.cat(_products(signals)).abs().sum())


@dataclass(frozen=True)
class Plain:
    """Sum of weights times loss gradients, with their signs. Larger is better, as published.

    ``sum_w w * dL/dw`` (Mozer and Smolensky, Skeletonization, NeurIPS 1988; as a score: Abdelfattah
    et al., ICLR 2021). It needs one training-mode forward and backward pass with labels.

    A layer that is followed by a training-mode batch norm contributes 0 but for rounding and the
    batch norm's epsilon, since the loss does not change with the scale of its weights: on most
    networks the rest, e.g. the classifier, decides, and the score is nearly noise.

    Unstable: with 16 images the ranks of two seeds agree with a Spearman coefficient of -.16 (60
    different networks of NAS-Bench-201).
    """

    name: ClassVar[str] = "plain"
    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Signal[object]]] = frozenset({LossGradients()})

    def score(self, signals: Signals) -> float:
        """Add the products up."""
        return float(torch.cat(_products(signals)).sum())


@dataclass(frozen=True)
class Fisher:
    """Fisher information of the channels of the layers' outputs. Larger is better.

    ``sum_l sum_c fan_in_l * F_c`` with ``F_c = 1/2 mean_n (sum_pos a_nc * dL/da_nc)^2`` for the
    output a of layer l, its channels c, images n, and L the mean loss of the batch (Turner et al.,
    BlockSwap: Fisher-guided Block Substitution for Network Compression, ICLR 2020; as a
    score: Abdelfattah et al., ICLR 2021). It needs one training-mode forward and backward pass with
    labels. NaN if the output of a layer has no row an image.

    The factor fan_in (weights of a channel) is not in BlockSwap: it comes from the published code,
    which gives each weight the value of its channel before summing over weights.
    """

    name: ClassVar[str] = "fisher"
    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Signal[object]]] = frozenset({LossGradients()})

    def score(self, signals: Signals) -> float:
        """Add the channels up."""
        loss = signals[LossGradients()]
        if loss.products.misfit is not None:
            raise ProxyError(
                f"Each layer's output must have one row an image, but one has shape "
                f"{loss.products.misfit}."
            )
        total = 0.0
        for name, weight in loss.weights.items():
            products = loss.products.sums.get(name)
            if products is None:  # the loss does not depend on it
                continue
            fan_in = weight.numel() / products.shape[1]
            total += fan_in * float(products.double().square().mean(dim=0).sum()) / 2
        return total


@dataclass(frozen=True)
class WeightNorms(OwnSignal[tuple[float, ...]]):
    """L2 norms of the weights of convolutions and linear layers, as they are."""

    runs: ClassVar[bool] = False

    def measure(self, subject: Subject) -> tuple[float, ...]:
        """Compute them in float64."""
        from hwnas.networks.layers import weight_layers

        weights = [layer.weight.detach() for layer in weight_layers(subject.plain).values()]
        return tuple(float(weight.double().norm()) for weight in weights)


@dataclass(frozen=True)
class L2Norm:
    """Sum over the layers of the L2 norm of the weights. Larger is better.

    ``sum_l ||W_l||_2`` over convolutions and linear layers, as they are (Abdelfattah et al., ICLR
    2021, in the published code). It needs no pass; at initialisation it is a count of weights.
    """

    name: ClassVar[str] = "l2_norm"
    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1
    own_images: ClassVar[int] = 0
    needs: ClassVar[frozenset[Signal[object]]] = frozenset({WeightNorms()})

    def score(self, signals: Signals) -> float:
        """Add the norms up."""
        return float(sum(signals[WeightNorms()]))


def _products(signals: Signals) -> list[Tensor]:
    """Give weight times gradient of each layer, flat, in float64."""
    loss = signals[LossGradients()]
    return [
        (w.double() * loss.gradients[name].double()).flatten() for name, w in loss.weights.items()
    ]
