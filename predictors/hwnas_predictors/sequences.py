"""Networks that are chains of layers as sequences, for models that read layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.errors import InvalidValueError
from hwnas.spaces.fbnet import OPERATIONS, POSITIONS, FBNet, FBNetArch
from hwnas.spaces.mobilenetv3 import (
    DEPTHS,
    EXPANSIONS,
    KERNELS,
    RESOLUTIONS,
    STAGES,
    MobileNetV3,
    MobileNetV3Arch,
)
from hwnas.typing import FloatArray, SearchSpace


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


def sequence_batch(space: SearchSpace[Any], archs: Sequence[Any]) -> SequenceBatch:
    """Encode the layers of FBNet or once-for-all MobileNetV3 architectures.

    Args:
        space: `FBNet` or `MobileNetV3`.
        archs: `(n,)` architectures.

    Returns:
        For FBNet 22 layers with a flag for each of the nine operations. For MobileNetV3 20 layers,
        four a stage, with a flag for each of three kernels and three expansions; layers beyond the
        depth are not there, and the context is the resolution from 0 (128) to 1 (224).

    Raises:
        InvalidValueError: the networks of the space are no such chains.
    """
    if isinstance(space, FBNet):
        return _fbnet(archs)
    if isinstance(space, MobileNetV3):
        return _mobilenetv3(archs)
    raise InvalidValueError(
        f"`space` must be fbnet or mobilenetv3 for sequences, but got {space.name}: use one_hot or "
        f"graph_batch."
    )


def _fbnet(archs: Sequence[FBNetArch]) -> SequenceBatch:
    number = {operation: i for i, operation in enumerate(OPERATIONS)}
    chosen = np.array([[number[o] for o in arch.operations] for arch in archs], dtype=np.intp)
    chosen = chosen.reshape(-1, len(POSITIONS))
    flags = (chosen[:, :, None] == np.arange(len(OPERATIONS))).astype(np.float64)
    return SequenceBatch(flags, np.ones(chosen.shape, dtype=np.bool_), np.zeros((len(archs), 0)))


def _mobilenetv3(archs: Sequence[MobileNetV3Arch]) -> SequenceBatch:
    # Kernel and expansion of each place; 0 where there is no layer.
    most = max(DEPTHS)
    places = np.zeros((len(archs), STAGES * most, 2), dtype=np.intp)
    for row, arch in enumerate(archs):
        for stage, layers in enumerate(arch.stages):
            places[row, stage * most : stage * most + len(layers)] = layers
    flags = np.concatenate(
        [places[:, :, :1] == np.array(KERNELS), places[:, :, 1:] == np.array(EXPANSIONS)], axis=2
    )
    low, high = min(RESOLUTIONS), max(RESOLUTIONS)
    sides = np.array([[arch.resolution] for arch in archs], dtype=np.float64).reshape(-1, 1)
    return SequenceBatch(
        flags.astype(np.float64), places[:, :, 0] > 0, (sides - low) / (high - low)
    )
