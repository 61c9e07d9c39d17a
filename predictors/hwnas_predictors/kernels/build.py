"""Building a kernel predictor of this host from its own measurements."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import Any

import numpy as np
import onnx

from hwnas.bundles.far import FarError
from hwnas.bundles.machines import Machine
from hwnas.errors import HwnasError, InvalidValueError
from hwnas.evaluation.cache import ResultCache
from hwnas.seeding import derive_seed
from hwnas.spaces.networks import Networks
from hwnas.study.tried import insist_that_they_run
from hwnas.typing import FloatArray
from hwnas_predictors.kernels.far_target import AnyTarget, FarTarget
from hwnas_predictors.kernels.fused_graph import block_size
from hwnas_predictors.kernels.kernel import Kernel
from hwnas_predictors.kernels.kernel_timer import KernelTimer
from hwnas_predictors.kernels.predictor import Family, KernelPredictor
from hwnas_predictors.kernels.profiled_networks import NetworkTimer
from hwnas_predictors.kernels.regression import Choice
from hwnas_predictors.kernels.sampling import (
    SamplingPlan,
    TypeSample,
    fit_types,
    no_report,
    sample_adaptively,
    sample_in_networks,
)
from hwnas_predictors.kernels.target import Target
from hwnas_predictors.kernels.whole_networks import WholeTimer

Report = Callable[[str, int], None]
"""Called with what is done and how much of it."""

_FEWEST_NETWORKS = 2
_KERNEL_SHARE = 0.8
"""Share of the time that is up after kernels; the rest is for whole networks."""
_WHOLE_SHARE = 0.35
"""Share of the time for whole networks where they are measured first."""
_LISTED_SHARE = 0.5
"""Share of the time that is up after these and the listing of kernels that are models alone."""
_LISTED = 8
"""Networks of each family whose kernels are listed in any case."""


@dataclass(frozen=True)
class BuildSettings:
    """How a predictor is built.

    Attributes:
        max_seconds: time for everything. In any case all networks are made and looked at (where
            each kernel is a model by itself, `models` and eight of each space); one kernel of each
            type, two whole networks of each space, and where kernels are measured in their networks
            those of two networks of each space and of `models` are measured. What is in the cache
            takes no time.
        networks: networks of each family whose kernels are measured.
        held_out: other networks of each family that are measured as a whole, for overheads, scales
            and spread; `Calibration.fit` says which of these so many tell, in all families.
        kernel_seconds: time for the kernels of a network where they stand, or for four of them
            where each is a model by itself.
        network_seconds: time for one network.
        threads: threads inside an operator.
        runtime: what runs kernels and networks: a runtime that takes ONNX models.
        precision: number format that they are run in.
        plan: how kernels are sampled that are models by themselves.
        seed: seed of everything random.
        machine: another machine that measures, whose settings say runtime, precision and threads
            instead of those above; None for this host.
    """

    max_seconds: float = 1200.0
    networks: int = 40
    held_out: int = 16
    kernel_seconds: float = 1.0
    network_seconds: float = 1.0
    threads: int = 1
    runtime: str = "onnxruntime"
    precision: str = "float32"
    plan: SamplingPlan = field(default_factory=SamplingPlan)
    seed: int = 0
    machine: Machine | None = None

    def __post_init__(self) -> None:
        """Check the settings."""
        for name, value, least in (
            ("networks", self.networks, 1),
            ("held_out", self.held_out, 2),
            ("threads", self.threads, 1),
        ):
            if value < least:
                raise InvalidValueError(f"`{name}` must be at least {least}, but got {value}.")
        for name, seconds in (
            ("max_seconds", self.max_seconds),
            ("kernel_seconds", self.kernel_seconds),
            ("network_seconds", self.network_seconds),
        ):
            if not seconds > 0:
                raise InvalidValueError(f"`{name}` must be above 0, but got {seconds}.")

    @property
    def target(self) -> AnyTarget:
        """What is measured; errors as of `Target` and `FarTarget`."""
        if self.machine is not None:
            return FarTarget(self.machine)
        return Target(self.runtime, self.precision, self.threads)


@dataclass(frozen=True)
class Build:
    """A predictor and what was seen when it was built.

    Attributes:
        predictor: the predictor.
        samples: measured kernels by type.
        choices: regressor of each type, with held-out errors.
        predicted_ms: `(n,)` predictions for the whole networks that calibrate the sum, each after
            a calibration by all others.
        measured_ms: `(n,)` their latencies.
        unseen: whether the kernels of these networks were not measured for them: where no search
            space is given there are no further networks.
        left_out: networks with a type of kernel that no other network has.
        untimed: networks that time was up for.
        by_bytes: types of kernels that the runtime cannot run by themselves, and why. Their
            latency is that of so many bytes in others, scaled to whole networks.
    """

    predictor: KernelPredictor[Any]
    samples: dict[str, TypeSample]
    choices: dict[str, Choice]
    predicted_ms: FloatArray
    measured_ms: FloatArray
    unseen: bool
    left_out: int
    untimed: int
    by_bytes: Mapping[str, str] = field(default_factory=dict)


def build_predictor(
    families: Sequence[Family[Any]],
    models: Sequence[onnx.ModelProto] = (),
    settings: BuildSettings | None = None,
    cache: ResultCache | None = None,
    report: Report | None = None,
) -> Build:
    """Measure kernels on this host and learn from them.

    Args:
        families: search spaces whose networks tell which kernels occur; with exactly one the
            predictor is bound to it.
        models: further networks, for one image.
        settings: time and amounts.
        cache: where measurements are kept: an interrupted build goes on from it.
        report: called as measurements are finished.

    Returns:
        The predictor with its overhead and spread.

    Raises:
        InvalidValueError: there are no networks, the runtime cannot run one of them, no kernel
            can be run by itself, or fewer than two networks that are held out were measured.
    """
    settings = settings or BuildSettings()
    _check_given(families, models)
    work = _Work(settings, ResultCache(None) if cache is None else cache, report or no_report)
    used, unseen = _draw_networks(families, settings)
    work.insist_that_they_run(families, unseen, models)
    drawn = [model for _, model in _networks(families, unseen)] if families else list(models)
    if not work.target.profiled:
        # Kernels alone say less of a network than networks do: these come first.
        work.whole_ms(drawn, _least(families), share=_WHOLE_SHARE)
    samples = work.samples(families, used, models)
    choices = fit_types(
        {kind: sample.latencies for kind, sample in samples.items()}, settings.seed, work.untimed
    )
    predictor = _uncalibrated(families, choices, work.target)
    kernels = [work.target.kernels(model) for model in drawn]
    known = [i for i, found in enumerate(kernels) if {k.kind for k in found} <= set(choices)]
    timed = work.whole_ms([drawn[i] for i in known], least=_least(families))
    told = np.isfinite(timed)
    measured = timed[told]
    _insist_on_two(len(measured), len(drawn), len(drawn) - len(known))
    held_out = [kernels[i] for i, is_told in zip(known, told, strict=True) if is_told]
    return Build(
        predictor.calibrate(held_out, measured),
        samples,
        choices,
        predictor.held_out_ms(held_out, measured),
        measured,
        unseen=bool(families),
        left_out=len(drawn) - len(known),
        untimed=int(np.sum(~told)),
        by_bytes=work.untimed,
    )


def _insist_on_two(timed: int, drawn: int, left_out: int) -> None:
    """Insist on networks to learn overheads and the spread of errors from."""
    if timed < 2:
        raise InvalidValueError(
            f"`held_out` must leave two networks that are measured as a whole, but of {drawn} "
            f"{left_out} have kernels of types that no other network has and "
            f"{drawn - left_out - timed} were not timed: give more networks (--held-out, "
            f"--networks) or --max-seconds; what was measured is kept."
        )


def _check_given(families: Sequence[Family[Any]], models: Sequence[onnx.ModelProto]) -> None:
    if not families and not models:
        raise InvalidValueError("`families` or `models` must be given, but got neither.")
    if not families and len(models) < _FEWEST_NETWORKS:
        raise InvalidValueError(
            f"`models` must be at least {_FEWEST_NETWORKS} networks where no search space is "
            f"given, since whole networks calibrate the sum, but got {len(models)}."
        )


class _Work:
    """The measurements of a build, within its time."""

    def __init__(self, settings: BuildSettings, cache: ResultCache, report: Report) -> None:
        self._settings, self._cache, self._report = settings, cache, report
        self.target, self._start = settings.target, time.monotonic()
        self.untimed: dict[str, str] = {}
        """Types of kernels that cannot be run by themselves, and why."""
        self._whole = WholeTimer(self.target, settings.network_seconds, cache)

    def insist_that_they_run(
        self,
        families: Sequence[Family[Any]],
        unseen: Sequence[Sequence[Any]],
        models: Sequence[onnx.ModelProto],
    ) -> None:
        """Try all models, and a network of each family, before minutes go into their kernels.

        Raises:
            InvalidValueError: the runtime cannot run one of them; says which.
        """
        own = ((f"number {i} of `models`", model) for i, model in enumerate(models, start=1))
        drawn = (
            (f"a network of {families[i].space.name}", model)
            for i, model in _networks(families, [archs[:1] for archs in unseen])
        )
        for what, model in chain(own, drawn):
            try:
                self._whole.insist_that_it_runs(model)
            except FarError:  # no network's fault
                raise
            except HwnasError as error:
                runtime = self.target.key().runtime.partition("-")[0]
                raise InvalidValueError(
                    f"`runtime` must run the networks, but {runtime} cannot run {what}: {error}"
                ) from error

    def samples(
        self,
        families: Sequence[Family[Any]],
        used: Sequence[Sequence[Any]],
        models: Sequence[onnx.ModelProto],
    ) -> dict[str, TypeSample]:
        """Measure kernels, where they stand if the runtime says what each takes there."""
        own = ((len(families), model) for model in models)
        networks = chain(own, _networks(families, used))
        if isinstance(self.target, FarTarget) or not self.target.profiled:
            least = len(models) + _LISTED * len(families)
            return self._alone((model for _, model in networks), least)
        timer = NetworkTimer(self.target, self._whole, self._settings.kernel_seconds, self._cache)
        return sample_in_networks(
            networks,
            self.target.kernels,
            timer,
            expired=lambda: self._expired(_KERNEL_SHARE),
            least=_FEWEST_NETWORKS,
            report=self._report,
        )

    def whole_ms(
        self, networks: Sequence[onnx.ModelProto], least: int, share: float = 1.0
    ) -> FloatArray:
        """Measure networks until a share of the time is up, but the first and those that are known.

        Returns:
            `(n,)` latencies; NaN of those that time was up for.
        """
        found = np.full(len(networks), np.nan)
        for i, network in enumerate(networks):
            if i < least or not self._expired(share) or self._whole.knows(network):
                found[i] = self._whole(network)
                self._report("whole networks", int(np.isfinite(found).sum()))
        return found

    def _alone(self, networks: Iterable[onnx.ModelProto], least: int) -> dict[str, TypeSample]:
        """Measure each kernel by itself."""
        settings, prior = self._settings, list[Kernel]()
        for number, network in enumerate(networks, start=1):
            prior += self.target.kernels(network)
            self._report("networks whose kernels are known", number)
            # On a busy machine making networks takes as long as measuring their kernels.
            if number >= least and self._expired(_LISTED_SHARE):
                break
        timer = KernelTimer(
            self.target,
            max_seconds=settings.kernel_seconds,
            cache=self._cache,
            seed=settings.seed,
        )
        samples = sample_adaptively(
            prior,
            timer,
            expired=lambda: self._expired(_KERNEL_SHARE),
            plan=settings.plan,
            seed=settings.seed,
            report=self._report,
        )
        if not prior:
            raise InvalidValueError("`networks` must have kernels, but they compute nothing.")
        missing = sorted({kernel.kind for kernel in prior} - set(samples))
        self.untimed = {kind: timer.reasons.get(kind, "nothing is said") for kind in missing}
        if not samples:
            raise InvalidValueError(
                f"`networks` must have kernels that run by themselves on float32 images, but got "
                f"none that do. Of {missing[0]} it says: {self.untimed[missing[0]]}"
            )
        return samples

    def _expired(self, share: float = 1.0) -> bool:
        return time.monotonic() - self._start > share * self._settings.max_seconds


def _least(families: Sequence[Family[Any]]) -> int:
    return _FEWEST_NETWORKS * max(1, len(families))


def _draw_networks(
    families: Sequence[Family[Any]], settings: BuildSettings
) -> tuple[list[list[Any]], list[list[Any]]]:
    """Draw different networks of each family: those to learn from and those held out."""
    used, unseen = [], []
    for family in families:
        rng = np.random.default_rng(derive_seed(settings.seed, repr(family.space), "kernels"))
        found: dict[str, Any] = {}
        wanted = settings.networks + settings.held_out
        for _ in range(20 * wanted):
            arch = family.space.sample(rng)
            if family.space.is_valid(arch) and len(found) < wanted:
                found.setdefault(family.space.canonical_key(arch), arch)
        archs = list(found.values())
        held_out = min(settings.held_out, len(archs) - 1)
        insist_that_they_run(Networks(family.space, family.task), archs)
        unseen.append(archs[:held_out])
        used.append(archs[held_out:])
    return used, unseen


def _uncalibrated(
    families: Sequence[Family[Any]], choices: dict[str, Choice], target: AnyTarget
) -> KernelPredictor[Any]:
    return KernelPredictor(
        regressors={kind: choice.regressor for kind, choice in choices.items()},
        methods={kind: choice.method for kind, choice in choices.items()},
        device=target.key(),
        block=block_size(),
        fingerprint=target.fingerprint,
        plain=isinstance(target, FarTarget),
        family=families[0] if len(families) == 1 else None,
    )


def _networks(
    families: Sequence[Family[Any]], archs: Sequence[Sequence[Any]]
) -> Iterator[tuple[int, onnx.ModelProto]]:
    """Give the families' networks in turn, so that each has its share before time is up.

    Each comes with the number of its family.
    """
    for row in zip_longest(*archs):
        for number, (family, arch) in enumerate(zip(families, row, strict=True)):
            if arch is not None:
                yield number, family.network(arch)
