"""The SQLite cache of computed values: what was paid for once is never paid for again."""

from __future__ import annotations

import json
import logging
import math
import sqlite3
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from hwnas.files.cache_folder import cache_folder
from hwnas.process_state import PROCESS_STATE
from hwnas.tables.result import Result

_log = logging.getLogger(__name__)

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
_COLUMNS = "key, value, error, seconds, detail, created"
_BUSY_SECONDS = 8.0
_LOOK_SECONDS = 0.02
# SQLite's default limit of bound variables is 999 in old builds.
_CHUNK = 500


class ResultCache:
    """A persistent map from a text key to a `Result`, safe for several processes and threads.

    A file that cannot be opened, read or written takes nothing with it: one line is logged, the
    file is left alone, and what is stored from then on is kept in memory. A copy in another process
    opens the file anew, without what is kept in memory.

    Args:
        path: SQLite file; made with its folders if absent. None keeps results in memory only.
        scope: what all keys are for; another scope finds nothing of it. Empty is everybody's.
    """

    def __init__(self, path: Path | None, scope: str = "") -> None:
        self.path = path
        self._scope = scope
        self._memory: dict[str, Result] = {}
        self._writes = path is not None
        self._connection = None if path is None else self._open(path)

    def __reduce__(self) -> tuple[type[ResultCache], tuple[Path | None, str]]:
        return ResultCache, (self.path, self._scope)

    @classmethod
    def default(cls, scope: str = "") -> ResultCache:
        """Open the user's cache."""
        return cls(cache_folder() / "results.sqlite", scope)

    def get(self, keys: Iterable[str]) -> dict[str, Result]:
        """Give what is known of `keys`; absent keys are left out."""
        names = {f"{self._scope}{key}": key for key in keys}
        return {names[name]: result for name, result in self._found(list(names)).items()}

    def _found(self, wanted: list[str]) -> dict[str, Result]:
        found = {key: self._memory[key] for key in wanted if key in self._memory}
        if self._connection is None:
            return found
        try:
            with PROCESS_STATE:
                for start in range(0, len(wanted), _CHUNK):
                    found = _read(self._connection, wanted[start : start + _CHUNK]) | found
        except sqlite3.ProgrammingError:
            raise
        except sqlite3.Error as error:
            self._give_up(error)
        return found

    def put(self, results: Mapping[str, Result]) -> None:
        """Store results; a value that another process stored first stays, so that all see one."""
        results = {f"{self._scope}{key}": result for key, result in results.items()}
        if self._writes and self._connection is not None:
            try:
                with PROCESS_STATE:  # threads share the connection, and so a transaction
                    _write(self._connection, results)
                return
            except sqlite3.ProgrammingError:
                raise
            except sqlite3.Error as error:
                self._writes = False
                self._tell(error)
        for key, result in results.items():
            kept = self._memory.get(key, result)
            self._memory[key] = (
                result if math.isnan(kept.value) and result.value == result.value else kept
            )

    def __len__(self) -> int:
        count = 0
        if self._connection is not None:
            (count,) = self._connection.execute("SELECT COUNT(*) FROM results").fetchone()
        return int(count) + len(self._memory)

    def close(self) -> None:
        """Close the file; a closed cache cannot be used again."""
        if self._connection is not None:
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

    def _open(self, path: Path) -> sqlite3.Connection | None:
        connection = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._prepare(connection)
            connection.execute(f"SELECT {_COLUMNS} FROM results LIMIT 1").fetchone()
        except (sqlite3.Error, OSError, ValueError) as error:  # a path with a NUL: ValueError
            if connection is not None:
                connection.close()
            self._tell(error)
            return None
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make the table where it is absent; a file that can only be read is read."""
        try:
            _when_free(connection, "PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(_SCHEMA)
        except sqlite3.OperationalError as error:
            if "readonly" not in str(error):
                raise
            self._writes = False
            self._tell(error)

    def _give_up(self, error: Exception) -> None:
        self._tell(error)
        self.close()
        self._connection = None

    def _tell(self, error: Exception) -> None:
        _log.warning(
            "The cache %s is not usable (%s): results of this run are kept in memory. Make it "
            "writable, move it away, or name another folder in HWNAS_CACHE.",
            self.path,
            error,
        )


def _when_free(connection: sqlite3.Connection, statement: str) -> None:
    """Execute what SQLite refuses at once, without its time-out, where two open a new file."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute(statement)
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(_LOOK_SECONDS)


def _read(connection: sqlite3.Connection, keys: list[str]) -> dict[str, Result]:
    """Give the results of some keys; rows that another program wrote are left out."""
    marks = ",".join("?" * len(keys))
    rows = connection.execute(f"SELECT {_COLUMNS} FROM results WHERE key IN ({marks})", keys)
    found = {}
    for key, value, error, seconds, detail, _ in rows:
        try:
            facts = json.loads(detail)
            number = float("nan") if value is None else float(value)
            if isinstance(facts, dict) and isinstance(error, str | None):
                found[key] = Result(number, error, float(seconds), facts)
        except (TypeError, ValueError, RecursionError):
            continue
    return found


def _write(connection: sqlite3.Connection, results: Mapping[str, Result]) -> None:
    now = time.time()
    rows = [
        (k, None if r.value != r.value else r.value, r.error, r.seconds, json.dumps(r.detail), now)
        for k, r in results.items()
    ]
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO results VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT(key) DO UPDATE SET "
            "value = excluded.value, error = excluded.error, seconds = excluded.seconds, "
            "detail = excluded.detail, created = excluded.created "
            "WHERE results.value IS NULL AND excluded.value IS NOT NULL",
            rows,
        )
