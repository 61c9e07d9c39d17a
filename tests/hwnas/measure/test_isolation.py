"""Measuring in a child process."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from hwnas.costs.source import make_cost
from hwnas.errors import InvalidValueError, UnknownNameError
from hwnas.measure.isolation import Child, child_with, side_by_side
from hwnas.measure.limits import CallError, EndlessError, Limits, NotSendableError
from hwnas.spaces.nasbench201 import NasBench201


@pytest.fixture(scope="module")
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
    with pytest.raises(CallError, match=r"^ZeroDivisionError: "):
        child.call(divmod, 1, 0)
    assert child.call(os.getpid) == first


def test_it_looks_for_garbage_but_not_among_what_it_imported(child: Child) -> None:
    assert child.call(gc.isenabled)
    assert child.call(gc.get_freeze_count) > 100_000


def _refuse(name: str) -> None:
    from hwnas.errors import unknown_name

    raise unknown_name("letter", name, ["a"])


def test_it_lives_on_where_memory_stays_for_the_next_network(child: Child) -> None:
    first = child.call(os.getpid)
    assert child.call(_grow, 400_000_000) == first
    assert child.call(os.getpid) == first
    assert child.call(_grow, 0) == first


def _grow(size: int) -> int:
    """Keep so much memory, for so long that the process's size is looked at."""
    _grown[:] = [b"x" * size]
    time.sleep(1.1)
    return os.getpid()


_grown: list[bytes] = []


def test_what_a_replaced_process_was_sent_is_sent_again(child: Child) -> None:
    assert child.call(_twice, 4) == 8
    assert child.call(_twice, 5) == 10
    child.call(_forget)
    assert child.call(_twice, 6) == 12


def _twice(number: int) -> int:
    return 2 * number


def _forget() -> None:
    from hwnas.measure import in_child

    in_child._kept.clear()


def test_progress_bars_within_leave_no_semaphore(child: Child) -> None:
    assert child.call(_bar) == [False]


def test_one_that_ended_is_replaced(child: Child) -> None:
    first = child.call(os.getpid)
    with pytest.raises(InvalidValueError, match=r"it ended its process: SIGSEGV\(-11\)\.$"):
        child.call(signal.raise_signal, signal.SIGSEGV)
    assert child.call(os.getpid) != first


def test_one_that_hangs_is_ended(child: Child) -> None:
    pid = child.call(os.getpid)
    with pytest.raises(InvalidValueError, match=r"did not end within 0\.5 s"):
        Child(Limits(0.5), process=child.process).call(time.sleep, 1000)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert child.call(os.getpid) != pid


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is limited on Linux")
def test_memory_is_limited_beyond_what_the_child_has(child: Child) -> None:
    bounded = Child(Limits(60, 200_000_000), process=child.process)
    assert bounded.call(_take, 100_000_000) == 100_000_000
    with pytest.raises(InvalidValueError, match="`limit_memory_bytes` must be enough"):
        bounded.call(_take, 300_000_000)
    assert bounded.call(_take, 100_000_000) == 100_000_000


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is limited on Linux")
def test_calls_with_other_limits_share_a_process() -> None:
    # Processes of its own: one that has freed memory has it for the next call.
    free, bounded = child_with(Limits(60), 8), child_with(Limits(30, 200_000_000), 8)
    assert free.call(os.getpid) == bounded.call(os.getpid)
    assert free.call(os.getpid) != child_with(Limits(60), 9).call(os.getpid)
    with pytest.raises(InvalidValueError, match="`limit_memory_bytes` must be enough"):
        bounded.call(_take, 300_000_000)
    assert free.call(_take, 300_000_000) == 300_000_000


def _take(number: int) -> int:
    return len(bytearray(number))


def test_time_begins_when_what_is_called_is_imported(
    child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_for_test.py").write_text(
        "import time\ntime.sleep(4)\ndef double(x): return 2 * x\ndef hang(): time.sleep(99)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("time.sleep", lambda _: None)  # of this process, which imports it, too
    double, hang = (
        getattr(importlib.import_module("slow_for_test"), n) for n in ("double", "hang")
    )
    monkeypatch.undo()
    monkeypatch.syspath_prepend(str(tmp_path))
    brief = Child(Limits(3), process=child.process)
    assert brief.call(double, 3) == 6
    with pytest.raises(EndlessError, match="for one network, but it did not end within 3 s"):
        brief.call(hang)
    assert brief.call(map, double, [3]).__next__() == 6  # its arguments import it anew


@pytest.mark.parametrize("limits", [(0, None), (-1.0, None), (1, 0), ("x", None)])
def test_limits_are_above_zero(limits: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"`limit_\w+` must be above 0"):
        Limits(*limits)


def test_calls_side_by_side_come_with_their_places(child: Child) -> None:
    numbers = [(6, 3), (6, 0), (6, 2)]
    found = dict(side_by_side(Limits(60), 2, divmod, numbers))
    assert (found[0], found[2]) == ((2, 0), (3, 0))
    assert isinstance(found[1], CallError)
    # What cannot be sent is said before anything is started.
    with pytest.raises(NotSendableError, match="can be sent to another process"):
        child.call(threading.Lock().acquire)


def test_what_the_function_logs_is_logged_here(
    child: Child, caplog: pytest.LogCaptureFixture
) -> None:
    child.call(_warn)
    assert caplog.messages == ["seen in the child"]


def _warn() -> None:
    logging.getLogger("hwnas.test").warning("seen in the %s", "child")


def test_limits_are_no_part_of_what_was_measured_without_them() -> None:
    space = NasBench201(channels=4, cells=1)
    plain: Any = make_cost("onnxruntime:reference=off", space, space.default_task)
    limited: Any = make_cost(
        "onnxruntime:reference=off,limit_seconds=60", space, space.default_task
    )
    assert limited.limits == Limits(60)
    assert plain.limits == Limits()
    assert repr(plain).startswith("OnnxRuntimeLatency(")
    assert repr(limited) != repr(plain)
    text = "torch:cpu:latency:limit_seconds=15,limit_memory_bytes=2000000000"
    cost: Any = make_cost(text, space, space.default_task, limits=Limits(3))
    assert cost.limits == Limits(15, 2_000_000_000)
    assert "limits=Limits(seconds=15, memory_bytes=2000000000)" in repr(cost)
    with pytest.raises(InvalidValueError, match="`limit_seconds` must be above 0"):
        make_cost("onnxruntime:limit_seconds=0", space, space.default_task)


def _bar() -> list[bool]:
    """Show a bar as `torch.export` does; whether its lock is one of several processes."""
    bars: Any = import_module("tqdm")
    list(bars.tqdm([1], disable=True))
    return [hasattr(bars.tqdm.get_lock(), "mp_lock")]
