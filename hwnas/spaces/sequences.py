"""Networks that are chains of layers as sequences: the facet `Sequences` of two spaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas.spaces import fbnet, mobilenetv3
from hwnas.typing import FloatArray


@dataclass(frozen=True, eq=False)
class SequenceBatch:
    """Layers of many networks at fixed positions.

    Attributes:
        features: `(n, l, f)` features of each layer; zeros where a network has no layer.
        mask: `(n, l)` which layers there are.
        context: `(n, c)` features of the whole network; c may be 0.
    """

    features: FloatArray
    mask: npt.NDArray[np.bool_]
    context: FloatArray

    def __len__(self) -> int:
        return len(self.mask)

    def flat(self) -> FloatArray:
        """Give `(n, l * f + c)` features: the layers one after another, then the context."""
        n, layers, f = self.features.shape
        return np.concatenate([self.features.reshape(n, layers * f), self.context], axis=1)


@dataclass(frozen=True)
class FBNetSequences:
    """22 layers with a flag for each of the nine operations."""

    space: fbnet.FBNet

    def sequences(self, archs: Sequence[fbnet.FBNetArch]) -> SequenceBatch:
        """Give the layers of `(n,)` architectures; there is no context."""
        number = {operation: i for i, operation in enumerate(fbnet.OPERATIONS)}
        chosen = np.array([[number[o] for o in arch.operations] for arch in archs], dtype=np.intp)
        chosen = chosen.reshape(-1, len(fbnet.POSITIONS))
        flags = (chosen[:, :, None] == np.arange(len(number))).astype(np.float64)
        there = np.ones(chosen.shape, dtype=np.bool_)
        return SequenceBatch(flags, there, np.zeros((len(archs), 0)))


@dataclass(frozen=True)
class MobileNetV3Sequences:
    """20 layers, four a stage, with a flag for each of three kernels and three expansions.

    Layers beyond the depth are not there; the context is the resolution from 0 (128) to 1 (224).
    """

    space: mobilenetv3.MobileNetV3

    def sequences(self, archs: Sequence[mobilenetv3.MobileNetV3Arch]) -> SequenceBatch:
        """Give the layers of `(n,)` architectures."""
        # Kernel and expansion of each place; 0 where there is no layer.
        most = max(mobilenetv3.DEPTHS)
        places = np.zeros((len(archs), mobilenetv3.STAGES * most, 2), dtype=np.intp)
        for row, arch in enumerate(archs):
            for stage, layers in enumerate(arch.stages):
                places[row, stage * most : stage * most + len(layers)] = layers
        kernels, expansions = np.array(mobilenetv3.KERNELS), np.array(mobilenetv3.EXPANSIONS)
        flags = np.concatenate(
            [places[:, :, :1] == kernels, places[:, :, 1:] == expansions], axis=2
        )
        low, high = min(mobilenetv3.RESOLUTIONS), max(mobilenetv3.RESOLUTIONS)
        sides = np.array([[arch.resolution] for arch in archs], dtype=np.float64).reshape(-1, 1)
        return SequenceBatch(
            flags.astype(np.float64), places[:, :, 0] > 0, (sides - low) / (high - low)
        )
