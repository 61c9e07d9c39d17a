"""jacob_cov: are the input gradients of different images uncorrelated?"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hwnas.deferred import deferred
from hwnas.errors import ProxyError
from hwnas.proxies.derivatives.spectra import eigenvalues
from hwnas.proxies.engine.several_images import insist_on_several
from hwnas.proxies.engine.signals import Collector, Init, PassSignal, Setting
from hwnas.typing import Direction, Signal, Signals

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from hwnas.proxies.engine.subject import Subject
else:
    torch = deferred("torch")

_EPSILON = 1e-5


@dataclass(frozen=True)
class InputGradient(PassSignal["Tensor"]):
    """(B, C*H*W): gradient of the sum of all logits with respect to each image."""

    def collector(self, subject: Subject) -> Collector[Tensor]:
        """Take one backward pass to the images; `ProxyError` for tokens."""
        _ = subject.real_shape
        return _InputGradientCollector()


class _InputGradientCollector(Collector["Tensor"]):
    def watch(self, network: nn.Module, images: Tensor) -> AbstractContextManager[object]:
        del network
        self.images = images.requires_grad_()
        return nullcontext()

    def finish(self, logits: Tensor) -> Tensor:
        if not logits.requires_grad:
            raise ProxyError("The output of the network must depend on its input.")
        (gradient,) = torch.autograd.grad(
            logits.sum(), self.images, retain_graph=self.keeps_graph, materialize_grads=True
        )
        return gradient.flatten(1)


@dataclass(frozen=True)
class JacobCov:
    """Closeness of the correlation matrix of input gradients to the identity. Larger is better.

    ``-sum_i (log(v_i + k) + 1 / (v_i + k))`` with ``k = 1e-5`` and ``v_i`` the eigenvalues of the
    (B, B) correlation matrix of the images' input gradients (Mellor et al., Neural Architecture
    Search without Training, arXiv 2006.04647v1, 2020; Abdelfattah et al., Zero-Cost Proxies for
    Lightweight NAS, ICLR 2021, as "jacob_cov").

    It needs one training-mode forward and backward pass, no labels. NaN if the gradient of an image
    is constant, e.g. 0.

    Published code keeps the default initialisation (`init="as_built"`; VKDNW's draws kaiming
    weights) and computes in float32, partly with a solver for general matrices whose eigenvalues
    may be complex; here it is float64 and symmetric.

    Attributes:
        init: weights; ``kaiming`` shares the pass with AZ-NAS.
    """

    init: Init = "kaiming"

    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1

    @property
    def name(self) -> str:
        """``jacob_cov``, with ``.as_built`` for the unchanged weights."""
        return "jacob_cov" if self.init == "kaiming" else f"jacob_cov.{self.init}"

    @property
    def _gradient(self) -> InputGradient:
        return InputGradient(Setting(self.init))

    @property
    def needs(self) -> frozenset[Signal[object]]:
        """The input gradients."""
        return frozenset({self._gradient})

    def score(self, signals: Signals) -> float:
        """Compute the score from the gradients."""
        gradients = signals[self._gradient].double()
        insist_on_several(len(gradients))
        gradients = gradients - gradients.mean(dim=1, keepdim=True)
        gradients = gradients / gradients.norm(dim=1, keepdim=True)
        shifted = eigenvalues(gradients @ gradients.T) + _EPSILON
        return -float((shifted.log() + 1 / shifted).sum())
