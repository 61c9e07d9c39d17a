"""Where a result comes from: versions, host and time, as values that JSON can hold."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

_PACKAGES = ("hwnas", "torch", "onnx", "onnxruntime", "optuna", "numpy", "scipy", "moocore")


def describe_environment() -> dict[str, Any]:
    """Describe this process: `created` (UTC), `versions` and `host`; nothing names the user."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **_versions()},
        "host": {
            "platform": platform.platform(),
            "processor": _processor(),
            "logical_cpus": os.cpu_count(),
        },
    }


def plain(value: Any) -> Any:
    """Turn a value into what a JSON file gives back.

    NaN and infinities become None, NumPy scalars Python numbers, arrays and tuples lists; what
    JSON does not know, such as a path or a `DeviceKey`, becomes its text.
    """
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    match value:
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(item) for item in value]
        case float():
            return float(value) if math.isfinite(value) else None
        case None | bool() | int() | str():
            return value
        case _:
            return str(value)


def _versions() -> dict[str, str]:
    """List the installed versions of the packages that can change a number."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    """Name the processor: Linux only tells it in a file."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.is_file() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())
