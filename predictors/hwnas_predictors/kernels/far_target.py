"""What a kernel predictor of another machine is about, which is reached by ssh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
import onnx

from hwnas.bundles.machines import Machine, fingerprint
from hwnas.bundles.writing import write_models
from hwnas.errors import InvalidValueError
from hwnas.measure.reference import Nominal, nominal
from hwnas.typing import DeviceKey, FloatArray
from hwnas_predictors.kernels.kernel import Kernel
from hwnas_predictors.kernels.plain_graph import find_plain_kernels
from hwnas_predictors.kernels.target import Target

_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class FarTarget:
    """What runs the kernels on another machine: the runner of a bundle, see `hwnas.bundles`.

    Each kernel is a model by itself, whatever the runtime.

    Attributes:
        machine: where, and how: runtime, precision and threads; one image at a time.

    Raises:
        InvalidValueError: more than one image a run is asked for.
    """

    machine: Machine

    profiled: ClassVar[bool] = False
    batchless: ClassVar[bool] = False
    identity: ClassVar[str] = ""

    def __post_init__(self) -> None:
        """Refuse other batches, which kernels are not read for."""
        if self.machine.settings.batch != 1:
            raise InvalidValueError(
                f"`batch` of {self.machine.name} must be 1 for a kernel predictor, but is "
                f"{self.machine.settings.batch}."
            )

    def __repr__(self) -> str:
        """State every setting; how the machine is reached is none."""
        return f"FarTarget({self.machine.name!r}, {self.machine.settings})"

    @property
    def precision(self) -> str:
        """Number format."""
        return self.machine.settings.precision

    @property
    def resource(self) -> str:
        """What two measurements cannot share."""
        return self.machine.resource

    @property
    def fingerprint(self) -> str:
        """Hardware and software that the latencies belong to."""
        return fingerprint(self._hardware)

    def key(self) -> DeviceKey:
        """Name what the latencies belong to."""
        return self.machine.key(self._hardware)

    def kernels(self, model: onnx.ModelProto | bytes) -> list[Kernel]:
        """List the kernels of a network, see `find_plain_kernels`."""
        return find_plain_kernels(model)

    def together_ms(
        self, models: Sequence[onnx.ModelProto], precision: str, seconds: float
    ) -> FloatArray:
        """Measure parts of networks there, in one bundle.

        Args:
            models: `(n,)` the parts.
            precision: number format.
            seconds: time for each.

        Returns:
            `(n,)` latencies in ms: ratios to the reference network, times what that took when this
            machine measured with these settings for the first time, see `nominal`.

        Raises:
            LostError: the machine cannot be reached.
            HwnasError: the runtime cannot run one of them.
        """
        return self._measured(models, precision, seconds, part=True)

    def network_ms(self, model: onnx.ModelProto, seconds: float) -> float:
        """Measure a network; latency and errors as of `together_ms`."""
        return float(self._measured([model], self.precision, seconds, part=False)[0])

    def insist_that_it_runs(self, model: onnx.ModelProto) -> None:
        """Measure a network for a moment; errors as of `together_ms`."""
        self.network_ms(model, _LOOK_SECONDS)

    def _measured(
        self, models: Sequence[onnx.ModelProto], precision: str, seconds: float, *, part: bool
    ) -> FloatArray:
        settings = replace(self.machine.settings, precision=precision, seconds=seconds)
        write = partial(write_models, models=models, settings=settings, part=part)
        there = replace(self.machine, settings=settings)
        rows = there.run(write, {**self._hardware, "precision": precision})
        for row in rows:
            if row.reason:
                raise InvalidValueError(f"`model` must run on {self.machine.name}: {row.reason}.")
        first = float(np.median([row.reference_ms for row in rows]))
        key, host = f"{there.key(self._hardware)} bundle", self.fingerprint
        usual = nominal(key, "wall", host, lambda: Nominal(first, first / 1e3))
        return usual.value * np.array([row.ratio for row in rows])

    @cached_property
    def _hardware(self) -> dict[str, Any]:
        return self.machine.far.device(self.machine.settings)


AnyTarget = Target | FarTarget
