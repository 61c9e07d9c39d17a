"""SynFlow: how much signal do the weights pass through the linearised network?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hwnas.deferred import deferred
from hwnas.errors import ProxyError
from hwnas.proxies.engine.signals import Init, OwnSignal, Setting
from hwnas.typing import Direction, Signal, Signals

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hwnas.proxies.engine.subject import Subject
else:
    torch = deferred("torch")


@dataclass(frozen=True)
class SynapticFlow(OwnSignal[dict[str, float]]):
    """Sum of |W * dR/dW| by layer name, R being the response of the linearised network.

    R is the sum of the logits of one image of ones, in float64, with every parameter replaced by
    its absolute value and every batch norm bypassed. Layers are convolutions and linear layers.

    Attributes:
        init: weights of the network.
    """

    init: Init = "kaiming"

    def measure(self, subject: Subject) -> dict[str, float]:
        """Run one forward and backward pass of one image."""
        from hwnas.networks.float64 import in_float64
        from hwnas.networks.layers import insist_on_real, layer_weights
        from hwnas.proxies.derivatives.without_batch_norm import WithoutBatchNorm

        network = subject.differentiable(Setting(self.init, "eval")).double()
        insist_on_real(dict(network.named_parameters()))  # there is no network of absolute values
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.abs_()
        layers = layer_weights(network)
        if not layers:
            raise ProxyError("`model` must have a convolution or a linear layer, but has none.")
        weights = [weight.requires_grad_() for weight in layers.values()]
        image = torch.ones(1, *subject.real_shape, dtype=torch.float64)

        def gradients_of_response() -> Sequence[Tensor]:
            with WithoutBatchNorm():
                response = network(image).sum()
            return torch.autograd.grad(response, weights, materialize_grads=True)

        gradients = in_float64(gradients_of_response)
        return {
            name: float((weight.detach() * gradient).abs().sum())
            for name, weight, gradient in zip(layers, weights, gradients, strict=True)
        }


@dataclass(frozen=True)
class SynFlow:
    """Logarithm of the synaptic flow. Larger is better.

    ``log sum_l sum_w |W_w * dR/dW_w|`` with R as in `SynapticFlow` (Tanaka et al., Pruning Neural
    Networks without Any Data by Iteratively Conserving Synaptic Flow, NeurIPS 2020; as a score:
    Abdelfattah et al., ICLR 2021). The logarithm does not change the order. NaN if no signal
    passes, or if the flow exceeds float64 (about 1e308; it grows with depth).

    It needs one forward and backward pass of a single image of ones, neither images nor labels.

    zero-cost-nas keeps the default initialisation (`init="as_built"`), and on NAS-Bench-201 leaves
    the batch norms of the reduction blocks in; the code of ZenNAS, AZ-NAS and VKDNW draws kaiming
    weights and bypasses every batch norm, as here.

    Attributes:
        init: weights of the network.
    """

    init: Init = "kaiming"

    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1
    own_images: ClassVar[int] = 0

    @property
    def name(self) -> str:
        """``synflow``, with ``.as_built`` for the unchanged weights."""
        return "synflow" if self.init == "kaiming" else f"synflow.{self.init}"

    @property
    def needs(self) -> frozenset[Signal[object]]:
        """The flow."""
        return frozenset({SynapticFlow(self.init)})

    def score(self, signals: Signals) -> float:
        """Give the logarithm of the sum over layers."""
        flow = torch.tensor(list(signals[SynapticFlow(self.init)].values()), dtype=torch.float64)
        total = flow.sum()
        if not total.isfinite():
            raise ProxyError(
                "The flow is not finite: it exceeds float64, or the network gives NaN."
            )
        if total == 0:
            raise ProxyError("No signal passes from the input to the output.")
        return float(total.log())
