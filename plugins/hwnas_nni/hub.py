"""NasBench201 of NNI's hub, known without NNI: cells with equal graphs are equal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwnas.spaces.nasbench201 import EDGES, Cell, NasBench201

NASBENCH201 = "nni.nas.hub.pytorch.nasbench201.NasBench201"
_ARGUMENTS = {"stem_out_channels": "channels", "num_modules_per_stack": "cells"}
_NAMES = {"nor_conv_1x1": "conv_1x1", "nor_conv_3x3": "conv_3x3"}
_OURS = {hub: ours for ours, hub in _NAMES.items()}


@dataclass(frozen=True)
class NasBench201Codec:
    """The way between cells and the hub's samples; see `hwnas_nni.codec.Codec`.

    Attributes:
        space: NAS-Bench-201.
        prefix: what comes before ``SOURCE_TARGET`` in the labels.
    """

    space: NasBench201
    prefix: str = "cell/"

    @classmethod
    def of(
        cls, args: Sequence[Any], kwargs: Mapping[str, Any], labels: Iterable[str]
    ) -> NasBench201Codec:
        """Make the codec of a hub space from its arguments and the labels of its choices."""
        given = dict(zip(_ARGUMENTS, args, strict=False)) | dict(kwargs)
        settings = {ours: given[hub] for hub, ours in _ARGUMENTS.items() if hub in given}
        return cls(NasBench201(**settings), next(iter(labels)).removesuffix("0_1"))

    def to_sample(self, arch: Cell) -> dict[str, Any]:
        """Give the hub's operations by edge."""
        return {
            f"{self.prefix}{s}_{t}": _NAMES.get(operation, operation)
            for (s, t), operation in arch.edges()
        }

    def from_sample(self, sample: Mapping[str, Any]) -> Cell:
        """Give the cell of the hub's operations by edge."""
        chosen = (str(sample[f"{self.prefix}{s}_{t}"]) for s, t in EDGES)
        return Cell(tuple(_OURS.get(operation, operation) for operation in chosen))
