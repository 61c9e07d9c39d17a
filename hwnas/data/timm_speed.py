"""Published inference speed of timm's models: images a second on two GPUs and two CPUs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hwnas.data.catalogue import require
from hwnas.data.checks import damaged, numbers, read_whole_csv
from hwnas.typing import DeviceKey

_NAME = "timm"
_FILES: Mapping[str, tuple[str, DeviceKey]] = {
    "i9_10940x": ("fp32-nchw-pt240-cpu-i9_10940x-dynamo", DeviceKey("i9_10940x", "torch-2.4.0")),
    "i7_12700h": ("fp32-nchw-pt240-cpu-i7_12700h-dynamo", DeviceKey("i7_12700h", "torch-2.4.0")),
    "rtx3090": ("amp-nchw-pt240-cu124-rtx3090", DeviceKey("rtx3090", "torch-2.4.0", "float16")),
    "rtx4090": ("amp-nchw-pt240-cu124-rtx4090", DeviceKey("rtx4090", "torch-2.4.0", "float16")),
}
DEVICES = tuple(_FILES)
CPUS = DEVICES[:2]
"""Devices that ran one image at a time; the others ran as many as fit."""


def speed_file(device: str) -> str:
    """Give the file of a device below the data folder."""
    return f"timm/benchmark-infer-{_FILES[device][0]}.csv"


def speed_device(device: str) -> DeviceKey:
    """Say what ran: compiled by PyTorch 2.4, in float32 on CPUs and mixed precision on GPUs."""
    return _FILES[device][1]


def images_per_second(device: str, size: int, folder: Path | None = None) -> dict[str, float]:
    """Read the speed of the models at a size of images, by their names.

    Args:
        device: one of `DEVICES`.
        size: side of the images in pixels.
        folder: data folder; None for the default one.

    Raises:
        DataNotFoundError: the file is absent.
        DataFormatError: the file is not the published table.
    """
    path, column = require(speed_file(device), folder), "infer_samples_per_sec"
    columns = read_whole_csv(path, _NAME, ("model", "infer_img_size", column))
    try:
        speeds = [float(text) for text in columns[column]]
        sizes = [int(text) for text in columns["infer_img_size"]]
    except ValueError as error:
        raise damaged(path, f"numbers in infer_img_size and {column}", str(error), _NAME) from error
    found: dict[str, float] = {}
    values = numbers(speeds, path, column, _NAME).tolist()
    for model, side, value in zip(columns["model"], sizes, values, strict=True):
        if side == size and found.setdefault(model, value) != value:
            raise damaged(path, "each model once a size", f"{model} at {size} twice", _NAME)
    return found
