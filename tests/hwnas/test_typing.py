"""Values and roles of `hwnas.typing`."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, dataclass
from typing import Literal

import pytest

from hwnas.typing import Constraint, DeviceKey, Direction, Proxy, Signal, Signals


@dataclass(frozen=True)
class Latency:
    """An objective over texts: their length in ms."""

    name: str = "latency_ms"
    unit: str = "ms"
    direction: Direction = "minimize"

    def __call__(self, arch: str) -> float:
        return float(len(arch))


@pytest.mark.parametrize(
    ("relation", "value", "violation"),
    [
        ("<=", 5.0, 0.0),
        ("<=", 7.5, 2.5),
        ("<=", 1.0, -4.0),
        (">=", 7.5, -2.5),
        (">=", 1.0, 4.0),
        ("<=", math.nan, math.inf),
        (">=", math.nan, math.inf),
        ("<=", math.inf, math.inf),
    ],
)
def test_violation_is_positive_exactly_where_infeasible(
    relation: Literal["<=", ">="], value: float, violation: float
) -> None:
    assert Constraint(Latency(), relation, 5.0).violation(value) == violation


def test_constraint_is_written_with_its_unit() -> None:
    assert str(Constraint(Latency(), "<=", 5.0)) == "latency_ms <= 5 ms"
    assert str(Constraint(Latency("accuracy", ""), ">=", 0.25)) == "accuracy >= 0.25"


def test_device_keys_differ_by_runtime() -> None:
    ort = DeviceKey("cpu", "onnxruntime-1.32.0", threads=1)
    assert ort != DeviceKey("cpu", "litert-1.0", threads=1)
    assert str(ort) == "cpu/onnxruntime-1.32.0/float32/b1/t1"
    assert str(DeviceKey("edgegpu")) == "edgegpu/unknown/float32/b1"
    with pytest.raises(FrozenInstanceError):
        ort.device = "gpu"  # type: ignore[misc]


@dataclass(frozen=True)
class Scaled(Signal[float]):
    """A request with a setting."""

    factor: int


@dataclass(frozen=True)
class Doubled:
    """A proxy that asks for one signal."""

    name: str = "doubled"
    direction: Direction = "maximize"

    @property
    def needs(self) -> frozenset[Signal[float]]:
        return frozenset({Scaled(2)})

    def score(self, signals: Signals) -> float:
        return signals[Scaled(2)]


def test_equal_requests_are_one() -> None:
    assert len({Scaled(2), Scaled(2), Scaled(3)}) == 2


def test_proxies_are_recognised() -> None:
    assert isinstance(Doubled(), Proxy)
    assert not isinstance(Latency(), Proxy)
