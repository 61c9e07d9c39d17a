"""Calls in a child process that ask this process while they run."""

from __future__ import annotations

import pickle
import secrets
import socket
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from hwnas.measure.endless import network_name, once
from hwnas.measure.isolation import Child, child_with
from hwnas.measure.limits import Limits, NotSendableError
from hwnas.spaces.elsewhere import HERE, Elsewhere
from hwnas.spaces.options import Choose, Options, V
from hwnas.tasks.task import Task

T = TypeVar("T")
_LOOK_SECONDS = 0.05
_TOKEN_BYTES = 16


class InChild:
    """Runs the code of a user in a child process; a copy that is sent to one runs it there.

    Args:
        limits: what a call may take.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def __reduce__(self) -> tuple[Callable[[], Elsewhere], tuple[()]]:
        return _here, ()

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function; in this process if it cannot be sent."""
        try:
            return child_with(self._limits).call(function, *arguments)
        except NotSendableError:
            return function(*arguments)

    def call_for(
        self, network: tuple[Any, object, Task | None], function: Callable[..., T], *arguments: Any
    ) -> T:
        """Call a function of a network, unless it is known not to end."""
        with once(network_name(*network), self._limits):
            return self.call(function, *arguments)

    def converse(self, function: Callable[[Choose], T], choose: Choose) -> T:
        """Call a function of a chooser; in this process if it cannot be sent."""
        try:
            return converse(child_with(self._limits), function, choose)
        except NotSendableError:
            return function(choose)


def _here() -> Elsewhere:
    return HERE


def converse(child: Child, function: Callable[[Choose], T], choose: Choose) -> T:
    """Call a function of a chooser in a child; `choose` is called in this thread.

    Args:
        child: where; its stand-in if it is in another conversation.
        function: what is called there.
        choose: answers what it asks; what this raises is raised here.

    Raises:
        HwnasError: as `Child.call`.
    """
    child = child.free()
    token = secrets.token_bytes(_TOKEN_BYTES)
    with ThreadPoolExecutor(1) as caller, socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        call = caller.submit(child.call_alone, partial(_talk, function), address, token)
        child.process.in_conversation = True
        try:
            trouble = _answer(server, token, choose, call)
        except BaseException:  # e.g. an interruption: nobody waits for the child
            child.close()
            raise
        finally:
            child.process.in_conversation = False
        if trouble is not None:
            raise trouble
        return call.result()


def _answer(
    server: socket.socket, token: bytes, choose: Choose, call: Future[Any]
) -> Exception | None:
    """Answer until the call has ended; give what choosing raised."""
    line = _accepted(server, token, call)
    if line is None:
        return None
    trouble: Exception | None = None
    with line:
        while True:
            try:
                asked = pickle.load(line)
            except (EOFError, OSError, pickle.UnpicklingError):  # it has ended, or its process has
                return trouble
            try:
                answer = (True, choose(*asked))
            except Exception as error:
                trouble, answer = error, (False, None)
            try:
                pickle.dump(answer, line)
                line.flush()
            except OSError:
                return trouble


def _accepted(server: socket.socket, token: bytes, call: Future[Any]) -> Any:
    """Wait for the child, which knows the token; None if the call ended without it."""
    server.settimeout(_LOOK_SECONDS)
    while not call.done():
        try:
            connection, _ = server.accept()
        except TimeoutError:
            continue
        with connection:
            connection.settimeout(None)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line = connection.makefile("rwb")
        if line.read(_TOKEN_BYTES) == token:
            return line
        line.close()
    return None


def _talk(function: Callable[[Choose], T], address: tuple[str, int], token: bytes) -> T:
    """Call a function in the child; what it asks goes to the parent."""
    with socket.create_connection(address) as connection, connection.makefile("rwb") as line:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.write(token)
        line.flush()

        def ask(name: str, options: Options[V]) -> V:
            pickle.dump((name, options), line)
            line.flush()
            answered, value = pickle.load(line)
            if not answered:
                raise UnansweredError
            chosen: V = value
            return chosen

        return function(ask)


class UnansweredError(Exception):
    """The parent has no answer; the reason stays there."""
