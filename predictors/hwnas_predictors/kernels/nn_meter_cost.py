"""nn-Meter's own predictors as a cost model, through its own interface.

nn-Meter finds the kernels by its rules for the device, and sums up. Two of its habits to know: all
convolutions that are not depthwise share one predictor, and a kernel without a predictor would
count as 0 ms, which is an error here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic

import numpy as np

from hwnas.errors import InvalidValueError, MissingDependencyError, unknown_name
from hwnas.evaluation.sources import Effort
from hwnas.typing import Arch, DeviceKey, Direction, FloatArray
from hwnas_predictors.kernels.nn_meter_files import RULES, Forest, read_predictors
from hwnas_predictors.kernels.predictor import Family


class _Complete(dict[str, Forest]):
    """Predictors that say so where one is missing, instead of leaving its kernel out."""

    def __contains__(self, kernel: object) -> bool:
        if not super().__contains__(kernel):
            raise InvalidValueError(
                f"`network` must consist of kernels that the device has predictors of "
                f"({', '.join(sorted(self))}), but got {kernel!r}."
            )
        return True


@dataclass(frozen=True)
class NnMeterCost(Generic[Arch]):
    """Latency that nn-Meter predicts for one of its devices.

    Attributes:
        name: nn-Meter's name of the device and runtime, e.g. ``cortexA76cpu_tflite21``.
        family: networks that `predict` is about.
        folder: folder of predictors; None for nn-Meter's cache.

    Raises:
        MissingDependencyError: nn-meter is not installed.
        UnknownNameError: it has no such device.
        DataNotFoundError: the device's files are absent; says where to get them.
    """

    name: str
    family: Family[Arch]
    folder: Path | None = None
    _predictor: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Read the files."""
        try:
            from nn_meter.predictor.nn_meter_predictor import (
                list_latency_predictors,
                nnMeterPredictor,
            )
            from nn_meter.utils import get_user_data_folder
        except Exception as error:  # it checks its requirements by pkg_resources
            raise MissingDependencyError(
                f"`nn-meter` must be installed to use its predictors, but importing it failed "
                f"({error}): pip install 'hwnas[nn-meter]'."
            ) from error
        known = {entry["name"]: entry["kernel_predictors"] for entry in list_latency_predictors()}
        if self.name not in known:
            raise unknown_name("device of nn-meter", self.name, known)
        folder = self.folder or Path(get_user_data_folder()) / "predictor"
        forests = read_predictors(folder / self.name, known[self.name])
        predictor = nnMeterPredictor(_Complete(forests), str(folder / self.name / RULES))
        object.__setattr__(self, "_predictor", predictor)

    metric: ClassVar[str] = "latency"
    unit: ClassVar[str] = "ms"
    direction: ClassVar[Direction] = "minimize"
    effort: ClassVar[Effort] = Effort.SCORE  # each network is built and exported

    @property
    def device(self) -> DeviceKey:
        """nn-Meter's device and runtime, for one image."""
        device, _, runtime = self.name.partition("_")
        return DeviceKey(device, runtime)

    def predict(self, archs: Sequence[Arch]) -> FloatArray:
        """Give `(n,)` latencies in ms.

        Raises:
            InvalidValueError: a network has a kernel without a predictor.
        """
        networks = (self.family.network(arch) for arch in archs)
        values = [float(self._predictor.predict(network, "onnx")) for network in networks]
        return np.array(values, dtype=np.float64)
