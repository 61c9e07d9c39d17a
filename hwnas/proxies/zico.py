"""ZiCo: are gradients large and stable from batch to batch?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hwnas.deferred import deferred
from hwnas.errors import InvalidValueError, ProxyError
from hwnas.proxies.derivatives.loss_gradients import LossGradients
from hwnas.typing import Direction, Signal, Signals

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = deferred("torch")


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
    version: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if self.batches < 2:
            raise InvalidValueError(f"`batches` must be at least 2, but got {self.batches}.")

    @property
    def name(self) -> str:
        """``zico``, with the number of batches where it is not 2."""
        return "zico" if self.batches == 2 else f"zico.{self.batches}batches"

    @property
    def _passes(self) -> list[LossGradients]:
        return [
            LossGradients(part=part, parts=self.batches, products=part == 0)
            for part in range(self.batches)
        ]

    @property
    def needs(self) -> frozenset[Signal[object]]:
        """The gradients of each batch; the first is shared with `hwnas.proxies.saliency`."""
        return frozenset(self._passes)

    def score(self, signals: Signals) -> float:
        """Compute the score from the gradients, in float64."""
        batches = [signals[request].gradients for request in self._passes]
        layers = [
            _layer_ratio(torch.stack([batch[name].flatten() for batch in batches]).double())
            for name in batches[0]
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
