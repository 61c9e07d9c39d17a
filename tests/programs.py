"""Programs in processes of their own, which find the libraries of others imported.

To import PyTorch, SciPy and Optuna is most of what a short program takes. A server imports them
once for a process of tests, and each program is forked from it and ends as any interpreter does.
It imports hwnas itself. What is about imports or about starting uses `sys.executable`.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import types
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Not pandas and ONNX Runtime, which start threads: a process that is forked has none of them.
LIBRARIES = (
    *("torch", "numpy", "scipy.stats", "scipy.optimize", "scipy.special", "sqlalchemy"),
    *("optuna", "alembic.command", "joblib", "onnx", "typer", "rich.console"),
)
LONGEST_S = 600.0
"""What goes on for longer hangs: the longest program takes a small part of it."""


class ProgramsEndedError(RuntimeError):
    """The processes that start and watch programs have ended; their standard error says why."""


class Program:
    """A program that runs.

    Attributes:
        pid: its process, which leads a group of its own.
        returncode: how it ended, as `subprocess` says it; None while nobody knows.
    """

    def __init__(self, connection: socket.socket, output: Path) -> None:
        self._connection = connection
        self._output = output
        self.pid = self._told()
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Give the code if it has ended."""
        if self.returncode is None and select.select([self._connection], [], [], 0)[0]:
            self.returncode = self._told()
        return self.returncode

    def wait(self, timeout: float = LONGEST_S) -> int:
        """Wait for its end, and give its code.

        Raises:
            TimeoutError: it goes on for longer than `timeout` seconds.
            ProgramsEndedError: nobody can tell.
        """
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise TimeoutError(f"The program goes on after {timeout:g} s.")
            self.poll()
        assert self.returncode is not None
        return self.returncode

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to it, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill_all(self) -> None:
        """Kill it and the processes that it has started, if it has not ended."""
        if self.poll() is None:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:  # it leads no group yet
                os.kill(self.pid, signal.SIGKILL)

    @property
    def stdout(self) -> str:
        """What it has written to its standard output so far."""
        return self._output.with_suffix(".out").read_text()

    @property
    def stderr(self) -> str:
        """What it has written to its standard error so far."""
        return self._output.with_suffix(".err").read_text()

    def close(self) -> None:
        """End it and what it has started, and forget it."""
        with contextlib.suppress(ProgramsEndedError):
            self.kill_all()
        self._connection.close()

    def _told(self) -> int:
        try:
            told = self._connection.recv(8)
        except ConnectionResetError:
            told = b""
        if len(told) < 8:
            raise ProgramsEndedError("The process that starts programs, or watches this one, died.")
        return int(struct.unpack("q", told)[0])


