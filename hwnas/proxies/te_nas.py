"""TE-NAS: linear regions and trainability of tiny networks of the same cells.

Chen et al., Neural Architecture Search on ImageNet in Four GPU Hours: A Theoretically Inspired
Perspective, ICLR 2021. The paper joins the ranks of both numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from hwnas.deferred import deferred
from hwnas.errors import InvalidValueError, ProxyError
from hwnas.proxies.engine.signals import OwnSignal, Setting
from hwnas.proxies.ntk import NtkCondition
from hwnas.typing import Direction, InShape, Signal, Signals, Surrogate

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hwnas.proxies.engine.subject import Subject
else:
    torch = deferred("torch")

REGIONS_SURROGATE = Surrogate(channels=1, cells=1, modules=1, stem=False, in_shape=(1, 3, 3))
"""One cell of one channel, without a stem."""
NTK_SURROGATE = Surrogate(channels=3, cells=1, modules=3)
"""Three modules of one cell, of 3, 6 and 12 channels."""


@dataclass(frozen=True)
class RegionCount(OwnSignal[int]):
    """Different patterns that the signs of all ReLUs' inputs have over images.

    Attributes:
        samples: images.
        in_shape: (C, H, W) that the images must have, or None for any.
    """

    samples: int
    in_shape: InShape | None

    def measure(self, subject: Subject) -> int:
        """Run one forward pass in training mode, of kaiming weights."""
        from hwnas.proxies.engine.rectifiers import NO_RECTIFIERS, RectifierInputs

        shape = subject.spec.shape
        if self.in_shape not in (None, shape):
            raise ProxyError(
                f"Regions are counted in the surrogate networks of a search space, whose images "
                f"have shape {self.in_shape}, but got {shape}: use `linear_regions`, or set "
                f"`surrogate=None`, which takes {self.samples} images."
            )
        setting = Setting(batch_size=self.samples)
        network, (images, _) = subject.network(setting), subject.input(setting)
        packed: list[npt.NDArray[np.uint8]] = []

        def add(inputs: Tensor) -> None:
            packed.append(np.packbits((inputs > 0).cpu().numpy(), axis=1))

        with torch.no_grad(), RectifierInputs(len(images), add):
            network(images)
        if not packed:
            raise ProxyError(NO_RECTIFIERS)
        return len(np.unique(np.concatenate(packed, axis=1), axis=0))


@dataclass(frozen=True)
class TeNasRegions:
    """Linear regions of a tiny network that random images fall into. Larger is better.

    Two images lie in one region if each ReLU has inputs of one sign for both (Chen et al., ICLR
    2021, Section 3.2). As in TE-NAS, the network is one cell of one channel without a stem, the
    images are 3,000 of 1x3x3, the weights kaiming's, and batch norms are in training mode. Small as
    they are, not every image has a region of its own there, which makes the number telling;
    `linear_regions` counts those of the full network.

    The images are Gaussian. TE-NAS cuts them out of the data set, lets them run in three batches,
    and averages some repetitions.

    Unstable: the ranks of two seeds agree with a Spearman coefficient of .86 (60 different networks
    of NAS-Bench-201).

    Attributes:
        surrogate: what is scored in a search space; None for the full network, or one that is
            given as it is.
        samples: images; the number is at most this.
    """

    surrogate: Surrogate | None = REGIONS_SURROGATE
    samples: int = 3000

    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise InvalidValueError(f"`samples` must be at least 2, but got {self.samples}.")

    @property
    def name(self) -> str:
        """``te_nas_regions`` with the settings that are not the default."""
        parts = [
            "" if self.surrogate == REGIONS_SURROGATE else str(self.surrogate or "full"),
            "" if self.samples == 3000 else f"samples{self.samples}",
        ]
        variant = "-".join(filter(None, parts))
        return f"te_nas_regions.{variant}" if variant else "te_nas_regions"

    @property
    def _count(self) -> RegionCount:
        return RegionCount(self.samples, self.surrogate.in_shape if self.surrogate else None)

    @property
    def needs(self) -> frozenset[Signal[object]]:
        """The count."""
        return frozenset({self._count})

    def score(self, signals: Signals) -> float:
        """Give the count."""
        return float(signals[self._count])


@dataclass(frozen=True)
class TeNasNtk:
    """Condition number of the tangent kernel of a tiny network. Smaller is better.

    It is `NtkCondition` in training mode of 16 images, on a network of 3 channels and one cell a
    module, as TE-NAS computes it (Chen et al., ICLR 2021, Section 3.1). A network that is given as
    it is is scored itself.

    TE-NAS has images of the data set, and float32 spectra; here they are Gaussian unless the user
    gives some, and float64.

    Unstable: the ranks of two seeds agree with a Spearman coefficient of .54 (60 different networks
    of NAS-Bench-201).

    Attributes:
        surrogate: what is scored in a search space, or None for the full network.
        batch_size: images.
    """

    surrogate: Surrogate | None = NTK_SURROGATE
    batch_size: int = 16

    direction: ClassVar[Direction] = "minimize"
    version: ClassVar[int] = 1

    @property
    def name(self) -> str:
        """``te_nas_ntk`` with the settings that are not the default."""
        parts = [
            "" if self.surrogate == NTK_SURROGATE else str(self.surrogate or "full"),
            "" if self.batch_size == 16 else f"batch{self.batch_size}",
        ]
        variant = "-".join(filter(None, parts))
        return f"te_nas_ntk.{variant}" if variant else "te_nas_ntk"

    @property
    def _condition(self) -> NtkCondition:
        return NtkCondition("train", self.batch_size)

    @property
    def needs(self) -> frozenset[Signal[object]]:
        """The kernel."""
        return self._condition.needs

    def score(self, signals: Signals) -> float:
        """Divide the largest by the least eigenvalue."""
        return self._condition.score(signals)
