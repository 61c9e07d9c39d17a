from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy.exc
from optuna.storages import RDBStorage

from hwnas.errors import HwnasError, InvalidValueError, MissingDependencyError
from hwnas_optuna import storage as storage_module
from hwnas_optuna.storage import open_storage
from tests.programs import Programs


def finished(storage: str, name: str = "s") -> int:
    study = optuna.create_study(storage=open_storage(storage), study_name=name, load_if_exists=True)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    return len(optuna.load_study(storage=open_storage(storage), study_name=name).trials)


def test_every_kind_of_storage_keeps_trials(storage: str) -> None:
    assert finished(storage) == 2
    assert finished(storage) == 4


@pytest.mark.parametrize(
    "error",
    [
        sqlalchemy.exc.IntegrityError("CREATE", {}, Exception("duplicate key")),
        sqlalchemy.exc.ProgrammingError("CREATE", {}, Exception("there is such a relation")),
        sqlalchemy.exc.OperationalError("CREATE", {}, Exception("table studies already exists")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_tables_that_another_process_makes_at_this_moment_are_waited_for(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, failures = RDBStorage, [error, error]

    def opened(url: str) -> Any:
        if failures:
            raise failures.pop()
        return made(url)

    monkeypatch.setattr(storage_module, "RDBStorage", opened)
    monkeypatch.setattr(storage_module, "_PAUSE_SECONDS", 0.0)
    assert open_storage(f"sqlite:///{tmp_path / 'study.db'}").get_all_studies() == []
    failures += [error] * 100
    with pytest.raises(InvalidValueError, match="`storage` must be an Optuna storage"):
        open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    assert len(failures) == 90


def test_a_torn_last_line_of_a_journal_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    storage = f"journal:{path}"
    assert finished(storage) == 2
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":4,"worker_i')
    assert finished(storage) == 4
    assert path.read_bytes().startswith(whole)


@pytest.mark.parametrize("content", [b'{"a": 1}', b"a\nnote", b"SQLite format 3\0 \n \0"])
def test_a_file_that_is_no_journal_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine"
    path.write_bytes(content)
    for create in (False, True):
        with pytest.raises(InvalidValueError, match="no journal of Optuna"):
            open_storage(f"journal:{path}", create=create)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", "Could not parse"),
        ("nosuchdb://localhost/x", "nosuchdb"),
        ("postgresql://user:secret@127.0.0.1:1/x", "Connection refused"),
        ("grpc://localhost", "grpc://HOST:PORT"),
        ("journal:/no/such/folder/x", "No such file"),
        ("sqlite:////no/such/folder/x.db", "unable to open"),
    ],
)
def test_what_cannot_be_opened_is_one_line_without_a_password(text: str, reason: str) -> None:
    if text.startswith("postgresql"):
        pytest.importorskip("psycopg", reason="the extra postgresql is not installed")
    if text.startswith("grpc"):
        pytest.importorskip("grpc", reason="the extra grpc is not installed")
    with pytest.raises(InvalidValueError, match="`storage` must be") as caught:
        open_storage(text)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_not_there_is_not_made_by_reading(tmp_path: Path) -> None:
    for text in (f"sqlite:///{tmp_path / 'a.db'}", f"journal:{tmp_path / 'a.log'}"):
        with pytest.raises(InvalidValueError, match="there is no file"):
            open_storage(text, create=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("module", "text"),
    [("psycopg", "postgresql://localhost/x"), ("grpc", "grpc://localhost:1")],
)
def test_an_absent_driver_names_the_extra(
    module: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'hwnas\[(postgresql|grpc)\]'"):
        open_storage(text)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:secret@127.0.0.1:1/x",
        "postgresql://me:secret@127.0.0.1:port/x",
        "postgresql:/me:secret@127.0.0.1/x",
        "nosuch://me:secret@host/x",
        "grpc://me:secret@host",
    ],
)
def test_passwords_are_told_nobody(address: str) -> None:
    with pytest.raises(HwnasError) as caught:
        open_storage(address)
    assert "secret" not in str(caught.value)
    assert "***" in str(caught.value)


def test_a_storage_that_fails_later_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hwnas.study.hosts import Folder
    from hwnas.study.search import Search
    from hwnas.study.settings import SearchSettings

    def full(*_: object, **__: object) -> None:
        raise optuna.exceptions.StorageInternalError("database or disk is full")

    monkeypatch.setattr("hwnas_optuna.search.run", full)
    settings = SearchSettings(objectives=("params",), costs=("count:macs",), sampler="random")
    with pytest.raises(InvalidValueError, match=r"study\.db' \(database or disk is full\)"):
        Search(settings, Folder(tmp_path)).run()


def test_processes_may_make_the_tables_of_a_server_at_one_moment(
    postgresql: str, programs: Programs
) -> None:
    program = "import sys; from hwnas_optuna.storage import open_storage; open_storage(sys.argv[1])"
    processes = [programs.start("-c", program, postgresql) for _ in range(4)]
    assert [process.wait(timeout=120) for process in processes] == [0] * 4
