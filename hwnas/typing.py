"""The roles that hwnas is made of, and nothing else.

How known things are spelled in these terms:

- NAS-Bench-201 is an `EnumerableSpace` whose architecture is a cell; `str(cell)` is the official
  architecture string, `canonical_key` is equal for cells that compute the same function.
- synflow is a `Proxy` whose `needs` hold one request, the response of the linearised network.
- The Edge-GPU energy of HW-NAS-Bench, the number of parameters and the latency measured with
  ONNX Runtime on this host are all `CostModel`; a GCN latency predictor is a `Predictor`.
- "latency <= 5 ms" is a `Constraint` on an `Objective`.
- Regularised evolution is a `Strategy`; Optuna samplers and the NNI strategy adapt it.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import nn

    from hwnas.tasks.task import Task

Direction = Literal["minimize", "maximize"]
InShape = tuple[int, int, int]
"""Shape of one input image, `(C, H, W)`."""
FloatArray = npt.NDArray[np.float64]

Choice = str | int | float | bool
"""What a parameter can be: a JSON value without parts."""

DeadOperations = Literal["executed", "pruned"]
"""What a runtime does with operations that have no effect on the output."""

Arch = TypeVar("Arch", bound=Hashable)
Arch_contra = TypeVar("Arch_contra", bound=Hashable, contravariant=True)
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class DeviceKey:
    """What a hardware cost belongs to: costs of different keys must not be compared.

    Attributes:
        device: name of the device, e.g. ``edgegpu`` or ``cpu``.
        runtime: software that ran the network, e.g. ``onnxruntime-1.32.0`` or ``tensorrt``.
        precision: number format, e.g. ``float32``.
        batch: images a run.
        threads: CPU threads, or None where that is unknown or meaningless.
        dead_operations: whether operations without an effect on the output were run, or None
            where that is unknown or meaningless.
    """

    device: str
    runtime: str = "unknown"
    precision: str = "float32"
    batch: int = 1
    threads: int | None = None
    dead_operations: DeadOperations | None = field(default=None, metadata={"later": True})

    def __repr__(self) -> str:
        """Leave out what an earlier version did not know, so that texts of before are found."""
        names = ("device", "runtime", "precision", "batch", "threads")
        parts = [f"{name}={getattr(self, name)!r}" for name in names]
        if self.dead_operations is not None:
            parts.append(f"dead_operations={self.dead_operations!r}")
        return f"DeviceKey({', '.join(parts)})"

    def __str__(self) -> str:
        threads = "" if self.threads is None else f"/t{self.threads}"
        dead = "" if self.dead_operations is None else f"/{self.dead_operations}"
        return f"{self.device}/{self.runtime}/{self.precision}/b{self.batch}{threads}{dead}"


class SearchSpace(Protocol[Arch]):
    """A set of architectures that can be sampled, described, built and compared.

    A parameter may exist for some architectures only. A space that can say so has a method `make`
    that asks for what exists, and follows from `hwnas.spaces.choices.Declared`; of others hosts ask
    for all parameters.

    `repr(space)` states every setting, so that it can stand in a cache key. `str(arch)` is the
    text of an architecture and `parse` reads it. What only some spaces can do, such as giving
    computation graphs, is a facet: see `hwnas.spaces.facets`.
    """

    @property
    def name(self) -> str:
        """Name in the table of spaces."""

    @property
    def parameters(self) -> Mapping[str, tuple[Choice, ...]]:
        """Choices of each parameter that can exist, by its name, in a fixed order."""

    def parse(self, text: str) -> Arch:
        """Read an architecture from its text; `InvalidArchitectureError` if it is not one."""

    def decode(self, parameters: Mapping[str, Any]) -> Arch:
        """Make the architecture that the parameters describe, given as values or as texts."""

    def encode(self, arch: Arch) -> Mapping[str, Choice]:
        """Give the parameters that exist for an architecture: `decode(encode(a)) == a`."""

    def is_valid(self, arch: Arch) -> bool:
        """Tell whether the output of the network depends on its input."""

    def canonical_key(self, arch: Arch) -> str:
        """Give a text that is equal exactly for architectures with the same computation graph."""

    def representative(self, arch: Arch) -> Arch:
        """Give the one member of the architecture's class that is scored, built and proposed."""

    def neighbours(self, arch: Arch) -> Sequence[Arch]:
        """List the architectures at edit distance one, without `arch` itself."""

    def sample(self, rng: np.random.Generator) -> Arch:
        """Draw an architecture, uniformly over the parameters if the space says nothing else."""

    @property
    def default_task(self) -> Task:
        """What `build` builds networks for unless it is told."""

    def build(self, arch: Arch, task: Task | None = None) -> nn.Module:
        """Build the network for a task; `InvalidValueError` if the space has none for it."""


class EnumerableSpace(SearchSpace[Arch], Protocol[Arch]):
    """A search space whose architectures can be listed."""

    def __len__(self) -> int:
        """Count the architectures, equal ones under other names included."""

    def __iter__(self) -> Iterator[Arch]:
        """Iterate over all architectures in a fixed order."""


