"""A process that runs one call after another, for every `Child` that shares it."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import threading
import warnings
import weakref
from collections.abc import Callable
from concurrent.futures import TimeoutError as TimeIsUp
from functools import cached_property
from typing import Any

from hwnas.errors import HwnasError
from hwnas.measure.in_child import first_line, load, place, prepare, within
from hwnas.measure.limits import (
    IMPORT_SECONDS,
    ChildEndedError,
    EndlessError,
    ForgottenError,
    Limits,
    NotSendableError,
)

_KEPT_FUNCTIONS = 8
_NETWORK = "`limit_seconds` must be enough for one network, but it"
_IMPORT = "`model` must be of a module that can be imported, but importing it"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class ChildProcess:
    """A process that is started afresh when it is needed, and replaced when a call has ended it.

    Args:
        threads: threads of its numerical libraries; None for those of this process.

    Attributes:
        in_conversation: whether the call that it runs asks this process; others go to `stand_in`.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._env = {n: os.environ.get(n, str(threads)) for n in _THREADS if threads is not None}
        self._one_call = threading.Lock()
        self._executor: Any = None
        self._known: set[bytes] = set()
        self.in_conversation = False
        _made.add(self)

    @cached_property
    def stand_in(self) -> ChildProcess:
        """The process for calls during a conversation."""
        return ChildProcess()

    def call(
        self, limits: Limits, sent: bytes, given: bytes
    ) -> tuple[Any, HwnasError | None, list[Any]]:
        """Call a function within limits, one call at a time.

        Its time begins when what it needs is imported, for which there are 300 s at least.

        Args:
            limits: what the call may take.
            sent: the function, pickled.
            given: its arguments, pickled.

        Returns:
            Its result, or its error, and what it logged.

        Raises:
            EndlessError: the call did not end in time.
            ChildEndedError: it ended the process.
        """
        with self._one_call:
            result, error, said = self._answer(limits, sent, given)
            if isinstance(error, ForgottenError):
                self._known.clear()
                result, error, said = self._answer(limits, sent, given)
            if isinstance(error, NotSendableError):
                self._known.clear()
        return result, error, said

    def _answer(
        self, limits: Limits, sent: bytes, given: bytes
    ) -> tuple[Any, HwnasError | None, list[Any]]:
        digest = hashlib.sha256(sent).digest()
        if digest not in self._known:  # it is sent only once: it may hold images of the user
            forget = len(self._known) >= _KEPT_FUNCTIONS
            longest = limits.import_seconds
            asked = (longest, place(), digest, sent, given, forget)
            trouble = self._wait(longest, _IMPORT, load, *asked)
            if trouble is not None:
                return None, pickle.loads(trouble), []
            self._known = {digest} if forget else {*self._known, digest}
        answer = self._wait(limits.seconds, _NETWORK, within, limits, place(), digest, given)
        found: tuple[Any, HwnasError | None, list[Any]] = pickle.loads(answer)
        return found

    def _wait(
        self, seconds: float | None, what: str, function: Callable[..., Any], *arguments: Any
    ) -> Any:
        """Let the process call a function, and wait for what it gives."""
        executor = self._ready()
        try:
            return executor.submit(function, *arguments).result(seconds)
        except BaseException as trouble:
            # Nobody knows what the child is up to: the next call gets another one.
            self.close()
            if not isinstance(trouble, Exception):
                raise
            if isinstance(trouble, TimeIsUp):
                raise EndlessError(f"{what} did not end within {seconds:g} s.") from trouble
            raise ChildEndedError(_reason(trouble)) from trouble

    def start(self) -> None:
        """Start the process, so that the next call need not."""
        with self._one_call:
            self._ready()

    def close(self) -> None:
        """End the process."""
        executor, self._executor, self._known = self._executor, None, set()
        if executor is not None:
            executor.shutdown(wait=True, kill_workers=True)

    def _ready(self) -> Any:
        """Give the executor of a child that has imported what is slow to import."""
        if self._executor is None:
            from joblib.externals.loky import ProcessPoolExecutor

            # Loky replaces a process that has grown: whatever it is, it begins with `prepare`. Its
            # advice is for those who have set a short timeout.
            warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
            self._executor = ProcessPoolExecutor(
                1,
                env=self._env,
                initializer=prepare,
                initargs=(os.getpid(),),
            )
            started = self._executor.submit(os.getpid)
            try:
                started.result(IMPORT_SECONDS)
            except BaseException as trouble:
                self.close()
                if not isinstance(trouble, Exception):
                    raise
                raise ChildEndedError(
                    f"A child process must start, but it did not: {first_line(trouble)}."
                ) from trouble
        return self._executor


def _reason(trouble: Exception) -> str:
    # Loky names what ended a process in braces.
    ended = re.search(r"\{(.+)\}", str(trouble))
    how = ended[1] if ended else first_line(trouble)
    why = " (as systems do where memory is short)" if "SIGKILL" in how else ""
    return f"`model` must leave its process alive, but it ended its process: {how}{why}."


_made: weakref.WeakSet[ChildProcess] = weakref.WeakSet()


def end_children() -> None:
    """End all child processes; the next call starts another one."""
    for process in list(_made):
        process.close()
