"""Counts of ReLU sign patterns: of images (linear regions) and of units (SWAP)."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from hwnas.deferred import deferred
from hwnas.errors import InvalidValueError, ProxyError
from hwnas.proxies.counts import ParameterShapes
from hwnas.proxies.engine.several_images import insist_on_several
from hwnas.proxies.engine.signals import Collector, PassSignal, Setting
from hwnas.proxies.naswot import ReluKernel
from hwnas.typing import Direction, Signal, Signals

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from hwnas.proxies.engine.subject import Subject
else:
    torch = deferred("torch")


@dataclass(frozen=True)
class UnitPatterns(PassSignal[int]):
    """How many different patterns of signs over the images the ReLU units have."""

    def collector(self, subject: Subject) -> Collector[int]:
        """Pack the signs into bits while the pass runs."""
        del subject
        return _PatternCollector()


class _PatternCollector(Collector[int]):
    uses_graph = False

    def watch(self, network: nn.Module, images: Tensor) -> AbstractContextManager[object]:
        from hwnas.proxies.engine.rectifiers import RectifierInputs

        del network
        self.packed: list[npt.NDArray[np.uint8]] = []
        return RectifierInputs(len(images), self.add)

    def add(self, inputs: Tensor) -> None:
        """Keep the signs of (B, units) as (units, B / 8) bytes."""
        with self.timed(), torch.no_grad():
            self.packed.append(np.packbits((inputs > 0).cpu().numpy(), axis=0).T)

    def finish(self, logits: Tensor) -> int:
        from hwnas.proxies.engine.rectifiers import NO_RECTIFIERS

        del logits
        if not self.packed:
            raise ProxyError(NO_RECTIFIERS)
        return _distinct(np.concatenate(self.packed))


def _distinct(codes: npt.NDArray[np.uint8]) -> int:
    """Count the different rows of (units, bytes), as integers where 8 bytes are enough."""
    units, size = codes.shape
    if size > 8:
        return len(np.unique(codes, axis=0))
    width = next(w for w in (1, 2, 4, 8) if w >= size)
    padded = np.zeros((units, width), dtype=np.uint8)
    padded[:, :size] = codes
    return len(np.unique(padded.view(f"u{width}")))


@dataclass(frozen=True)
class Swap:
    """Number of different sample-wise activation patterns. Larger is better.

    The pattern of a ReLU unit is the signs of its input over the images; equal patterns of several
    units count once (Peng et al., SWAP-NAS: Sample-Wise Activation Patterns for Ultra-fast NAS,
    ICLR 2024). The regularised score multiplies the number by
    ``exp(-(P - mu)^2 / sigma)`` with P the parameters in thousands, and prefers networks of size
    mu; mu and sigma belong to the search space, so they are the user's.

    It needs one training-mode forward pass of few images, no labels: there are at most 2^B
    patterns, and from B = 64 on the score is hardly more than the number of units.

    The authors' code draws N(0, 1) weights and averages 32 draws; batch norms cancel the scale, so
    kaiming weights, drawn once, stand here. It looks at ReLU modules with (B, C, H, W) inputs;
    here every ReLU counts, functions, ReLU6 and leaky ReLU as well.

    Attributes:
        mu: wanted parameters in thousands, or None for no regularisation.
        sigma: how strictly, in the square of that unit; given exactly if `mu` is.
        batch_size: images B.
    """

    mu: float | None = None
    sigma: float | None = None
    batch_size: int = 16

    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if (self.mu is None) != (self.sigma is None):
            raise InvalidValueError(
                f"`mu` and `sigma` must be given together, but got {self.mu} and {self.sigma}."
            )
        if self.sigma is not None and not self.sigma > 0:
            raise InvalidValueError(f"`sigma` must be positive, but got {self.sigma}.")
        if self.batch_size < 1:
            raise InvalidValueError(f"`batch_size` must be at least 1, but got {self.batch_size}.")

    @property
    def name(self) -> str:
        """``swap``, with regularisation and batch size where they are not the default."""
        regularised = "" if self.mu is None else f"-mu{self.mu:g}-sigma{self.sigma:g}"
        batch = "" if self.batch_size == 16 else f"-batch{self.batch_size}"
        return f"swap{(regularised + batch).replace('-', '.', 1)}"

    @property
    def own_images(self) -> int:
        """The images of the setting."""
        return self.batch_size

    @property
    def _patterns(self) -> UnitPatterns:
        return UnitPatterns(Setting(batch_size=self.batch_size))

    @property
    def needs(self) -> frozenset[Signal[object]]:
        """The patterns, and the number of parameters where it is regularised."""
        size = frozenset() if self.mu is None else frozenset({ParameterShapes()})
        return size | {self._patterns}

    def score(self, signals: Signals) -> float:
        """Give the number, regularised or not."""
        patterns = float(signals[self._patterns])
        if self.mu is None or self.sigma is None:
            return patterns
        thousands = sum(math.prod(shape) for shape in signals[ParameterShapes()]) / 1e3
        return patterns * math.exp(-((thousands - self.mu) ** 2) / self.sigma)


@dataclass(frozen=True)
class LinearRegions:
    """Number of linear regions that the images fall into. Larger is better; at most B.

    Two images lie in one region if each ReLU has inputs of one sign for both (Chen et al., Neural
    Architecture Search on ImageNet in Four GPU Hours: A Theoretically Inspired Perspective, ICLR
    2021, "TE-NAS"). It needs one training-mode forward pass, which NASWOT and AZ-NAS
    share, no labels.

    In all but very small networks every image has a region of its own, so that the score is B for
    all of them, as it is in the published tables of AZ-NAS and VKDNW. TE-NAS counts on networks of
    one channel and one cell a stage, with 3,000 images of 1x3x3.
    """

    name: ClassVar[str] = "linear_regions"
    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Signal[object]]] = frozenset({ReluKernel()})

    def score(self, signals: Signals) -> float:
        """Count the images that agree with no earlier one in every unit."""
        kernel = signals[ReluKernel()]
        insist_on_several(len(kernel))
        equal = kernel == kernel.diagonal()[:, None]
        return float((~equal.tril(-1).any(dim=1)).sum())
