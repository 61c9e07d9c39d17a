"""Bundles on another machine, which is a folder of this one or a real server on loopback."""

from __future__ import annotations

import sys
import tarfile
import time
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pytest

from hwnas.bundles.far import ATTEMPTS, Far, FarError, LostError, packed
from hwnas.bundles.manifest import Manifest
from hwnas.bundles.results import read_results
from hwnas.bundles.runner import RESULTS
from hwnas.bundles.settings import BundleSettings
from hwnas.bundles.ssh import LOST, Answer, Report, run_limited
from hwnas.errors import InvalidValueError
from tests.hwnas.bundles.loopback import Loopback, real_sshd
from tests.hwnas.bundles.small_bundle import make_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Manifest:
    return make_bundle(tmp_path / "b")


@pytest.fixture
def home(tmp_path: Path) -> Loopback:
    (tmp_path / "home").mkdir()
    return Loopback(tmp_path / "home")


def far(transport: Loopback) -> Far:
    return Far(transport, sys.executable, lambda _: None)


class Losing(Loopback):
    """Loses the first connections that run the bundle, one of them in the midst."""

    def __call__(
        self, command: str, content: bytes = b"", seconds: float = 120.0,
        report: Report | None = None,
    ) -> Answer:  # fmt: skip
        if command.endswith("run.py") and sum(c.endswith("run.py") for c in self.commands) < 2:
            super().__call__(command, content, 0.4, report)
            return Answer(LOST, b"", "connection reset")
        return super().__call__(command, content, seconds, report)


def test_a_bundle_is_copied_run_and_fetched(bundle: Manifest, home: Loopback) -> None:
    lines: list[str] = []
    far(home).measure(bundle, report=lines.append)
    found = read_results(bundle, bundle.folder / RESULTS)
    assert all(row.latency_ms > 0 for row in found.rows)
    assert lines[0] == "2 of 2 models are left"
    far(home).measure(bundle, report=lines.append)
    assert lines[-1] == "0 of 2 models are left"


def test_lost_connections_are_made_again(bundle: Manifest, home: Loopback) -> None:
    losing = Losing(home.home)
    lines: list[str] = []
    far(losing).measure(bundle, report=lines.append)
    assert lines.count("connection lost: connection reset") == 2
    assert all(row.latency_ms > 0 for row in read_results(bundle, bundle.folder / RESULTS).rows)


def test_a_machine_that_stays_away_is_told(bundle: Manifest, home: Loopback) -> None:
    class Away(Loopback):
        def __call__(self, command: str, *_: object, **__: object) -> Answer:
            self.commands.append(command)
            return Answer(0 if "tar" in command else LOST, b"", "no route\nto host\n")

    away, waits = Away(home.home), list[float]()
    with pytest.raises(LostError, match="can run the bundle, but it says: to host"):
        Far(away, sys.executable, waits.append).measure(bundle)
    assert sum(command.endswith("run.py") for command in away.commands) == ATTEMPTS
    # After the last attempt to run nothing is waited for, and the results are asked for once.
    assert waits == [2.0, 4.0, 8.0, 16.0, 32.0]
    assert sum(command.startswith("cat") for command in away.commands) == 1


def test_a_machine_that_stays_away_for_longer_than_a_run_may_take_is_away(
    bundle: Manifest, home: Loopback
) -> None:
    class Away(Loopback):
        def __call__(self, command: str, *_: object, **__: object) -> Answer:
            return Answer(0 if "tar" in command else LOST, b"", "no route to host")

    with pytest.raises(LostError, match="no route to host"):
        Far(Away(home.home), sys.executable, lambda _: time.sleep(0.05)).measure(bundle, 0.04)


@pytest.mark.parametrize(
    "end",
    [
        "tar: Exiting with failure status due to previous errors",
        "tar: Error exit delayed from previous errors.",
    ],
)
def test_a_full_disk_is_told_and_not_how_tar_ends(
    end: str, bundle: Manifest, home: Loopback
) -> None:
    class Full(Loopback):
        def __call__(self, *_: object, **__: object) -> Answer:
            return Answer(2, b"", f"tar: models: No space left on device\n{end}\n")

    with pytest.raises(FarError, match="it says: tar: models: No space left on device"):
        far(Full(home.home)).measure(bundle)


@dataclass
class Slow(Loopback):
    """Has no time for one command, and notes what each may take."""

    part: str = ""
    seconds: list[float] = field(default_factory=list)

    def __call__(
        self, command: str, content: bytes = b"", seconds: float = 120.0,
        report: Report | None = None,
    ) -> Answer:  # fmt: skip
        self.seconds.append(seconds)
        if self.part in command:
            return run_limited(["sleep", "60"], content, 0.1, report)
        return super().__call__(command, content, seconds, report)


