from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from hwnas.errors import InvalidValueError
from hwnas.evaluation.cache import ResultCache
from hwnas.measure import beside_reference, rounds
from hwnas.measure.rounds import Rounds
from hwnas.measure.warm_up import WarmUp
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.tasks.catalogue import get_task
from hwnas.typing import FloatArray
from hwnas_predictors.kernels import profiled_networks
from hwnas_predictors.kernels.fused_graph import find_kernels
from hwnas_predictors.kernels.predictor import Family
from hwnas_predictors.kernels.profiled_networks import (
    NetworkTimer,
    counted,
    profile,
    quicker_half,
    without_profiling,
)
from hwnas_predictors.kernels.profilers import run_times
from hwnas_predictors.kernels.target import Target
from hwnas_predictors.kernels.whole_networks import WholeTimer
from tests.hwnas_predictors.kernels.conftest import network

SMALL = NasBench201(channels=8, cells=1)
TWO = network(
    [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[2, 2, 2, 2]),
        helper.make_node("Conv", ["a", "v"], ["y"]),
    ],
    {"w": (64, 16, 5, 5), "v": (4, 64, 1, 1)},
    image=(1, 16, 32, 32),
)


def test_a_profile_has_a_time_for_each_kernel_in_the_order_of_execution() -> None:
    times, each = profile(Target().profiler(TWO), Target(), 1e-6)
    assert each
    kernels = find_kernels(TWO)
    assert len(times) == len(kernels)
    by_kind = {k.kind: t for k, t in zip(kernels, times, strict=True)}
    wide, narrow = (next(k for k in by_kind if k.startswith(n)) for n in ("conv", "pointwise"))
    # A hundred times the operations.
    assert by_kind[wide] > 4 * by_kind[narrow]


def test_what_profiling_adds_is_the_same_for_each_kernel() -> None:
    found = without_profiling(np.array([3.0, 4.0, 11.0]), 12.0)
    np.testing.assert_allclose(found, [1.0, 2.0, 9.0])
    np.testing.assert_allclose(without_profiling(np.array([1.0, 2.0]), 4.0), [1.5, 2.5])
    # A tenth of the shortest is left, and the others make up for it, of which one gets short then.
    np.testing.assert_allclose(without_profiling(np.array([1.0, 9.0]), 4.0), [0.1, 3.9])
    found = without_profiling(np.array([1.0, 5.0, 30.0]), 25.5)
    np.testing.assert_allclose(found, [0.1, 0.5, 24.9])
    # A whole that is shorter than the tenths is shared out.
    np.testing.assert_allclose(without_profiling(np.array([1.0, 3.0]), 0.2), [0.05, 0.15])


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_kernels_of_a_network_sum_to_it_and_are_measured_once(
    precision: str, tmp_path: Path
) -> None:
    target = Target(precision=precision)
    model = Family(SMALL, get_task("cifar10")).network(SMALL.sample(np.random.default_rng(0)))
    with ResultCache(tmp_path / "cache.sqlite") as cache:
        whole = WholeTimer(target, 0.05, cache)
        assert not whole.knows(model)
        latencies = NetworkTimer(target, whole, 0.01, cache)(model)
        assert len(latencies) == len(target.kernels(model))
        assert (latencies > 0).all()
        assert whole.knows(model)
        assert latencies.sum() == pytest.approx(whole(model))
        again = NetworkTimer(target, WholeTimer(target, 0.05, cache), 0.01, cache)(model)
        np.testing.assert_array_equal(again, latencies)
        assert len(cache) == 2


def test_kernels_are_timed_again_where_networks_are_written_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    profiles = list[None]()

    def counts(*_: Any) -> tuple[FloatArray, bool]:
        profiles.append(None)
        return np.ones(2), True

    monkeypatch.setattr(profiled_networks, "profile", counts)
    monkeypatch.setattr(WholeTimer, "__call__", lambda *_: 2.0)
    target = Target(precision="int8")
    with ResultCache(None) as cache:
        for identity in ("", "", "otherwise"):
            monkeypatch.setattr(Target, "identity", identity)
            NetworkTimer(target, WholeTimer(target, 0.05, cache), 0.01, cache)(TWO)
    assert len(profiles) == 2


@pytest.mark.parametrize(("runs", "skipped"), [(3, 1), (1, 0)])
def test_warm_up_and_the_first_run_of_a_burst_do_not_count(runs: int, skipped: int) -> None:
    cut = Rounds(np.zeros((2, runs, 3)), np.ones((2, 2)), WarmUp(5, True, 1.0), False, 1.0)
    times = np.arange(5 + 2 * (runs + skipped), dtype=np.float64)[:, None] * [1.0, 10.0]
    found = counted(times, cut)
    first = [5 + skipped + i for i in range(runs)]
    second = [i + runs + skipped for i in first]
    np.testing.assert_array_equal(found[:, :, 0], [first, second])
    np.testing.assert_array_equal(found[:, :, 1], 10 * found[:, :, 0])


def test_a_node_s_time_is_the_mean_of_its_own_quicker_half() -> None:
    """One run was interrupted at the first node, another at the second."""
    times = np.array([[[1.0, 5.0], [99.0, 5.0]], [[2.0, 99.0], [3.0, 7.0]]])
    np.testing.assert_array_equal(quicker_half(times), [1.5, 5.0])
    np.testing.assert_array_equal(quicker_half(times[:1, :1]), [1.0, 5.0])


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

    raw: list[FloatArray] = []

    def kept(*arguments: Any) -> FloatArray:
        raw.append(counted(*arguments))
        return raw[0]

    monkeypatch.setattr(profiled_networks, "beside_reference", seen)
    monkeypatch.setattr(profiled_networks, "take_turns", four_times)
    monkeypatch.setattr(profiled_networks, "counted", kept)
    found, _ = profile(Target().profiler(TWO), Target(), 0.05)
    np.testing.assert_allclose(found, quicker_half(raw[0]) / 4)


def event(node: int, microseconds: int) -> dict[str, Any]:
    return {"name": f"kernel{node}_kernel_time", "dur": microseconds}


def test_a_node_is_timed_once_a_run() -> None:
    events = [event(0, 5), event(1, 7), {"name": "model_run"}, {}, event(0, 6), event(1, 8)]
    np.testing.assert_allclose(run_times(events, ["Conv", "Relu"]), [[5e-3, 7e-3], [6e-3, 8e-3]])


@pytest.mark.parametrize("times", [[(0, 5), (0, 6)], [(0, 5), (1, 7), (0, 6)], []])
def test_a_node_that_the_profiler_leaves_out_is_named(times: list[tuple[int, int]]) -> None:
    events = [event(*pair) for pair in times]
    with pytest.raises(InvalidValueError, match=r"`onnx` must .* of a node \w+ in \d runs: leave"):
        run_times(events, ["Conv", "Relu"])


@pytest.mark.parametrize(("weights", "rounded"), [((16, 16, 3, 3), 4096), ((16, 16, 1, 1), 256)])
def test_kernels_know_the_weights_of_their_network(weights: tuple[int, ...], rounded: int) -> None:
    pads = [weights[2] // 2] * 4
    model = network([helper.make_node("Conv", ["x", "w"], ["y"], pads=pads)], {"w": weights})
    assert {kernel.model_weights for kernel in find_kernels(model)} == {rounded}
