from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx

from hwnas.typing import FloatArray
from hwnas_predictors.kernels.kernel import Kernel
from hwnas_predictors.kernels.sampling import (
    Measure,
    SamplingPlan,
    fit_types,
    neighbours,
    predicted_ms,
    sample_adaptively,
    sample_in_networks,
)


def convolution(c_in: int, c_out: int, size: int = 8) -> Kernel:
    return Kernel(
        "Conv", "", ((1, c_in, size, size), (c_out, c_in, 3, 3)), (1, c_out, size, size),
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


def test_neighbours_differ_in_channels_alone() -> None:
    kernel = convolution(40, 80)
    found = neighbours(kernel, 50, np.random.default_rng(0))
    assert len(found) == len(set(found)) > 5
    for other in (k.configuration for k in found):
        assert 0.4 * 40 - 1 <= other.c_in <= 1.2 * 40 + 1
        assert 0.4 * 80 - 1 <= other.c_out <= 1.2 * 80 + 1
        assert (other.height, other.kernel, other.stride) == (8, (3, 3), (1, 1))


def test_kernels_of_networks_have_their_mean_over_the_places_where_they_stand() -> None:
    a, b, c = convolution(8, 8), convolution(16, 8), relu(8)
    made = {"one": ([a, b, a], [1.0, 5.0, 3.0]), "two": ([a, c], [5.0, 2.0])}
    models = [onnx.ModelProto(producer_name=name) for name in made]

    def kernels(model: onnx.ModelProto) -> list[Kernel]:
        return made[model.producer_name][0]

    def measure(model: onnx.ModelProto) -> FloatArray:
        return np.array(made[model.producer_name][1])

    told: list[int] = []
    samples = sample_in_networks(
        ((0, model) for model in models), kernels, measure,
        expired=never, least=1, report=lambda _, n: told.append(n),
    )  # fmt: skip
    assert samples["conv"].latencies == {a: 3.0, b: 5.0}
    assert samples["relu"].latencies == {c: 2.0}
    assert told == [2, 3]


def test_when_time_is_up_networks_with_a_new_type_of_kernel_are_measured_alone() -> None:
    made = [[convolution(8, 8)], [convolution(16, 8)], [convolution(24, 8), relu(8)], [relu(4)]]
    assert measured_of(made, sources=[0, 0, 0, 0], least=1) == ([0, 2], 4)
    assert measured_of(made, sources=[0, 0, 0, 0], least=2) == ([0, 1, 2], 4)


def test_when_time_is_up_each_source_has_its_networks_measured() -> None:
    """Networks of the user's own come first, and take nothing from those of a space."""
    made = [[convolution(8 * i, 8)] for i in range(1, 8)]
    assert measured_of(made, sources=[2, 2, 2, 0, 1, 0, 1], least=1) == ([0, 3, 4], 7)
    assert measured_of(made, sources=[2, 2, 2, 0, 1, 0, 1], least=2) == ([0, 1, 3, 4, 5, 6], 7)


def measured_of(made: list[list[Kernel]], sources: list[int], least: int) -> tuple[list[int], int]:
    """Tell which networks are measured when time is up, and how many reports there were."""
    models = [onnx.ModelProto(model_version=i) for i in range(len(made))]
    measured: list[int] = []
    told: list[int] = []

    def kernels(model: onnx.ModelProto) -> list[Kernel]:
        return made[model.model_version]

    def measure(model: onnx.ModelProto) -> FloatArray:
        measured.append(model.model_version)
        return np.ones(len(kernels(model)))

    sample_in_networks(
        zip(sources, models, strict=True), kernels, measure,
        expired=lambda: True, least=least, report=lambda _, n: told.append(n),
    )  # fmt: skip
    return measured, len(told)
