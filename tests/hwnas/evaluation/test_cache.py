from __future__ import annotations

import math
import multiprocessing
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from hwnas.evaluation.cache import ResultCache
from hwnas.files.cache_folder import cache_folder
from hwnas.tables.result import Result


def test_values_survive_closing(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "results.sqlite"
    with ResultCache(path) as cache:
        cache.put({"a": Result(1.5, None, 0.25, {"runs": 3}), "b": Result(math.nan, "no ReLU")})
    with ResultCache(path) as cache:
        found = cache.get(["a", "b", "c"])
        assert set(found) == {"a", "b"}
        assert found["a"] == Result(1.5, None, 0.25, {"runs": 3})
        assert math.isnan(found["b"].value)
        assert found["b"].error == "no ReLU"
        assert len(cache) == 2


def test_infinities_and_large_numbers_are_kept() -> None:
    with ResultCache(None) as cache:
        cache.put({"big": Result(1e300), "inf": Result(-math.inf)})
        found = cache.get(["big", "inf"])
        assert found["big"].value == 1e300
        assert found["inf"].value == -math.inf


def test_the_first_value_stays() -> None:
    with ResultCache(None) as cache:
        cache.put({"a": Result(1.0)})
        cache.put({"a": Result(2.0)})
        assert cache.get(["a"])["a"].value == 1.0


@pytest.mark.parametrize("name", ["results.sqlite", None])
def test_a_value_takes_the_place_of_an_error_alone(name: str | None, tmp_path: Path) -> None:
    with ResultCache(None if name is None else tmp_path / name) as cache:
        cache.put({"a": Result(math.nan, "first"), "b": Result(2.0, None, 0.5)})
        cache.put({"a": Result(math.nan, "second"), "b": Result(math.nan, "late")})
        assert cache.get(["a"])["a"].error == "first"
        assert cache.get(["b"])["b"] == Result(2.0, None, 0.5)
        cache.put({"a": Result(1.0, None, 0.25, {"runs": 3})})
        assert cache.get(["a"])["a"] == Result(1.0, None, 0.25, {"runs": 3})


def test_more_keys_than_sqlite_takes_at_once() -> None:
    keys = [f"k{i}" for i in range(2_345)]
    with ResultCache(None) as cache:
        cache.put({k: Result(float(i)) for i, k in enumerate(keys)})
        found = cache.get(keys)
    assert {k: r.value for k, r in found.items()} == {k: float(i) for i, k in enumerate(keys)}


def _fill(path: Path, start: int) -> None:
    with ResultCache(path) as cache:
        for i in range(start, start + 50):
            cache.put({f"k{i}": Result(float(i))})


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_fill, args=(path, start)) for start in (0, 25)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    with ResultCache(path) as cache:
        assert {k: r.value for k, r in cache.get(f"k{i}" for i in range(75)).items()} == {
            f"k{i}": float(i) for i in range(75)
        }


def test_a_file_that_another_process_is_making_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "results.sqlite"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    # SQLite waits for other locks by itself, but refuses another mode of the file at once.
    other.execute("BEGIN IMMEDIATE")
    end = threading.Timer(0.3, other.execute, ["COMMIT"])
    end.start()
    with ResultCache(path) as cache:
        cache.put({"a": Result(1.0)})
    end.join()
    other.close()
    assert not caplog.records
    with ResultCache(path) as cache:
        assert cache.get(["a"])["a"].value == 1.0


def test_the_folder_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HWNAS_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("HWNAS_CACHE", "")
    assert cache_folder().is_absolute()


def said(caplog: pytest.LogCaptureFixture, path: Path) -> bool:
    """Whether one line names the cache and what to do."""
    (record,) = caplog.records
    text = record.getMessage()
    return str(path) in text and "HWNAS_CACHE" in text and "\n" not in text


def goes_on(cache: ResultCache) -> bool:
    cache.put({"a": Result(1.5)})
    cache.put({"a": Result(2.5), "b": Result(3.5)})
    return {k: r.value for k, r in cache.get("abc").items()} == {"a": 1.5, "b": 3.5}


@pytest.mark.parametrize("content", [b"not a data base", b"SQLite format 3\x00" + b"\xff" * 4096])
def test_a_foreign_file_is_left_alone_and_the_run_goes_on(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "results.sqlite"
    path.write_bytes(content)
    with ResultCache(path) as cache:
        assert goes_on(cache)
    assert path.read_bytes() == content
    assert said(caplog, path)


def test_other_things_in_place_of_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, file, other = tmp_path / "folder", tmp_path / "file", tmp_path / "other"
    folder.mkdir()
    file.touch()
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE results (key TEXT, score REAL)")
    connection.close()
    for path in (folder, file / "below" / "results.sqlite", other, tmp_path / "nul\x00"):
        caplog.clear()
        with ResultCache(path) as cache:
            assert goes_on(cache)
        assert said(caplog, path)


def test_a_lock_of_others_ends_the_writing_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas.evaluation.cache._BUSY_SECONDS", 0.05)
    path = tmp_path / "results.sqlite"
    with ResultCache(path) as cache:
        cache.put({"before": Result(7.0)})
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert goes_on(cache)
        assert cache.get(["before"])["before"].value == 7.0
        other.close()
    assert said(caplog, path)


def test_a_full_disk_ends_the_writing_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "results.sqlite"
    with ResultCache(path) as cache:
        cache.put({"before": Result(7.0)})
        assert cache._connection is not None
        # SQLite answers as on a disk without room.
        (pages,) = cache._connection.execute("PRAGMA page_count").fetchone()
        cache._connection.execute(f"PRAGMA max_page_count={pages}")
        large = {f"k{i}": Result(float(i), "x" * 500) for i in range(100)}
        cache.put(large)
        assert cache.get([*large, "before"]) == {**large, "before": Result(7.0)}
        assert len(cache) == 101
    assert said(caplog, path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_can_only_be_read_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "results.sqlite"
    with ResultCache(path) as cache:
        cache.put({"before": Result(7.0)})
    path.chmod(0o400)
    with ResultCache(path) as cache:
        assert goes_on(cache)
        assert cache.get(["before"])["before"].value == 7.0
    assert said(caplog, path)


def test_rows_of_another_program_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    with ResultCache(path) as cache:
        cache.put({"a": Result(1.0)})
    with sqlite3.connect(path) as connection:
        for key, value, detail in (("b", "text", "{}"), ("c", 1.0, "{"), ("d", 1.0, "[1]")):
            row = (key, value, None, 0.0, detail, 0.0)
            connection.execute("INSERT INTO results VALUES (?, ?, ?, ?, ?, ?)", row)
    connection.close()
    with ResultCache(path) as cache:
        assert set(cache.get("abcd")) == {"a"}


def test_damage_below_the_first_page_is_found_while_reading(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "results.sqlite"
    results = {f"k{i}": Result(float(i), "x" * 200) for i in range(500)}
    with ResultCache(path) as cache:
        cache.put(results)
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\xff" * (len(content) - 8192))
    with ResultCache(path) as cache:
        cache.get(results)
        assert goes_on(cache)
    assert said(caplog, path)
