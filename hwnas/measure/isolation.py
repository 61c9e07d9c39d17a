"""Calls in child processes: a crash, a hang or exhausted memory ends one call, and nothing else.

Whatever is measured is measured in the child, clocks included, so that talking to another process
is no part of any value. A child is started afresh, never forked, lives on from one call to the
next, and is replaced when one has ended it. It ends with its parent.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import queue
import re
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from concurrent.futures import TimeoutError as TimeIsUp
from functools import cache
from typing import Any, TypeVar

from hwnas.errors import HwnasError
from hwnas.measure.in_child import first_line, pickled, prepare, within
from hwnas.measure.limits import (
    UNLIMITED,
    ChildEndedError,
    ForgottenError,
    Limits,
    NotSendableError,
)

T = TypeVar("T")
_START_SECONDS = 300.0
_KEPT_FUNCTIONS = 8
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Child:
    """A process that calls one function after another; it is started when it is needed.

    Args:
        limits: what one call may take.
        threads: threads of its numerical libraries; None for those of this process.
    """

    def __init__(self, limits: Limits = UNLIMITED, threads: int | None = None) -> None:
        self._limits = limits
        self._env = {n: os.environ.get(n, str(threads)) for n in _THREADS if threads is not None}
        self._one_call = threading.Lock()
        self._executor: Any = None
        _made.add(self)
        self._known: set[bytes] = set()
        self._stand_in: Child | None = None
        self.in_conversation = False

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function in the child and give what it returns; log here what it logs.

        During a conversation another child takes the call, which may come from who answers.

        Raises:
            HwnasError: the function's own.
            ChildEndedError: it ended its process, or did not end in time.
            CallError: it needs more memory, or raised anything else; the text is type and message.
            NotSendableError: it cannot be sent.
        """
        return self.free().call_alone(function, *arguments)

    def free(self) -> Child:
        """Give this child, or its stand-in while it is in a conversation."""
        if not self.in_conversation:
            return self
        if self._stand_in is None:
            self._stand_in = Child(self._limits)
        return self._stand_in.free()

    def call_alone(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function as `call` does, in this child whatever it does otherwise."""
        sent, given = pickled(function), pickled(arguments)
        with self._one_call:
            result, error, said = self._answer(sent, given)
            if isinstance(error, ForgottenError):
                self._known.clear()
                result, error, said = self._answer(sent, given)
        for record in said:
            logging.getLogger(record.name).handle(record)
        if isinstance(error, NotSendableError):
            self._known.clear()
        if error is not None:
            raise error
        found: T = result
        return found

    def _answer(self, sent: bytes, given: bytes) -> tuple[Any, HwnasError | None, list[Any]]:
        executor = self._ready()
        try:
            answer = self._submit(executor, sent, given).result(self._limits.seconds)
        except BaseException as trouble:
            # Nobody knows what the child is up to: the next call gets another one.
            self.close()
            if not isinstance(trouble, Exception):
                raise
            raise ChildEndedError(self._reason(trouble)) from trouble
        found: tuple[Any, HwnasError | None, list[Any]] = pickle.loads(answer)
        return found

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
                initargs=(self._limits.memory_bytes, os.getpid()),
            )
            started = self._executor.submit(os.getpid)
            try:
                started.result(_START_SECONDS)
            except BaseException as trouble:
                self.close()
                if not isinstance(trouble, Exception):
                    raise
                raise ChildEndedError(
                    f"A child process must start, but it did not: {first_line(trouble)}."
                ) from trouble
        return self._executor

    def _submit(self, executor: Any, sent: bytes, given: bytes) -> Any:
        """Send a function only once: it may hold images of the user."""
        digest = hashlib.sha256(sent).digest()
        new = sent if digest not in self._known else None
        forget = new is not None and len(self._known) >= _KEPT_FUNCTIONS
        if forget:
            self._known.clear()
        self._known.add(digest)
        return executor.submit(within, self._limits, _place(), digest, new, given, forget)

    def _reason(self, trouble: Exception) -> str:
        if isinstance(trouble, TimeIsUp):
            return (
                f"`limit_seconds` must be enough for one network, but it did not end within "
                f"{self._limits.seconds:g} s."
            )
        # Loky names what ended a process in braces.
        ended = re.search(r"\{(.+)\}", str(trouble))
        how = ended[1] if ended else first_line(trouble)
        why = " (as systems do where memory is short)" if "SIGKILL" in how else ""
        return f"`model` must leave its process alive, but it ended its process: {how}{why}."


_made: weakref.WeakSet[Child] = weakref.WeakSet()


def end_children() -> None:
    """End all child processes; the next call starts another one."""
    for child in list(_made):
        child.close()


@cache
def child_with(limits: Limits, number: int = 0, threads: int | None = None) -> Child:
    """Give one of this process's children with these limits."""
    del number
    return Child(limits, threads)


def side_by_side(
    limits: Limits, jobs: int, function: Callable[..., T], arguments: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[int, T | HwnasError]]:
    """Call a function on many arguments in several children.

    Yields:
        The place of the arguments, and the result or the error of `Child.call`, as they come.
    """
    threads = None if jobs == 1 else max((os.cpu_count() or 1) // jobs, 1)
    children = [child_with(limits, number, threads) for number in range(jobs)]
    free: queue.SimpleQueue[Child] = queue.SimpleQueue()
    for child in children:
        free.put(child)

    def one(given: tuple[Any, ...]) -> T | HwnasError:
        child = free.get()
        try:
            return child.call(function, *given)
        except HwnasError as error:
            return error
        finally:
            free.put(child)

    with ThreadPoolExecutor(jobs) as callers:
        calls = {callers.submit(one, given): place for place, given in enumerate(arguments)}
        try:
            for call in as_completed(calls):
                yield calls[call], call.result()
        except BaseException:  # e.g. an interruption: whoever still waits need not
            callers.shutdown(wait=False, cancel_futures=True)
            for child in children:
                child.close()
            raise


def _place() -> tuple[str, list[str]]:
    """Give what the child must share with this process to find the same modules and files."""
    return os.getcwd(), list(sys.path)
