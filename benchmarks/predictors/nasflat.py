"""The splits of devices that NASFLAT publishes, by the names that hwnas gives the devices.

Akhauri and Abdelfattah, On Latency Predictors for Neural Architecture Search, MLSys 2024: six
splits of NAS-Bench-201's devices and six of FBNet's into a pool and unseen ones, which are meant to
be unlike the pool.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hwnas.data.device_pool import DevicePool
from hwnas.errors import DataNotFoundError

FILE = "nasflat/device_pools.json"
_SPACES = {"nasbench201": "nb201", "fbnet": "fbnet"}
# What the files of BRP-NAS call them; there is one Jetson.
_OTHER_NAMES = {
    "embedded_tpu_edge_tpu_int8": "embeeded-tpu-edgetpu-int8",
    "embedded_gpu_jetson_nano_fp16": "embedded-gpu-jetson-nono-fp16",
    "embedded_gpu_jetson_nano_fp32": "embedded-gpu-jetson-nono-fp16",
    "mobile_gpu_snapdragon_675_adreno_612_int8": "mobile-gpu-snapdragon-675-adren0-612-int8",
    "mobile_gpu_snapdragon_855_adreno_640_int8": "mobile-gpu-snapdragon-855-adren0-640-int8",
}


def nasflat_splits(pool: DevicePool[Any]) -> Iterator[tuple[list[str], list[str]]]:
    """Give the devices to learn from and those to judge on, split by split.

    Raises:
        DataNotFoundError: the file is absent.
    """
    path = Path(os.environ.get("HWNAS_DATA", ".")) / FILE
    if not path.is_file():
        raise DataNotFoundError(f"`HWNAS_DATA` must name a folder with {FILE}, but {path} is none.")
    content = json.loads(path.read_text(encoding="utf-8"))
    for split in content[_SPACES[pool.space.name]].values():
        train, test = ([_name(pool, device) for device in split[k]] for k in ("train", "test"))
        yield list(dict.fromkeys(train)), test


def _name(pool: DevicePool[Any], name: str) -> str:
    dashed = name.replace("_", "-")
    return next(n for n in (name, _OTHER_NAMES.get(name, dashed), dashed) if n in pool.names)
