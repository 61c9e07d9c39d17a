"""Measuring in a child process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hwnas.costs.source import make_cost
from hwnas.errors import InvalidValueError, UnknownNameError
from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.objectives import cost_objective
from hwnas.measure.isolation import Child, Limits, child_with
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.tasks.task import image_task

SPACE_OF_TRAPS = """
import os
import time

import torch
from torch import nn

from hwnas.spaces.nasbench201 import NasBench201


class Abort(nn.Module):
    def forward(self, x):
        os.abort()


class Hang(nn.Module):
    def forward(self, x):
        while True:
            time.sleep(0.1)


class Hungry(nn.Module):
    def forward(self, x):
        return torch.ones(4_000_000_000).sum() + x


class Traps(NasBench201):
    def build(self, arch, task=None):
        if set(arch.operations) == {"none"}:
            raise KeyError("stem")
        traps = {"skip_connect": Abort, "avg_pool_3x3": Hang, "nor_conv_3x3": Hungry}
        for operation in set(arch.operations) & set(traps):
            return traps[operation]()
        return super().build(arch, task)
"""


@pytest.fixture
def child() -> Iterator[Child]:
    made = Child(Limits(60))
    yield made
    made.close()


def test_it_lives_on_from_call_to_call(child: Child) -> None:
    first = child.call(os.getpid)
    assert first != os.getpid()
    assert child.call(os.getpid) == first
    with pytest.raises(UnknownNameError, match="must be one of a, but got 'b'"):
        child.call(_refuse, "b")
    with pytest.raises(InvalidValueError, match="raised ZeroDivisionError: "):
        child.call(divmod, 1, 0)
    assert child.call(os.getpid) == first


def _refuse(name: str) -> None:
    from hwnas.errors import unknown_name

    raise unknown_name("letter", name, ["a"])


def test_one_that_ended_is_replaced(child: Child) -> None:
    first = child.call(os.getpid)
    with pytest.raises(InvalidValueError, match=r"it ended its process: SIGSEGV\(-11\)\.$"):
        child.call(signal.raise_signal, signal.SIGSEGV)
    assert child.call(os.getpid) != first


def test_one_that_hangs_is_ended() -> None:
    child = Child(Limits(0.5))
    try:
        pid = child.call(os.getpid)
        with pytest.raises(InvalidValueError, match=r"did not end within 0\.5 s"):
            child.call(time.sleep, 1000)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert child.call(os.getpid) != pid
    finally:
        child.close()


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is limited on Linux")
def test_memory_is_limited_beyond_what_the_child_has() -> None:
    child = Child(Limits(60, 200_000_000))
    try:
        assert child.call(_take, 100_000_000) == 100_000_000
        with pytest.raises(InvalidValueError, match="`limit_memory_bytes` must be enough"):
            child.call(_take, 300_000_000)
        assert child.call(_take, 100_000_000) == 100_000_000
    finally:
        child.close()


def _take(number: int) -> int:
    return len(bytearray(number))


@pytest.mark.parametrize("limits", [(0, None), (-1.0, None), (1, 0), ("x", None)])
def test_limits_are_above_zero(limits: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"`limit_\w+` must be above 0"):
        Limits(*limits)


def test_a_study_goes_on_after_each_kind_of_trap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "traps_for_test.py").write_text(SPACE_OF_TRAPS)
    monkeypatch.syspath_prepend(str(tmp_path))
    space = __import__("traps_for_test").Traps(channels=4, cells=1)
    text = "torch:cpu:latency:max_seconds=0.05,limit_seconds=15,limit_memory_bytes=2000000000"
    cost: Any = make_cost(text, space, image_task(10, (3, 8, 8)))
    assert cost.limits == Limits(15, 2_000_000_000)
    assert "limits=Limits(seconds=15, memory_bytes=2000000000)" in repr(cost)
    operations = ("nor_conv_1x1", "skip_connect", "nor_conv_3x3", "avg_pool_3x3")
    cells = [Cell((*("none",) * 3, operation, "none", "none")) for operation in operations]
    cells += [Cell(("none",) * 6), Cell(("nor_conv_1x1",) * 6)]
    try:
        evaluator = Evaluator(space, [cost_objective(space, cost)], require_valid=False)
        found = evaluator.evaluate(cells)
    finally:
        child_with(cost.limits).close()
    reasons = [next(iter(e.errors.values()), "") for e in found]
    assert [not reason for reason in reasons] == [True, *4 * [False], True], reasons
    assert "it ended its process: SIGABRT(-6)" in reasons[1]
    assert "allocate" in reasons[2] or "limit_memory_bytes" in reasons[2]
    assert "did not end within 15 s" in reasons[3]
    assert "raised KeyError: 'stem'" in reasons[4]
    (name,) = found[0].results
    assert found[0].results[name].detail["runtime"].startswith("torch-")


def test_limits_are_no_part_of_what_was_measured_without_them() -> None:
    space = NasBench201(channels=4, cells=1)
    plain: Any = make_cost("onnxruntime", space, space.default_task)
    limited: Any = make_cost("onnxruntime:limit_seconds=60", space, space.default_task)
    assert limited.limits == Limits(60)
    assert repr(plain).startswith("OnnxRuntimeLatency(")
    assert repr(limited) != repr(plain)
    with pytest.raises(InvalidValueError, match="`limit_seconds` must be above 0"):
        make_cost("onnxruntime:limit_seconds=0", space, space.default_task)
