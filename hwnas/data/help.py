"""Reading the latencies of HELP: three search spaces on 27, 27 and 12 devices.

Lee et al., HELP: Hardware-Adaptive Efficient Latency Prediction for NAS via Meta-Learning,
NeurIPS 2021. Values are ms for a batch, whose size ends the name of a GPU (``titan_rtx_256``);
other devices ran one image.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.data.catalogue import published, require
from hwnas.data.checks import damaged, numbers
from hwnas.data.nasbench201 import OfficialIndex
from hwnas.data.safe_pickle import load_torch
from hwnas.errors import unknown_name
from hwnas.spaces.fbnet import OPERATIONS, FBNet, FBNetArch
from hwnas.spaces.mobilenetv3 import DEPTHS, Layer, MobileNetV3, MobileNetV3Arch
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.typing import DeviceKey, FloatArray, SearchSpace

_DATA = "help"
REFERENCES = 10
"""Architectures whose latencies describe a device."""


@dataclass(frozen=True)
class DeviceSplit:
    """Which devices a predictor learns from, is chosen on, and is judged on.

    Attributes:
        train: meta-training devices.
        validation: meta-validation devices.
        test: devices that are unseen until the end.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


_PHONES_AND_CPUS = (
    "silver_4114", "silver_4210r", "samsung_a50", "pixel3", "essential_ph_1", "samsung_s7"
)  # fmt: skip

SPLITS: Mapping[str, DeviceSplit] = {
    "nasbench201": DeviceSplit(
        ("1080ti_1", "1080ti_32", "1080ti_256", *_PHONES_AND_CPUS),
        ("titanx_1", "titanx_32", "titanx_256", "gold_6240"),
        ("titan_rtx_256", "gold_6226", "fpga", "pixel2", "raspi4", "eyeriss"),
    ),
    "fbnet": DeviceSplit(
        ("1080ti_1", "1080ti_32", "1080ti_64", *_PHONES_AND_CPUS),
        ("titanx_1", "titanx_32", "titanx_64", "gold_6240"),
        ("fpga", "raspi4", "eyeriss"),
    ),
    "mobilenetv3": DeviceSplit(
        tuple(f"{gpu}_{batch}" for gpu in ("2080ti", "titan_xp", "v100") for batch in (1, 32, 64)),
        ("titan_rtx_1", "titan_rtx_32"),
        ("titan_rtx_64",),
    ),
}
"""The splits of the paper's experiments, by search space."""


@dataclass(frozen=True)
class _Part:
    """One search space of the data: folder, networks, data set, reader of architectures."""

    folder: str
    space: SearchSpace[Any]
    dataset: str
    archs: Callable[[Path | None], Sequence[Any]]


def help_space(space: str) -> SearchSpace[Any]:
    """Give the search space whose networks were measured, with the settings they had."""
    return _part(space).space


def help_dataset(space: str) -> str:
    """Give the data set that the measured networks of a search space are for."""
    return _part(space).dataset


def help_devices(space: str) -> tuple[str, ...]:
    """List the devices that a search space was measured on."""
    start, end = f"help/{_part(space).folder}/latency/", ".pt"
    files = (file.path for file in published("help").files)
    return tuple(f[len(start) : -len(end)] for f in files if f.startswith(start))


def help_archs(space: str, folder: Path | None = None) -> tuple[Any, ...]:
    """Read the measured architectures, in the order of the latencies.

    Args:
        space: ``nasbench201`` (all 15,625 cells), ``fbnet`` or ``mobilenetv3`` (5,000 each).
        folder: data folder; None for the default one.

    Raises:
        UnknownNameError: no such space.
        DataNotFoundError: a file is absent.
        DataFormatError: a file holds something else.
    """
    return tuple(_part(space).archs(folder))


def help_references(space: str, folder: Path | None = None) -> tuple[int, ...]:
    """Read which ten architectures describe a device, as numbers of `help_archs`."""
    path = require(f"help/{_part(space).folder}/hardware_embedding_index.pt", folder)
    found = load_torch(path)
    if not isinstance(found, list) or len(found) != REFERENCES or not all(map(_is_index, found)):
        raise damaged(path, f"a list of {REFERENCES} numbers of architectures", repr(found), _DATA)
    return tuple(found)


