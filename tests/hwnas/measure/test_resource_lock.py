"""One measurement at a time on a resource."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hwnas.errors import InvalidValueError
from hwnas.measure.resource_lock import hold, lent, lock_file
from hwnas.process_state import PROCESS_STATE

HOLDER = """
import sys, time
from hwnas.measure.resource_lock import hold

with hold(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""
WORKER = """
import os, sys, time
from pathlib import Path
from hwnas.measure.resource_lock import hold

marker, name = Path(sys.argv[1]), sys.argv[2]
for _ in range(10):
    with hold(name):
        # Exclusive creation fails if another process is inside.
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
        time.sleep(0.01)
        marker.unlink()
print("done")
"""


@pytest.fixture
def resource(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert lock_file("x").parent == tmp_path
    return "ssh:board one"


def holder(resource: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, resource],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def waiting_for(resource: str) -> threading.Event:
    """Hold the resource in a thread; the event is set when it does."""
    got = threading.Event()

    def wait() -> None:
        with hold(resource):
            got.set()

    threading.Thread(target=wait, daemon=True).start()
    return got


def test_another_process_waits_and_others_resources_are_free(resource: str) -> None:
    process = holder(resource)
    got = waiting_for(resource)
    with hold("gpu0"):
        assert not got.wait(0.3)
    process.communicate("")
    assert got.wait(60)


def test_a_killed_holder_frees_it(resource: str) -> None:
    process = holder(resource)
    got = waiting_for(resource)
    assert not got.wait(0.1)
    process.kill()
    assert got.wait(60)
    process.communicate()


def test_threads_of_one_process_wait_too(resource: str) -> None:
    with hold(resource):
        got = waiting_for(resource)
        assert not got.wait(0.1)
    assert got.wait(60)


def test_many_workers_are_never_inside_together(resource: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WORKER, str(tmp_path / "inside"), resource]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [worker.communicate()[0] for worker in workers] == ["done\n"] * 3


def test_an_error_inside_frees_it(resource: str) -> None:
    with pytest.raises(RuntimeError), hold(resource):
        raise RuntimeError
    start = time.monotonic()
    with hold(resource):
        assert time.monotonic() - start < 60


def test_what_the_parent_holds_is_not_waited_for() -> None:
    with hold("lent-for-test"), lent("lent-for-test"), hold("lent-for-test"):
        pass


def test_threads_that_would_wait_for_each_other_are_told(resource: str) -> None:
    asked, freed = threading.Event(), threading.Event()

    def measure() -> None:
        with hold(resource):
            asked.set()
            with PROCESS_STATE:  # as a network is built
                freed.set()

    thread = threading.Thread(target=measure)
    with PROCESS_STATE:
        thread.start()
        assert asked.wait(60)
        with pytest.raises(InvalidValueError, match="`feasible`"), hold(resource):
            pass
        assert not freed.is_set()
    assert freed.wait(60)
    thread.join()
    with PROCESS_STATE, hold(resource):  # which nobody else has
        assert not PROCESS_STATE.is_mine or lock_file(resource).exists()


def test_who_holds_the_state_of_the_process_waits_for_other_processes(resource: str) -> None:
    process, got = holder(resource), threading.Event()

    def measure() -> None:
        with PROCESS_STATE, hold(resource):
            got.set()

    thread = threading.Thread(target=measure)
    thread.start()
    assert not got.wait(0.2)
    process.communicate("")
    assert got.wait(60)
    thread.join()
