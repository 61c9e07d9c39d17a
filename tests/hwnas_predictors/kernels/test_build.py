"""Kernel predictors that are built by measuring on this host."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from hwnas.errors import InvalidValueError
from hwnas.evaluation.cache import ResultCache
from hwnas.typing import DeviceKey, FloatArray
from hwnas_predictors.kernels.build import BuildSettings, _Work, build_predictor
from hwnas_predictors.kernels.fused_graph import find_kernels
from hwnas_predictors.kernels.kernel import Kernel
from hwnas_predictors.kernels.plain_graph import find_plain_kernels
from hwnas_predictors.kernels.predictor import Family, KernelPredictor
from hwnas_predictors.kernels.profiled_networks import NetworkTimer
from hwnas_predictors.kernels.sampling import SamplingPlan
from hwnas_predictors.kernels.single_kernels import OneByOne
from hwnas_predictors.kernels.target import Target
from hwnas_predictors.kernels.whole_networks import WholeTimer
from tests.hwnas_predictors.kernels.conftest import (
    CIFAR10,
    EVERY,
    RUNTIME,
    SMALL,
    network,
)


def test_a_build_measures_fits_and_goes_on_from_its_cache(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "max_seconds": 600.0,
        "networks": 2,
        "held_out": 2,
        "kernel_seconds": 0.01,
        "network_seconds": 0.05,
    }
    with ResultCache(tmp_path / "cache.sqlite") as cache:
        first = KernelPredictor.build([(SMALL, CIFAR10)], cache=cache, **settings)
        rows = len(cache)
        again = KernelPredictor.build([(SMALL, CIFAR10)], cache=cache, **settings)
        assert len(cache) == rows
    assert repr(again.predictor) == repr(first.predictor)
    np.testing.assert_array_equal(again.measured_ms, first.measured_ms)
    # Two networks with the profiler and without it, and the two that are held out.
    assert rows == 2 * 2 + len(first.measured_ms)
    used = [k for sample in first.samples.values() for k in sample.latencies]
    assert len(used) == len(set(used)) > 3
    values: FloatArray = first.predictor.predict([SMALL.sample(np.random.default_rng(0))])
    assert (values > 0).all()
    relative = first.measured_ms / first.predicted_ms - 1
    assert first.unseen
    assert first.predictor.relative_std == pytest.approx(np.sqrt(np.mean(relative**2)))
    assert first.predictor.device == DeviceKey("cpu", RUNTIME, threads=1)


def test_a_build_needs_networks() -> None:
    with pytest.raises(InvalidValueError, match="`families` or `models` must be given"):
        KernelPredictor.build([])
    with pytest.raises(InvalidValueError, match="`max_seconds` must be above 0, but got -1"):
        KernelPredictor.build([(SMALL, CIFAR10)], max_seconds=-1)


def test_a_build_of_networks_alone_says_that_it_measured_their_kernels(tmp_path: Path) -> None:
    family = Family(SMALL, CIFAR10)
    cells = [SMALL.sample(np.random.default_rng(i)) for i in (1, 2)]
    with ResultCache(tmp_path / "cache.sqlite") as cache:
        found = KernelPredictor.build(
            [], [family.network(cell) for cell in cells], cache=cache, max_seconds=10.0,
            kernel_seconds=0.01, network_seconds=0.05,
        )  # fmt: skip
    assert not found.unseen
    assert len(found.measured_ms) == 2


def test_networks_of_one_s_own_take_no_time_of_a_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time is up at once: two of one's own are measured, and two of the space."""
    measured: list[bytes] = []

    def times(_: NetworkTimer, model: onnx.ModelProto) -> FloatArray:
        measured.append(model.SerializeToString())
        return np.ones(len(find_kernels(model)))

    monkeypatch.setattr(NetworkTimer, "__call__", times)
    own = Family(SMALL, CIFAR10).network(SMALL.parse(EVERY))
    KernelPredictor.build(
        [(SMALL, CIFAR10)], [own] * 5, max_seconds=1e-6, networks=4, held_out=2,
        network_seconds=0.05,
    )  # fmt: skip
    assert measured[:2] == [own.SerializeToString()] * 2
    assert own.SerializeToString() not in measured[2:]
    assert len(measured) == 2 + 2  # `own` has all types of kernel


