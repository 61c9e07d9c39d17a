"""The end of a command's process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from hwnas.cli.leaving import end_children

RUN = "import sys; sys.argv[1:] = {arguments!r}; from hwnas.cli import main; {before}; main()"


def run(before: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN.format(arguments=[*arguments], before=before)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_code_is_the_commands() -> None:
    done = run("pass", "spaces", "--json")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].endswith("}")
    assert run("pass", "proxies", "--space", "nothing").returncode == 2


def test_an_error_of_python_is_told() -> None:
    done = run("import hwnas.cli; hwnas.cli._register = lambda first: 1 / 0", "spaces")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


def test_nobody_who_reads_is_no_error_with_a_text() -> None:
    command = f"{sys.executable} -m hwnas spaces --json | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_folders_that_a_command_left_are_removed() -> None:
    leave = (
        "import tempfile, hwnas.cli; "
        "hwnas.cli._register = lambda first: [kept.append(tempfile.TemporaryDirectory()), "
        "print(kept[0].name), sys.exit(3)]; kept = []"
    )
    done = run(leave, "spaces")
    assert done.stdout.strip()
    assert not Path(done.stdout.strip()).exists()


def test_children_are_ended_and_not_waited_for() -> None:
    start = (
        "import hwnas.cli, os; from hwnas.measure.isolation import child_with; "
        "from hwnas.measure.limits import UNLIMITED; "
        "hwnas.cli._register = lambda first: print(child_with(UNLIMITED).call(os.getpid)); "
        "hwnas.cli._run = lambda app, given: 5"
    )
    done = run(start, "spaces")
    assert done.returncode == 5, done.stderr
    assert not Path(f"/proc/{done.stdout.strip()}/cmdline").exists()


MODULE = """
from torch import nn

class Recurrent(nn.Module):  # exported through PyTorch
    def __init__(self, width):
        super().__init__()
        self.cells, self.head = nn.GRU(4, width, batch_first=True), nn.Linear(width, 3)

    def forward(self, x):
        return self.head(self.cells(x)[0][:, -1])

def build(trial):
    return Recurrent(trial.suggest_int("width", 2, 9))
"""


def test_nothing_is_left_to_the_trackers_of_processes(tmp_path: Path) -> None:
    (tmp_path / "lab_nets.py").write_text(MODULE)
    command = [sys.executable, "-m", "hwnas", "profile", "--model", "lab_nets:build"]
    command += [
        "--arch",
        '{"width": 3}',
        "--input",
        "5,4",
        "--classes",
        "3",
        "--max-seconds",
        "0.1",
    ]
    # What is captured ends when the last process that may write has ended.
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "leaked" not in done.stderr


def test_threads_that_take_semaphores_apart_are_waited_for() -> None:
    """Loky's tracker warned of a leaked semaphore where the process ended meanwhile."""
    apart, go = threading.Event(), threading.Event()

    def feed() -> None:
        go.wait()
        threading.Event().wait(0.05)
        apart.set()

    threading.Thread(target=feed, name="QueueFeederThread", daemon=True).start()
    go.set()
    end_children()
    assert apart.is_set()


def test_options_that_end_the_program_themselves_succeed() -> None:
    command = [sys.executable, "-m", "hwnas", "--show-completion", "bash"]
    # Else Typer looks for the shell that runs the tests, and there may be none.
    named = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    assert subprocess.run(command, capture_output=True, check=False, env=named).returncode == 0
