"""Reading the latencies of BRP-NAS: NAS-Bench-201 cells on 14 devices.

Dudziak et al., BRP-NAS: Prediction-based NAS using GCNs, NeurIPS 2020; the data set is published
with its tool, Eagle. A file is a dictionary from a cell to seconds. Cells without a path from the
input to the output have no entry, nor have those that failed on a device.
"""

from __future__ import annotations

import re
from pathlib import Path

from hwnas.data.catalogue import published, require
from hwnas.data.checks import damaged, numbers
from hwnas.data.safe_pickle import load_pickle
from hwnas.errors import unknown_name
from hwnas.spaces.nasbench201 import EDGES, Cell
from hwnas.typing import DeviceKey

# Operation numbers of the files; their edges stand in the order of the architecture string.
_OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
_NUMBERS = set(range(len(_OPERATIONS)))
_MS = 1e3
_DATA = "brp-nas"


def brp_nas_devices() -> tuple[str, ...]:
    """List the devices, as the files are named."""
    return tuple(Path(file.path).stem for file in published("brp-nas").files)


def brp_nas_file(device: str) -> str:
    """Give the file of a device below the data folder; `UnknownNameError` if there is none."""
    if device not in (known := brp_nas_devices()):
        raise unknown_name("device", device, known)
    return f"brpnas/{device}.pickle"


def brp_nas_device_key(device: str) -> DeviceKey:
    """Give the key of a device by its name, which ends in the number format where it is known."""
    found = re.search(r"-(fp32|fp16|int8)$", device)
    return DeviceKey(device, runtime="BRP-NAS", precision=found[1] if found else "as published")


def brp_nas_latencies(device: str, folder: Path | None = None) -> dict[Cell, float]:
    """Read the latencies of a device.

    Args:
        device: one of `brp_nas_devices`.
        folder: data folder; None for the default one.

    Returns:
        Latency in ms by exact cell; cells without a value are not in it.

    Raises:
        UnknownNameError: no such device.
        DataNotFoundError: the file is absent.
        DataFormatError: the file is not a dictionary from cells to positive, finite numbers.
    """
    path = require(brp_nas_file(device), folder)
    content = load_pickle(path)
    what = f"a dictionary from tuples of {len(EDGES)} operation numbers to seconds"
    if not isinstance(content, dict):
        raise damaged(path, what, f"a {type(content).__name__}", _DATA)
    for row, key in enumerate(content, start=1):
        if not (isinstance(key, tuple) and len(key) == len(EDGES) and set(key) <= _NUMBERS):
            raise damaged(path, what, f"{key!r} in row {row}", _DATA)
    seconds = numbers(list(content.values()), path, "seconds", _DATA)
    cells = (Cell(tuple(_OPERATIONS[i] for i in key)) for key in content)
    return dict(zip(cells, (_MS * seconds).tolist(), strict=True))