class Programs:
    """Starts programs; the arguments are those of Python's own command line.

    Args:
        folder: for the outputs of programs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[Program] = []
        self._requests, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, __file__, str(theirs.fileno())]
            self._server = subprocess.Popen(command, pass_fds=[theirs.fileno()])

    def start(
        self,
        *arguments: str,
        cwd: str | Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Program:
        """Start ``-c TEXT``, ``-m MODULE`` or a file; `cwd` and `env` are as in `subprocess`.

        Raises:
            ProgramsEndedError: the process that starts programs has ended.
        """
        output = self._folder / str(len(self._started))
        for suffix in (".out", ".err"):
            output.with_suffix(suffix).touch()
        asked = {
            "arguments": arguments,
            "folder": str(Path.cwd() if cwd is None else cwd),
            "environment": dict(os.environ if env is None else env),
            "output": str(output),
        }
        connection, theirs = socket.socketpair()
        try:
            with theirs:
                socket.send_fds(self._requests, [b"1"], [theirs.fileno()])
            connection.sendall(json.dumps(asked).encode() + b"\n")
            program = Program(connection, output)
        except (BrokenPipeError, ConnectionResetError, ProgramsEndedError) as error:
            connection.close()
            raise ProgramsEndedError("The process that starts programs has ended.") from error
        self._started.append(program)
        return program

    def run(
        self,
        *arguments: str,
        cwd: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = LONGEST_S,
    ) -> subprocess.CompletedProcess[str]:
        """Start a program as `start` does, and wait for its end.

        Raises:
            TimeoutError: it went on for longer than `timeout` seconds and was killed, with the
                processes that it had started; says what it was and what it wrote last.
            ProgramsEndedError: the process that starts programs has ended.
        """
        program = self.start(*arguments, cwd=cwd, env=env)
        try:
            code = program.wait(timeout)
        except TimeoutError:
            program.kill_all()
            program.wait()
            raise TimeoutError(
                f"{' '.join(arguments)[:200]!r} was killed after {timeout:g} s; it had written "
                f"{program.stdout[-500:]!r} and {program.stderr[-2000:]!r}."
            ) from None
        return subprocess.CompletedProcess(arguments, code, program.stdout, program.stderr)

    def close(self) -> None:
        """End all programs and the server."""
        for program in self._started:
            program.close()
        self._requests.close()
        self._server.wait()


def _serve(requests: socket.socket) -> dict[str, Any]:
    """Fork a process for each program that is asked for; there, give what was asked."""
    gc.disable()
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):  # an extra
            importlib.import_module(name)
    # Else each program looks for garbage among a million objects, at its end three times, and by
    # that copies the memory which it shares with this process.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    gc.enable()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who watches a program is not waited for
    while True:
        asked_for, given, _, _ = socket.recv_fds(requests, 1, 1)
        if not asked_for:  # by a process that has ended
            os._exit(0)
        with socket.socket(fileno=given[0]) as connection:
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                # As from a terminal: a suite that runs in the background ignores it.
                signal.signal(signal.SIGINT, signal.default_int_handler)
                asked: dict[str, Any] = json.loads(connection.makefile("r").readline())
                requests.close()
                if (pid := os.fork()) == 0:
                    return asked
                _watch(pid, connection)


def _watch(pid: int, connection: socket.socket) -> None:
    """Tell the number of a program's process, and its code when it ends; end this process."""
    with contextlib.suppress(OSError):  # nobody listens any more
        connection.sendall(struct.pack("q", pid))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with contextlib.suppress(OSError):
        connection.sendall(struct.pack("q", code))
    os._exit(0)


def _settle(asked: Mapping[str, Any]) -> list[str]:
    """Make this process what was asked for; give the command line."""
    atexit.register(gc.freeze)  # nor once more among its own, see `tests/seldom`
    os.setsid()
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    files = [(0, "", os.O_RDONLY), (1, ".out", os.O_WRONLY), (2, ".err", os.O_WRONLY)]
    for number, suffix, how in files:
        path = asked["output"] + suffix if suffix else os.devnull
        opened = os.open(path, how)
        os.dup2(opened, number)
        os.close(opened)
    for name in asked["environment"].get("PYTHONPATH", "").split(os.pathsep)[::-1]:
        if name and name not in sys.path:
            sys.path.insert(0, name)
    arguments = list(asked["arguments"])
    if arguments[0] == "-W":
        warnings.simplefilter(arguments[1])
        arguments = arguments[2:]
    return arguments


def _run(arguments: list[str]) -> None:
    """Run a program as ``__main__``."""
    if arguments[0] == "-m":
        import runpy

        sys.argv = arguments[1:]
        sys.path[0] = os.getcwd()
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return
    main = types.ModuleType("__main__")
    if arguments[0] == "-c":
        sys.argv, sys.path[0], text, name = ["-c", *arguments[2:]], "", arguments[1], "<string>"
    else:
        name = main.__file__ = str(Path(arguments[0]).absolute())
        sys.argv, sys.path[0], text = arguments, str(Path(name).parent), Path(name).read_text()
    sys.modules["__main__"] = main
    exec(compile(text, name, "exec"), vars(main))


if __name__ == "__main__":
    _run(_settle(_serve(socket.socket(fileno=int(sys.argv[1])))))
