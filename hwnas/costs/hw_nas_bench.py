"""HW-NAS-Bench v1.0: costs of NAS-Bench-201 and FBNet on six devices, from its published tables.

Li et al., HW-NAS-Bench: Hardware-Aware Neural Architecture Search Benchmark, ICLR 2021. One
image an inference. Edge GPU is an NVIDIA Jetson TX2; Eyeriss and FPGA are estimated by models.
Cells of NAS-Bench-201 are looked up exactly, since dead operations were measured too; the cost of
an FBNet network is a sum over its layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hwnas.costs.published import PublishedCost, provenance_of
from hwnas.costs.source import CostOption, CostRequest
from hwnas.data.hw_nas_bench import read_table, table_file
from hwnas.data.hw_nas_bench_fbnet import read_fbnet_table
from hwnas.data.nasbench201 import DATASETS
from hwnas.errors import DataNotFoundError, InvalidValueError, unknown_name
from hwnas.spaces.fbnet import FBNet, FBNetArch
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.tasks.catalogue import get_task
from hwnas.typing import DeviceKey, Direction, FloatArray

_SOURCE = "HW-NAS-Bench v1.0 (Li et al., ICLR 2021)"
OPTIONS = (
    CostOption("edgegpu", "latency", "ms", "minimize"),
    CostOption("edgegpu", "energy", "mJ", "minimize"),
    CostOption("raspi4", "latency", "ms", "minimize"),
    CostOption("edgetpu", "latency", "ms", "minimize"),
    CostOption("pixel3", "latency", "ms", "minimize"),
    CostOption("eyeriss", "latency", "ms", "minimize"),
    CostOption("eyeriss", "energy", "mJ", "minimize"),
    # The publication gives no unit; operations a byte moved is the term's usual meaning.
    CostOption("eyeriss", "arithmetic_intensity", "ops/byte", "maximize"),
    CostOption("fpga", "latency", "ms", "minimize"),
    CostOption("fpga", "energy", "mJ", "minimize"),
)


def metrics_of(device: str) -> tuple[str, ...]:
    """List the metrics of a device; `UnknownNameError` if there is no such device."""
    metrics = tuple(option.metric for option in OPTIONS if option.device == device)
    if not metrics:
        raise unknown_name("device", device, {option.device for option in OPTIONS})
    return metrics


def _option(device: str, metric: str) -> CostOption:
    for option in OPTIONS:
        if (option.device, option.metric) == (device, metric):
            return option
    raise unknown_name(f"metric of {device}", metric, metrics_of(device))


def _device_key(device: str) -> DeviceKey:
    return DeviceKey(device, runtime="HW-NAS-Bench v1.0", precision="as published")


class HwNasBench:
    """One metric on one device for every NAS-Bench-201 cell.

    Args:
        dataset: ``cifar10``, ``cifar100`` or ``ImageNet16-120``.
        device: ``edgegpu``, ``raspi4``, ``edgetpu``, ``pixel3``, ``eyeriss`` or ``fpga``.
        metric: ``latency`` (ms), ``energy`` (mJ) or ``arithmetic_intensity`` (operations a byte,
            to be maximised); `metrics_of` lists those of a device.
        folder: data folder; None for the default one. The table of the data set is preferred
            to the official pickle.
        file: a table or the official pickle itself, instead of a file of the data folder.

    Raises:
        UnknownNameError: no such data set, device or metric; suggests the closest name.
        DataNotFoundError: neither the table nor the pickle is there.
        DataFormatError: the file is damaged or is something else.
    """

    def __init__(
        self,
        dataset: str = "cifar10",
        device: str = "edgegpu",
        metric: str = "energy",
        folder: Path | None = None,
        file: Path | None = None,
    ) -> None:
        """Read the file, once a process."""
        self._option = _option(device, metric)
        if get_task(dataset).name not in DATASETS:
            raise unknown_name("dataset of NAS-Bench-201", dataset, DATASETS)
        self.dataset = dataset
        path = table_file(dataset, folder, file)
        self.provenance = provenance_of(_SOURCE, path)
        """Source, file and SHA-256 of the file that the values come from."""
        self._table = read_table(dataset, file=path)

    @property
    def metric(self) -> str:
        """What is counted."""
        return self._option.metric

    @property
    def unit(self) -> str:
        """Unit of the values."""
        return self._option.unit

    @property
    def direction(self) -> Direction:
        """Which values are better."""
        return self._option.direction

    @property
    def device(self) -> DeviceKey:
        """The published device, whose software and number format differ by device."""
        return _device_key(self._option.device)

    def predict(self, archs: Sequence[Cell]) -> FloatArray:
        """Look the exact cells up.

        Args:
            archs: `(n,)` cells.

        Returns:
            `(n,)` costs in `unit`; NaN where the publication has no value (4,699 cells on the
            Edge TPU).

        Raises:
            DataNotFoundError: the file does not hold a cell; names it.
        """
        absent = [arch for arch in archs if arch not in self._table.rows]
        if absent:
            raise DataNotFoundError(
                f"`arch` must be in {self.provenance['file']}, but {absent[0]} is not: check the "
                f"file with `hwnas data verify hw-nas-bench`."
            )
        return self._table.values(f"{self._option.device}_{self._option.metric}", archs)

    def __repr__(self) -> str:
        """State every setting, and the file by its checksum."""
        return (
            f"HwNasBench(dataset={self.dataset!r}, device={self._option.device!r}, "
            f"metric={self.metric!r}, sha256={self.provenance['sha256']!r})"
        )

    def __eq__(self, other: object) -> bool:
        """Compare settings and the file's content."""
        return isinstance(other, HwNasBench) and repr(self) == repr(other)

    def __hash__(self) -> int:
        """Hash settings and the file's content."""
        return hash(repr(self))


