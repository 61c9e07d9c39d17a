"""GradSign: do the images agree on the signs of the loss gradient?"""

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
class SignSums(OwnSignal[tuple[float, int]]):
    """``sum_w |sum_n sign(dL_n/dw)|`` over the weights w, and the number of weights.

    L_n is the cross-entropy of image n in a batch of its own.
    """

    def measure(self, subject: Subject) -> tuple[float, int]:
        """Run one forward and backward pass an image; only sums of signs are kept."""
        network = subject.network(AS_BUILT)
        weights = [layer.weight.requires_grad_() for layer in weight_layers(network).values()]
        if not weights:
            raise ProxyError("`model` must have a convolution or a linear layer, but has none.")
        images, labels = subject.input(AS_BUILT)
        sums = [torch.zeros_like(w, dtype=torch.int16, requires_grad=False) for w in weights]
        for image, label in zip(torch.split(images, 1), torch.split(labels, 1), strict=True):
            loss = F.cross_entropy(network(image), label)
            if not loss.isfinite():
                raise ProxyError("The output of the network is not finite.")
            gradients = torch.autograd.grad(loss, weights, materialize_grads=True)
            for total, gradient in zip(sums, gradients, strict=True):
                total += gradient.sign().to(torch.int16)
        agreement = sum(int(total.abs().sum(dtype=torch.int64)) for total in sums)
        return float(agreement), sum(w.numel() for w in weights)


@dataclass(frozen=True)
class GradSign:
    """Agreement of the images on the signs of the loss gradient. Larger is better.

    ``sum_w |sum_n sign(dL_n/dw)|`` over the weights w of convolutions and linear layers, L_n being
    the loss of image n in a batch of its own, so that a training-mode batch norm sees the positions
    of one image (Zhang and Jia, GradSign: Model Performance Inference with Theoretical Insights,
    ICLR 2022). It needs a forward and a backward pass an image, on the weights as they are, with
    labels: random ones stand in where the user gives none. NaN where a batch norm after pooling
    cannot normalise one image.

    The paper sums. The authors' scripts, and AZ-NAS and VKDNW after them, average over the weights
    (`mean=True`), which removes the size of the network, and with it most of the correlation.

    Attributes:
        mean: average instead of sum.
    """

    mean: bool = False

    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Signal[Any]]] = frozenset({SignSums()})

    @property
    def name(self) -> str:
        """``gradsign``, with ``.mean`` for the variant."""
        return "gradsign.mean" if self.mean else "gradsign"

    def score(self, signals: Signals) -> float:
        """Give the sum, or divide it by the number of weights."""
        total, weights = signals[SignSums()]
        return total / weights if self.mean else total
