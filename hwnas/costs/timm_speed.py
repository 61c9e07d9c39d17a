"""The inference speed that timm publishes: ``timm:rtx3090:throughput``, ``timm:i9_10940x``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from hwnas.costs.published import PublishedCost, provenance_of
from hwnas.costs.source import CostOption, CostRequest
from hwnas.data import timm_speed as data
from hwnas.data.catalogue import require
from hwnas.errors import InvalidValueError
from hwnas.spaces.resnet import PUBLISHED, ResNet
from hwnas.spaces.timm_space import TimmModels
from hwnas.typing import FloatArray

_SOURCE = "timm's tables of inference speed (Wightman, PyTorch Image Models, 2019)"


class TimmSpeed:
    """The costs ``timm:DEVICE:latency`` of two CPUs and ``timm:DEVICE:throughput``.

    They are known of timm's models and of the published ResNets, at the sizes that were measured.
    """

    def options(self) -> Sequence[CostOption]:
        """List the devices: milliseconds of one image, and images a second."""
        latencies = [CostOption(name, "latency", "ms", "minimize") for name in data.CPUS]
        speeds = [CostOption(name, "throughput", "images/s", "maximize") for name in data.DEVICES]
        return [*latencies, *speeds]

    def make(self, request: CostRequest) -> PublishedCost[Any]:
        """Make the look-up.

        Raises:
            InvalidValueError: other networks are asked for, or none was measured at such images.
            DataNotFoundError: the file is absent.
            DataFormatError: the file is not the published table.
        """
        names, shape = _measured_names(request), request.task.input.shape
        device, metric = request.device or data.DEVICES[0], request.metric or "latency"
        size = shape[1] if len(shape) == 3 and shape[0] == 3 and shape[1] == shape[2] else 0
        speeds = data.speeds(device, size, request.data_folder)
        measured = {arch: speeds[name] for arch, name in names.items() if name in speeds}
        if not measured:
            raise InvalidValueError(
                f"`dataset` must have colour images of a size that timm measured on {device}, "
                f"mostly 224, but got {request.task}: none of the {len(names)} models was measured."
            )
        unit, direction = _UNITS[metric]
        values = {
            arch: 1000 / speed.images_per_second if metric == "latency" else speed.images_per_second
            for arch, speed in measured.items()
        }
        return PublishedCost(
            metric=metric,
            unit=unit,
            device=data.speed_device(device, {speed.batch for speed in measured.values()}),
            dataset=request.task.name,
            provenance=provenance_of(
                _SOURCE, require(data.speed_file(device), request.data_folder)
            ),
            look_up=partial(_look_up, values),
            covers=list(values),
            direction=direction,
        )


_UNITS: Mapping[str, tuple[str, Any]] = {
    "latency": ("ms", "minimize"),
    "throughput": ("images/s", "maximize"),
}


def _measured_names(request: CostRequest) -> Mapping[Any, str]:
    """Give timm's names of the architectures that have one.

    Raises:
        InvalidValueError: the space is another one.
    """
    space = getattr(request.space, "wrapped", request.space)
    if isinstance(space, TimmModels):
        return {name: name for name in space.names}
    if isinstance(space, ResNet):
        return {arch: name for name, arch in PUBLISHED.items()}
    raise InvalidValueError(
        f"`space` must be timm or resnet for the cost timm, which holds no other networks, but got "
        f"{request.space.name}: choose another cost source."
    )


def _look_up(values: Mapping[Any, float], archs: Sequence[Any]) -> FloatArray:
    return np.array([values.get(arch, np.nan) for arch in archs], dtype=np.float64)
