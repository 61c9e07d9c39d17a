"""Published inference speed of timm's models: images a second on two GPUs and two CPUs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hwnas.data.catalogue import require
from hwnas.data.checks import damaged, numbers, read_whole_csv
from hwnas.typing import DeviceKey

_NAME = "timm"
MIXED = "mixed"
"""Precision of PyTorch's autocast: the tables do not say which of its formats it took."""
_FILES: Mapping[str, tuple[str, DeviceKey]] = {
    "i9_10940x": ("fp32-nchw-pt240-cpu-i9_10940x-dynamo", DeviceKey("i9_10940x", "torch-2.4.0")),
    "i7_12700h": ("fp32-nchw-pt240-cpu-i7_12700h-dynamo", DeviceKey("i7_12700h", "torch-2.4.0")),
    "rtx3090": ("amp-nchw-pt240-cu124-rtx3090", DeviceKey("rtx3090", "torch-2.4.0", MIXED)),
    "rtx4090": ("amp-nchw-pt240-cu124-rtx4090", DeviceKey("rtx4090", "torch-2.4.0", MIXED)),
}
DEVICES = tuple(_FILES)
CPUS = DEVICES[:2]
"""Devices that ran one image at a time; the others ran as many as fit, up to 1,024."""


@dataclass(frozen=True)
class Speed:
    """How fast a model ran.

    Attributes:
        images_per_second: over whole batches.
        batch: images in a batch.
    """

    images_per_second: float
    batch: int


def speed_file(device: str) -> str:
    """Give the file of a device below the data folder."""
    return f"timm/benchmark-infer-{_FILES[device][0]}.csv"


def speed_device(device: str, batches: Collection[int]) -> DeviceKey:
    """Say what ran: PyTorch 2.4, compiled and in float32 on CPUs, in mixed precision on GPUs.

    Args:
        device: one of `DEVICES`.
        batches: sizes of the batches that ran, one or more. A key has one: where they differ it is
            the largest, and the runtime's options say from where to where they go.
    """
    key, least, most = _FILES[device][1], min(batches), max(batches)
    runtime = key.runtime if least == most else f"{key.runtime}[batch={least}-{most}]"
    return replace(key, runtime=runtime, batch=most)


def speeds(device: str, size: int, folder: Path | None = None) -> dict[str, Speed]:
    """Read the speed of the models at a size of images, by their names.

    Args:
        device: one of `DEVICES`.
        size: side of the images in pixels.
        folder: data folder; None for the default one.

    Raises:
        DataNotFoundError: the file is absent.
        DataFormatError: the file is not the published table.
    """
    path = require(speed_file(device), folder)
    column, whole = "infer_samples_per_sec", ("infer_img_size", "infer_batch_size")
    columns = read_whole_csv(path, _NAME, ("model", column, *whole))
    try:
        rates = [float(text) for text in columns[column]]
        sizes, batches = ([int(text) for text in columns[name]] for name in whole)
    except ValueError as error:
        content = f"numbers in {', '.join((column, *whole))}"
        raise damaged(path, content, str(error), _NAME) from error
    numbers(batches, path, whole[1], _NAME)
    found: dict[str, Speed] = {}
    values = numbers(rates, path, column, _NAME).tolist()
    for model, side, value, batch in zip(columns["model"], sizes, values, batches, strict=True):
        speed = Speed(value, batch)
        if side == size and found.setdefault(model, speed) != speed:
            raise damaged(path, "each model once a size", f"{model} at {size} twice", _NAME)
    return found
