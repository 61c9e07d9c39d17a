from __future__ import annotations

import math
import multiprocessing
from pathlib import Path

import pytest

from hwnas.errors import DataFormatError
from hwnas.evaluation.cache import ResultCache, cache_folder
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


def test_more_keys_than_sqlite_takes_at_once() -> None:
    keys = [f"k{i}" for i in range(2_345)]
    with ResultCache(None) as cache:
        cache.put({k: Result(float(i)) for i, k in enumerate(keys)})
        found = cache.get(keys)
    assert {k: r.value for k, r in found.items()} == {k: float(i) for i, k in enumerate(keys)}


@pytest.mark.parametrize("content", [b"not a data base", b"SQLite format 3\x00" + b"\xff" * 4096])
def test_a_foreign_file_is_one_clear_error_and_is_left_alone(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "results.sqlite"
    path.write_bytes(content)
    with pytest.raises(DataFormatError, match="move it away"):
        ResultCache(path)
    assert path.read_bytes() == content


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


def test_the_folder_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HWNAS_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("HWNAS_CACHE", "")
    assert cache_folder().is_absolute()
