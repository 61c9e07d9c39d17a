"""Commands on another machine: what reaches ssh, and how much may come back."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hwnas.bundles.ssh import LOST, Ssh, run_limited
from hwnas.errors import InvalidValueError, MissingDependencyError


@pytest.mark.parametrize(
    "host",
    ["-oProxyCommand=x", "", "me@-o", "me@board; ls", "a b", "me@", "@board", "$(x)", "a\n", "ä"],
)
def test_hosts_that_ssh_or_a_shell_would_misread_are_refused(host: str) -> None:
    with pytest.raises(InvalidValueError, match="`ssh` must be HOST"):
        Ssh(host)


@pytest.mark.parametrize("host", ["board", "me@192.168.1.7", "me@board.lab", "me@[fe80::1%eth0]"])
def test_ssh_gets_a_list_of_arguments(host: str) -> None:
    arguments = Ssh(host, Path("/x/conf")).arguments("true; echo 'a b'")
    assert arguments[-3:] == ["--", host, "true; echo 'a b'"]
    assert arguments[:4] == ["ssh", "-T", "-F", "/x/conf"]
    assert "BatchMode=yes" in arguments


def test_a_command_reads_and_answers() -> None:
    lines: list[str] = []
    found = run_limited(["sh", "-c", "cat; echo no >&2; exit 3"], b"a\nb\n", 20, lines.append)
    assert (found.code, found.output, found.words.strip()) == (3, b"a\nb\n", "no")
    assert lines == ["a", "b"]


def test_time_is_limited() -> None:
    found = run_limited(["sleep", "60"], seconds=0.2)
    assert found.late
    assert not found.lost
    assert found.words.endswith("it took more than 0.2 s")


def test_a_connection_that_fails_or_is_killed_is_lost() -> None:
    for end in ("exit 255", "kill -9 $$"):
        found = run_limited(["sh", "-c", end], seconds=20)
        assert (found.code, found.lost, found.late) == (LOST, True, False)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_what_comes_back_is_limited(stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas.bundles.ssh._MOST_BYTES", 1000)
    monkeypatch.setattr("hwnas.bundles.ssh._MOST_WORDS", 1000)
    script = f"import sys\nwhile True: sys.{stream}.write('x' * 100)"
    with pytest.raises(InvalidValueError, match="says more"):
        run_limited([sys.executable, "-c", script], seconds=20)


def test_a_program_that_is_not_there_is_told() -> None:
    with pytest.raises(MissingDependencyError, match="must be installed"):
        run_limited(["no-such-program-as-ssh"])


def test_a_client_that_is_killed_is_a_lost_connection_which_says_so() -> None:
    found = run_limited(["sh", "-c", "echo half; kill -9 $$"])
    assert found.lost
    assert (found.output, found.words.strip()) == (b"half\n", "it was ended by signal 9")
