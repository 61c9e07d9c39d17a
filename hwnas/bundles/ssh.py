"""Commands on another machine, by the system's ssh.

ssh is started with a list of arguments and never through a shell of this machine. The command that
the other machine's shell reads is made of fixed words, digests and names that were checked, and of
nothing that came from there. What comes from there is bytes up to a limit.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Timer
from typing import IO, NamedTuple, Protocol

from hwnas.errors import InvalidValueError, MissingDependencyError

LOST = 255
"""What ssh exits with when the connection fails; commands of hwnas never do."""
_HOST = re.compile(r"(?:[A-Za-z0-9_][\w.+-]{0,63}@)?[A-Za-z0-9_\[][\w.:\[\]%-]{0,254}", re.ASCII)
_OPTIONS = ("BatchMode=yes", "ConnectTimeout=15", "ServerAliveInterval=15", "ServerAliveCountMax=4")
_MOST_BYTES = 64 << 20
_MOST_WORDS = 64 << 10

Report = Callable[[str], None]


class Answer(NamedTuple):
    """What a command gave.

    Attributes:
        code: its exit code; `LOST` where the connection failed.
        output: its standard output.
        words: its standard error.
        late: whether it was ended for its time; its code tells nothing then.
    """

    code: int
    output: bytes
    words: str
    late: bool = False

    @property
    def lost(self) -> bool:
        """Whether the connection failed."""
        return self.code == LOST and not self.late


class Transport(Protocol):
    """What runs a command in the home folder of another machine."""

    def __call__(
        self, command: str, content: bytes = b"", seconds: float = 120.0,
        report: Report | None = None,
    ) -> Answer:  # fmt: skip
        """Run it.

        Args:
            command: what the other machine's shell reads.
            content: what the command reads.
            seconds: time after which the connection is ended.
            report: called with each line of output meanwhile.
        """


@dataclass(frozen=True)
class Ssh:
    """The system's ssh to a host.

    Attributes:
        host: ``user@host``, or a name of ssh's own configuration.
        config: a configuration file to use instead of the user's.

    Raises:
        InvalidValueError: the host's name is none.
    """

    host: str
    config: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what ssh would take for an option."""
        if not _HOST.fullmatch(self.host):
            raise InvalidValueError(
                f"`ssh` must be HOST or USER@HOST, of letters, digits, dots and dashes, and not "
                f"begin with a dash, but got {self.host!r}."
            )

    def arguments(self, command: str) -> list[str]:
        """Give the arguments of ssh."""
        config = ["-F", str(self.config.absolute())] if self.config else []
        options = [part for option in _OPTIONS for part in ("-o", option)]
        return ["ssh", "-T", *config, *options, "--", self.host, command]

    def __call__(
        self, command: str, content: bytes = b"", seconds: float = 120.0,
        report: Report | None = None,
    ) -> Answer:  # fmt: skip
        """Run a command there."""
        return run_limited(self.arguments(command), content, seconds, report)


def run_limited(
    arguments: list[str],
    content: bytes = b"",
    seconds: float = 120.0,
    report: Report | None = None,
    folder: Path | None = None,
) -> Answer:
    """Run a program for a time, and take no more than it may say.

    Args:
        arguments: the program and its arguments.
        content: what it reads.
        seconds: time after which it is ended; its answer is late then, and says so.
        report: called with each line of its output meanwhile.
        folder: where it runs.

    Raises:
        MissingDependencyError: there is no such program.
        InvalidValueError: it says more than 64 MiB.
    """
    with tempfile.TemporaryFile() as given:
        given.write(content)
        given.seek(0)
        try:
            process = subprocess.Popen(
                arguments, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder
            )
        except FileNotFoundError:
            raise MissingDependencyError(
                f"`{arguments[0]}` must be installed, but is not on the path."
            ) from None
    assert process.stdout is not None
    assert process.stderr is not None
    late = Event()

    def end() -> None:
        late.set()
        process.kill()

    timer = Timer(seconds, end)
    timer.start()
    try:
        with process, ThreadPoolExecutor(1) as other:
            said = other.submit(_read, process, process.stderr, _MOST_WORDS, None)
            output = _read(process, process.stdout, _MOST_BYTES, report)
            if len(output) > _MOST_BYTES or len(said.result()) > _MOST_WORDS:
                raise InvalidValueError(
                    f"`{arguments[0]}` must answer in {_MOST_BYTES} bytes at most, but says more."
                )
            code = process.wait()
    except BaseException:
        process.kill()
        raise
    finally:
        timer.cancel()
    words = said.result().decode(errors="replace")
    if code < 0 and late.is_set():
        return Answer(LOST, output, f"{words}\nit took more than {seconds:g} s", late=True)
    if code < 0:
        return Answer(LOST, output, f"{words}\nit was ended by signal {-code}")
    return Answer(code, output, words)


def _read(
    process: subprocess.Popen[bytes], stream: IO[bytes], limit: int, report: Report | None
) -> bytes:
    """Read to the end, or one byte more than the limit, where the process is ended."""
    found = bytearray()
    while len(found) <= limit and (line := stream.readline(limit + 1 - len(found))):
        found += line
        if report is not None:
            with suppress(UnicodeDecodeError):
                report(line.decode().strip())
    if len(found) > limit:
        process.kill()
    return bytes(found)