def help_latency_file(space: str, device: str) -> str:
    """Give the file of a device, as a path below the data folder.

    Raises:
        UnknownNameError: no such space or device.
    """
    if device not in (known := help_devices(space)):
        raise unknown_name("device", device, known)
    return f"help/{_part(space).folder}/latency/{device}.pt"


def help_latencies(space: str, device: str, folder: Path | None = None) -> FloatArray:
    """Read the `(n,)` latencies of a device in ms, in the order of `help_archs`.

    Args:
        space: search space by name.
        device: one of `help_devices`.
        folder: data folder; None for the default one.

    Raises:
        UnknownNameError: no such space or device.
        DataNotFoundError: the file is absent.
        DataFormatError: the file is not a list of positive, finite numbers.
    """
    path = require(help_latency_file(space, device), folder)
    return numbers(load_torch(path), path, "latency_ms", _DATA)


def help_device_key(device: str) -> DeviceKey:
    """Give the key of a device by its name; a GPU's name ends in the batch size."""
    found = re.fullmatch(r".*(?:ti|titan.*|v100)_(\d+)", device)
    batch = int(found[1]) if found else 1
    return DeviceKey(device, runtime="HELP", precision="as published", batch=batch)


def _cells(folder: Path | None) -> Sequence[Any]:
    return OfficialIndex.load(folder).cells


def _fbnet(folder: Path | None) -> Sequence[Any]:
    path = require("help/fbnet/arch.pt", folder)
    return _archs(path, load_torch(path), "a list of lists of 22 operation numbers", _fbnet_arch)


def _fbnet_arch(numbers: Any) -> FBNetArch:
    if not isinstance(numbers, list) or not all(map(_is_index, numbers)):
        raise TypeError
    return FBNetArch(tuple(OPERATIONS[i] for i in numbers))


def _mobilenetv3(folder: Path | None) -> Sequence[Any]:
    path, what = require("help/ofa/ofa_archs.pt", folder), "architectures with ks, e, d and r"
    content = load_torch(path)
    if not isinstance(content, dict):
        raise damaged(path, what, f"a {type(content).__name__}", _DATA)
    return _archs(path, content.get("arch"), what, _ofa_arch)


def _ofa_arch(entry: Any) -> MobileNetV3Arch:
    """Drop the layers beyond each depth, which are listed with choices that mean nothing."""
    kernels, expansions, depths = (entry[name] for name in ("ks", "e", "d"))
    if not all(_is_index(n) for n in (*kernels, *expansions, *depths, int(entry["r"]))):
        raise TypeError
    layers = [Layer(k, e) for k, e in zip(kernels, expansions, strict=True)]
    stages = zip(range(0, len(layers), max(DEPTHS)), depths, strict=True)
    return MobileNetV3Arch(int(entry["r"]), tuple(tuple(layers[s : s + d]) for s, d in stages))


def _archs(
    path: Path, entries: Any, what: str, read: Callable[[Any], Any]
) -> Sequence[FBNetArch] | Sequence[MobileNetV3Arch]:
    """Read each entry of a list; what is no architecture is named by its row."""
    if not isinstance(entries, list):
        raise damaged(path, what, f"a {type(entries).__name__}", _DATA)
    found = []
    for row, entry in enumerate(entries, start=1):
        try:
            found.append(read(entry))
        except (TypeError, ValueError, KeyError, IndexError) as error:
            raise damaged(path, what, f"something else in row {row} ({error})", _DATA) from error
    return found


def _is_index(value: Any) -> bool:
    return type(value) is int and value >= 0


_PARTS: Mapping[str, _Part] = {
    "nasbench201": _Part("nasbench201", NasBench201(), "cifar10", _cells),
    "fbnet": _Part("fbnet", FBNet(), "cifar100", _fbnet),
    "mobilenetv3": _Part("ofa", MobileNetV3(width=1.2), "ImageNet", _mobilenetv3),
}
HELP_SPACES = tuple(_PARTS)


def _part(space: str) -> _Part:
    if space not in _PARTS:
        raise unknown_name("space", space, _PARTS)
    return _PARTS[space]