def test_what_a_runtime_cannot_run_alone_follows_from_bytes_and_networks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whole networks, which tell how long it takes, are measured before the kernels."""
    asked: list[str] = []

    def alone(_: OneByOne, kernels: Sequence[Kernel]) -> FloatArray:
        asked.append("kernels")
        if any(kernel.kind == "averagepool" for kernel in kernels):
            raise InvalidValueError("no pool runs alone")
        return np.array([1e-6 * kernel.configuration.bytes for kernel in kernels])

    def whole(_: WholeTimer, model: onnx.ModelProto) -> float:
        asked.append("network")
        seen = [(k.kind, k.configuration.bytes) for k in find_plain_kernels(model)]
        return 1e-6 * sum((3 if kind == "averagepool" else 1) * size for kind, size in seen)

    monkeypatch.setattr("hwnas_predictors.kernels.target.is_profiled", lambda _: False)
    monkeypatch.setattr("hwnas_predictors.kernels.predictor.is_profiled", lambda _: False)
    monkeypatch.setattr(OneByOne, "__call__", alone)
    monkeypatch.setattr(WholeTimer, "__call__", whole)
    found = KernelPredictor.build([(SMALL, CIFAR10)], networks=6)  # 16 held out
    assert found.by_bytes == {"averagepool": "no pool runs alone"}
    assert "averagepool" in found.choices
    assert asked[:16] == ["network"] * 16
    np.testing.assert_allclose(found.predicted_ms, found.measured_ms, rtol=0.02)
    model = Family(SMALL, CIFAR10).network(SMALL.parse(EVERY))
    expected = whole(WholeTimer(Target(), 1.0, ResultCache(None)), model)
    assert found.predictor.predict_model(model) == pytest.approx(expected, rel=0.02)

    def nothing(*_: Any) -> FloatArray:
        raise InvalidValueError("it runs nothing")

    monkeypatch.setattr(OneByOne, "__call__", nothing)
    with pytest.raises(InvalidValueError, match=r"but got none that do\..* it runs nothing"):
        KernelPredictor.build([(SMALL, CIFAR10)], networks=2, held_out=2)
    nothing_to_do = [network([helper.make_node("Identity", ["x"], ["y"])], {})] * 2
    with pytest.raises(InvalidValueError, match="have kernels, but they compute nothing"):
        KernelPredictor.build([], nothing_to_do)


@pytest.mark.parametrize(("up", "number"), [((0.5, 0.8), 9), ((0.8,), 11)])
def test_when_half_the_time_is_up_no_more_networks_are_made_for_their_kernels(
    up: tuple[float, ...], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight of a space are made whatever the time, and all of one's own."""
    listed: list[int] = []

    def report(what: str, done: int) -> None:
        if what == "networks whose kernels are known":
            listed.append(done)

    monkeypatch.setattr("hwnas_predictors.kernels.target.is_profiled", lambda _: False)
    monkeypatch.setattr(OneByOne, "__call__", lambda _, kernels: np.ones(len(kernels)))
    monkeypatch.setattr(_Work, "_expired", lambda _, share=1.0: share in up)
    family, cell = Family(SMALL, CIFAR10), SMALL.parse(EVERY)
    work = _Work(BuildSettings(), ResultCache(None), report)
    work.samples([family], [[cell] * 10], [family.network(cell)])
    assert listed == [*range(1, number + 1)]