@dataclass(frozen=True)
class Surrogate:
    """A smaller network of an architecture's cells, which stands for its full one.

    Attributes:
        channels: channels of the first module (h of NASGraph(h, c, m), C of TE-NAS).
        cells: cells a module (c, N).
        modules: modules, with a reduction between two of them (m).
        stem: whether the cells begin after a stem; without one they get the image.
        in_shape: (C, H, W) of an image, or None for that of the full network.
        zeros: whether operations that give zeros are there, as `hwnas.networks.zeros.Zeros`.
    """

    channels: int
    cells: int
    modules: int = 3
    stem: bool = True
    in_shape: InShape | None = None
    zeros: bool = field(default=False, metadata={"later": True})

    def __repr__(self) -> str:
        """Leave out what an earlier version did not know, so that texts of before are found."""
        names = ("channels", "cells", "modules", "stem", "in_shape")
        parts = [f"{name}={getattr(self, name)!r}" for name in names]
        return f"Surrogate({', '.join([*parts, *(['zeros=True'] if self.zeros else [])])})"

    def __str__(self) -> str:
        image = "" if self.in_shape is None else "-" + "x".join(map(str, self.in_shape))
        stem = ("" if self.stem else "-nostem") + ("-zeros" if self.zeros else "")
        return f"h{self.channels}-c{self.cells}-m{self.modules}{stem}{image}"


@dataclass(frozen=True)
class Signal(Generic[T_co]):
    """Something that a proxy asks the engine for, e.g. the gradient of a loss.

    A subclass is a frozen dataclass whose fields are the request's settings: equal requests of
    several proxies are computed once. `T_co` is the type of the answer.
    """


class Signals(Protocol):
    """The engine's answers to the requests of a set of proxies, for one network."""

    def __getitem__(self, signal: Signal[T]) -> T:
        """Give the answer to one request."""


@runtime_checkable
class Proxy(Protocol):
    """A zero-cost proxy: a number from at most a few passes through an untrained network.

    One that sees a number of Gaussian images of its own, whatever the batch, says so by an
    attribute `own_images`, 0 if it sees none; `version` changes when its values do. Beginnings of
    errors by which it failed once and no longer does are its attribute `mended`: what a cache holds
    of them is computed anew.
    """

    @property
    def name(self) -> str:
        """Name in the table of proxies, with a variant's name after a dot."""

    @property
    def direction(self) -> Direction:
        """Which values promise higher accuracy: `maximize` for larger ones."""

    @property
    def needs(self) -> frozenset[Signal[object]]:
        """What the engine must compute before `score` is called."""

    def score(self, signals: Signals) -> float:
        """Compute the score; NaN where the formula has no value for this network."""


class CostModel(Protocol[Arch_contra]):
    """What an architecture costs on a device: table, counter, measurement or prediction."""

    @property
    def metric(self) -> str:
        """What is counted, e.g. ``latency``, ``energy``, ``params``."""

    @property
    def unit(self) -> str:
        """Unit of the values, e.g. ``ms``, ``mJ``, ``bytes``; empty for a plain number."""

    @property
    def direction(self) -> Direction:
        """Which values are better."""

    @property
    def device(self) -> DeviceKey:
        """Device and runtime that the values belong to."""

    def predict(self, archs: Sequence[Arch_contra]) -> FloatArray:
        """Give `(n,)` costs in `unit`; NaN where there is no value."""


class UncertainCostModel(CostModel[Arch_contra], Protocol[Arch_contra]):
    """A cost model that knows how sure it is."""

    def predict_std(self, archs: Sequence[Arch_contra]) -> FloatArray:
        """Give `(n,)` standard deviations in `unit`."""


class Predictor(CostModel[Arch], Protocol[Arch]):
    """A cost model that is learned from measured architectures."""

    def fit(self, archs: Sequence[Arch], costs: npt.ArrayLike) -> Predictor[Arch]:
        """Learn from `(n,)` costs in `unit` and return the predictor itself."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights, settings, unit and device key to a file that loads without pickle."""

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Predictor[Arch]:
        """Read a file written by `save`; `DataFormatError` if it is not one."""


class Objective(Protocol[Arch_contra]):
    """A number to optimise; several objectives may share the work behind them."""

    @property
    def name(self) -> str:
        """Name with its unit, e.g. ``edgegpu_energy_mj``."""

    @property
    def unit(self) -> str:
        """Unit of the value; empty for a plain number."""

    @property
    def direction(self) -> Direction:
        """Which values are better."""

    def __call__(self, arch: Arch_contra) -> float:
        """Evaluate one architecture; NaN where there is no value."""


@dataclass(frozen=True)
class Constraint(Generic[Arch]):
    """A bound on an objective that every member of the front must keep.

    Attributes:
        objective: the bounded quantity.
        relation: ``<=`` or ``>=``.
        bound: limit in the objective's unit.
    """

    objective: Objective[Arch]
    relation: Literal["<=", ">="]
    bound: float

    def violation(self, value: float) -> float:
        """Give how far `value` is out of bounds, in its unit: feasible where <= 0.

        A missing value (NaN) is infeasible: its violation is infinite.
        """
        if np.isnan(value):
            return float("inf")
        return value - self.bound if self.relation == "<=" else self.bound - value

    def __str__(self) -> str:
        unit = f" {self.objective.unit}" if self.objective.unit else ""
        return f"{self.objective.name} {self.relation} {self.bound:g}{unit}"


class Strategy(Protocol[Arch]):
    """A search algorithm that knows no host: Optuna, NNI and `hwnas.study.search` adapt it."""

    def ask(self, n: int) -> list[Arch]:
        """Propose up to `n` architectures; an empty list once the space is exhausted."""

    def tell(self, archs: Sequence[Arch], values: npt.ArrayLike) -> None:
        """Report `(n, m)` objective values; a row of NaN stands for a failed evaluation."""

    def state(self) -> dict[str, Any]:
        """Give everything that `restore` needs, as JSON-serialisable values."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue exactly where `state` was taken."""
