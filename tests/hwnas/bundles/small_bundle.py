"""A bundle of two tiny networks, and results of it that need no device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hwnas.bundles.manifest import Manifest, read_manifest
from hwnas.bundles.runner import RESULTS
from hwnas.bundles.settings import BundleSettings
from hwnas.bundles.writing import write_bundle
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.spaces.networks import Networks
from hwnas.tasks.catalogue import get_task

SPACE = NasBench201(channels=4, cells=1)
ARCHS = [
    SPACE.parse(text)
    for text in (
        "|nor_conv_1x1~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|",
        "|skip_connect~0|+|none~0|none~1|+|none~0|avg_pool_3x3~1|none~2|",
    )
]
DEVICE = {
    "machine": "aarch64", "model": "Board 5 (rev. 1)", "system": "Linux 6.1",
    "runtime": "onnxruntime", "runtime_version": "1.19.2", "provider": "CPUExecutionProvider",
    "precision": "float32", "batch": 1, "threads": 1, "python": "3.8.18", "numpy": "1.24.4",
}  # fmt: skip


def make_bundle(folder: Path, **settings: Any) -> Manifest:
    write_bundle(
        folder, Networks(SPACE, get_task("cifar10")), ARCHS,
        BundleSettings(**{"seconds": 0.02, **settings}),
    )  # fmt: skip
    return read_manifest(folder)


def result(manifest: Manifest, name: str, /, **changes: Any) -> dict[str, Any]:
    """Give what a runner would write: 1 ms beside 2 ms, six rounds of ten runs."""
    return {
        "schema": "hwnas-result", "version": 1, "bundle": manifest.checksum, "name": name,
        "unit": "ms", "status": "ok", "device": DEVICE, "rounds": [[1.0, 2.0, 10]] * 6, "n": 60,
        "median": 1.0, "min": 0.9, "iqr": 0.1, "p90": None, "p95": None, "p99": None,
        "warm_up_runs": 200, "settled": True, "relative_error": 1e-7, "correlation": 1.0,
        "providers": {"CPUExecutionProvider": 12}, "before": {"mhz": 2400.0, "celsius": 51.5},
        "after": {"mhz": None, "celsius": None}, **changes,
    }  # fmt: skip


def failed(manifest: Manifest, name: str, /, **changes: Any) -> dict[str, Any]:
    known = ("schema", "version", "bundle", "name", "unit", "device")
    full = result(manifest, name)
    return {**{k: full[k] for k in known}, "status": "failed", "reason": "no memory", **changes}


def write_results(folder: Path, *lines: dict[str, Any]) -> Path:
    path = folder / RESULTS
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
