"""Values of one device are no measurement of another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hwnas.errors import InvalidValueError
from hwnas.pareto import ObjectiveInfo, ParetoSet
from hwnas.pareto.same_device import check_front_device, check_same_device, parse_key
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.typing import DeviceKey

JETSON = DeviceKey("jetson", "tensorrt-10.3", "float16", 1)
HERE = DeviceKey("cpu", "onnxruntime-1.32.0", "float32", 1, 1)


@pytest.mark.parametrize(
    "key",
    [
        JETSON,
        HERE,
        DeviceKey("a/b", "x-1[y=1/2]", "as published", 4),
        replace(HERE, dead_operations="pruned"),
        replace(JETSON, dead_operations="executed"),
    ],
)
def test_keys_are_read_as_they_are_written(key: DeviceKey) -> None:
    found = parse_key(str(key))
    assert found is not None
    assert str(found) == str(key)
    assert found.dead_operations == key.dead_operations


def test_what_is_no_key() -> None:
    assert parse_key("jetson") is None
    assert parse_key("") is None


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("device", "raspi4", "device jetson and not raspi4"),
        ("runtime", "onnxruntime-1.32.0", "runtime tensorrt and not onnxruntime"),
        ("runtime", "tensorrt-10.3[fallback=allow]", r"options none and not \[fallback=allow\]"),
        ("precision", "int8", "precision float16 and not int8"),
        ("batch", 8, "batch 1 and not 8"),
    ],
)
def test_each_part_tells_devices_apart(part: str, value: Any, said: str) -> None:
    with pytest.raises(InvalidValueError, match=f"`x` must be measured.*{said}"):
        check_same_device(JETSON, replace(JETSON, **{part: value}), "x")


def test_what_is_left_open_agrees_and_is_told() -> None:
    assert check_same_device(JETSON, JETSON, "x") == []
    assert check_same_device(HERE, replace(HERE, threads=None), "x") == []
    with pytest.raises(InvalidValueError, match="threads 1 and not 2"):
        check_same_device(HERE, replace(HERE, threads=2), "x")
    (line,) = check_same_device(JETSON, replace(JETSON, runtime="tensorrt-10.4"), "x")
    assert "different versions" in line
    (line,) = check_same_device(JETSON, replace(JETSON, runtime="unknown"), "x")
    assert "not known" in line
    (line,) = check_same_device(replace(JETSON, device="mine"), JETSON, "x")
    assert "'mine' is 'jetson'" in line


def test_other_hardware_is_another_device() -> None:
    one, other = "Xeon | 2 cores | onnxruntime 1.31.0", "Xeon | 4 cores | onnxruntime 1.32.0"
    assert check_same_device(HERE, HERE, "x", (one, other)) == []
    assert check_same_device(HERE, HERE, "x", (one, "")) == []
    with pytest.raises(InvalidValueError, match="hardware 'Xeon' and not 'EPYC'"):
        check_same_device(HERE, HERE, "x", (one, "EPYC | 2 cores"))


def front(name: str, **provenance: object) -> ParetoSet:
    space, cell = NasBench201(), Cell(("nor_conv_3x3",) * 6)
    return ParetoSet.from_values(
        [cell], [space.canonical_key(cell)], [[1.0]], [ObjectiveInfo(name, "ms")],
        space=space, provenance=provenance,
    )  # fmt: skip


def test_a_front_says_its_device_by_its_record_or_its_name() -> None:
    cost = {"objective": "jetson_latency_ms", "device": str(JETSON)}
    recorded = front("jetson_latency_ms", costs=[cost])
    for one in (recorded, front("jetson_latency_ms")):
        with pytest.raises(InvalidValueError, match="device jetson and not cpu"):
            check_front_device(one, "jetson_latency_ms", "latency_ms", HERE)
    check_front_device(recorded, "jetson_latency_ms", "latency_ms", JETSON)
    got = replace(HERE, device="jetson")
    with pytest.raises(InvalidValueError, match="runtime tensorrt and not onnxruntime"):
        check_front_device(recorded, "jetson_latency_ms", "latency_ms", got)
    # A name alone tells the device only.
    check_front_device(front("jetson_latency_ms"), "jetson_latency_ms", "latency_ms", got)
    check_front_device(front("mine_latency_ms"), "mine_latency_ms", "latency_ms", HERE)
    check_front_device(front("latency_ms"), "latency_ms", "latency_ms", HERE)
