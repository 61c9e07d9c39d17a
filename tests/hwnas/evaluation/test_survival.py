from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hwnas.evaluation.survival import Marks
from tests.programs import Programs

PROGRAM = """
import json, os, sys, time
from dataclasses import dataclass
from pathlib import Path
from hwnas.evaluation.cache import ResultCache
from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.objectives import ValueObjective
from hwnas.evaluation.sources import Effort
from hwnas.spaces.nasbench201 import OPERATIONS, Cell, NasBench201
from hwnas.tables.result import Result


@dataclass(frozen=True)
class Source:
    cached: bool = True
    label = "deadly"
    effort = Effort.SCORE
    columns = ("x",)
    resource = None

    def cache_prefix(self, column):
        return "deadly" if self.cached else None

    def precomputed(self, column, key):
        return None

    def compute(self, arch, columns):
        layers = arch.operations.count("nor_conv_3x3")
        if sys.argv[3] == "sleep":
            print(os.getpid(), flush=True)
            time.sleep(600)
        if layers in (2, 5):
            os._exit(7)
        if layers == 3:
            raise KeyError("no such layer")
        return {"x": Result(float(layers))}


# Between n - 1 and n layers, so that each network is another one.
cells = [Cell(("nor_conv_3x3",) * n + ("nor_conv_1x1",) * (6 - n)) for n in range(7)]
source = Source(sys.argv[3] == "cached")
evaluator = Evaluator(
    NasBench201(),
    [ValueObjective("x", "", "maximize", source, ("x",))],
    cache=ResultCache(Path(sys.argv[1])),
    jobs=int(sys.argv[2]),
)
found = evaluator.evaluate(cells)
print(json.dumps([e.errors.get("x") or e.values["x"] for e in found]))
"""
DIED = "`model` must leave its process alive, but it ended its process: EXIT(7)."
EXPECTED = [0.0, 1.0, DIED, "KeyError: 'no such layer'", 4.0, DIED, 6.0]


def arguments(folder: Path, jobs: int, kind: str) -> list[str]:
    return ["-c", PROGRAM, str(folder / "results.sqlite"), str(jobs), kind]


@pytest.mark.parametrize("kind", ["cached", "uncached"])
def test_what_ends_the_process_fails_alone_from_the_second_run_on(
    kind: str, tmp_path: Path, programs: Programs
) -> None:
    assert programs.run(*arguments(tmp_path, 1, kind)).returncode == 7
    for _ in range(2):
        again = programs.run(*arguments(tmp_path, 1, kind))
        assert again.returncode == 0
        assert json.loads(again.stdout) == EXPECTED


def test_a_worker_process_that_ends_fails_its_architecture_alone(
    tmp_path: Path, programs: Programs
) -> None:
    found = programs.run(*arguments(tmp_path, 2, "cached"))
    assert found.returncode == 0
    assert json.loads(found.stdout) == EXPECTED


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_worker_processes_end_with_a_killed_parent(tmp_path: Path, programs: Programs) -> None:
    process = programs.start(*arguments(tmp_path, 2, "sleep"))
    deadline = time.monotonic() + 60
    while len(workers := {*map(int, process.stdout.split())}) < 2:
        assert time.monotonic() < deadline, "no workers"
        time.sleep(0.1)
    assert workers <= members(process.pid)
    process.kill()
    while members(process.pid):
        assert time.monotonic() < deadline, "workers stayed"
        time.sleep(0.1)


def members(group: int) -> set[int]:
    """Give the processes of a group that run."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, in_group, *_ = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(in_group) == group and state != "Z":
            found.add(int(path.parent.name))
    return found


MARKING = """
import os, sys
from pathlib import Path
from hwnas.evaluation.survival import Marks
marks = Marks(Path(sys.argv[1]))
with marks.begun("a longer name"):
    pass
with marks.begun("finished"):
    pass
if len(sys.argv) > 2:
    with marks.begun(sys.argv[2]):
        os._exit(0)
"""


def mark(folder: Path, *names: str) -> None:
    subprocess.run([sys.executable, "-c", MARKING, str(folder), *names], check=True)


def test_marks_tell_what_dead_processes_had_begun(tmp_path: Path) -> None:
    marks = Marks(tmp_path)
    with marks.begun("mine"):
        mark(tmp_path)
        assert marks.left() == set()
        mark(tmp_path, "space|a")
        mark(tmp_path, "space|a")
        mark(tmp_path, "space|b")
        assert marks.left() == {"space|a", "space|b"}
        assert not marks.has_died("space|")
        marks.condemn("space|a")
        assert marks.has_died("space|")
        assert not marks.has_died("other|")
        marks.acquit("space|a")
        assert marks.left() == {"space|b"}
        assert not marks.has_died("space|")
    # A file of this process, and one of the dead.
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_cannot_be_written_marks_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (None, tmp_path / "file" / "begun"):
        marks = Marks(folder)
        with marks.begun("mine"):
            assert marks.left() == set()
