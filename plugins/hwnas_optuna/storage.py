"""Optuna storages by text: what `--storage` takes on the command line."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, GrpcStorageProxy, InMemoryStorage, RDBStorage
from optuna.storages.journal import JournalFileSymlinkLock, JournalStorage
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    IntegrityError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)

from hwnas.errors import HwnasError, InvalidValueError, MissingDependencyError
from hwnas.files.passwords import without_passwords, without_those_of
from hwnas.process_state import unwarned
from hwnas_optuna.journal import HoldingBackend

JOURNAL, GRPC = "journal:", "grpc://"
GRPC_TIMEOUT_SECONDS = 10.0
_ATTEMPTS, _PAUSE_SECONDS = 10, 0.2
"""Openings of a data base that others may be making, and the time between two."""
_RECORD = b'{"op_code":'
"""What every record of a journal begins with."""
_TELLING = (ValueError, OSError, RuntimeError, SQLAlchemyError, optuna.exceptions.OptunaError)
"""Errors whose text says enough; others come from content that is damaged."""
_EXTRAS = {"psycopg": "postgresql", "grpc": "grpc"}


def open_storage(text: str | None, *, create: bool = True) -> BaseStorage:
    """Open a storage, and make it where it is a file that does not exist.

    Args:
        text: ``sqlite:///FILE``, ``postgresql://USER@HOST/NAME`` (driver psycopg) or any other
            SQLAlchemy URL, ``journal:FILE``, ``grpc://HOST:PORT`` of a proxy started with
            `optuna.storages.run_grpc_proxy_server`, or None for memory.
        create: whether a file that does not exist is made.

    Raises:
        InvalidValueError: the text names no storage, or the storage cannot be opened.
        MissingDependencyError: its driver is not installed.
    """
    if text is None:
        return InMemoryStorage()
    open_kind: Callable[[str, bool], BaseStorage] = _open_data_base
    if text.startswith(JOURNAL):
        open_kind = _open_journal
    elif text.startswith(GRPC):
        open_kind = _open_proxy
    try:
        return open_kind(text, create)
    except ImportError as error:
        raise _missing_driver(text, error) from error
    except Exception as error:  # a damaged journal or data base can raise nearly anything
        raise storage_error(text, error) from error


@contextmanager
def made_aside(text: str) -> Iterator[str]:
    """Give a storage to make a study in, so that the file `text` appears when it is whole.

    A file that does not exist is made under another name and then linked to its own, unless
    another process has made it in the meantime, whose file is kept. A server or a file that is
    there is given as it is.
    """
    path = _path(text)
    if path is None or path.exists():
        yield text
        return
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield f"{JOURNAL}{scratch}" if text.startswith(JOURNAL) else f"sqlite:///{scratch}"
        if scratch.exists():
            with suppress(FileExistsError):
                _link(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def insist_on_storage(text: str | None) -> None:
    """Insist that a storage can be opened, or made where it is a file that does not exist.

    Raises:
        InvalidValueError: it cannot; nothing was made.
        MissingDependencyError: its driver is not installed.
    """
    path = None if text is None else _path(text)
    if path is None or path.exists():
        open_storage(text)
    elif not os.access(path.parent, os.W_OK | os.X_OK):
        there = "it may not be written" if path.parent.exists() else "it does not exist"
        raise storage_error(str(text), ValueError(f"in the folder {path.parent}: {there}"))


def _path(text: str) -> Path | None:
    """Give the file of a storage, or None where it is none."""
    if text.startswith(JOURNAL):
        return Path(text.removeprefix(JOURNAL))
    try:
        url = make_url(text)
    except ArgumentError:
        return None
    named = url.database not in (None, "", ":memory:") and not url.query
    if url.get_backend_name() != "sqlite" or not named:
        return None
    return Path(str(url.database))


def _link(scratch: Path, path: Path) -> None:
    try:
        os.link(scratch, path)
    except FileExistsError:
        raise
    except OSError:  # A file system without links.
        scratch.rename(path)


@contextmanager
def reading(text: str) -> Iterator[None]:
    """Say in one line that what a storage holds is damaged.

    Raises:
        InvalidValueError: reading it raised anything else than an error of ours.
    """
    try:
        yield
    except HwnasError:
        raise
    except Exception as error:
        raise storage_error(text, error) from error


def storage_error(text: str, error: Exception) -> InvalidValueError:
    """Say in one line why a storage is not usable."""
    reason = without_those_of(text, str(error).strip().partition("\n")[0])
    if not isinstance(error, _TELLING):
        reason = f"it is damaged: {type(error).__name__} {reason}"
    return InvalidValueError(
        f"`storage` must be an Optuna storage that can be opened, e.g. 'sqlite:///study.db', "
        f"'postgresql://user@host/name', 'journal:study.log' or 'grpc://host:13000', but "
        f"got {without_passwords(text)!r} ({reason})."
    )


def _open_data_base(text: str, create: bool) -> BaseStorage:
    url = make_url(text)
    if url.get_backend_name() == "sqlite" and url.database and not create:
        _insist_on_file(Path(url.database))
    if url.drivername == "postgresql":
        # What SQLAlchemy takes here depends on its version.
        url = url.set(drivername="postgresql+psycopg")
    storage = _made_with_others(url.render_as_string(hide_password=False))
    # Optuna leaves the pool's connections to the garbage collector, of which drivers complain.
    weakref.finalize(storage, storage.engine.dispose)
    return storage


def _made_with_others(url: str) -> RDBStorage:
    """Open a data base that other processes may be filling with Optuna's tables just now.

    Optuna looks for a table and then makes it, so that one of two processes that open an empty
    data base at one moment fails: tables, types or the version's row are there already.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return RDBStorage(url)
        except (IntegrityError, ProgrammingError):
            pass
        except OperationalError as error:
            if "already exists" not in str(error):
                raise
        time.sleep(_PAUSE_SECONDS)
    return RDBStorage(url)


