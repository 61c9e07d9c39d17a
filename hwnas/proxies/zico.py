"""ZiCo: are gradients large and stable from batch to batch?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from hwnas.errors import InvalidValueError, ProxyError
from hwnas.proxies.layers import weight_layers
from hwnas.proxies.signals import OwnSignal, Setting
from hwnas.proxies.subject import Subject
from hwnas.typing import Direction, Signal, Signals

_AS_BUILT = Setting("as_built")


@dataclass(frozen=True)
class LossGradients(OwnSignal[dict[str, Tensor]]):
    """Gradients of the mean cross-entropy by weights, (batches, weights) by layer name.

    Layers are convolutions and linear layers; a weight without gradient has 0.

    Attributes:
        setting: preparation of the network, and images a batch.
        batches: number of batches; the user's images are divided evenly among them.
    """

    setting: Setting = _AS_BUILT
    batches: int = 2

    def measure(self, subject: Subject) -> dict[str, Tensor]:
        """Run one forward and backward pass a batch."""
        network = subject.network(self.setting)
        weights = {name: layer.weight for name, layer in weight_layers(network).items()}
        if not weights:
            raise ProxyError("`model` must have a convolution or a linear layer, but has none.")
        for weight in weights.values():
            weight.requires_grad_()
        rows = []
        for part in range(self.batches):
            images, labels = subject.input(self.setting, part, self.batches)
            loss = F.cross_entropy(network(images), labels)
            gradients = torch.autograd.grad(loss, list(weights.values()), materialize_grads=True)
            rows.append([gradient.flatten() for gradient in gradients])
        return {
            name: torch.stack(layer)
            for name, layer in zip(weights, zip(*rows, strict=True), strict=True)
        }


@dataclass(frozen=True)
class ZiCo:
    """Inverse coefficient of variation of the gradients. Larger is better.

    ``sum_l log sum_w mean|g_w| / std(g_w)`` over the layers l (convolutions and linear layers) and
    their weights w with a non-zero deviation; mean and population deviation over the batches (Li et
    al., ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on Gradients, ICLR 2023). Layers
    without such a weight are left out; NaN if all are.

    It needs one training-mode forward and backward pass a batch, with labels, on the weights as
    they are. With two batches a weight contributes ``(|g1| + |g2|) / |g1 - g2|`` >= 1, which is 1
    whenever the signs differ and has a heavy tail: few weights decide.

    The formula is that of the authors' code; a copy in MeCo's code does not clear the gradients
    between batches, and so computes something else.

    Attributes:
        batches: number of batches, at least 2; the user's images are divided evenly.
    """

    batches: int = 2

    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.batches < 2:
            raise InvalidValueError(f"`batches` must be at least 2, but got {self.batches}.")

    @property
    def name(self) -> str:
        """``zico``, with the number of batches where it is not 2."""
        return "zico" if self.batches == 2 else f"zico.{self.batches}batches"

    @property
    def needs(self) -> frozenset[Signal[Any]]:
        """The gradients."""
        return frozenset({LossGradients(batches=self.batches)})

    def score(self, signals: Signals) -> float:
        """Compute the score from the gradients, in float64."""
        layers = [
            _layer_ratio(gradients.double())
            for gradients in signals[LossGradients(batches=self.batches)].values()
        ]
        total = torch.stack(layers)
        used = total[total != 0]
        if not len(used):
            raise ProxyError("The gradients must differ between batches, but all are constant.")
        return float(used.log().sum())


def _layer_ratio(gradients: Tensor) -> Tensor:
    """Sum mean|g| / std(g) of (batches, weights) gradients over weights that vary."""
    deviation = gradients.std(dim=0, correction=0)
    varying = deviation != 0
    return (gradients.abs().mean(dim=0)[varying] / deviation[varying]).sum()
