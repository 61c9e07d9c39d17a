from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from hwnas.typing import FloatArray
from hwnas_predictors.kernels.kernel import NCHWC, Kernel
from hwnas_predictors.kernels.sampling import (
    Measure,
    SamplingPlan,
    fit_types,
    neighbours,
    predicted_ms,
    sample_adaptively,
)


def convolution(c_in: int, c_out: int, size: int = 8, domain: str = "") -> Kernel:
    return Kernel(
        "Conv", domain, ((1, c_in, size, size), (c_out, c_in, 3, 3)), (1, c_out, size, size),
        (("group", 1), ("kernel_shape", (3, 3)), ("pads", (1, 1, 1, 1))), (1,),
    )  # fmt: skip


def relu(channels: int) -> Kernel:
    return Kernel("Relu", "", ((1, channels, 8, 8),), (1, channels, 8, 8))


PRIOR = [convolution(a, b) for a in range(8, 72, 8) for b in range(8, 72, 8)]


def staircase(kernel: Kernel) -> float:
    """A latency that jumps at multiples of 32 output channels, as on hardware with wide tiles."""
    seen = kernel.configuration
    return 1e-3 * seen.c_in * float(np.ceil(seen.c_out / 32)) ** 2


def each(latency: Callable[[Kernel], float]) -> Measure:
    """Measure kernels one by one."""

    def measure(kernels: Sequence[Kernel]) -> FloatArray:
        return np.array([latency(kernel) for kernel in kernels])

    return measure


def never() -> bool:
    return False


def test_smooth_latency_is_done_after_the_first_kernels() -> None:
    calls: list[Kernel] = []

    def measure(kernel: Kernel) -> float:
        calls.append(kernel)
        return kernel.configuration.flops / 1e7

    samples = sample_adaptively(PRIOR, each(measure), expired=never, plan=SamplingPlan(40))
    assert set(samples) == {"conv"}
    assert samples["conv"].accuracy >= 0.9
    assert len(calls) == len(set(calls)) == 40
    assert len(samples["conv"].held_out) == 8


def test_rounds_measure_more_around_bad_predictions_and_lower_the_error() -> None:
    new = [convolution(a, b) for a in range(9, 64, 5) for b in range(9, 64, 5)]
    truth = np.array([staircase(k) for k in new])

    def error(rounds: int) -> float:
        plan = SamplingPlan(initial=20, rounds=rounds)
        samples = sample_adaptively(PRIOR, each(staircase), expired=never, plan=plan)
        choice = fit_types({"conv": samples["conv"].latencies})["conv"]
        return float(np.mean(np.abs(predicted_ms(choice.regressor, new) / truth - 1)))

    assert error(10) < 0.5 * error(0)


def test_time_that_is_up_ends_sampling_but_every_type_had_its_turn() -> None:
    left = [7]

    def measure(kernel: Kernel) -> float:
        left[0] -= 1
        return 1.0 + kernel.configuration.c_out

    prior = [*PRIOR, relu(8), relu(16)]
    samples = sample_adaptively(
        prior, each(measure), expired=lambda: left[0] <= 0, plan=SamplingPlan(together=1)
    )
    assert left[0] == 0
    assert set(samples) == {"conv", "relu"}
    assert sum(len(s.latencies) for s in samples.values()) == 7


def test_one_kernel_of_each_type_is_measured_whatever_the_time() -> None:
    samples = sample_adaptively([*PRIOR, relu(8)], each(staircase), expired=lambda: True)
    assert {kind: len(s.latencies) for kind, s in samples.items()} == {"conv": 1, "relu": 1}


def test_kernels_that_cannot_run_teach_nothing() -> None:
    assert sample_adaptively(PRIOR, each(lambda _: float("nan")), expired=never) == {}


def test_sampling_repeats() -> None:
    first, again = (
        sample_adaptively(
            PRIOR, each(staircase), expired=never, plan=SamplingPlan(20, rounds=2), seed=3
        )
        for _ in range(2)
    )
    assert list(first["conv"].latencies) == list(again["conv"].latencies)


@pytest.mark.parametrize(("domain", "step"), [("", 1), (NCHWC, 8)])
def test_neighbours_differ_in_channels_alone(domain: str, step: int) -> None:
    kernel = convolution(40, 80, domain=domain)
    found = neighbours(kernel, 50, 8, np.random.default_rng(0))
    assert len(found) == len(set(found)) > 5
    for other in (k.configuration for k in found):
        assert 0.4 * 40 - step <= other.c_in <= 1.2 * 40 + step
        assert 0.4 * 80 - step <= other.c_out <= 1.2 * 80 + step
        assert other.c_in % step == other.c_out % step == 0
        assert (other.height, other.kernel, other.stride) == (8, (3, 3), (1, 1))


def test_colours_stay_as_they_are() -> None:
    found = neighbours(convolution(3, 16, domain=NCHWC), 20, 8, np.random.default_rng(0))
    assert {k.configuration.c_in for k in found} == {3}
