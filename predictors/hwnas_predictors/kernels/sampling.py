"""Which kernels to measure: nn-Meter's adaptive sampling.

Zhang et al., MobiSys 2021, Section 5: configurations are first drawn from the distribution that
they have in real networks. Then, as long as held-out error is too large, more are drawn around each
held-out kernel that is predicted badly: everything is kept but the channels, which are drawn from
0.4 to 1.2 times their number. Here all types take turns, and the time that is left decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx

from hwnas.typing import FloatArray
from hwnas_predictors.kernels.features import features
from hwnas_predictors.kernels.kernel import Kernel
from hwnas_predictors.kernels.regression import Choice, by_bytes, choose
from hwnas_predictors.kernels.regressors import Regressor, RidgeAndTrees

Measure = Callable[[Sequence[Kernel]], FloatArray]
"""Gives `(n,)` latencies of kernels in ms; NaN where one cannot be run."""
Wanted = tuple[dict[Kernel, float], Kernel]
"""A kernel to measure, and where its latency goes."""
Report = Callable[[str, int], None]
"""Called with what is measured and how much of it."""

_CHANNELS = (0.4, 1.2)
_HELD_OUT_EVERY = 5
_FEWEST = 4


@dataclass(frozen=True)
class SamplingPlan:
    """How much is measured.

    Attributes:
        initial: kernels of each type at first, from the networks.
        together: kernels that are measured at a time.
        around: kernels drawn around each badly predicted one.
        accuracy: share of held-out kernels within `error` at which a type is done.
        error: relative error above which a kernel is predicted badly.
        rounds: most rounds after the first.
    """

    initial: int = 150
    together: int = 256
    around: int = 4
    accuracy: float = 0.9
    error: float = 0.1
    rounds: int = 20


@dataclass
class TypeSample:
    """The measured kernels of one type.

    Attributes:
        training: latency in ms of the kernels that are learned from.
        held_out: latency in ms of the kernels that the error is estimated with.
        reserve: kernels of networks that are not measured yet.
        accuracy: share of held-out kernels within the plan's error, after the latest round.
    """

    training: dict[Kernel, float] = field(default_factory=dict)
    held_out: dict[Kernel, float] = field(default_factory=dict)
    reserve: list[Kernel] = field(default_factory=list)
    accuracy: float = float("nan")

    @property
    def latencies(self) -> dict[Kernel, float]:
        """All measured kernels, ms."""
        return {**self.training, **self.held_out}


def sample_adaptively(
    prior: Iterable[Kernel],
    measure: Measure,
    *,
    expired: Callable[[], bool],
    plan: SamplingPlan | None = None,
    seed: int = 0,
    report: Report | None = None,
) -> dict[str, TypeSample]:
    """Measure kernels until every type is predicted well, or time is up.

    Args:
        prior: kernels of real networks; frequent ones come up several times.
        measure: gives latencies in ms.
        expired: tells whether time is up; asked before each measurement but that of the first
            kernel of each type.
        plan: how much is measured.
        seed: seed of the draws.
        report: called after each measurement.

    Returns:
        The measured kernels by type; a type is absent only if none of its kernels could be run.
    """
    plan, rng = plan or SamplingPlan(), np.random.default_rng(seed)
    samples = _by_type(prior, rng)
    run = _Run(measure, expired, plan.together, report or no_report)
    _measure_initially(samples, plan, run)
    for _ in range(plan.rounds):
        wanted: list[Wanted] = []
        for sample in samples.values():
            sample.accuracy, bad = _assess(sample, plan, seed)
            if not sample.accuracy >= plan.accuracy:
                drawn = _more(sample, bad, plan, rng)
                wanted += [(sample.training, k) for k in drawn if k not in sample.latencies]
        # Types take turns, so that none starves where time is up.
        rng.shuffle(wanted)
        if run(wanted) == 0:
            break
    return {kind: sample for kind, sample in samples.items() if sample.latencies}


def sample_in_networks(
    networks: Iterable[tuple[int, onnx.ModelProto]],
    kernels: Callable[[onnx.ModelProto], Sequence[Kernel]],
    measure: Callable[[onnx.ModelProto], FloatArray],
    *,
    expired: Callable[[], bool],
    least: int,
    report: Report | None = None,
) -> dict[str, TypeSample]:
    """Measure the kernels of networks where they stand, until time is up.

    Args:
        networks: each with the number of its source, e.g. of a search space.
        kernels: lists the kernels of a network.
        measure: gives their `(k,)` latencies in ms.
        expired: tells whether time is up; then all other networks are still made and looked at,
            and those with a new type of kernel are measured alone: a predictor without that type
            could not predict them.
        least: networks of each source that are measured in any case.
        report: called after each network.

    Returns:
        The measured kernels by type: each with its mean latency over the places where it stands.
    """
    found: dict[Kernel, list[float]] = {}
    kinds: set[str] = set()
    measured: Counter[int] = Counter()
    for source, network in networks:
        listed = kernels(network)
        new = {kernel.kind for kernel in listed} - kinds
        if measured[source] < least or new or not expired():
            for kernel, latency in zip(listed, measure(network), strict=True):
                found.setdefault(kernel, []).append(latency)
            measured[source] += 1
            kinds |= new
        (report or no_report)("kernels", len(found))
    samples = {kind: TypeSample() for kind in kinds}
    for kernel, latencies in found.items():
        samples[kernel.kind].training[kernel] = float(np.mean(latencies))
    return samples


def fit_types(
    latencies: Mapping[str, Mapping[Kernel, float]], seed: int = 0, untimed: Iterable[str] = ()
) -> dict[str, Choice]:
    """Fit a regressor for each type to kernels' latencies in ms.

    Args:
        latencies: at least one measured kernel, by type.
        seed: seed of the fits.
        untimed: further types, of which no kernel could be measured. They are as slow a byte as the
            median of those that compute as little, which have no weights; of all, without any.
    """
    fits = {kind: choose(*_rows(found), seed) for kind, found in latencies.items() if found}
    every = {kernel: ms for found in latencies.values() for kernel, ms in found.items()}
    light = {k: ms for k, ms in every.items() if not k.configuration.has_weights}
    return fits | {kind: by_bytes(*_rows(light or every)) for kind in untimed}


def no_report(what: str, number: int) -> None:
    """Take the place of a report where nobody looks."""
    del what, number


@dataclass
class _Run:
    measure: Measure
    expired: Callable[[], bool]
    together: int
    report: Report
    finished: int = 0

    def __call__(self, wanted: Sequence[Wanted], whatever_the_time: bool = False) -> int:
        """Measure until time is up; give the number of kernels that could be run."""
        before = self.finished
        for start in range(0, len(wanted), self.together):
            if not whatever_the_time and self.expired():
                break
            part = wanted[start : start + self.together]
            latencies = self.measure([kernel for _, kernel in part])
            for (into, kernel), latency in zip(part, latencies, strict=True):
                # A kernel that cannot be run by itself teaches nothing.
                if np.isfinite(latency):
                    into[kernel] = float(latency)
                    self.finished += 1
            self.report("kernels", self.finished)
        return self.finished - before


def _by_type(prior: Iterable[Kernel], rng: np.random.Generator) -> dict[str, TypeSample]:
    """Order the kernels of each type as if drawn one after another in proportion to their count."""
    counts = Counter(prior)
    samples: dict[str, TypeSample] = {}
    # The keys of exponential clocks are in the order of such draws.
    clocks = {kernel: rng.exponential() / count for kernel, count in counts.items()}
    for kernel in sorted(clocks, key=lambda k: clocks[k]):
        samples.setdefault(kernel.kind, TypeSample()).reserve.append(kernel)
    return samples


def _measure_initially(samples: Mapping[str, TypeSample], plan: SamplingPlan, run: _Run) -> None:
    first: list[Wanted] = []
    others: list[Wanted] = []
    for turn in range(plan.initial):
        for sample in samples.values():
            if sample.reserve:
                held_out = turn % _HELD_OUT_EVERY == _HELD_OUT_EVERY - 1
                into = sample.held_out if held_out else sample.training
                (others if turn else first).append((into, sample.reserve.pop(0)))
    run(first, whatever_the_time=True)
    run(others)


def _assess(sample: TypeSample, plan: SamplingPlan, seed: int) -> tuple[float, list[Kernel]]:
    """Give the share of held-out kernels that are predicted well, and the others."""
    if not sample.held_out or len(sample.training) < _FEWEST:
        return float("nan"), []
    # One method serves here; which is best is decided once all kernels are measured.
    model = RidgeAndTrees.fit(*_rows(sample.training), seed)
    kernels = list(sample.held_out)
    error = np.abs(predicted_ms(model, kernels) / np.array([*sample.held_out.values()]) - 1)
    bad = [kernel for kernel, e in zip(kernels, error, strict=True) if e > plan.error]
    return 1 - len(bad) / len(kernels), bad


def _more(
    sample: TypeSample,
    bad: Sequence[Kernel],
    plan: SamplingPlan,
    rng: np.random.Generator,
) -> list[Kernel]:
    """Draw kernels around the badly predicted ones, and as many again from the networks."""
    around = [n for kernel in bad for n in neighbours(kernel, plan.around, rng)]
    fresh = max(len(bad), 1)
    drawn, sample.reserve[:fresh] = sample.reserve[:fresh], []
    return list(dict.fromkeys([*drawn, *around]))


def neighbours(kernel: Kernel, number: int, rng: np.random.Generator) -> list[Kernel]:
    """Draw up to `number` different kernels with 0.4 to 1.2 times the channels."""
    seen = kernel.configuration
    found: dict[Kernel, None] = {}
    for _ in range(number):
        c_in, c_out = (_draw(c, rng) for c in (seen.c_in, seen.c_out))
        other = kernel.with_channels(c_in, c_out)
        if other is not None and other != kernel:
            found[other] = None
    return list(found)


def _draw(channels: int, rng: np.random.Generator) -> int:
    return max(1, round(channels * rng.uniform(*_CHANNELS)))


def _rows(measured: Mapping[Kernel, float]) -> tuple[FloatArray, FloatArray]:
    rows = features([kernel.configuration for kernel in measured])
    return rows, np.log(np.array([*measured.values()]))


def predicted_ms(regressor: Regressor, kernels: Sequence[Kernel]) -> FloatArray:
    """Give `(n,)` latencies in ms of kernels of one type."""
    return np.exp(regressor.predict(features([kernel.configuration for kernel in kernels])))
