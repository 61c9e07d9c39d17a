"""Programs of the tests end, and what goes wrong with them is told."""

from __future__ import annotations

import contextlib
import signal
import socket
from pathlib import Path

import pytest

from tests.programs import Programs, ProgramsEndedError


def test_a_program_runs_as_one_of_its_own(programs: Programs, tmp_path: Path) -> None:
    text = "import os, sys; print(os.getcwd(), sys.argv[1]); sys.exit('why')"
    done = programs.run("-c", text, "given", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (1, f"{tmp_path} given\n", "why\n")


def test_one_is_killed_with_what_it_started(programs: Programs) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)
        text = (
            "import os, socket, time\n"
            f"held = socket.create_connection({listening.getsockname()!r})\n"
            "os.fork()\n"
            "held.sendall(b'x')\n"
            "time.sleep(600)\n"
        )
        program = programs.start("-c", text)
        held, _ = listening.accept()
        with held, held.makefile("rb") as said:
            held.settimeout(60)
            assert said.read(2) == b"xx"
            program.kill_all()
            assert program.wait() == -signal.SIGKILL
            assert said.read(1) == b""  # nobody holds the other end any more


def test_one_that_hangs_is_killed_and_told(programs: Programs) -> None:
    with pytest.raises(TimeoutError, match=r"time.sleep\(600\)' was killed after 0.1 s"):
        programs.run("-c", "import time; time.sleep(600)", timeout=0.1)
    assert programs._started[-1].returncode == -signal.SIGKILL


def test_a_server_that_died_is_told(tmp_path: Path) -> None:
    with contextlib.closing(Programs(tmp_path)) as made:
        made._server.kill()
        made._server.wait()
        with pytest.raises(ProgramsEndedError, match="has ended"):
            made.start("-c", "pass")