@pytest.mark.parametrize(
    ("part", "what"), [("tar", "take the bundle"), (" run.py", "run the bundle")]
)
def test_what_takes_too_long_is_not_a_machine_that_is_away(
    part: str, what: str, bundle: Manifest, home: Loopback
) -> None:
    slow = Slow(home.home, part=part)
    with pytest.raises(FarError, match=f"can {what}, but it says: it took more than") as raised:
        far(slow).measure(bundle, 3.0)
    assert not isinstance(raised.value, LostError)


def test_copying_has_a_time_of_its_own(bundle: Manifest, home: Loopback) -> None:
    slow = Slow(home.home, part=" run.py")
    with pytest.raises(FarError):
        far(slow).measure(bundle, 3.0)
    assert slow.seconds == [120.0, 3.0, 120.0]


def test_copying_is_tried_again_too(bundle: Manifest, home: Loopback) -> None:
    class Late(Loopback):
        def __call__(
            self, command: str, content: bytes = b"", seconds: float = 120.0,
            report: Report | None = None,
        ) -> Answer:  # fmt: skip
            if not self.commands:
                self.commands.append(command)
                return Answer(LOST, b"", "connection refused")
            return super().__call__(command, content, seconds, report)

    far(Late(home.home)).measure(bundle)
    assert all(row.latency_ms > 0 for row in read_results(bundle, bundle.folder / RESULTS).rows)


def test_what_was_finished_is_fetched_though_the_runner_fails(
    bundle: Manifest, home: Loopback
) -> None:
    far(home).measure(bundle)
    (bundle.folder / RESULTS).unlink()
    folder = home.home / f".cache/hwnas/{bundle.checksum[:32]}"
    (folder / "lock").unlink()
    (folder / "lock").mkdir()
    with pytest.raises(FarError, match="run the bundle"):
        far(home).measure(bundle)
    assert len(read_results(bundle, bundle.folder / RESULTS).rows) == 2


def test_nothing_stays_where_nothing_is_to_be_kept(bundle: Manifest, home: Loopback) -> None:
    far(home).measure(bundle, keep=False)
    assert list((home.home / ".cache/hwnas").iterdir()) == []


def test_commands_are_fixed_words_and_digests(bundle: Manifest, home: Loopback) -> None:
    far(home).measure(bundle)
    folder = f".cache/hwnas/{bundle.checksum[:32]}"
    assert home.commands == [
        f"mkdir -p {folder} && tar -xf - -C {folder}",
        f"cd {folder} && {sys.executable} run.py",
        f"cat {folder}/results.jsonl",
    ]


def test_the_other_machine_says_what_measures(home: Loopback) -> None:
    found = far(home).device(BundleSettings(threads=2, batch=3))
    assert (found["threads"], found["batch"]) == (2, 3)
    assert found["runtime"] == "onnxruntime"


@pytest.mark.parametrize("said", [b"", b"[]", b"{}", b'{"machine": 1}', b"\xff"])
def test_a_machine_that_says_something_else_is_told(said: bytes, home: Loopback) -> None:
    class Strange(Loopback):
        def __call__(self, *_: object, **__: object) -> Answer:
            return Answer(0, said, "")

    with pytest.raises(FarError, match="`device` must be told"):
        far(Strange(home.home)).device(BundleSettings())


@pytest.mark.parametrize("python", ["python3; ls", "-c", "a b", "$(x)", "", "~/python"])
def test_pythons_that_a_shell_would_misread_are_refused(python: str, home: Loopback) -> None:
    with pytest.raises(InvalidValueError, match="`python` must be a path"):
        Far(home, python)


def test_what_is_packed_is_what_a_runner_needs(bundle: Manifest) -> None:
    (bundle.folder / "more").write_text("x")
    with tarfile.open(fileobj=BytesIO(packed(bundle))) as archive:
        names = archive.getnames()
    networks = ["reference", "n0000", "n0001"]
    models = [f"models/{n}.onnx" for n in networks] + [f"expected/{n}.npy" for n in networks]
    assert sorted(names) == sorted(["manifest.json", "run.py", *models])


def test_over_a_real_server(bundle: Manifest, tmp_path: Path) -> None:
    (tmp_path / "ssh").mkdir()
    with real_sshd(tmp_path / "ssh") as ssh:
        there = Far(ssh, sys.executable)
        assert there.device(BundleSettings())["runtime"] == "onnxruntime"
        there.measure(bundle, keep=False)
    assert all(row.latency_ms > 0 for row in read_results(bundle, bundle.folder / RESULTS).rows)