def fbnet_cost(
    dataset: str, device: str, metric: str, folder: Path | None = None
) -> PublishedCost[FBNetArch]:
    """Make the sum over layers of FBNet networks.

    Args:
        dataset: ``cifar100`` or ``ImageNet``.
        device: ``edgegpu``, ``raspi4``, ``pixel3``, ``eyeriss`` or ``fpga``.
        metric: ``latency`` (ms) or ``energy`` (mJ).
        folder: data folder; None for the default one. The official file has everything; without
            it there are latencies for CIFAR-100 on all devices but the Edge GPU, from HELP's files.

    Raises:
        UnknownNameError: no such device or metric.
        InvalidValueError: the publication has no such values.
        DataNotFoundError: the files are absent.
        DataFormatError: a file is damaged or is something else.
    """
    option = _option(device, metric)
    table = read_fbnet_table(dataset, device, metric, folder)
    provenance = provenance_of(_SOURCE, table.path)
    return PublishedCost(
        metric, option.unit, _device_key(device), dataset, provenance, table.values
    )


class HwNasBenchSource:
    """The costs ``hw-nas-bench:DEVICE:METRIC``."""

    def options(self) -> Sequence[CostOption]:
        """List the ten (device, metric) pairs."""
        return OPTIONS

    def make(self, request: CostRequest) -> HwNasBench | PublishedCost[FBNetArch]:
        """Make the look-up.

        Raises:
            InvalidValueError: the space is neither NAS-Bench-201 as published (C = 16, N = 5) nor
                FBNet, or the publication has no such values of it.
        """
        device = request.device or OPTIONS[0].device
        metric = request.metric or metrics_of(device)[0]
        if request.space == FBNet():
            return fbnet_cost(request.task.name, device, metric, request.data_folder)
        if request.space != NasBench201():
            raise InvalidValueError(
                f"`space` must be fbnet, or nasbench201 with C = 16 and N = 5, for hw-nas-bench, "
                f"which holds no other networks, but got {request.space!r}: choose another cost "
                f"source."
            )
        return HwNasBench(request.task.name, device, metric, request.data_folder)
