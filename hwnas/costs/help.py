"""The latencies of HELP (Lee et al., NeurIPS 2021): networks of three spaces on many devices."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hwnas.costs.published import PublishedCost, provenance_of, require_networks
from hwnas.costs.source import CostOption, CostRequest
from hwnas.data import help as data
from hwnas.data.catalogue import require
from hwnas.tables.table import Table


def help_cost(space: str, device: str, folder: Path | None = None) -> PublishedCost[Any]:
    """Make the look-up of one device.

    Cells of NAS-Bench-201 are looked up exactly, since dead operations were measured too; FBNet
    and MobileNetV3 networks, of which 5,000 were measured, by their canonical key.

    Args:
        space: ``nasbench201``, ``fbnet`` or ``mobilenetv3``.
        device: a device of the publication, e.g. ``titan_rtx_256``; latency is that of the batch.
        folder: data folder; None for the default one.

    Raises:
        UnknownNameError: no such space or device.
        DataNotFoundError: a file is absent.
        DataFormatError: a file holds something else.
    """
    path = require(data.help_latency_file(space, device), folder)
    latencies = {"latency_ms": data.help_latencies(space, device, folder)}
    shared = None if space == "nasbench201" else data.help_space(space)
    archs = data.help_archs(space, folder)
    keys = None if shared is None else [shared.canonical_key(arch) for arch in archs]
    return PublishedCost(
        metric="latency",
        unit="ms",
        device=data.help_device_key(device),
        dataset=data.help_dataset(space),
        provenance=provenance_of("HELP (Lee et al., NeurIPS 2021)", path),
        look_up=partial(Table(archs, latencies, keys).values, "latency_ms"),
        space=shared,
        covers=None if shared is None else archs,
    )


class HelpSource:
    """The costs ``help:DEVICE:latency``."""

    def options(self) -> Sequence[CostOption]:
        """List the devices of all three spaces."""
        names = (name for space in data.HELP_SPACES for name in data.help_devices(space))
        return [CostOption(name, "latency", "ms", "minimize") for name in dict.fromkeys(names)]

    def make(self, request: CostRequest) -> PublishedCost[Any]:
        """Make the look-up.

        Raises:
            InvalidValueError: the networks are not those that were measured.
            UnknownNameError: the space was not measured on this device.
        """
        known = {s: (data.help_space(s), data.help_dataset(s)) for s in data.HELP_SPACES}
        require_networks(request, "help", known)
        space = request.space.name
        device = request.device or data.help_devices(space)[0]
        return help_cost(space, device, request.data_folder)