def _open_journal(text: str, create: bool) -> BaseStorage:
    path = Path(text.removeprefix(JOURNAL))
    if not create:
        _insist_on_file(path)
    lock = JournalFileSymlinkLock(str(path))
    backend = HoldingBackend(str(path), lock)
    _drop_torn_line(path, lock)
    return JournalStorage(backend)


def _drop_torn_line(path: Path, lock: JournalFileSymlinkLock) -> None:
    """Remove a last line that a killed writer left half written: it was never acknowledged.

    Optuna would append the next record to it, and could not read the journal from then on.

    Raises:
        ValueError: the file is no journal; it is left as it is.
    """
    lock.acquire()
    try:
        with path.open("rb+") as file:
            content = file.read()
            if not content.startswith(_RECORD) and not _RECORD.startswith(content):
                raise ValueError("it is no journal of Optuna")
            if not content.endswith(b"\n"):
                file.truncate(content.rfind(b"\n") + 1)
    finally:
        lock.release()


def _open_proxy(text: str, create: bool) -> BaseStorage:
    del create  # The server's storage exists.
    host, separator, port = text.removeprefix(GRPC).rpartition(":")
    if not separator or not host or not port.isdigit():
        raise ValueError("it must be grpc://HOST:PORT")
    with unwarned(optuna.exceptions.ExperimentalWarning):  # since Optuna 4.2
        storage = GrpcStorageProxy(host=host, port=int(port))
    storage.wait_server_ready(timeout=GRPC_TIMEOUT_SECONDS)
    return storage


def _insist_on_file(path: Path) -> None:
    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no file {path}")


def _missing_driver(text: str, error: ImportError) -> MissingDependencyError:
    cause = error if error.name else error.__cause__
    name = getattr(cause, "name", None) or "its driver"
    extra = _EXTRAS.get(name)
    install = f"pip install 'hwnas[{extra}]'" if extra else "install it"
    return MissingDependencyError(
        f"`storage` {without_passwords(text)!r} needs the module {name!r}, which is absent: "
        f"{install}."
    )
