"""GradSign: do the images agree on the signs of the loss gradient?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from hwnas.deferred import deferred
from hwnas.errors import ProxyError
from hwnas.proxies.derivatives.loss_gradients import AS_BUILT
from hwnas.proxies.engine.signals import OwnSignal
from hwnas.tasks.outputs import loss
from hwnas.typing import Direction, Signal, Signals

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hwnas.proxies.engine.subject import Subject
else:
    torch = deferred("torch")


@dataclass(frozen=True)
class SignSums(OwnSignal[tuple[float, int]]):
    """``sum_w |sum_n sign(dL_n/dw)|`` over the weights w, and the number of weights.

    L_n is the cross-entropy of image n in a batch of its own.
    """

    def measure(self, subject: Subject) -> tuple[float, int]:
        """Take the signs of `image_gradients`, layer by layer."""
        from hwnas.networks.layers import layer_weights
        from hwnas.proxies.derivatives.image_gradients import gradients_by_image, image_gradients

        network = subject.differentiable(AS_BUILT)
        weights = list(layer_weights(network).values())
        if not weights:
            raise ProxyError("`model` must have a convolution or a linear layer, but has none.")
        images, labels = subject.input(AS_BUILT)
        sums: dict[int, Tensor] = {}
        of_images = partial(loss, subject.output, total=True)

        def add(number: int, gradients: Tensor) -> None:
            sums[number] = sums.get(number, 0) + gradients.sign_().sum(dim=0)

        left = image_gradients(network, images, labels, weights, of_images, add)
        slow = [weights[number] for number in left]
        rest = gradients_by_image(network, images, labels, slow, of_images) if left else ()
        for gradients in rest:
            for number, gradient in zip(left, gradients, strict=True):
                add(number, gradient[None].clone())
        agreement = sum(float(total.abs().sum(dtype=torch.float64)) for total in sums.values())
        return agreement, sum(weight.numel() for weight in weights)


@dataclass(frozen=True)
class GradSign:
    """Agreement of the images on the signs of the loss gradient. Larger is better.

    ``sum_w |sum_n sign(dL_n/dw)|`` over the weights w of convolutions and linear layers, L_n being
    the loss of image n in a batch of its own, so that a training-mode batch norm sees the positions
    of one image (Zhang and Jia, GradSign: Model Performance Inference with Theoretical Insights,
    ICLR 2022). It needs a forward and a backward pass, on the weights as they are, with labels:
    random ones stand in where the user gives none. NaN where a batch norm after pooling cannot
    normalise one image.

    The paper sums. The authors' scripts, and AZ-NAS and VKDNW after them, average over the weights
    (`mean=True`), which removes the size of the network, and with it most of the correlation.

    Attributes:
        mean: average instead of sum.
    """

    mean: bool = False

    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Signal[object]]] = frozenset({SignSums()})

    @property
    def name(self) -> str:
        """``gradsign``, with ``.mean`` for the variant."""
        return "gradsign.mean" if self.mean else "gradsign"

    def score(self, signals: Signals) -> float:
        """Give the sum, or divide it by the number of weights."""
        total, weights = signals[SignSums()]
        return total / weights if self.mean else total
