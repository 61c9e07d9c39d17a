"""This machine as the other one: programs called ssh, and a real sshd where there is one."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hwnas.bundles.ssh import Answer, Report, Ssh, run_limited

SSHD = "/usr/sbin/sshd"


@dataclass
class Loopback:
    """Runs commands in a folder of this machine, as ssh does in a home folder elsewhere."""

    home: Path
    commands: list[str] = field(default_factory=list)

    def __call__(
        self, command: str, content: bytes = b"", seconds: float = 120.0,
        report: Report | None = None,
    ) -> Answer:  # fmt: skip
        self.commands.append(command)
        return run_limited(["sh", "-c", command], content, seconds, report, self.home)


def fake_ssh(folder: Path, home: Path) -> Path:
    """Write a program `ssh` that runs its last argument in a folder; give where it lies."""
    folder.mkdir()
    home.mkdir()
    program = folder / "ssh"
    program.write_text(
        f"#!/bin/sh\nfor last; do :; done\necho \"$@\" >> '{folder}/calls'\n"
        f"cd '{home}' && exec sh -c \"$last\"\n"
    )
    program.chmod(0o755)
    return folder


@contextmanager
def real_sshd(folder: Path) -> Iterator[Ssh]:
    """Start a server of this user's on loopback with keys of its own; skip where that fails."""
    if not Path(SSHD).is_file() or shutil.which("ssh-keygen") is None:
        pytest.skip(f"there is no {SSHD}")
    for key in ("host", "client"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)]
        subprocess.run(command, check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "server.conf").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/client.pub\nStrictModes no\nUsePAM no\n"
        f"PasswordAuthentication no\n"
    )
    (folder / "client.conf").write_text(
        f"Host board\n HostName 127.0.0.1\n Port {port}\n User {getpass.getuser()}\n"
        f" IdentityFile {folder}/client\n IdentitiesOnly yes\n StrictHostKeyChecking accept-new\n"
        f" UserKnownHostsFile {folder}/known_hosts\n"
    )
    if os.geteuid() == 0:
        # What the package's service makes before it starts the server.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", f"{folder}/server.conf"], stderr=log)
    try:
        ssh = Ssh("board", folder / "client.conf")
        for _ in range(40):
            if ssh("true").code == 0:
                break
            time.sleep(0.25)
        else:
            pytest.skip(f"sshd does not work here: {(folder / 'log').read_text()[-300:]}")
        yield ssh
    finally:
        server.kill()
        server.wait()
