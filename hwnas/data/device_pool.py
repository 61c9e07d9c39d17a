"""Many devices that ran the same architectures: what transfer between devices learns from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic

import numpy as np

from hwnas.data import brp_nas
from hwnas.data import help as help_data
from hwnas.data.catalogue import require
from hwnas.data.nasbench201 import OfficialIndex
from hwnas.errors import DataFormatError, unknown_name
from hwnas.files.pinned import sha256
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.typing import Arch, DeadOperations, DeviceKey, FloatArray, SearchSpace

_HELP_RAN: Mapping[str, DeadOperations] = {"nasbench201": "executed"}
"""What HELP's devices did with dead operations: latencies of equal networks differ by them."""


@dataclass(frozen=True, eq=False)
class DevicePool(Generic[Arch]):
    """Costs of `n` architectures on `d` devices.

    Attributes:
        space: search space of the architectures.
        archs: `(n,)` architectures, exactly as measured.
        names: `(d,)` names of the devices in the publication.
        devices: `(d,)` keys of the devices.
        costs: `(d, n)` costs in `unit`; NaN where there is no value.
        metric: what is counted.
        unit: unit of the costs.
        fingerprint: SHA-256 over the names and checksums of the files that the costs are from.
        split: devices to learn from, to choose on and to judge on, as published; None if there
            is no published split.
        references: numbers of the architectures that describe a device, as published; empty if
            there are none.
    """

    space: SearchSpace[Arch]
    archs: tuple[Arch, ...]
    names: tuple[str, ...]
    devices: tuple[DeviceKey, ...]
    costs: FloatArray
    metric: str
    unit: str
    fingerprint: str
    split: help_data.DeviceSplit | None = None
    references: tuple[int, ...] = ()

    def cost_of(self, name: str) -> FloatArray:
        """Give the `(n,)` costs on a device; `UnknownNameError` if there is no such device."""
        costs: FloatArray = self.costs[self._row(name)]
        return costs

    def select(self, names: Iterable[str]) -> DevicePool[Arch]:
        """Give the pool of these devices, in this order."""
        rows = [self._row(name) for name in names]
        return replace(
            self,
            names=tuple(self.names[row] for row in rows),
            devices=tuple(self.devices[row] for row in rows),
            costs=self.costs[rows],
        )

    def _row(self, name: str) -> int:
        if name not in self.names:
            raise unknown_name("device", name, self.names)
        return self.names.index(name)


def device_pool(space: str, folder: Path | None = None) -> DevicePool[Any]:
    """Read all devices of HELP for a search space.

    Args:
        space: ``nasbench201``, ``fbnet`` or ``mobilenetv3``.
        folder: data folder; None for the default one.

    Raises:
        UnknownNameError: no such space.
        DataNotFoundError: a file is absent; names the command that fetches it.
        DataFormatError: a file holds something else.
    """
    archs, names = help_data.help_archs(space, folder), help_data.help_devices(space)
    latencies = [help_data.help_latencies(space, name, folder) for name in names]
    for name, values in zip(names, latencies, strict=True):
        if len(values) != len(archs):
            raise DataFormatError(
                f"`{name}` must have {len(archs)} latencies, one an architecture, but got "
                f"{len(values)}: check the file with `hwnas data verify help`."
            )
    return DevicePool(
        space=help_data.help_space(space),
        archs=archs,
        names=names,
        devices=tuple(
            replace(help_data.help_device_key(name), dead_operations=_HELP_RAN.get(space))
            for name in names
        ),
        costs=np.stack(latencies),
        metric="latency",
        unit="ms",
        fingerprint=fingerprint(
            [help_data.help_latency_file(space, name) for name in names], folder
        ),
        split=help_data.SPLITS[space],
        references=help_data.help_references(space, folder),
    )


def brp_nas_pool(folder: Path | None = None) -> DevicePool[Cell]:
    """Read the 14 devices of BRP-NAS, on all cells of NAS-Bench-201 in official order.

    The costs of the 341 cells without a path from input to output are missing on every device,
    those of up to 482 further cells on some.

    Args:
        folder: data folder; None for the default one.

    Raises:
        DataNotFoundError: a file is absent; says how it is fetched.
        DataFormatError: a file holds something else.
    """
    cells, names = tuple(OfficialIndex.load(folder).cells), brp_nas.brp_nas_devices()
    tables = [brp_nas.brp_nas_latencies(name, folder) for name in names]
    return DevicePool(
        space=NasBench201(),
        archs=cells,
        names=names,
        devices=tuple(
            replace(brp_nas.brp_nas_device_key(name), dead_operations="pruned") for name in names
        ),
        costs=np.array([[table.get(cell, np.nan) for cell in cells] for table in tables]),
        metric="latency",
        unit="ms",
        fingerprint=fingerprint([brp_nas.brp_nas_file(name) for name in names], folder),
    )


def cell_pool(folder: Path | None = None) -> DevicePool[Cell]:
    """Read the devices of HELP, which executed dead operations, and of BRP-NAS, which pruned them.

    Args:
        folder: data folder; None for the default one.

    Raises:
        DataNotFoundError: a file is absent; says how it is fetched.
        DataFormatError: a file holds something else.
    """
    one, other = device_pool("nasbench201", folder), brp_nas_pool(folder)
    both = f"{one.fingerprint} {other.fingerprint}"
    return replace(
        one,
        names=one.names + other.names,
        devices=one.devices + other.devices,
        costs=np.concatenate([one.costs, other.costs]),
        fingerprint=hashlib.sha256(both.encode()).hexdigest(),
    )


def fingerprint(files: Sequence[str], folder: Path | None = None) -> str:
    """Give the SHA-256 over the names and checksums of files below the data folder."""
    lines = sorted(f"{file} {sha256(require(file, folder))}" for file in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
