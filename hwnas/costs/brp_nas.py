"""The latencies of BRP-NAS (Dudziak et al., NeurIPS 2020): NAS-Bench-201 cells on 14 devices."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from hwnas.costs.published import PublishedCost, provenance_of, require_networks
from hwnas.costs.source import CostOption, CostRequest
from hwnas.data import brp_nas as data
from hwnas.data.catalogue import require
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.tables.table import Table

DATASET = "cifar10"


def brp_nas_cost(device: str, folder: Path | None = None) -> PublishedCost[Cell]:
    """Make the look-up of one device; cells are looked up exactly.

    Args:
        device: a device as its file is named, e.g. ``mobile-gpu-snapdragon-855-adren0-640-int8``.
        folder: data folder; None for the default one.

    Returns:
        A cost in ms; NaN for the 341 cells without a path from input to output and for those that
        failed on the device.

    Raises:
        UnknownNameError: no such device.
        DataNotFoundError: the file is absent.
        DataFormatError: the file holds something else.
    """
    path = require(data.brp_nas_file(device), folder)
    by_cell = data.brp_nas_latencies(device, folder)
    table = Table(list(by_cell), {"latency_ms": np.array(list(by_cell.values()))})
    return PublishedCost(
        metric="latency",
        unit="ms",
        device=data.brp_nas_device_key(device),
        dataset=DATASET,
        provenance=provenance_of("BRP-NAS (Dudziak et al., NeurIPS 2020)", path),
        look_up=partial(table.values, "latency_ms"),
    )


class BrpNasSource:
    """The costs ``brp-nas:DEVICE:latency``."""

    def options(self) -> Sequence[CostOption]:
        """List the devices."""
        return [CostOption(d, "latency", "ms", "minimize") for d in data.brp_nas_devices()]

    def make(self, request: CostRequest) -> PublishedCost[Cell]:
        """Make the look-up.

        Raises:
            InvalidValueError: the networks are not those of NAS-Bench-201 for CIFAR-10.
        """
        require_networks(request, "brp-nas", {"nasbench201": (NasBench201(), DATASET)})
        device = request.device or data.brp_nas_devices()[0]
        return brp_nas_cost(device, request.data_folder)
