"""Calls in child processes: a crash, a hang or exhausted memory ends one call, and nothing else.

Whatever is measured is measured in the child, clocks included, so that talking to another process
is no part of any value. A child is started afresh, never forked, lives on from one call to the
next, whatever their limits, and is replaced when one has ended it. It ends with its parent.
"""

from __future__ import annotations

import logging
import os
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cache
from typing import Any, TypeVar

from hwnas.errors import HwnasError
from hwnas.measure.child_process import ChildProcess
from hwnas.measure.in_child import pickled
from hwnas.measure.limits import UNLIMITED, Limits

T = TypeVar("T")


class Child:
    """A process that calls one function after another; it is started when it is needed.

    Args:
        limits: what one call may take.
        threads: threads of its numerical libraries; None for those of this process.
        process: the process, if others call functions there too; None for one of its own.
    """

    def __init__(
        self,
        limits: Limits = UNLIMITED,
        threads: int | None = None,
        process: ChildProcess | None = None,
    ) -> None:
        self._limits = limits
        self.process = ChildProcess(threads) if process is None else process

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function in the child and give what it returns; log here what it logs.

        During a conversation another child takes the call, which may come from who answers.

        Raises:
            HwnasError: the function's own.
            EndlessError: it did not end in time.
            ChildEndedError: it ended its process.
            CallError: it needs more memory, or raised anything else; the text is type and message.
            NotSendableError: it cannot be sent.
        """
        return self.free().call_alone(function, *arguments)

    def free(self) -> Child:
        """Give this child, or its stand-in while its process is in a conversation."""
        if not self.process.in_conversation:
            return self
        return Child(self._limits, process=self.process.stand_in).free()

    def call_alone(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function as `call` does, in this child whatever it does otherwise."""
        sent, given = pickled(function), pickled(arguments)
        result, error, said = self.process.call(self._limits, sent, given)
        for record in said:
            logging.getLogger(record.name).handle(record)
        if error is not None:
            raise error
        found: T = result
        return found

    def start(self) -> None:
        """Start the process, so that the next call need not."""
        self.process.start()

    def close(self) -> None:
        """End the process."""
        self.process.close()


def child_with(limits: Limits, number: int = 0, threads: int | None = None) -> Child:
    """Give a child with these limits; those of the same number and threads share a process."""
    return Child(limits, process=_process(number, threads))


@cache
def _process(number: int, threads: int | None) -> ChildProcess:
    del number
    return ChildProcess(threads)


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
