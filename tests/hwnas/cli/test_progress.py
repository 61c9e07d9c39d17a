"""The progress line: what it says, and that nobody waits without a word."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.cells import cell_len

from benchmarks.commands.longest_silence import listen
from hwnas.cli import progress as module
from hwnas.cli.output import note, print_json_lines
from hwnas.cli.progress import Line, Pace

ROOT = Path(__file__).parents[3]
EXAMPLES = [*sorted((ROOT / "examples").glob("0*.py")), ROOT / "examples/06_nni_tuner/trial.py"]
SCRIPT = """
import time
from pathlib import Path
from hwnas.cli.output import note, print_json_lines
from hwnas.cli.progress import progress
with progress.running("hwnas try"):
    progress.trials(143, 500, ["front 12", "best 1.77 ms"])
    progress.count("a label that is by far too long for a terminal of forty columns", 13, 20)
    time.sleep(1.2)
    note("a note")
    time.sleep(0.7)
    print_json_lines([{"result": 1}])
    time.sleep(0.7)
"""


class Clock:
    """Stands for the module `time`: goes on when it is told to."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_time_left_is_that_of_the_last_minute() -> None:
    pace = Pace()
    assert pace.left(10, now=0.0) is None
    for second in range(100):
        pace.mark(second, now=float(second))  # one a second
    for second in range(100, 200):
        pace.mark(100 + 3 * (second - 100), now=float(second))  # then three a second
    assert pace.left(700, now=199.0) == pytest.approx((700 - 397) / 3)
    assert pace.left(397, now=1000.0) == 0.0
    pace.mark(0, now=1001.0)  # something else begins
    assert pace.left(10, now=1002.0) is None


def test_a_run_of_trials_is_one_line() -> None:
    line = Line()
    begun = time.monotonic()
    line.trials(0, 500, [])
    line.stage("choosing trials")
    assert line.text(begun + 65.5) == "trial 0/500 · 1:05 · choosing trials"
    line._trial_pace = Pace()
    line._trial_pace.mark(0, begun - 100.0)
    line.trials(143, 500, ["front 12", "best 1.77 ms"])
    line.count("proxy scores", 3, 20)
    text = line.text(time.monotonic())
    # 143 trials in 100 s: 357 more take 249.65 s.
    assert text == "trial 143/500 · front 12 · best 1.77 ms · left 4:09 · proxy scores 3/20"


def test_other_commands_say_what_they_do_and_how_long() -> None:
    line = Line()
    line._begin("hwnas rank")
    assert line.text(line._started + 3661.5) == "hwnas rank · 1:01:01"
    line.stage("ranking")
    assert line.text(line._started + 2.5) == "hwnas rank: ranking · 0:02"
    line.count("proxy\nscores", 1500, 3000)
    assert line.text(line._started + 2.5) == "hwnas rank: proxy scores 1,500/3,000 · 0:02"


@pytest.mark.parametrize("columns", [40, 80])
def test_on_a_terminal_it_fits_and_leaves_notes_and_results_alone(columns: int) -> None:
    heard = listen((sys.executable, "-c", SCRIPT), columns, Path.cwd())
    assert heard.code == 0
    assert heard.widest < columns
    drawn = re.findall(r"\r\x1b\[2K([^\r\n]+)", heard.text)
    shown = [text for text in drawn if "trial 143/500" in text]
    assert len(shown) >= 2
    assert all(cell_len(text) < columns for text in shown)
    # Both begin a line of their own, and after the result there is nothing to say.
    assert re.search(r"\r\x1b\[2Ka note\r\n", heard.text)
    assert re.search(r"\r\x1b\[2K\{\"result\": 1\}\r\n$", heard.text)


def test_without_a_terminal_there_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIRST_SECONDS", 0.0)
    monkeypatch.setattr(module, "_LINE_SECONDS", 0.05)
    line = Line()
    with line.running("hwnas try"):
        line.stage("waiting")
        time.sleep(0.3)
        note("a note")
        print_json_lines([])
    printed = capsys.readouterr().err.splitlines()
    assert "hwnas try: waiting · 0:00" in printed
    assert "a note" in printed
    assert "\x1b" not in "".join(printed)


def test_short_tasks_one_after_another_are_not_silent_together(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    line = Line()
    with line.running("loading"):
        clock.now += 20
    with line.running("searching"):
        clock.now += 20
        with line._changed:
            line._changed.notify_all()
        said, patience = "", time.monotonic() + 60
        while not said and time.monotonic() < patience:
            time.sleep(0.01)
            said = capsys.readouterr().err
    assert said == "searching · 0:20\n"
    assert capsys.readouterr().err == ""


def test_a_hidden_line_is_not_woken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIRST_SECONDS", 0.0)
    monkeypatch.setattr(module, "_LINE_SECONDS", 0.01)
    asked: list[float] = []

    def monotonic() -> float:
        asked.append(time.monotonic())
        return asked[-1]

    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=monotonic))
    line = Line()
    with line.running("measuring"):
        line.hide()
        time.sleep(0.2)  # a line that had begun is over
        capsys.readouterr()
        asked.clear()
        time.sleep(0.5)
        assert len(asked) <= 2
        assert capsys.readouterr().err == ""
        line.stage("writing")
        said, patience = "", time.monotonic() + 60
        while not said and time.monotonic() < patience:
            time.sleep(0.01)
            said = capsys.readouterr().err
    assert said.startswith("measuring: writing")


def test_what_is_imported_leaves_the_line_alone() -> None:
    line = Line()
    with line.running("hwnas search"):
        threads = threading.active_count()
        with line.loading("users_module"):
            assert threading.active_count() == threads
        assert not line._hidden
        assert line.text(line._started).startswith("hwnas search")
    with line.loading("__main__"):
        assert line.text(line._started).startswith("loading")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_draw_no_line_where_they_are_imported(path: Path) -> None:
    assert "with progress.loading(__name__):" in path.read_text()


def test_a_short_command_writes_nothing_else() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hwnas", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("hwnas ")
    assert done.stderr == ""
