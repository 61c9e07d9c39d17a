"""A private PostgreSQL server, and a storage of each kind."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_DEBIAN = "/usr/lib/postgresql"


def _binary(name: str) -> str | None:
    found = shutil.which(name)
    newest = sorted(Path(_DEBIAN).glob(f"*/bin/{name}"), reverse=True)
    return found or (str(newest[0]) if newest else None)


@contextmanager
def running_server() -> Iterator[str]:
    """Start a server in a folder of its own and give its URL without a data base; stop it.

    Raises:
        FileNotFoundError: PostgreSQL is not installed.
    """
    initdb, pg_ctl = _binary("initdb"), _binary("pg_ctl")
    if initdb is None or pg_ctl is None:
        raise FileNotFoundError("PostgreSQL's initdb and pg_ctl are not installed")
    # Short, since a socket's path is; not pytest's folder, which other users cannot enter.
    folder = tempfile.mkdtemp(prefix="hwnas-pg-")
    user = None
    if os.geteuid() == 0:
        # The server refuses to run as root.
        user = "nobody"
        shutil.chown(folder, user)
    data, log = f"{folder}/data", f"{folder}/log"
    make = [initdb, "-D", data, "-U", "hwnas", "-A", "trust", "-E", "UTF8", "--no-sync"]
    options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
    try:
        subprocess.run(make, user=user, cwd=folder, check=True, capture_output=True)
        start = [pg_ctl, "-D", data, "-l", log, "-w", "-o", options, "start"]
        subprocess.run(start, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        try:
            yield f"postgresql://hwnas@/{{name}}?host={folder}"
        finally:
            stop = [pg_ctl, "-D", data, "-m", "immediate", "stop"]
            subprocess.run(stop, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    finally:
        shutil.rmtree(folder)


def new_data_base(server: str) -> str:
    """Give the URL of an empty data base."""
    import psycopg

    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.format(name="postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return server.format(name=name)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """Start a server for all tests."""
    pytest.importorskip("psycopg", reason="the extra postgresql is not installed")
    try:
        with running_server() as server:
            yield server
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture
def postgresql(postgresql_server: str) -> str:
    """Give the URL of an empty data base."""
    return new_data_base(postgresql_server)


@pytest.fixture
def grpc_proxy(tmp_path: Path) -> Iterator[str]:
    """Give the address of a proxy in front of an SQLite file."""
    pytest.importorskip("grpc", reason="the extra grpc is not installed")
    from optuna.storages._grpc.server import make_server

    from hwnas_optuna.storage import open_storage

    server = make_server(open_storage(f"sqlite:///{tmp_path / 'served.db'}"), "localhost", 0)
    port = server.add_insecure_port("localhost:0")
    server.start()
    yield f"grpc://localhost:{port}"
    server.stop(None).wait()


@pytest.fixture(params=["sqlite", "journal", "postgresql", "grpc_proxy"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give an empty storage of each kind."""
    files = {
        "sqlite": f"sqlite:///{tmp_path / 'study.db'}",
        "journal": f"journal:{tmp_path / 'study.log'}",
    }
    return files.get(request.param) or str(request.getfixturevalue(request.param))
