"""Costs that are measured: one cost model for every runtime and meter."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwnas.costs.measured import RuntimeCost, RuntimeSource
from hwnas.costs.source import CostRequest, get_source, make_cost, source_names
from hwnas.errors import InvalidValueError, UnknownNameError
from hwnas.evaluation.sources import CostValues, Effort, MeasuredCost
from hwnas.measure.beside_reference import measure_together
from hwnas.measure.host import host_fingerprint
from hwnas.measure.limits import CallError, Limits
from hwnas.measure.measuring import measure
from hwnas.registry import BUILT_IN
from hwnas.runtimes.base import Network, RunSettings, TorchNetwork
from hwnas.runtimes.onnxruntime_providers import available_providers
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import image_task
from hwnas.testing import CostModelContract

CONV = str(Cell(("nor_conv_3x3",) * 6))
SKIP = "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
SPACE = NasBench201(channels=4, cells=1)


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
class TestRuntimeCost(CostModelContract):
    samples = 2

    @pytest.fixture
    def space(self) -> NasBench201:
        return SPACE

    @pytest.fixture
    def cost(self, runtime: str) -> RuntimeCost[Cell]:
        return RuntimeCost(SPACE, runtime=runtime, max_seconds=0.02)


def cost_of(text: str, space: Any = SPACE) -> RuntimeCost[Cell]:
    made = make_cost(text, space, get_task("cifar10"))
    assert isinstance(made, RuntimeCost)
    return made


def name_of(text: str) -> str:
    return CostValues(SPACE, cost_of(text)).name


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
def test_larger_networks_take_longer(runtime: str) -> None:
    space = NasBench201()
    cost = RuntimeCost(space, runtime=runtime, max_seconds=0.3)
    large, little = cost.predict([space.parse(CONV), space.parse(SKIP)])
    # 220 million MACs against 8 million.
    assert large > 3 * little > 0


def test_cost_measures_the_representative_and_leaves_the_generator_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights: list[list[torch.Tensor]] = []

    def record(network: Network, *arguments: Any, **settings: Any) -> Any:
        assert isinstance(network, TorchNetwork)
        weights.append(list(network.module.state_dict().values()))
        return measure(network, *arguments, **settings)

    monkeypatch.setattr("hwnas.costs.measured.measure", record)
    dead = SPACE.parse("|nor_conv_3x3~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|nor_conv_3x3~2|")
    state = torch.get_rng_state()
    cost = RuntimeCost(
        SPACE, image_task(7, (1, 16, 16)), settings=RunSettings(batch=2), max_seconds=0.02
    )
    for arch in (dead, SPACE.representative(dead), SPACE.parse(SKIP)):
        assert cost.measure(arch).key.batch == 2
    assert torch.equal(torch.get_rng_state(), state)
    first, second, other = weights
    assert len(first) == len(second) != len(other)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_cost_states_everything_and_is_a_measurement() -> None:
    space = NasBench201(cells=1)
    cost = make_cost("onnxruntime", space, get_task("ImageNet16-120"))
    assert isinstance(cost, RuntimeCost)
    assert isinstance(cost, MeasuredCost)
    for text in ("cells=1", "num_classes=120", "(3, 16, 16)", "threads=1", "batch=1", "meter="):
        assert text in repr(cost)
    assert (cost.metric, cost.unit, cost.direction) == ("latency", "ms", "minimize")
    assert cost.device.device == "cpu"
    assert cost.device.runtime.startswith("onnxruntime-1.")
    assert cost.resource == "this-cpu"
    source = CostValues(space, cost)
    assert source.effort is Effort.MEASURE
    assert cost.fingerprint == host_fingerprint()
    assert source.former_prefixes("cpu_latency_ms") == (f"cost|{cost!r}|{host_fingerprint()}",)
    stated = json.loads(source.cache_prefix("cpu_latency_ms") or "")
    assert stated["host"] == host_fingerprint()
    assert stated["cost"]["runtime"] == "onnxruntime"


def test_torch_is_never_taken_for_onnx_runtime() -> None:
    cost, other = cost_of("torch:cpu:latency"), cost_of("onnxruntime:cpu:latency")
    assert cost.device.runtime == f"torch-{torch.__version__}"
    assert cost.device != other.device
    assert repr(cost) != repr(other)
    assert f"torch {torch.__version__}" in cost.fingerprint
    assert "onnxruntime" not in cost.fingerprint
    assert name_of("torch:cpu:latency") == "torch_cpu_latency_ms"
    assert name_of("onnxruntime:cpu:latency") == "cpu_latency_ms"


def test_settings_are_read_and_seen_in_key_name_and_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    images = "own.npz"
    np.savez(images, images=np.ones((32, 3, 32, 32), np.float32))
    default = cost_of("onnxruntime:cpu:latency")
    cost = cost_of("onnxruntime:cpu:latency:threads=2,batch=4")
    assert (cost.device.threads, cost.device.batch) == (2, 4)
    # Parts that are left out are the first ones, with settings too.
    assert cost_of("onnxruntime:batch=4,threads=2") == cost
    assert cost_of("onnxruntime:cpu:latency:threads=1,batch=1,spinning=on") == default
    texts = [
        "onnxruntime:cpu:latency",
        "onnxruntime:cpu:latency:threads=2",
        "onnxruntime:cpu:latency:batch=2",
        "onnxruntime:cpu:latency:spinning=off",
        "onnxruntime:cpu:latency:meter=wall",
        "torch:cpu:latency",
        "torch:cpu:latency:precision=bfloat16",
        "torch:cpu:latency:batch=2,threads=2",
        "onnxruntime:cpu:latency:precision=int8",
        "onnxruntime:cpu:latency:precision=int8,float_operators=MaxPool+AveragePool",
        f"onnxruntime:cpu:latency:precision=int8,images={images}",
    ]
    assert [name_of(text) for text in texts] == [
        "cpu_latency_ms",
        "cpu_t2_latency_ms",
        "cpu_b2_latency_ms",
        "cpu_spinning_off_latency_ms",
        "cpu_wall_latency_ms",
        "torch_cpu_latency_ms",
        "torch_cpu_bfloat16_latency_ms",
        "torch_cpu_t2_b2_latency_ms",
        "cpu_int8_latency_ms",
        "cpu_int8_float_operators_AveragePool+MaxPool_latency_ms",
        "cpu_int8_images_latency_ms",
    ]
    assert len({repr(cost_of(text)) for text in texts}) == len(texts)
    assert repr(cost_of("torch:cpu:latency:max_seconds=2")).endswith(
        "max_seconds=2.0, reference='1')"
    )
    short = cost_of("torch:cpu:latency:precision=bf16")
    assert short == cost_of("torch:cpu:latency:precision=bfloat16")
    whole = cost_of("onnxruntime:cpu:latency:precision=int8,float_operators=MaxPool+AveragePool")
    assert whole.device.runtime.endswith("[float_operators=AveragePool+MaxPool]")
    pinned = cost_of(texts[-1])
    np.savez(images, images=np.zeros((32, 3, 32, 32), np.float32))
    # Other images of the same name are another calibration.
    assert repr(cost_of(texts[-1])) != repr(pinned)
    bfloat = cost_of("torch:cpu:latency:precision=bfloat16,max_seconds=0.02")
    assert bfloat.measure(SPACE.parse(SKIP)).key == bfloat.device
    assert bfloat.device.precision == "bfloat16"


def test_values_beside_the_reference_are_never_mixed_with_raw_ones() -> None:
    cost, raw = cost_of("onnxruntime"), cost_of("onnxruntime:reference=off")
    assert (cost.reference, raw.reference) == (True, False)
    assert cost_of("onnxruntime:reference=on") == cost
    assert cost_of("onnxruntime:reference=true") == cost
    assert name_of("onnxruntime:reference=off") == "cpu_raw_latency_ms"
    old = CostValues(SPACE, raw)
    new = CostValues(SPACE, cost)
    column = "cpu_latency_ms"
    assert old.cache_prefix(column) != new.cache_prefix(column)
    assert not {*old.former_prefixes(column)} & {*new.former_prefixes(column)}
    # What was cached before there was a reference is found as raw.
    assert "reference" not in str(old.cache_prefix(column))
    assert repr(raw).startswith("OnnxRuntimeLatency(")
    arch = SPACE.parse(SKIP)
    said = RuntimeCost(SPACE, max_seconds=0.02, reference=False).measure(arch).as_dict()
    assert "reference_ms" not in said


def test_int8_is_not_found_as_it_was_written_before() -> None:
    """Its activations were signed, which took longer."""
    before = RuntimeCost(SPACE, settings=RunSettings(precision="int8"))
    assert before.identity()["written"] == "unsigned activations"
    assert "written='unsigned activations'" in repr(before)
    assert before.measured_as.endswith(", unsigned activations")
    for text in ("onnxruntime", "torch:cpu:latency:precision=bfloat16"):
        assert "written" not in cost_of(text).identity()
        assert "written" not in repr(cost_of(text))


def test_networks_that_are_predicted_together_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def record(networks: Any, *arguments: Any) -> Any:
        sizes.append(len(networks))
        return measure_together(networks, *arguments)

    monkeypatch.setattr("hwnas.costs.measured.measure_together", record)
    cost = RuntimeCost(SPACE, max_seconds=0.01)
    archs = [SPACE.sample(np.random.default_rng(seed)) for seed in range(10)]
    found = cost.measure_all(archs)
    assert sizes == [8, 2]
    assert all(one.key == cost.device for one in found)
    # Of 0.08 s for all a tenth may be spent on running.
    assert RuntimeCost(SPACE, max_seconds=0.01, limits=Limits(0.2))._together == 2
    assert RuntimeCost(SPACE, max_seconds=3.0, limits=Limits(5.0))._together == 1
    assert RuntimeCost(SPACE, reference=False)._together == 1


def test_a_turn_that_ends_its_process_is_repeated_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ends(*arguments: Any) -> Any:
        del arguments
        raise CallError("it ended its process")

    monkeypatch.setattr("hwnas.costs.measured.measure_together", ends)
    archs = [SPACE.sample(np.random.default_rng(seed)) for seed in range(3)]
    assert (RuntimeCost(SPACE, max_seconds=0.01).predict(archs) > 0).all()


def test_equal_costs_are_one_and_can_be_sent_to_another_process() -> None:
    cost = cost_of("torch:cpu:latency:threads=2")
    for other in (copy.deepcopy(cost), pickle.loads(pickle.dumps(cost))):
        assert (other, hash(other), repr(other)) == (cost, hash(cost), repr(cost))


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("onnxruntime:cpu:latency:threads=0", InvalidValueError, "`threads` must be at least 1"),
        ("onnxruntime:cpu:latency:threads=two", InvalidValueError, "`threads` must be at least 1"),
        ("onnxruntime:cpu:latency:max_seconds=0", InvalidValueError, "`max_seconds` must be above"),
        ("onnxruntime:cpu:latency:max_seconds=x", InvalidValueError, "`max_seconds` must be above"),
        ("onnxruntime:cpu:latency:reference=2", InvalidValueError, "`reference` must be on or off"),
        ("onnxruntime:cpu:latency:thread=2", UnknownNameError, "Did you mean 'threads'"),
        (
            "onnxruntime:cpu:latency:meter=sun",
            UnknownNameError,
            "must be one of auto, cpu, events, wall",
        ),
        ("torch:cpu:latency:spinning=off", UnknownNameError, "`setting of torch` must be one of"),
        ("onnxruntime:cpu:latency:threads=2,meter=cpu", InvalidValueError, "`meter` must see all"),
        ("torch:cpu:latency:precision=int9", UnknownNameError, "`precision of torch` must be one"),
        ("count:macs:batch=2", InvalidValueError, "`cost` count has no settings, but got batch"),
        ("torch:tpu:latency", UnknownNameError, "`device of torch` must be one of"),
    ],
)
def test_wrong_settings_get_one_clear_line(text: str, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind) as raised:
        make_cost(text, SPACE, get_task("cifar10"))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_each_runtime_is_a_source() -> None:
    assert source_names()[-len(BUILT_IN["runtimes"]) :] == list(BUILT_IN["runtimes"])
    options = get_source("onnxruntime").options()
    assert [*dict.fromkeys(o.device for o in options)] == list(available_providers())
    assert get_source("torch").options()[0] == ("cpu", "latency", "ms", "minimize")
    request = CostRequest(NasBench201(), "cpu", "latency", get_task("cifar100"))
    assert RuntimeSource("torch").make(request).task == get_task("cifar100")


def test_what_ran_must_be_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime that computes in another precision than asked gives no value."""
    from dataclasses import replace

    def otherwise(*arguments: Any, **settings: Any) -> Any:
        found = measure(*arguments, **settings)
        return replace(found, key=replace(found.key, precision="bfloat16"))

    monkeypatch.setattr("hwnas.costs.measured.measure", otherwise)
    cost = RuntimeCost(SPACE, max_seconds=0.02)
    with pytest.raises(InvalidValueError, match=r"float32/b1/t1, but .*bfloat16/b1/t1 ran"):
        cost.measure(SPACE.parse(SKIP))


def test_source_value_of_a_measurement_carries_its_spread() -> None:
    cost = RuntimeCost(SPACE, max_seconds=0.05)
    result = CostValues(SPACE, cost).compute(SPACE.parse(SKIP), ["cpu_latency_ms"])
    value = result["cpu_latency_ms"]
    assert value.value == value.detail["latency_ms"] > 0
    assert value.seconds == value.detail["seconds"]
