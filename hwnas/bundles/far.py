"""A bundle on another machine: copied, run and fetched, over connections that may fail."""

from __future__ import annotations

import io
import re
import shlex
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hwnas.bundles import runner
from hwnas.bundles.manifest import Manifest, parse_json, reason
from hwnas.bundles.programs import as_one_program, programs
from hwnas.bundles.results import check_device
from hwnas.bundles.settings import BundleSettings
from hwnas.bundles.ssh import Answer, Report, Transport
from hwnas.errors import InvalidValueError
from hwnas.files.atomic import write_bytes
from hwnas.measure.limits import CallError, UnreachableError

ATTEMPTS = 6
_WAIT_SECONDS = 2.0
_COPY_SECONDS = 120.0
_END_OF_TAR = re.compile(r"tar: (Exiting with failure|Error exit delayed)")
"""How GNU's and BSD's tar end after they have said what is wrong."""
_PYTHON = re.compile(r"[A-Za-z0-9_./][\w./+-]{0,254}", re.ASCII)


class FarError(CallError):
    """Another machine gave nothing: another attempt may succeed."""


class LostError(FarError, UnreachableError):
    """Another machine cannot be reached."""


@dataclass(frozen=True)
class Far:
    """Another machine.

    Attributes:
        transport: what runs commands there.
        python: its Python, with numpy and onnxruntime: a name on its path, or a whole path.
        wait: waits a number of seconds before another attempt.

    Raises:
        InvalidValueError: Python's path has signs that it must not have.
    """

    transport: Transport
    python: str = "python3"
    wait: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        """Refuse what a shell would take for something else."""
        if not _PYTHON.fullmatch(self.python):
            raise InvalidValueError(
                f"`python` must be a path of letters, digits, dots and dashes, but got "
                f"{self.python!r}."
            )

    def device(self, settings: BundleSettings) -> dict[str, Any]:
        """Ask what there is that would measure.

        Raises:
            LostError: it cannot be reached.
            FarError: it lacks Python, numpy or the runtime.
        """
        source = as_one_program(settings.runtime)
        words = [
            settings.provider, settings.precision, settings.batch, settings.threads,
            settings.runtime,
        ]  # fmt: skip
        command = f"{shlex.quote(self.python)} - --device {shlex.join(map(str, words))}"
        answer = self._insist(self.transport(command, source), "answer")
        try:
            found = parse_json(answer.output)
            check_device(found, settings)
        except (ValueError, KeyError, TypeError) as error:
            raise FarError(
                f"`device` must be told by the other machine, but it says something else: "
                f"{reason(error)}."
            ) from None
        return found

    def measure(
        self,
        manifest: Manifest,
        seconds: float | None = None,
        keep: bool = True,
        report: Report | None = None,
    ) -> None:
        """Run a bundle there, and write its results into its folder here.

        Args:
            manifest: of the bundle.
            seconds: longest time of one run; by default a minute a network and ten more. Copying
                has as much, two minutes at least.
            keep: whether the bundle stays there, so that the same call goes on with it.
            report: called with each line that the runner says.

        Raises:
            LostError: it cannot be reached, after several attempts.
            FarError: the runner fails, or takes too long. What was finished is written in both
                cases, and the same call goes on.
        """
        folder = f".cache/hwnas/{manifest.checksum[:32]}"
        limit = seconds or 600.0 + 60.0 * len(manifest.networks)
        unpack = f"mkdir -p {folder} && tar -xf - -C {folder}"
        copied = self._again(unpack, max(limit, _COPY_SECONDS), report, packed(manifest))
        self._insist(copied, "take the bundle")
        command = f"cd {folder} && {shlex.quote(self.python)} {runner.RUNNER}"
        answer = self._again(command, limit, report)
        # A machine that has just stayed away for all attempts is asked once more alone.
        attempts = 1 if answer.lost else None
        results = f"cat {folder}/{runner.RESULTS}"
        fetched = self._again(results, _COPY_SECONDS, None, attempts=attempts)
        if fetched.code == 0:
            write_bytes(manifest.folder / runner.RESULTS, fetched.output)
        self._insist(answer, "run the bundle")
        self._insist(fetched, "give its results")
        if not keep:
            self.transport(f"rm -rf {folder}")

    def _again(
        self,
        command: str,
        seconds: float,
        report: Report | None,
        content: bytes = b"",
        attempts: int | None = None,
    ) -> Answer:
        """Run a command that can be repeated, until the connection holds; each time may be full."""
        attempts = attempts or ATTEMPTS
        for attempt in range(attempts):
            answer = self.transport(command, content, seconds, report)
            if not answer.lost or attempt == attempts - 1:
                break
            if report is not None:
                report(f"connection lost: {answer.words.strip()[-200:]}")
            self.wait(_WAIT_SECONDS * 2**attempt)
        return answer

    def _insist(self, answer: Answer, what: str) -> Answer:
        if answer.code:
            words = answer.words.strip().splitlines()
            words = [line for line in words if not _END_OF_TAR.match(line)]
            words = words or [f"exit code {answer.code}"]
            kind = LostError if answer.lost else FarError
            raise kind(
                f"`ssh` must reach a machine that can {what}, but it says: {words[-1][:300]}"
            )
        return answer


def packed(manifest: Manifest) -> bytes:
    """Pack what a runner needs as a tar file: manifest, runner, models and expected outputs."""
    stream = io.BytesIO()
    names = [network.name for network in (manifest.reference, *manifest.networks)]
    files = [path for name in names for path in manifest.files(name)]
    own = [manifest.folder / name for name in programs(manifest.runtime)]
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path in (manifest.folder / runner.MANIFEST, *own, *files):
            archive.add(path, str(path.relative_to(manifest.folder)), recursive=False)
    return stream.getvalue()
