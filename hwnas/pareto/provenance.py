"""Where a result comes from: versions, host and time, as values that JSON can hold."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from hwnas.measure.host import host, package_versions

_PACKAGES = ("hwnas", "torch", "onnx", "onnxruntime", "optuna", "numpy", "scipy", "moocore")


def describe_environment() -> dict[str, Any]:
    """Describe this process: `created` (UTC), `versions` and `host`; nothing names the user."""
    versions = package_versions(_PACKAGES)
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: number for name, number in versions.items() if number},
        "host": {"platform": platform.platform(), **asdict(host())},
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
