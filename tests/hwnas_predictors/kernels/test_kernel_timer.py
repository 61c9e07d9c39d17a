from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from hwnas.evaluation.cache import ResultCache
from hwnas.measure import beside_reference, rounds
from hwnas.measure.rounds import Rounds
from hwnas.measure.warm_up import WarmUp
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.tasks.catalogue import get_task
from hwnas_predictors.kernels import profiled_kernels
from hwnas_predictors.kernels.fused_graph import find_kernels
from hwnas_predictors.kernels.kernel import Kernel
from hwnas_predictors.kernels.kernel_model import kernel_model, packs, repeats
from hwnas_predictors.kernels.kernel_timer import KernelTimer
from hwnas_predictors.kernels.predictor import Family
from hwnas_predictors.kernels.profiled_kernels import of_fastest, profile
from hwnas_predictors.kernels.target import Target
from tests.hwnas_predictors.kernels.conftest import network

SMALL = NasBench201(channels=8, cells=1)


def convolution(channels: int, model_weights: int = 1 << 20, size: int = 16) -> Kernel:
    shape = (1, channels, size, size)
    attributes = (("group", 1), ("kernel_shape", (3, 3)), ("pads", (1, 1, 1, 1)))
    inputs = (shape, (channels, channels, 3, 3))
    return Kernel("Conv", "", inputs, shape, attributes, (1,), model_weights=model_weights)


def relu(channels: int) -> Kernel:
    return Kernel("Relu", "", ((1, channels, 8, 8),), (1, channels, 8, 8))


def test_a_model_has_each_kernel_with_weights_of_its_own() -> None:
    model = kernel_model([convolution(8), relu(4), convolution(8)])
    named = [node.name for node in model.graph.node if node.name.startswith("kernel")]
    assert named == ["kernel0", "kernel1", "kernel2"]
    assert len({node.input[1] for node in model.graph.node if node.op_type == "Conv"}) == 2
    assert [tuple(t.dims) for t in model.graph.initializer] == [(8, 8, 3, 3)] * 2


def test_packs_hold_kernels_of_like_networks_and_no_more_weights() -> None:
    small = [convolution(c, 1 << 14) for c in (8, 16, 24, 32)]
    large = [convolution(c, 1 << 17) for c in range(8, 88, 8)]
    kernels = [kernel for pair in zip(small, large, strict=False) for kernel in pair] + large[4:]
    found = packs(kernels)
    assert sorted(map(repr, (k for pack in found for k in pack))) == sorted(map(repr, kernels))
    for pack in found:
        assert len({kernel.model_weights for kernel in pack}) == 1
        weights = sum(kernel.configuration.weights for kernel in pack)
        assert weights <= pack[0].model_weights or len(pack) == 1
        # Repeated, it has about the weights of the networks that it is from.
        assert 0.3 * pack[0].model_weights < repeats(pack) * weights < 1.2 * pack[0].model_weights


def test_a_timer_tells_heavy_kernels_from_light_ones() -> None:
    kernels = [convolution(8), convolution(64), convolution(8, size=32), convolution(64, size=32)]
    latencies = KernelTimer(max_seconds=0.2)(kernels)
    # 64 times and 4 times the operations: without any doubt more, on a machine however busy.
    assert latencies[1] > 4 * latencies[0]
    assert latencies[3] > 1.5 * latencies[1]
    assert latencies[3] > 4 * latencies[2]


def test_times_of_a_profile_have_a_column_for_each_kernel() -> None:
    kernels, empty = profile(kernel_model([convolution(32), relu(8)]), Target(), 1e-6)
    assert kernels.shape == empty.shape
    assert kernels.shape[1] == 2
    assert np.median(kernels[:, 0]) > np.median(empty)


@pytest.mark.parametrize(("runs", "skipped"), [(3, 1), (1, 0)])
def test_a_round_counts_by_its_fastest_run(runs: int, skipped: int) -> None:
    # Two rounds after five runs of warm-up: a run before each burst of several does not count.
    took = np.array([[3.0, 2.0, 4.0], [1.0, 5.0, 7.0]])[:, :runs, None] * [-1.0, 1.0]
    cut = Rounds(took, np.ones((2, 2)), WarmUp(5, True, 1.0), False, 1.0)
    times = np.arange(5 + 2 * (runs + skipped), dtype=np.float64)[:, None] * [1.0, 10.0]
    found = of_fastest(times, cut, 1)
    first = 5 + skipped
    second = first + runs + skipped
    assert found[:, 0].tolist() == [first + (runs > 1), second]
    np.testing.assert_array_equal(found[:, 1], 10 * found[:, 0])


def test_a_profile_is_at_the_reference_s_nominal_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine whose reference takes four times its nominal time, kernels take a fourth."""
    slow = rounds.take_turns

    def four_times(*arguments: Any, **named: Any) -> list[Rounds]:
        (found,) = slow(*arguments, **named)
        usual = nominal_of[0]
        return [replace(found, reference=np.full_like(found.reference, 4 * usual))]

    nominal_of: list[float] = []
    beside = beside_reference.beside_reference

    @contextmanager
    def seen(*arguments: Any, **named: Any) -> Iterator[Any]:
        with beside(*arguments, **named) as made:
            nominal_of.append(made.usual.value)
            yield made

    monkeypatch.setattr(profiled_kernels, "beside_reference", seen)
    monkeypatch.setattr(profiled_kernels, "take_turns", four_times)
    kernels, _ = profile(kernel_model([convolution(32)]), Target(), 0.05)
    # Whole microseconds of the profiler, over four.
    steps = 4e3 * kernels
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-6)


def test_kernels_that_cannot_run_leave_the_others_alone(tmp_path: Path) -> None:
    impossible = Kernel("Conv", "", ((1, 3, 8, 8), (4, 5, 3, 3)), (1, 4, 8, 8), (), (1,))
    kernels = [relu(4), impossible, relu(8)]
    with ResultCache(tmp_path / "cache.sqlite") as cache:
        first = KernelTimer(max_seconds=0.01, cache=cache)(kernels)
        assert np.isfinite(first).tolist() == [True, False, True]
        assert len(cache) == 3
        np.testing.assert_array_equal(KernelTimer(max_seconds=0.01, cache=cache)(kernels), first)
        assert len(cache) == 3


def test_every_kernel_of_a_network_runs_by_itself() -> None:
    family = Family(SMALL, get_task("cifar10"))
    kernels = find_kernels(family.network(SMALL.sample(np.random.default_rng(0))))
    latencies = KernelTimer(max_seconds=0.01)(kernels)
    assert ((latencies > 0) & (latencies < 1000)).all()
    # A kernel that comes up twice is measured once.
    by_kernel = dict(zip(kernels, latencies, strict=True))
    np.testing.assert_array_equal([by_kernel[kernel] for kernel in kernels], latencies)


@pytest.mark.parametrize(("weights", "rounded"), [((16, 16, 3, 3), 4096), ((16, 16, 1, 1), 256)])
def test_kernels_know_the_weights_of_their_network(weights: tuple[int, ...], rounded: int) -> None:
    pads = [weights[2] // 2] * 4
    model = network([helper.make_node("Conv", ["x", "w"], ["y"], pads=pads)], {"w": weights})
    assert {kernel.model_weights for kernel in find_kernels(model)} == {rounded}
