"""NASWOT: do images fall into different linear regions of an untrained network?"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hwnas.deferred import deferred
from hwnas.errors import ProxyError
from hwnas.proxies.engine.several_images import insist_on_several
from hwnas.proxies.engine.signals import Collector, Init, PassSignal, Setting
from hwnas.typing import Direction, Signal, Signals

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from hwnas.proxies.engine.subject import Subject
else:
    torch = deferred("torch")

# Counts in float32 are exact up to 2**24.
_COLUMNS = 2**23


@dataclass(frozen=True)
class ReluKernel(PassSignal["Tensor"]):
    """(B, B) float64: in how many ReLU units, over all layers, two images agree in sign."""

    def collector(self, subject: Subject) -> Collector[Tensor]:
        """Sum the kernel up while the pass runs: activations are not kept."""
        del subject
        return _ReluCollector()


class _ReluCollector(Collector["Tensor"]):
    uses_graph = False

    def watch(self, network: nn.Module, images: Tensor) -> AbstractContextManager[object]:
        from hwnas.proxies.engine.rectifiers import RectifierInputs

        del network
        self.kernel = torch.zeros(len(images), len(images), dtype=torch.float64)
        self.layers = 0
        return RectifierInputs(len(images), self.add)

    def add(self, inputs: Tensor) -> None:
        """Count the units of one ReLU, given its input (B, units)."""
        with self.timed(), torch.no_grad():
            # With A = 1 where active, units agree in A A^T + (1 - A) (1 - A)^T: one product.
            for part in torch.split(inputs, _COLUMNS, dim=1):
                active = torch.gt(part, 0, out=torch.empty_like(part))
                numbers = active.sum(dim=1).double()
                both = (active @ active.T).double()
                self.kernel += part.shape[1] - numbers[:, None] - numbers + 2 * both
            self.layers += 1

    def finish(self, logits: Tensor) -> Tensor:
        from hwnas.proxies.engine.rectifiers import NO_RECTIFIERS

        del logits
        if not self.layers:
            raise ProxyError(NO_RECTIFIERS)
        return self.kernel


@dataclass(frozen=True)
class NasWot:
    """Log-determinant of the kernel of linear regions. Larger is better.

    ``log |det K|``, where ``K[i, j]`` is the number of ReLU units whose input has one sign for
    images i and j (Mellor et al., Neural Architecture Search without Training, ICML 2021, Sec. 3).

    It needs one training-mode forward pass, no labels. A ReLU counts as often as it runs, whether
    module or function; ReLU6 and leaky ReLU count like a ReLU. Two images with equal codes make
    the kernel singular: NaN, which ranks worst.

    The authors' code keeps the default initialisation (`init="as_built"`), and on NAS-Bench-201
    counts each ReLU of a cell twice, since its wrapper's class name contains "ReLU" too.

    Attributes:
        init: weights; ``kaiming`` shares the pass with AZ-NAS, as the later literature does.
    """

    init: Init = "kaiming"

    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1

    @property
    def name(self) -> str:
        """``naswot``, with ``.as_built`` for the unchanged weights."""
        return "naswot" if self.init == "kaiming" else f"naswot.{self.init}"

    @property
    def _kernel(self) -> ReluKernel:
        return ReluKernel(Setting(self.init))

    @property
    def needs(self) -> frozenset[Signal[object]]:
        """The kernel."""
        return frozenset({self._kernel})

    def score(self, signals: Signals) -> float:
        """Give the log-determinant, computed in float64."""
        insist_on_several(len(kernel := signals[self._kernel]))
        _, log_determinant = torch.linalg.slogdet(kernel)
        if not log_determinant.isfinite():
            raise ProxyError("The kernel is singular: two images have the same ReLU signs.")
        return float(log_determinant)
