"""The SQLite cache of computed values: what was paid for once is never paid for again."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

import platformdirs

from hwnas.errors import DataFormatError
from hwnas.tables.result import Result

_SCHEMA = """
CREATE TABLE IF NOT EXISTS results (
    key TEXT PRIMARY KEY,
    value REAL,
    error TEXT,
    seconds REAL NOT NULL,
    detail TEXT NOT NULL,
    created REAL NOT NULL
) WITHOUT ROWID
"""
_BUSY_SECONDS = 60.0
# SQLite's default limit of bound variables is 999 in old builds.
_CHUNK = 500


def cache_folder() -> Path:
    """Give the folder of caches: ``HWNAS_CACHE`` or the user's cache folder."""
    return Path(os.environ.get("HWNAS_CACHE") or platformdirs.user_cache_dir("hwnas"))


class ResultCache:
    """A persistent map from a text key to a `Result`, safe for several processes at once.

    Args:
        path: SQLite file; made with its folders if absent. None keeps results in memory only.

    Raises:
        DataFormatError: the file exists and is no SQLite data base.
    """

    def __init__(self, path: Path | None) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._connection = sqlite3.connect(
            ":memory:" if path is None else path, timeout=_BUSY_SECONDS, isolation_level=None
        )
        try:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(_SCHEMA)
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise DataFormatError(
                f"The cache must be an SQLite file, but {path} is not usable ({error}): move it "
                f"away or name another folder in HWNAS_CACHE."
            ) from error

    @classmethod
    def default(cls) -> ResultCache:
        """Open the user's cache."""
        return cls(cache_folder() / "results.sqlite")

    def get(self, keys: Iterable[str]) -> dict[str, Result]:
        """Give what is known of `keys`; absent keys are left out."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, Result] = {}
        for start in range(0, len(wanted), _CHUNK):
            chunk = wanted[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            rows = self._connection.execute(
                f"SELECT key, value, error, seconds, detail FROM results WHERE key IN ({marks})",
                chunk,
            )
            for key, value, error, seconds, detail in rows:
                number = float("nan") if value is None else value
                found[key] = Result(number, error, seconds, json.loads(detail))
        return found

    def put(self, results: Mapping[str, Result]) -> None:
        """Store results; what another process stored first stays, so that all see one value."""
        now = time.time()
        rows = [
            (
                k,
                None if r.value != r.value else r.value,
                r.error,
                r.seconds,
                json.dumps(r.detail),
                now,
            )
            for k, r in results.items()
        ]
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                "INSERT INTO results VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT(key) DO NOTHING", rows
            )

    def __len__(self) -> int:
        (count,) = self._connection.execute("SELECT COUNT(*) FROM results").fetchone()
        return int(count)

    def close(self) -> None:
        """Close the file; a closed cache cannot be used again."""
        self._connection.close()

    def __enter__(self) -> ResultCache:
        """Use the cache as a context manager."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()
