"""Where objective values come from: each source gives several values of one architecture.

A source is what the evaluator schedules, caches and sends to worker processes. One pass over a
network serves every proxy, so the proxies of a study are one source; every cost is one.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, runtime_checkable

import numpy as np

from hwnas.errors import HwnasError
from hwnas.files.identity import identity_text
from hwnas.measure.limits import CallError
from hwnas.networks.garbage import without_garbage_collection
from hwnas.proxies.identity import former_score_identity, networks_version, score_identity
from hwnas.runtimes.base import THIS_CPU
from hwnas.spaces.facets import Surrogates, facet
from hwnas.spaces.networks import Networks
from hwnas.tables.result import Result
from hwnas.tasks.task import Task
from hwnas.typing import (
    Arch,
    Arch_contra,
    CostModel,
    Proxy,
    SearchSpace,
    Surrogate,
)

if TYPE_CHECKING:
    from hwnas.tasks.batch import Batch


class Effort(enum.IntEnum):
    """How costly a source is; cheaper ones run first, so that constraints save the rest.

    A cost model that neither measures nor is asked for whole populations, since it builds each
    network, says so by an attribute `effort`.
    """

    LOOKUP = 0
    SCORE = 1
    MEASURE = 2


class ValueSource(Protocol[Arch_contra]):
    """Several named values of one architecture, computed together.

    A source whose columns caches once knew by other texts than `cache_prefix` gives these by a
    method `former_prefixes(column)`, the latest first; one whose kept errors may have been mended
    tells by `is_mended(column, error)`.
    """

    @property
    def label(self) -> str:
        """What is being done, for the progress bar."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the values."""

    @property
    def effort(self) -> Effort:
        """When it runs; a `MEASURE` runs in this process, others in worker processes."""

    @property
    def resource(self) -> str | None:
        """What only one process of this host may use at a time; None if there is nothing."""

    def cache_prefix(self, column: str) -> str | None:
        """Give what identifies a column beside the architecture; None if it is not cached."""

    def precomputed(self, column: str, key: str) -> Result | None:
        """Give a value that ships with the package, by canonical key; None if there is none."""

    def compute(self, arch: Arch_contra, columns: Sequence[str]) -> dict[str, Result]:
        """Compute the named columns; failures are results with a NaN and an error text."""


@runtime_checkable
class MeasuredCost(Protocol):
    """A cost that is measured on a device: `measure` gives the value with its spread.

    One whose device is not this host's CPU says so by an attribute `resource`, e.g. ``gpu0`` or
    ``ssh:board``: measurements on one resource never run together.
    """

    fingerprint: str

    def measure(self, arch: Any) -> Any:
        """Measure one architecture."""


