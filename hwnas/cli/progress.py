"""The progress bar of long computations, on standard error."""

from __future__ import annotations

import time
from types import TracebackType

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from hwnas.cli.output import messages, note, one_line


class ProgressBar:
    """A `hwnas.evaluation.evaluator.Report`: one bar a source, with rate and time left.

    Without a terminal nothing is drawn; a line is written when a source has finished.
    """

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<24}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=messages,
            disable=not messages.is_terminal,
            transient=True,
        )
        self._task: TaskID | None = None
        self._label = ""
        self._started = 0.0

    def __enter__(self) -> ProgressBar:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the bar."""
        self._progress.stop()

    def __call__(self, label: str, finished: int, total: int) -> None:
        """Show that `finished` of `total` architectures are done."""
        if self._task is None or finished == 0 or label != self._label:
            self._restart(label, total)
        elapsed = time.monotonic() - self._started
        rate = f"{finished / elapsed:.1f}/s" if finished and elapsed else ""
        assert self._task is not None
        self._progress.update(self._task, completed=finished, total=total, rate=rate)
        if finished == total and not messages.is_terminal and elapsed > 1:
            note(f"{label}: {total} architectures in {elapsed:.1f} s ({rate})")

    def _restart(self, label: str, total: int) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._label, self._started = label, time.monotonic()
        self._task = self._progress.add_task(one_line(label), total=total, rate="")
