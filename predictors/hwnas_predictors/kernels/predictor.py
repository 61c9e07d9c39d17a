"""The latency of whole networks as the sum over their kernels: a cost model for any CNN."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic

import numpy as np
import numpy.typing as npt
import onnx

from hwnas.errors import DataFormatError, HwnasError, InvalidValueError
from hwnas.evaluation.cache import ResultCache
from hwnas.evaluation.sources import Effort
from hwnas.files.predictor_file import ANY_SPACE, Facts, PredictorFile, read_predictor_file
from hwnas.onnx_export.export import export_onnx
from hwnas.runtimes import make_runtime
from hwnas.runtimes.base import RunSettings
from hwnas.spaces.networks import Networks
from hwnas.tasks.task import Task
from hwnas.typing import Arch, DeviceKey, Direction, FloatArray, SearchSpace
from hwnas_predictors.kernels.calibration import (
    UNCALIBRATED,
    Calibration,
    checked_latencies,
    held_out,
)
from hwnas_predictors.kernels.features import NAMES
from hwnas_predictors.kernels.fused_graph import block_size
from hwnas_predictors.kernels.kernel import Kernel
from hwnas_predictors.kernels.plain_graph import find_plain_kernels
from hwnas_predictors.kernels.regressors import Regressor, from_arrays, to_arrays
from hwnas_predictors.kernels.sampling import predicted_ms
from hwnas_predictors.kernels.target import is_profiled, kernels_for

if TYPE_CHECKING:
    from hwnas_predictors.kernels.build import Build

KIND = "kernels"
_READINGS = {"openvino": 3, "onnxruntime": 2}
"""How kernels are read of a network, by runtime: files say it, since regressors know those of one
way alone."""


@dataclass(frozen=True)
class Family(Generic[Arch]):
    """The networks of a search space for a task, as they are exported.

    Attributes:
        space: search space.
        task: what the networks are built for.
    """

    space: SearchSpace[Arch]
    task: Task

    def network(self, arch: Arch, batch: int = 1) -> onnx.ModelProto:
        """Build and export a network; its weights do not matter for its latency."""
        model = Networks(self.space, self.task).network(arch, seed=0)
        return export_onnx(model, self.task.input, batch=batch)


@dataclass(frozen=True, eq=False)
class KernelPredictor(Generic[Arch]):
    """Latency as the sum over kernels, with the overheads and scales of a `Calibration`.

    Of ONNX Runtime and OpenVINO networks are read as these would execute them on this host, but not
    run; a predictor made elsewhere is refused where that graph differs: another version of the
    runtime, or a CPU with another block of channels. Of other runtimes they are read in one form
    for all, see `plain_graph`, on any host.

    Attributes:
        regressors: fitted regressor of each type of kernel.
        methods: name of each regressor's method.
        device: device and runtime that the kernels were measured on.
        block: channels of a block there.
        calibration: how a network's latency follows from those of its kernels.
        relative_std: standard deviation of a prediction as a share of it, from whole networks,
            each predicted after a calibration by all others; NaN before `calibrate`.
        fingerprint: the host that the kernels were measured on.
        family: networks that `predict` is about; None where it is only about ONNX models.
        plain: whether kernels are read in the form for all runtimes, although this one says what it
            executes: it was on another machine.
    """

    regressors: Mapping[str, Regressor]
    methods: Mapping[str, str]
    device: DeviceKey
    block: int
    calibration: Calibration = UNCALIBRATED
    relative_std: float = float("nan")
    fingerprint: str = ""
    family: Family[Arch] | None = None
    plain: bool = False

    metric: ClassVar[str] = "latency"
    unit: ClassVar[str] = "ms"
    direction: ClassVar[Direction] = "minimize"
    effort: ClassVar[Effort] = Effort.SCORE  # each network is built and exported

    @property
    def space(self) -> SearchSpace[Arch]:
        """Search space of `predict`; `InvalidValueError` if there is none."""
        return self._family.space

    def __repr__(self) -> str:
        return (
            f"KernelPredictor(device={self.device}, calibration={self.calibration}, "
            f"relative_std={self.relative_std!r}, methods={dict(sorted(self.methods.items()))}, "
            f"family={self.family})"
        )

    @property
    def profiled(self) -> bool:
        """Whether its kernels are those that the runtime says it executes."""
        return is_profiled(self._runtime) and not self.plain

    @staticmethod
    def build(
        families: Sequence[tuple[SearchSpace[Any], Task]],
        models: Sequence[onnx.ModelProto] = (),
        *,
        cache: ResultCache | None = None,
        report: Callable[[str, int], None] | None = None,
        **settings: Any,
    ) -> Build:
        """Measure kernels on this host and learn from them: see `build.build_predictor`.

        Args:
            families: search spaces and tasks whose networks tell which kernels occur.
            models: further networks, for one image.
            cache: where measurements are kept: an interrupted build goes on from it.
            report: called with what is done and how much of it.
            settings: fields of `build.BuildSettings`, e.g. ``max_seconds=600``.
        """
        from hwnas_predictors.kernels.build import BuildSettings, build_predictor

        members = [Family(space, task) for space, task in families]
        return build_predictor(members, models, BuildSettings(**settings), cache, report)

    def for_networks(self, space: SearchSpace[Any], task: Task) -> KernelPredictor[Any]:
        """Give the same predictor for the networks of a search space for a task."""
        return replace(self, family=Family(space, task))

    def kernel_ms(self, kernels: Sequence[Kernel]) -> FloatArray:
        """Predict `(n,)` latencies of kernels in ms.

        Raises:
            InvalidValueError: no kernel of some type was measured.
        """
        latencies = np.empty(len(kernels))
        kinds = [kernel.kind for kernel in kernels]
        unknown = sorted(set(kinds) - set(self.regressors))
        if unknown:
            raise InvalidValueError(
                f"`network` must consist of kernels that were measured, but got "
                f"{', '.join(unknown)}: build the predictor with this network among its `--onnx` "
                f"files, or with more time."
            )
        for kind in set(kinds):
            at = [i for i, other in enumerate(kinds) if other == kind]
            latencies[at] = predicted_ms(self.regressors[kind], [kernels[i] for i in at])
        return latencies

    def predict_model(self, model: onnx.ModelProto | bytes) -> float:
        """Predict the latency of an ONNX model in ms.

        Raises:
            InvalidValueError: this host would execute another graph, the batch is another, or
                the model has a kernel of a type that was not measured.
        """
        if self.profiled:
            self.require_this_host()
            kernels = kernels_for(self._runtime, self._settings, model)
        else:
            kernels = find_plain_kernels(model)
        batch = kernels[0].configuration.batch if kernels else self.device.batch
        if batch != self.device.batch:
            raise InvalidValueError(
                f"`batch` must be {self.device.batch}, which the predictor was made for, but got "
                f"a model for {batch} images."
            )
        return self.predict_kernels(kernels)

    def predict_kernels(self, kernels: Sequence[Kernel]) -> float:
        """Predict the latency in ms of a run of kernels; errors as in `kernel_ms`."""
        terms = self._terms(kernels)[None]
        return float(self.calibration.predict(terms, self._kinds)[0])

    @property
    def _kinds(self) -> list[str]:
        return sorted(self.regressors)

    def _terms(self, kernels: Sequence[Kernel]) -> FloatArray:
        """Give the `(4 + k,)` terms that the numbers of a `Calibration` are factors of."""
        seen = [kernel.configuration for kernel in kernels]
        moved = sum(c.in_elements * c.operands + c.out_elements for c in seen)
        latencies, kinds = self.kernel_ms(kernels), np.array([kernel.kind for kernel in kernels])
        own = (latencies[kinds == kind].sum() for kind in self._kinds)
        return np.array([1.0, len(kernels), latencies.sum(), moved / 1e6, *own])

    def predict(self, archs: Sequence[Arch], return_std: bool = False) -> Any:
        """Predict `(n,)` latencies in ms; with `return_std`, their standard deviations as well."""
        family = self._family
        values = np.array(
            [self.predict_model(family.network(arch, self.device.batch)) for arch in archs],
            dtype=np.float64,
        )
        return (values, self.relative_std * values) if return_std else values

    def predict_std(self, archs: Sequence[Arch]) -> FloatArray:
        """Give `(n,)` standard deviations of the predictions in ms."""
        return self.relative_std * np.asarray(self.predict(archs), dtype=np.float64)

    def predict_interval(self, archs: Sequence[Arch], level: float = 0.9) -> FloatArray:
        """Give `(n, 2)` ends in ms of the normal interval that holds a share `level`."""
        from scipy.stats import norm

        if not 0 < level < 1:
            raise InvalidValueError(f"`level` must be between 0 and 1, e.g. 0.9, but got {level}.")
        values, stds = self.predict(archs, return_std=True)
        half = norm.ppf((1 + level) / 2) * stds
        return np.stack([values - half, values + half], axis=1)

    def calibrate(
        self, networks: Sequence[Sequence[Kernel]], measured_ms: FloatArray
    ) -> KernelPredictor[Arch]:
        """Fit overheads, scales and spread to networks whose kernels taught nothing.

        See `Calibration.fit` for what so many networks tell. The spread is that of `held_out_ms`;
        of two networks it is one ratio, and too small more often than not.

        Args:
            networks: `(n,)` the kernels of each network.
            measured_ms: `(n,)` latencies.

        Raises:
            InvalidValueError: there are fewer than two networks, or a latency is not above 0.
        """
        measured = checked_latencies(measured_ms)
        terms, alone = self._all_terms(networks), not self.profiled
        relative = measured / held_out(terms, self._kinds, measured, alone=alone) - 1
        return replace(
            self,
            calibration=Calibration.fit(terms, self._kinds, measured, alone=alone),
            relative_std=float(np.sqrt(np.mean(relative**2))),
        )

    def held_out_ms(
        self, networks: Sequence[Sequence[Kernel]], measured_ms: FloatArray
    ) -> FloatArray:
        """Predict each network after a calibration by all others, `(n,)` in ms.

        Takes what `calibrate` takes.
        """
        measured, terms = checked_latencies(measured_ms), self._all_terms(networks)
        return held_out(terms, self._kinds, measured, alone=not self.profiled)

    def _all_terms(self, networks: Sequence[Sequence[Kernel]]) -> FloatArray:
        return np.array([self._terms(kernels) for kernels in networks])

    def require(self, *, runtime: str | None = None, threads: int | None = None) -> None:
        """Refuse a use that the predictor was not made for; None leaves a fact open.

        Raises:
            InvalidValueError: runtime or threads differ.
        """
        for name, wanted, found in (
            ("runtime", runtime, self.device.runtime),
            ("threads", threads, self.device.threads),
        ):
            if wanted is not None and wanted != found:
                raise InvalidValueError(
                    f"`{name}` must be {found!r}, which the kernels were measured with, but got "
                    f"{wanted!r}: build a predictor for it with `hwnas predict build`."
                )

    def require_this_host(self) -> None:
        """Refuse where the runtime would execute other kernels than those measured.

        Raises:
            InvalidValueError: version of the runtime or block of channels differ.
            MissingDependencyError: the runtime is not installed.
        """
        runtime = make_runtime(self._runtime)
        self.require(runtime=f"{runtime.name}-{runtime.version()}")
        if block_size() != self.block:
            raise InvalidValueError(
                f"`cpu` must compute blocks of {self.block} channels, as {self.fingerprint!r} "
                f"does, but this one has {block_size()}: predict there, or build here."
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a predictor file, which is read without pickle."""
        self.to_file().write(path)

    def to_file(self) -> PredictorFile:
        """Give the content of a predictor file."""
        kinds = sorted(self.regressors)
        arrays: dict[str, npt.NDArray[Any]] = {
            f"{i}.{name}": array
            for i, kind in enumerate(kinds)
            for name, array in to_arrays(self.regressors[kind]).items()
        }
        family = self.family
        space = ANY_SPACE if family is None else repr(family.space)
        settings = {
            "reading": _READINGS.get(_runtime_of(self.device), 1),
            "kinds": [[kind, self.methods[kind]] for kind in kinds],
            "block": self.block,
            **self.calibration.as_settings(),
            "relative_std": None if np.isnan(self.relative_std) else self.relative_std,
            **({"plain": True} if self.plain else {}),
            "dataset": None if family is None else family.task.as_dict(),
        }
        facts = Facts(space, self.metric, self.unit, self.direction, self.device, self.fingerprint)
        return PredictorFile(KIND, facts, settings, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> KernelPredictor[Any]:
        """Read a file that `save` wrote.

        Raises:
            DataNotFoundError: there is no such file.
            DataFormatError: it holds something else.
        """
        return cls.from_file(read_predictor_file(path, KIND))

    @classmethod
    def from_file(cls, file: PredictorFile) -> KernelPredictor[Any]:
        """Make the predictor of a file's content; `DataFormatError` if it is old or not whole."""
        settings = file.settings
        _require_same_reading(file)
        try:
            kinds: list[list[str]] = settings["kinds"]
            regressors = {
                kind: from_arrays(method, _arrays_of(file, i), len(NAMES))
                for i, (kind, method) in enumerate(kinds)
            }
            spread = settings["relative_std"]
            if spread is not None and not (type(spread) in (int, float) and spread >= 0):
                raise ValueError(f"its spread is {spread!r}")
            if type(settings["block"]) is not int:
                raise ValueError(f"its block is {settings['block']!r}")
            return cls(
                regressors=regressors,
                methods={kind: method for kind, method in kinds},
                device=file.facts.device,
                block=settings["block"],
                calibration=Calibration.from_settings(settings),
                relative_std=float("nan") if spread is None else spread,
                fingerprint=file.facts.data,
                family=_family_of(file),
                plain=settings.get("plain") is True,
            )
        except HwnasError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise DataFormatError(
                f"`file` must hold all parts of a kernel predictor, but got {error!r}: it is "
                f"damaged."
            ) from error

    @property
    def _runtime(self) -> str:
        return self.device.runtime.partition("-")[0]

    @property
    def _settings(self) -> RunSettings:
        return RunSettings(threads=self.device.threads or 1, precision=self.device.precision)

    @property
    def _family(self) -> Family[Arch]:
        if self.family is None:
            raise InvalidValueError(
                "`family` must be given to predict architectures, but this predictor is for any "
                "network: use `for_networks`, or `predict_model` for ONNX models."
            )
        return self.family


def _require_same_reading(file: PredictorFile) -> None:
    """Refuse kernels of other types than are read now; those of other devices never changed."""
    device, reading = file.facts.device, file.settings.get("reading", 1)
    if file.settings.get("plain") is True:
        return
    runtime = _runtime_of(device)
    changed = runtime == "openvino" or (runtime, device.precision) == ("onnxruntime", "int8")
    if changed and reading != _READINGS[runtime]:
        raise DataFormatError(
            f"`file` must hold kernels as this version of hwnas reads them, but those of {runtime} "
            f"in {device.precision} were read otherwise when it was built: build it again with "
            f"`hwnas predict build --runtime {runtime} --precision {device.precision}`."
        )


def _runtime_of(device: DeviceKey) -> str:
    """Give the name of a runtime without its version."""
    return device.runtime.partition("-")[0]


def _arrays_of(file: PredictorFile, i: int) -> dict[str, npt.NDArray[Any]]:
    prefix = f"{i}."
    return {k.removeprefix(prefix): v for k, v in file.arrays.items() if k.startswith(prefix)}


def _family_of(file: PredictorFile) -> Family[Any] | None:
    from hwnas.spaces.space_text import read_space

    if file.facts.space == ANY_SPACE:
        return None
    return Family(read_space(file.facts.space), Task.from_dict(file.settings["dataset"]))