@dataclass(frozen=True)
class ProxyValues(Generic[Arch]):
    """The raw scores of a set of proxies: one network built, the fewest passes, all scores.

    Attributes:
        space: search space; the class representative's network is scored.
        proxies: the proxies.
        task: what the network is built for.
        batch_size: images B of the synthetic batch.
        seed: user seed; the seed of an architecture derives from it and the canonical key.
        batch: images of the user, or None for Gaussian ones.
        fresh: compute also what ships with the package.
        device: where the passes run, see `hwnas.networks.device`. Scores of another device than
            the CPU are cached apart; what ships with the package is taken for every device.
    """

    space: SearchSpace[Arch]
    proxies: tuple[Proxy, ...]
    task: Task
    batch_size: int = 64
    seed: int = 0
    batch: Batch | None = None
    fresh: bool = False
    device: str = "cpu"

    label = "proxy scores"
    effort = Effort.SCORE
    resource = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the proxies."""
        return tuple(proxy.name for proxy in self.proxies)

    def cache_prefix(self, column: str) -> str:
        """State everything that the score depends on."""
        return self._identity(score_identity, column, device=self.device)

    def former_prefixes(self, column: str) -> Sequence[str]:
        """Give the text of the time before schema 1."""
        if self.device != "cpu" or networks_version(self.space, self.task):
            return ()
        return (self._identity(former_score_identity, column),)

    def is_mended(self, column: str, error: str) -> bool:
        """Tell whether a proxy failed by an error that begins so once, and no longer does."""
        return error.startswith(tuple(getattr(self._proxy(column), "mended", ())))

    def _proxy(self, column: str) -> Proxy:
        return next(p for p in self.proxies if p.name == column)

    def _identity(self, state: Callable[..., str], column: str, **where: str) -> str:
        proxy = self._proxy(column)
        images = {"batch_size": self.batch_size, "batch": self.batch}
        return state(proxy, self.space, self.task, seed=self.seed, **images, **where)

    def precomputed(self, column: str, key: str) -> Result | None:
        """Look the score up in the tables that ship with the package."""
        if self.fresh:
            return None
        from hwnas.tables.shipped import shipped_result

        return shipped_result(self.space.name, self._identity(score_identity, column), key)

    @without_garbage_collection()
    def compute(self, arch: Arch, columns: Sequence[str]) -> dict[str, Result]:
        """Score the network of the architecture's representative on one thread.

        Proxies of a surrogate score that one; only the networks that are needed are built.
        """
        groups: dict[Surrogate | None, list[Proxy]] = {}
        for proxy in self.proxies:
            if proxy.name in set(columns):
                groups.setdefault(scored_surrogate(proxy), []).append(proxy)
        results: dict[str, Result] = {}
        for surrogate, proxies in groups.items():
            results |= self._score(arch, surrogate, proxies)
        return results

    def _score(
        self, arch: Arch, surrogate: Surrogate | None, proxies: Sequence[Proxy]
    ) -> dict[str, Result]:
        from hwnas.networks.freed_memory import keep_freed_memory
        from hwnas.proxies.engine.scoring import score_network

        keep_freed_memory()
        if surrogate is not None and facet(self.space, Surrogates) is None:
            reason = f"{self.space.name} builds no surrogates: set `surrogate=None`."
            return {proxy.name: Result(float("nan"), reason) for proxy in proxies}
        networks = Networks(self.space, self.task)
        task, seed = networks.surrogate_task(surrogate), networks.seed(arch, self.seed)
        return score_network(
            networks.network(arch, seed, surrogate),
            task,
            proxies,
            batch=self.batch if task == self.task else None,
            batch_size=self.batch_size,
            seed=seed,
            threads=1,
            device=self.device,
        )


def scored_surrogate(proxy: Proxy) -> Surrogate | None:
    """Give what a proxy scores in a search space, None for the full network.

    It is the attribute `surrogate`, or `scored` where another setting has a part in it.
    """
    scored: Surrogate | None = getattr(proxy, "scored", getattr(proxy, "surrogate", None))
    return scored


@dataclass(frozen=True)
class CostValues(Generic[Arch]):
    """The values of one cost model as a source.

    Attributes:
        space: search space, for the description in the cache.
        cost: table, counter, predictor or measurement.
    """

    space: SearchSpace[Arch]
    cost: CostModel[Arch]

    @property
    def name(self) -> str:
        """Device, metric and unit, e.g. ``edgegpu_energy_mj``; counts have no device.

        A cost that its device's name alone does not tell from others has a `device_name`.
        """
        name = getattr(self.cost, "device_name", self.cost.device.device)
        device = "" if name == "any" else f"{name}_"
        unit = {"": "", "bytes": "_bytes"}.get(self.cost.unit)
        if unit is None:
            unit = "_" + "".join(c if c.isalnum() else "_" for c in self.cost.unit.lower())
        return f"{device}{self.cost.metric}{unit}".replace("-", "_")

    @property
    def label(self) -> str:
        """The cost's name."""
        return self.name

    @property
    def columns(self) -> tuple[str, ...]:
        """The one column."""
        return (self.name,)

    @property
    def effort(self) -> Effort:
        """Measurements are the costliest; everything else is a look-up unless it says so."""
        if isinstance(self.cost, MeasuredCost):
            return Effort.MEASURE
        return getattr(self.cost, "effort", Effort.LOOKUP)

    @property
    def resource(self) -> str | None:
        """What a measurement needs for itself."""
        if isinstance(self.cost, MeasuredCost):
            return getattr(self.cost, "resource", THIS_CPU)
        return None

    def cache_prefix(self, column: str) -> str | None:
        """Cache measurements under the device's fingerprint; look-ups are not worth it."""
        del column
        if not isinstance(self.cost, MeasuredCost):
            return None
        return identity_text(cost=self.cost, host=self.cost.fingerprint)

    def former_prefixes(self, column: str) -> Sequence[str]:
        """Give the text of the time before schema 1."""
        del column
        if not isinstance(self.cost, MeasuredCost):
            return ()
        return (f"cost|{self.cost!r}|{self.cost.fingerprint}",)

    def precomputed(self, column: str, key: str) -> Result | None:
        """Give nothing: tables are sources of their own."""
        del column, key
        return None

    def compute(self, arch: Arch, columns: Sequence[str]) -> dict[str, Result]:
        """Predict or measure one architecture."""
        del columns
        if isinstance(self.cost, MeasuredCost):
            return {self.name: _measured(self.cost, arch)}
        value = float(np.asarray(self.cost.predict([arch]))[0])
        error = None if value == value else f"{self.name} has no value for {arch}"
        return {self.name: Result(value, error)}


def _measured(cost: MeasuredCost, arch: Any) -> Result:
    try:
        measurement = cost.measure(arch)
    except CallError:
        raise  # another attempt, under other limits, may succeed
    except HwnasError as error:
        return Result(float("nan"), str(error))
    detail: Mapping[str, Any] = measurement.as_dict()
    return Result(float(measurement.value), None, float(measurement.seconds), detail)
