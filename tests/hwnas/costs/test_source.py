"""Costs by name: how a user's text is read and completed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from hwnas import registry
from hwnas.costs.source import CostOption, CostRequest, CostSpec, make_cost, parse_cost_spec
from hwnas.errors import InvalidValueError, UnknownNameError
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.tasks.catalogue import get_task


class Lab:
    """A source with two devices, whose "cost model" is the request itself."""

    def options(self) -> list[CostOption]:
        return [
            CostOption("phone", "latency", "ms", "minimize"),
            CostOption("phone", "energy", "mJ", "minimize"),
            CostOption("server", "throughput", "1/s", "maximize"),
            CostOption("server", "latency", "ms", "minimize"),
        ]

    def make(self, request: CostRequest) -> Any:
        return request


@pytest.fixture(autouse=True)
def lab(monkeypatch: pytest.MonkeyPatch) -> None:
    load = registry.load
    monkeypatch.setattr(
        registry, "load", lambda kind, name: Lab if name == "lab" else load(kind, name)
    )


@pytest.mark.parametrize(
    ("text", "device", "metric"),
    [
        ("lab", "phone", "latency"),
        ("lab:phone", "phone", "latency"),
        ("lab:server", "server", "throughput"),
        ("lab:energy", "phone", "energy"),
        ("lab:throughput", "server", "throughput"),
        ("lab:server:latency", "server", "latency"),
    ],
)
def test_missing_parts_are_those_of_the_first_match(text: str, device: str, metric: str) -> None:
    assert parse_cost_spec(text) == CostSpec("lab", device, metric, {})


@pytest.mark.parametrize("text", ["", ":phone", "lab:", "lab::latency", "lab:phone:latency:ms"])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(InvalidValueError, match=re.escape("`cost` must be NAME[:WORD][:WORD]")):
        parse_cost_spec(text)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("lap", "`cost` must be one of"),
        ("lab:phones", "`device or metric of lab` must be one of energy, latency, phone"),
        ("lab:phones:latency", "`device of lab` must be one of phone, server"),
        ("lab:phone:throughput", "`metric of lab:phone` must be one of energy, latency, but got"),
        ("lab:server:latencey", "Did you mean 'latency'"),
    ],
)
def test_unknown_parts_are_named(text: str, named: str) -> None:
    with pytest.raises(UnknownNameError, match=re.escape(named)):
        parse_cost_spec(text)


def test_a_cost_without_settings_says_so() -> None:
    with pytest.raises(InvalidValueError, match="`cost` lab has no settings, but got threads"):
        parse_cost_spec("lab:phone:energy:threads=2")


def test_the_source_gets_the_whole_request() -> None:
    space, dataset = NasBench201(), get_task("cifar100")
    request: Any = make_cost("lab:energy", space, dataset)
    assert request == CostRequest(space, "phone", "energy", dataset, None)


def test_hw_nas_bench_in_the_table() -> None:
    assert parse_cost_spec("hw-nas-bench") == ("hw-nas-bench", "edgegpu", "latency", {})
    assert parse_cost_spec("hw-nas-bench:energy") == ("hw-nas-bench", "edgegpu", "energy", {})
    assert parse_cost_spec("hw-nas-bench:raspi4") == ("hw-nas-bench", "raspi4", "latency", {})
    with pytest.raises(UnknownNameError, match="`metric of hw-nas-bench:raspi4`"):
        parse_cost_spec("hw-nas-bench:raspi4:energy")
