from __future__ import annotations

import gc
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from hwnas.costs.onnxruntime_latency import (
    ClockChoice,
    OnnxRuntimeLatency,
    OnnxRuntimeSource,
    measure_latency,
)
from hwnas.costs.source import CostRequest, make_cost
from hwnas.errors import InvalidValueError, UnknownNameError
from hwnas.evaluation.sources import CostValues, Effort, MeasuredCost
from hwnas.measure.host import host_fingerprint
from hwnas.measure.measurement import MIN_RUNS, median_interval, repeat
from hwnas.onnx_export.export import export_onnx
from hwnas.runtimes.onnxruntime_session import (
    available_providers,
    open_session,
    provider_name,
    random_feeds,
)
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import image_task

CONV = str(Cell(("nor_conv_3x3",) * 6))
Inputs = Sequence[tuple[str, int, Sequence[int | str]]]

SKIP = "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"


def graph_of(inputs: Inputs, nodes: list[onnx.NodeProto]) -> bytes:
    """Make a model whose output ``y`` is a float vector."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def small() -> bytes:
    return bytes(export_onnx(nn.Conv2d(3, 4, 3), (3, 8, 8)).SerializeToString())


# Ranks (from 1) by the binomial table: the largest k with 2 P(B(n, 1/2) < k) <= 0.05.
@pytest.mark.parametrize(
    ("n", "low", "high"), [(6, 1, 6), (8, 1, 8), (9, 2, 8), (10, 2, 9), (20, 6, 15), (25, 8, 18)]
)
def test_interval_of_the_median_by_the_table(n: int, low: int, high: int) -> None:
    shuffled = np.random.default_rng(n).permutation(np.arange(1.0, n + 1))
    assert median_interval(shuffled) == (low, high)


def test_interval_needs_six_runs() -> None:
    for n in range(6):
        assert all(math.isnan(end) for end in median_interval(np.arange(float(n))))


def test_interval_covers_the_median_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).exponential(size=(4000, 50))
    inside = [low <= math.log(2) <= high for low, high in map(median_interval, draws)]
    # Exactly 0.967 for n = 50 and k = 18; four standard errors are 0.011.
    assert np.mean(inside) == pytest.approx(0.967, abs=0.012)


def runs_of(values: list[float]) -> Any:
    """Give (wall, CPU) times from a list whose last value repeats; CPU times are constant."""
    left = list(values)
    return lambda: (left.pop(0) if len(left) > 1 else left[0], 1.0)


def test_repeating_stops_when_the_median_is_known() -> None:
    timings = repeat(runs_of([3.0]), "wall", warmup=3, max_seconds=60, target=0.02)
    assert timings.converged
    assert len(timings.wall_ms) == MIN_RUNS
    assert timings.seconds < 10


def test_repeating_stops_when_time_is_up() -> None:
    rng = np.random.default_rng(0)
    noisy = repeat(
        lambda: (float(rng.exponential()), 1.0), "wall",
        warmup=0, max_seconds=0.05, target=1e-9,
    )  # fmt: skip
    assert not noisy.converged
    assert 0.05 <= noisy.seconds < 5
    rng = np.random.default_rng(0)
    steady = repeat(
        lambda: (float(rng.exponential()), 1.0), "cpu",
        warmup=0, max_seconds=60, target=1e-9,
    )  # fmt: skip
    assert steady.converged


def test_there_is_always_one_run() -> None:
    timings = repeat(runs_of([2.0]), "wall", warmup=50, max_seconds=1e-9, target=0.02)
    assert timings.wall_ms.tolist() == [2.0]
    assert not timings.converged


def test_warm_up_lasts_until_times_are_stable() -> None:
    falling = [100.0 * 0.8**i for i in range(30)]
    timings = repeat(runs_of([*falling, 0.1]), "wall", warmup=0, max_seconds=60, target=0.02)
    assert timings.wall_ms.max() == 0.1


def test_measurement_says_what_was_measured(small: bytes) -> None:
    m = measure_latency(small, max_seconds=0.5, clock="wall")
    assert 0 < m.ci_low_ms <= m.latency_ms <= m.ci_high_ms
    assert m.latency_ms <= m.p95_ms
    assert m.latency_ms == m.wall_ms == m.value
    assert m.cpu_ms > 0
    assert m.runs >= MIN_RUNS
    assert m.converged == (m.ci_high_ms - m.ci_low_ms <= 0.02 * m.latency_ms) or not m.converged
    assert m.fingerprint == host_fingerprint()
    assert json.loads(json.dumps(m.as_dict()))["latency_ms"] == m.latency_ms


def test_clock_is_that_of_the_thread_for_one_thread_alone(small: bytes) -> None:
    one = measure_latency(small, max_seconds=0.1)
    assert (one.clock, one.latency_ms) == ("cpu", one.cpu_ms)
    two = measure_latency(small, max_seconds=0.1, threads=2)
    assert (two.clock, two.latency_ms) == ("wall", two.wall_ms)
    assert two.as_dict()["cpu_ms"] is None
    with pytest.raises(InvalidValueError, match="sees the calling thread alone"):
        measure_latency(small, threads=2, clock="cpu")
    with pytest.raises(InvalidValueError, match="`clock` must be auto, wall or cpu"):
        measure_latency(small, clock=cast(ClockChoice, "sun"))


def test_garbage_collection_is_as_before(small: bytes) -> None:
    measure_latency(small, max_seconds=0.05)
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"batch": 0}, "`batch` must be at least 1"),
        ({"threads": 0}, "`threads` must be at least 1"),
        ({"warmup": -1}, "`warmup` must be at least 0"),
        ({"max_seconds": 0.0}, "`max_seconds` must be above 0"),
        ({"target": float("nan")}, "`target` must be above 0"),
        ({"batch": 2}, "must fit input 'input'"),
        ({"in_shape": (3, 9, 9)}, "must fit input 'input'"),
    ],
)
def test_settings_out_of_range_are_refused(
    small: bytes, settings: dict[str, Any], text: str
) -> None:
    with pytest.raises(InvalidValueError, match=text):
        measure_latency(small, **settings)


def test_absent_provider_is_refused_with_those_there_are(small: bytes) -> None:
    with pytest.raises(UnknownNameError, match=r"`provider` must be one of .*cpu.*'quantum'"):
        measure_latency(small, provider="quantum")
    with pytest.raises(UnknownNameError):
        OnnxRuntimeLatency(NasBench201(), provider="quantum")
    assert provider_name("CPUExecutionProvider") == provider_name("cpu") == "CPUExecutionProvider"
    assert "azure" not in available_providers()


def test_provider_that_falls_back_is_refused(small: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    class FellBack:
        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    import onnxruntime

    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_a, **_k: FellBack())
    with pytest.raises(InvalidValueError, match="fell back to CPUExecutionProvider"):
        open_session(small, "cuda")


def test_files_that_are_no_models_get_one_clear_line(tmp_path: Path) -> None:
    for content in (b"", b"no model"):
        path = tmp_path / "broken.onnx"
        path.write_bytes(content)
        with pytest.raises(InvalidValueError, match=r"ONNX Runtime .* can load"):
            measure_latency(path)
    with pytest.raises(InvalidValueError, match="there is no file"):
        measure_latency(tmp_path / "absent.onnx")


def test_several_inputs_of_any_type_and_free_dimensions() -> None:
    nodes = [
        helper.make_node("Cast", ["i"], ["fi"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["b"], ["fb"], to=TensorProto.FLOAT),
        helper.make_node("Sum", ["x", "fi", "fb"], ["y"]),
    ]
    model = graph_of(
        [
            ("x", TensorProto.FLOAT, ["n", 3, "h", "w"]),
            ("i", TensorProto.INT64, ["n", 1, 1, 1]),
            ("b", TensorProto.BOOL, [1]),
        ],
        nodes,
    )
    feeds = random_feeds(open_session(model), 2, (3, 4, 5), seed=1)
    assert {n: (a.shape, a.dtype.name) for n, a in feeds.items()} == {
        "x": ((2, 3, 4, 5), "float32"), "i": ((2, 1, 1, 1), "int64"), "b": ((1,), "bool"),
    }  # fmt: skip
    assert set(np.unique(feeds["i"])) <= {0, 1}
    again = random_feeds(open_session(model), 2, (3, 4, 5), seed=1)
    assert all(np.array_equal(feeds[n], again[n]) for n in feeds)
    with pytest.raises(InvalidValueError, match="free dimensions of input 'x'"):
        measure_latency(model, max_seconds=0.05)


def test_free_and_fixed_batches() -> None:
    free = export_onnx(nn.Conv2d(3, 4, 3), (3, 8, 8), dynamic_batch=True)
    fixed = export_onnx(nn.Conv2d(3, 4, 3), (3, 8, 8), batch=5)
    assert measure_latency(free, max_seconds=0.02).batch == 1
    assert measure_latency(free, batch=7, max_seconds=0.02).batch == 7
    assert measure_latency(fixed, max_seconds=0.02).batch == 5


def test_model_that_fails_while_it_runs_gets_one_clear_line() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    inputs: Inputs = [("x", TensorProto.FLOAT, ["n", 3]), ("w", TensorProto.FLOAT, ["k", 4])]
    # The free dimension of w becomes the batch, which must be 3 to fit.
    assert measure_latency(graph_of(inputs, nodes), batch=3, max_seconds=0.05).runs > 0
    with pytest.raises(InvalidValueError, match="must run on random inputs"):
        measure_latency(graph_of(inputs, nodes), batch=2, max_seconds=0.05)


def test_larger_networks_take_longer() -> None:
    space = NasBench201()
    cost = OnnxRuntimeLatency(space, max_seconds=0.3)
    large, little = cost.predict([space.parse(CONV), space.parse(SKIP)])
    # 220 million MACs against 8 million.
    assert large > 3 * little > 0


def test_cost_measures_the_representative_and_leaves_the_generator_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graphs: list[bytes] = []
    measured = measure_latency

    def record(model: onnx.ModelProto, **settings: Any) -> Any:
        graphs.append(model.SerializeToString(deterministic=True))
        return measured(model, **settings)

    monkeypatch.setattr("hwnas.costs.onnxruntime_latency.measure_latency", record)
    space = NasBench201(channels=4, cells=1)
    dead = space.parse("|nor_conv_3x3~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|nor_conv_3x3~2|")
    state = torch.get_rng_state()
    cost = OnnxRuntimeLatency(space, image_task(7, (1, 16, 16)), max_seconds=0.02, batch=2)
    for arch in (dead, space.representative(dead), space.parse(SKIP)):
        assert cost.measure(arch).batch == 2
    assert torch.equal(torch.get_rng_state(), state)
    assert graphs[0] == graphs[1] != graphs[2]


def test_cost_states_everything_and_is_a_measurement() -> None:
    cost = make_cost("onnxruntime", NasBench201(cells=1), get_task("ImageNet16-120"))
    assert isinstance(cost, OnnxRuntimeLatency)
    assert isinstance(cost, MeasuredCost)
    for text in ("cells=1", "num_classes=120", "(3, 16, 16)", "threads=1", "batch=1", "clock="):
        assert text in repr(cost)
    assert (cost.metric, cost.unit, cost.direction) == ("latency", "ms", "minimize")
    assert cost.device.device == "cpu"
    assert cost.device.runtime.startswith("onnxruntime-1.")
    source = CostValues(NasBench201(cells=1), cost)
    assert source.effort is Effort.MEASURE
    assert host_fingerprint() in str(source.cache_prefix("cpu_latency_ms"))


def test_source_offers_the_providers_of_this_installation() -> None:
    options = OnnxRuntimeSource().options()
    assert [option.device for option in options] == list(available_providers())
    assert options[0].device == "cpu"
    request = CostRequest(NasBench201(), "cpu", "latency", get_task("cifar100"))
    assert OnnxRuntimeSource().make(request).task == get_task("cifar100")


def test_source_value_of_a_measurement_carries_its_spread() -> None:
    space = NasBench201(channels=4, cells=1)
    cost = OnnxRuntimeLatency(space, max_seconds=0.05)
    result = CostValues(space, cost).compute(space.parse(SKIP), ["cpu_latency_ms"])
    value = result["cpu_latency_ms"]
    assert value.value == value.detail["latency_ms"] > 0
    assert value.seconds == value.detail["seconds"]