def test_networks_that_are_known_calibrate_behind_one_that_time_was_up_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Time is up at once: the fourth has a type of kernel of its own, so that it was timed."""

    def knows(_: WholeTimer, model: onnx.ModelProto) -> bool:
        return bool(model.graph.node[0].op_type == "Erf")

    def whole_ms(_: WholeTimer, model: onnx.ModelProto) -> float:
        return float(len(model.graph.node))

    def kernels_ms(_: NetworkTimer, model: onnx.ModelProto) -> FloatArray:
        return np.ones(len(find_kernels(model)))

    monkeypatch.setattr(WholeTimer, "knows", knows)
    monkeypatch.setattr(WholeTimer, "__call__", whole_ms)
    monkeypatch.setattr(NetworkTimer, "__call__", kernels_ms)
    chains = [["Relu"] * n for n in (1, 2, 3)] + [["Erf"] * 4]
    found = KernelPredictor.build([], [chain(names) for names in chains], max_seconds=1e-6)
    np.testing.assert_array_equal(found.measured_ms, [1.0, 2.0, 4.0])
    assert found.untimed == 1


def test_two_networks_are_measured_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    def kernels_ms(_: NetworkTimer, model: onnx.ModelProto) -> FloatArray:
        return np.ones(len(find_kernels(model)))

    latencies = iter([1.0, float("nan")])
    monkeypatch.setattr(WholeTimer, "__call__", lambda *_: next(latencies))
    monkeypatch.setattr(NetworkTimer, "__call__", kernels_ms)
    text = (
        "`held_out` must leave two networks .* but of 2 0 have .* and 1 were not timed: give more"
    )
    with pytest.raises(InvalidValueError, match=text):
        KernelPredictor.build([], [chain(["Relu", "Erf"]), chain(["Erf"])], max_seconds=9.0)


def chain(operators: Sequence[str]) -> onnx.ModelProto:
    tensors = ["x", *(f"t{i}" for i in range(len(operators) - 1)), "y"]
    pairs = zip(operators, tensors, tensors[1:], strict=False)
    return network([helper.make_node(name, [a], [b]) for name, a, b in pairs], {})


@pytest.mark.parametrize(("runtime", "profiled"), [("onnxruntime", True), ("litert", False)])
def test_kernels_in_int8_are_measured_where_they_stand_if_the_runtime_says(
    runtime: str, profiled: bool, tmp_path: Path
) -> None:
    if not profiled:
        pytest.importorskip("ai_edge_litert", reason="needs the extra litert")
    with ResultCache(tmp_path / "cache.sqlite") as cache:
        found = KernelPredictor.build(
            [(SMALL, CIFAR10)], cache=cache, precision="int8", runtime=runtime, networks=2,
            held_out=2, max_seconds=1e-6, kernel_seconds=0.01, network_seconds=0.05,
            plan=SamplingPlan(initial=2, rounds=0),
        )  # fmt: skip
        kernels = sum(len(sample.latencies) for sample in found.samples.values())
        # Of the two networks that were profiled both times.
        assert len(cache) == (4 if profiled else kernels) + len(found.measured_ms)
    assert found.predictor.profiled == profiled
    assert ("conv int8" in {k.removesuffix(" nhwc") for k in found.samples}) == profiled
    saved = tmp_path / "int8.npz"
    found.predictor.save(saved)
    model = Family(SMALL, CIFAR10).network(SMALL.parse(EVERY))
    known = KernelPredictor[Any].load(saved)
    measured = [kernel for sample in found.samples.values() for kernel in sample.latencies]
    assert measured
    np.testing.assert_array_equal(known.kernel_ms(measured), found.predictor.kernel_ms(measured))
    # The cell has every operation, and the regressors know every type that was measured.
    assert {k.kind for k in measured} & {k.kind for k in Target(runtime, "int8").kernels(model)}
    assert known.predict_kernels(measured) == found.predictor.predict_kernels(measured)


def test_networks_are_tried_before_kernels_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs the extra litert")
    monkeypatch.setattr("hwnas_predictors.kernels.build.KernelTimer", None)
    models = [chain(["Relu", "Tanh"]), chain(["Relu", "Sinh"])]
    with pytest.raises(InvalidValueError, match=r"litert cannot run number 2 of `models`: .*Sinh"):
        build_predictor([], models, BuildSettings(runtime="litert"))
