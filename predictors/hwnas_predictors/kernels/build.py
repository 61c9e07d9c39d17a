"""Building a kernel predictor of this host from its own measurements."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import onnx

from hwnas.errors import InvalidValueError
from hwnas.evaluation.cache import ResultCache
from hwnas.measure.host import host_fingerprint
from hwnas.measure.isolation import child_with
from hwnas.measure.limits import Limits
from hwnas.measure.measuring import measure
from hwnas.measure.resource_lock import hold
from hwnas.runtimes.base import THIS_CPU, OnnxModel
from hwnas.seeding import derive_seed
from hwnas.tables.result import Result
from hwnas.typing import FloatArray
from hwnas_predictors.kernels.fused_graph import block_size
from hwnas_predictors.kernels.kernel import Kernel
from hwnas_predictors.kernels.kernel_timer import KernelTimer
from hwnas_predictors.kernels.predictor import Family, KernelPredictor
from hwnas_predictors.kernels.regression import Choice
from hwnas_predictors.kernels.sampling import (
    SamplingPlan,
    TypeSample,
    fit_types,
    no_report,
    sample_adaptively,
)
from hwnas_predictors.kernels.target import Target

Report = Callable[[str, int], None]
"""Called with what is done and how much of it."""

_VERSION = 2
_FEWEST_NETWORKS = 2
_KERNEL_SHARE = 0.8
"""Share of the time for kernels; the rest is for whole networks."""


@dataclass(frozen=True)
class BuildSettings:
    """How a predictor is built.

    Attributes:
        max_seconds: time for everything; one kernel of each type and two whole networks of each
            space are measured in any case, and what is in the cache takes no time.
        networks: networks of each family whose kernels are measured.
        held_out: other networks of each family that are measured as a whole, for overhead and
            spread.
        kernel_seconds: time for the up to 64 kernels that are measured together.
        network_seconds: time for one network.
        threads: threads inside an operator.
        runtime: what runs kernels and networks: a runtime that takes ONNX models.
        precision: number format that they are run in.
        plan: how kernels are sampled.
        seed: seed of everything random.
    """

    max_seconds: float = 1200.0
    networks: int = 40
    held_out: int = 8
    kernel_seconds: float = 1.0
    network_seconds: float = 1.0
    threads: int = 1
    runtime: str = "onnxruntime"
    precision: str = "float32"
    plan: SamplingPlan = field(default_factory=SamplingPlan)
    seed: int = 0

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
    def target(self) -> Target:
        """What is measured; errors as of `Target`."""
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
    """

    predictor: KernelPredictor[Any]
    samples: dict[str, TypeSample]
    choices: dict[str, Choice]
    predicted_ms: FloatArray
    measured_ms: FloatArray
    unseen: bool
    left_out: int


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
        InvalidValueError: there are no networks, or a type of kernel cannot be run by itself.
    """
    settings, start = settings or BuildSettings(), time.monotonic()
    told = report or no_report
    if not families and not models:
        raise InvalidValueError("`families` or `models` must be given, but got neither.")
    if not families and len(models) < _FEWEST_NETWORKS:
        raise InvalidValueError(
            f"`models` must be at least {_FEWEST_NETWORKS} networks where no search space is "
            f"given, since whole networks calibrate the sum, but got {len(models)}."
        )
    target = settings.target
    used, unseen = _draw_networks(families, settings)
    prior = _prior(target, families, used, models, told)
    timer = KernelTimer(
        target,
        max_seconds=settings.kernel_seconds,
        cache=cache,
        seed=settings.seed,
    )
    samples = sample_adaptively(
        prior,
        timer,
        expired=lambda: time.monotonic() - start > _KERNEL_SHARE * settings.max_seconds,
        plan=settings.plan,
        block=block_size() if target.profiled else 1,
        seed=settings.seed,
        report=told,
    )
    missing = sorted({kernel.kind for kernel in prior} - set(samples))
    if missing:
        raise InvalidValueError(
            f"`networks` must consist of kernels that run by themselves on float32 images, but "
            f"got {', '.join(missing)}: leave such networks out. Of {missing[0]} it says: "
            f"{timer.reasons.get(missing[0], 'nothing')}"
        )
    choices = fit_types({kind: sample.latencies for kind, sample in samples.items()}, settings.seed)
    predictor = _uncalibrated(families, choices, target)
    drawn = _held_out_networks(families, unseen, models)
    kernels = [target.kernels(model) for model in drawn]
    known = [i for i, found in enumerate(kernels) if {k.kind for k in found} <= set(samples)]
    least = 2 * max(1, len(families))
    measured = _measure_networks([drawn[i] for i in known], settings, cache, start, told, least)
    held_out = [kernels[i] for i in known[: len(measured)]]
    return Build(
        predictor.calibrate(held_out, measured),
        samples,
        choices,
        predictor.held_out_ms(held_out, measured),
        measured,
        unseen=bool(families),
        left_out=len(drawn) - len(known),
    )


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
        unseen.append(archs[:held_out])
        used.append(archs[held_out:])
    return used, unseen


def _prior(
    target: Target,
    families: Sequence[Family[Any]],
    archs: Sequence[Sequence[Any]],
    models: Sequence[onnx.ModelProto],
    report: Report,
) -> list[Kernel]:
    kernels = [kernel for model in models for kernel in target.kernels(model)]
    for family, members in zip(families, archs, strict=True):
        for number, arch in enumerate(members, start=1):
            kernels += target.kernels(family.network(arch))
            report(f"kernels of {family.space.name} networks", number)
    return kernels


def _uncalibrated(
    families: Sequence[Family[Any]], choices: dict[str, Choice], target: Target
) -> KernelPredictor[Any]:
    return KernelPredictor(
        regressors={kind: choice.regressor for kind, choice in choices.items()},
        methods={kind: choice.method for kind, choice in choices.items()},
        device=target.key(),
        block=block_size(),
        fingerprint=host_fingerprint(target.made().packages),
        family=families[0] if len(families) == 1 else None,
    )


def _held_out_networks(
    families: Sequence[Family[Any]],
    archs: Sequence[Sequence[Any]],
    models: Sequence[onnx.ModelProto],
) -> list[onnx.ModelProto]:
    """Interleave the families, so that each has its turn before time is up."""
    if not families:
        return list(models)
    most = max(len(members) for members in archs)
    return [
        family.network(members[i])
        for i in range(most)
        for family, members in zip(families, archs, strict=True)
        if i < len(members)
    ]


def _measure_networks(
    models: Sequence[onnx.ModelProto],
    settings: BuildSettings,
    cache: ResultCache | None,
    start: float,
    report: Report,
    least: int,
) -> FloatArray:
    """Measure networks until time is up, but at least so many."""
    import hashlib

    target, found = settings.target, list[float]()
    runtime, fingerprint = target.made(), host_fingerprint(target.made().packages)
    # A child keeps the reference network from one to the next.
    how, run = (
        target.settings,
        partial(measure, max_seconds=settings.network_seconds, reference=True, isolate=False),
    )
    for model in models:
        content = model.SerializeToString()
        key = (
            f"network-latency {_VERSION}|{fingerprint}|{target!r}|"
            f"max_seconds={settings.network_seconds}|{hashlib.sha256(content).hexdigest()}"
        )
        known = cache.get([key]).get(key) if cache is not None else None
        if known is None:
            if len(found) >= least and time.monotonic() - start > settings.max_seconds:
                break
            with hold(THIS_CPU):
                measured = child_with(Limits()).call(run, OnnxModel(content), runtime, how)
            known = Result(measured.value)
            if cache is not None:
                cache.put({key: known})
        found.append(known.value)
        report("whole networks", len(found))
    return np.array(found)
