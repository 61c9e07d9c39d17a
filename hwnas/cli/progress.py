"""One line that says how far a command is, on standard error.

On a terminal it is drawn anew twice a second by a thread, whatever the command does meanwhile, and
what is written besides goes above it. Without a terminal it is written every half minute.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.cells import cell_len, set_cell_size

from hwnas.cli.messages import messages, one_line

_FIRST_SECONDS = 0.4
_TERMINAL_SECONDS = 0.5
_LINE_SECONDS = 30.0
_WINDOW_SECONDS = 60.0
_ERASE = "\r\x1b[2K"
_TURNS = "|/-\\"


class Pace:
    """The time left at the pace of the last minute.

    Example:
        >>> pace = Pace()
        >>> pace.mark(0, now=0.0), pace.mark(10, now=5.0)
        (None, None)
        >>> pace.left(100, now=7.0)
        43.0
    """

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def mark(self, finished: int, now: float) -> None:
        """Take that so many are finished now; fewer than before begins anew."""
        if self._marks and finished < self._marks[-1][1]:
            self._marks.clear()
        if self._marks and finished == self._marks[-1][1]:
            return
        self._marks.append((now, finished))
        while len(self._marks) > 2 and now - self._marks[1][0] > _WINDOW_SECONDS:
            self._marks.popleft()

    def left(self, total: int, now: float) -> float | None:
        """Give the seconds until all are finished; None before two marks, 0 when overdue."""
        if len(self._marks) < 2:
            return None
        (start, first), (end, last) = self._marks[0], self._marks[-1]
        if end == start:
            return None
        return max((total - last) * (end - start) / (last - first) - (now - end), 0.0)


class Line:
    """How far a command is: `stage`, `count` and `trials` tell it, a thread draws it.

    `count` is a `hwnas.evaluation.evaluator.Report`, the whole a `hwnas.study.hosts.Watch`.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._drawn = self._hidden = False
        self._turn = 0
        self._told = time.monotonic()
        self._begin("")

    def _begin(self, task: str) -> None:
        self._task, self._stage = task, ""
        self._done: tuple[int, int] | None = None
        self._trials: tuple[int, int] | None = None
        self._facts: tuple[str, ...] = ()
        self._pace, self._trial_pace = Pace(), Pace()
        self._started = time.monotonic()
        self._hidden = False

    @contextmanager
    def running(self, task: str) -> Iterator[Line]:
        """Draw the line until the block ends.

        Args:
            task: what is done, e.g. the name of a command.
        """
        self._begin(task)
        end = threading.Event()
        thread = threading.Thread(target=self._draw_until, args=(end,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            with self._changed:
                end.set()
                self._changed.notify_all()
            thread.join()
            self.hide()

    def loading(self, module: str) -> AbstractContextManager[Line]:
        """Draw the line while a program imports what it needs, but not where it is imported itself.

        Whoever imports it, such as a command or a process of one, has a line of its own.

        Args:
            module: `__name__` of the program.
        """
        return self.running("loading") if module == "__main__" else nullcontext(self)

    def stage(self, what: str) -> None:
        """Say what is done now."""
        with self._lock:
            self._stage, self._done, self._pace = one_line(what), None, Pace()
            self._show()

    def count(self, label: str, finished: int, total: int) -> None:
        """Say how many of what are done now."""
        with self._lock:
            if self._done is None or one_line(label) != self._stage:
                self.stage(label)
            self._done = (finished, total)
            self._pace.mark(finished, time.monotonic())
            self._show()

    def trials(self, finished: int, total: int, facts: Sequence[str] = ()) -> None:
        """Say how many trials a study has, and what was found, e.g. ``front 12``."""
        with self._lock:
            self._trials, self._facts = (finished, total), tuple(map(one_line, facts))
            self._trial_pace.mark(finished, time.monotonic())

    @contextmanager
    def above(self) -> Iterator[None]:
        """Clear the line while something is written."""
        with self._lock:
            self._erase()
            self._told = time.monotonic()
            yield

    def hide(self) -> None:
        """Clear the line for results, until there is something new to say."""
        with self._lock:
            self._erase()
            self._hidden = True

    def _show(self) -> None:
        if self._hidden:
            self._hidden = False
            self._changed.notify_all()

    def text(self, now: float) -> str:
        """Give the line.

        Args:
            now: `time.monotonic()`.
        """
        stage = self._stage
        if self._done is not None:
            stage += f" {self._done[0]:,}/{self._done[1]:,}"
        if self._trials is not None:
            finished, total = self._trials
            left = self._left(self._trial_pace, total, now)
            parts = [f"trial {finished:,}/{total:,}", *self._facts, left, stage]
        else:
            left = "" if self._done is None else self._left(self._pace, self._done[1], now)
            begun = left or _clock(now - self._started)
            parts = [": ".join(filter(None, (self._task, stage))), begun]
        return " · ".join(filter(None, parts))

    def _left(self, pace: Pace, total: int, now: float) -> str:
        left = pace.left(total, now)
        return _clock(now - self._started) if left is None else f"left {_clock(left)}"

    def _draw_until(self, end: threading.Event) -> None:
        terminal, due = sys.stderr.isatty(), self._started + _FIRST_SECONDS
        with self._changed:
            while not end.is_set():
                # Without a terminal, the tasks before this one have been silent, too.
                quiet = due if terminal else max(due, self._told + _LINE_SECONDS)
                left = quiet - time.monotonic()
                if self._hidden:  # not woken beside measurements while there is nothing to say
                    self._changed.wait()
                    due = time.monotonic() + _FIRST_SECONDS
                elif left > 0:
                    self._changed.wait(left)
                else:
                    self._tell(terminal)
                    due = time.monotonic() + _TERMINAL_SECONDS

    def _tell(self, terminal: bool) -> None:
        if terminal:
            self._draw()
            return
        messages.print(self.text(time.monotonic()), markup=False)
        self._told = time.monotonic()

    def _draw(self) -> None:
        self._turn = (self._turn + 1) % len(_TURNS)
        text = f"{_TURNS[self._turn]} {self.text(time.monotonic())}"
        widest = max(messages.width - 1, 1)
        if cell_len(text) > widest:
            text = set_cell_size(text, widest - 1) + "…"
        sys.stderr.write(_ERASE + text)
        sys.stderr.flush()
        self._drawn = True

    def _erase(self) -> None:
        if self._drawn:
            sys.stderr.write(_ERASE)
            sys.stderr.flush()
            self._drawn = False


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


progress = Line()
"""The line of this process: there is one terminal."""
