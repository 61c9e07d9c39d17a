"""Reading the FBNet part of HW-NAS-Bench v1.0: costs that add up over the layers.

Li et al., HW-NAS-Bench: Hardware-Aware Neural Architecture Search Benchmark, ICLR 2021. The
official file gives the cost of each operation at each size; a network's cost is the sum over its
stem, 22 layers, last convolution, pooling and classifier. Where that file is absent, the latencies
that HELP took from it for 5,000 networks determine the sums of four devices exactly.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.data.catalogue import find, require
from hwnas.data.checks import is_number
from hwnas.data.help import help_archs, help_latencies, help_latency_file
from hwnas.data.hw_nas_bench import PICKLE
from hwnas.data.safe_pickle import load_pickle
from hwnas.errors import DataFormatError, InvalidValueError
from hwnas.spaces.fbnet import (
    CIFAR,
    IMAGENET,
    OPERATIONS,
    POSITIONS,
    SKIP,
    STEM_CHANNELS,
    FBNetArch,
    Setting,
)
from hwnas.typing import FloatArray

COLUMNS = (
    "edgegpu_latency", "edgegpu_energy", "raspi4_latency", "pixel3_latency",
    "eyeriss_latency", "eyeriss_energy", "fpga_latency", "fpga_energy",
)  # fmt: skip
"""Metrics of the official file, in ms and mJ."""
FROM_HELP = ("raspi4", "pixel3", "eyeriss", "fpga")
"""Devices whose latencies HELP has, for CIFAR-100."""
DATASETS = ("cifar100", "ImageNet")

_NO_VALUE = -1.0
_NUMBER = {operation: i for i, operation in enumerate(OPERATIONS)}
_SETTINGS = {"cifar100": (CIFAR, 32, 100), "ImageNet": (IMAGENET, 224, 1000)}


@dataclass(frozen=True, eq=False)
class FBNetTable:
    """One metric of FBNet networks as a sum.

    Attributes:
        path: the file that the values come from.
        fixed: cost of everything but the layers.
        layers: `(22, 9)` cost of each operation in each layer; NaN where there is none.
    """

    path: Path
    fixed: float
    layers: FloatArray

    def values(self, archs: Sequence[FBNetArch]) -> FloatArray:
        """Give `(n,)` costs; NaN where a layer has no value."""
        chosen = _chosen(archs)
        costs: FloatArray = self.fixed + self.layers[np.arange(len(POSITIONS)), chosen].sum(axis=1)
        return costs


def read_fbnet_table(
    dataset: str, device: str, metric: str, folder: Path | None = None
) -> FBNetTable:
    """Read one metric, from the official file if it is here and else from HELP's latencies.

    Args:
        dataset: ``cifar100`` or ``ImageNet``.
        device: device of the publication.
        metric: ``latency`` (ms) or ``energy`` (mJ).
        folder: data folder; None for the default one.

    Raises:
        InvalidValueError: the publication has no such values.
        DataNotFoundError: the official file is absent and HELP's files cannot replace it.
        DataFormatError: a file is damaged or is something else.
    """
    if dataset not in DATASETS or f"{device}_{metric}" not in COLUMNS:
        raise InvalidValueError(
            f"`cost` must be one of {', '.join(COLUMNS)} for {' or '.join(DATASETS)} in the FBNet "
            f"part of HW-NAS-Bench, but got {device}_{metric} for {dataset}."
        )
    in_help = dataset == "cifar100" and metric == "latency" and device in FROM_HELP
    if in_help and find(PICKLE, folder) is None:
        return _from_help(device, folder)
    path = require(PICKLE, folder).absolute()
    return _from_pickle(path, dataset, f"{device}_{metric}", os.stat(path).st_mtime_ns)


def _chosen(archs: Sequence[FBNetArch]) -> np.ndarray[tuple[int, int], np.dtype[np.intp]]:
    """Give `(n, 22)` operation numbers."""
    rows = [[_NUMBER[operation] for operation in arch.operations] for arch in archs]
    return np.array(rows, dtype=np.intp).reshape(-1, len(POSITIONS))


def _from_help(device: str, folder: Path | None) -> FBNetTable:
    """Solve for the costs of the layers relative to a skip: 177 numbers of 5,000 networks."""
    chosen = _chosen(help_archs("fbnet", folder))
    latency_ms = help_latencies("fbnet", device, folder)
    others = [number for operation, number in _NUMBER.items() if operation != SKIP]
    flags = (chosen[:, :, None] == others).reshape(len(chosen), -1)
    design = np.column_stack([np.ones(len(chosen)), flags]).astype(np.float64)
    solution, _, rank, _ = np.linalg.lstsq(design, latency_ms, rcond=None)
    path = require(help_latency_file("fbnet", device), folder)
    if rank < design.shape[1] or not np.allclose(design @ solution, latency_ms, rtol=1e-6):
        raise DataFormatError(
            f"`{path}` must hold sums over the layers of 5,000 networks, but does not: check it "
            f"with `hwnas data verify help`."
        )
    layers = np.zeros((len(POSITIONS), len(OPERATIONS)))
    layers[:, others] = solution[1:].reshape(len(POSITIONS), len(others))
    return FBNetTable(path, float(solution[0]), layers)


@lru_cache(maxsize=len(COLUMNS) * len(DATASETS))
def _from_pickle(path: Path, dataset: str, column: str, changed: int) -> FBNetTable:
    del changed
    setting, side, classes = _SETTINGS[dataset]
    try:
        costs: Mapping[str, Any] = load_pickle(path)["fbnet"][column]
        fixed = [_value(costs, key) for key in _fixed_keys(setting, side, classes)]
        layers = [[_value(costs, key) for key in keys] for keys in _layer_keys(setting, side)]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise DataFormatError(
            f"`{path}` must be the official file of HW-NAS-Bench v1.0, but its layout is another "
            f"one ({error!r}): fetch it again."
        ) from error
    if np.isnan(fixed).any():
        raise DataFormatError(
            f"`{path}` must have {column} of the stem and the head for {dataset}, but has none."
        )
    return FBNetTable(path, float(np.sum(fixed)), np.array(layers))


def _value(costs: Mapping[str, Any], key: str) -> float:
    """Give a cost, which may be zero (skipping costs nothing), or NaN where there is none."""
    value = costs.get(key, _NO_VALUE)
    if not is_number(value) or not (0 <= value < np.inf or value == _NO_VALUE):
        raise ValueError(f"{key} costs {value!r}")
    return np.nan if value == _NO_VALUE else float(value)


def _fixed_keys(setting: Setting, side: int, classes: int) -> list[str]:
    end = side // (setting.stem_stride * int(np.prod(setting.strides)))
    width, last = setting.header_channels, POSITIONS[-1].c_out
    return [
        f"ConvNorm_H{side}_W{side}_Cin3_Cout{STEM_CHANNELS}_kernel3_stride{setting.stem_stride}"
        f"_group1",
        f"ConvNorm_H{end}_W{end}_Cin{last}_Cout{width}_kernel1_stride1_group1",
        f"AvgP_H{end}_W{end}_Cin{width}_Cout{width}_kernel{end}_stride1",
        f"FC_Cin{width}_Cout{classes}",
    ]


def _layer_keys(setting: Setting, side: int) -> list[list[str]]:
    """Give the `(22, 9)` keys of all operations in all layers."""
    rows = []
    side //= setting.stem_stride
    for position in POSITIONS:
        stride = setting.strides[position.stage] if position.first else 1
        size = f"H{side}_W{side}_Cin{position.c_in}_Cout{position.c_out}"
        rows.append([_key(operation, size, stride) for operation in OPERATIONS])
        side //= stride
    return rows


def _key(operation: str, size: str, stride: int) -> str:
    if operation == SKIP:
        return f"Skip_{size}_stride{stride}"
    kernel, expansion, *groups = re.findall(r"\d", operation)
    group = groups[0] if groups else "1"
    return f"ConvBlock_{size}_exp{expansion}_kernel{kernel}_stride{stride}_group{group}"
