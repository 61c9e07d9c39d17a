"""The file format of shipped scores, and how they are found.

One ``.npz`` a space, data set and kind of images: architectures, canonical keys, one column a
proxy, and a header that says where each column comes from, see `hwnas.files.npz`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.errors import InvalidValueError
from hwnas.files.identity import describe
from hwnas.files.npz import NpzFormat, opened_npz, write_npz
from hwnas.tables.result import Result
from hwnas.tables.table import Table
from hwnas.typing import Arch, FloatArray, SearchSpace

_FOLDER = Path(__file__).parent
_FILE = NpzFormat("hwnas scores 1", "a table of shipped scores", "install hwnas again", (1,))
_BITS = 29
"""Bits of the mantissa that are cut off: 24 remain, as in float32, whose exponent is too short."""


@dataclass(frozen=True)
class ShippedColumn:
    """Where the scores of one proxy come from.

    Attributes:
        identity: everything that a score depends on beside the architecture, as
            `hwnas.proxies.identity.score_identity` states it.
        seconds: time a network on one thread, median.
        errors: reason of each missing score by row.
    """

    identity: str
    seconds: float
    errors: Mapping[str, Sequence[int]]

    def is_of(self, space: SearchSpace[Arch]) -> bool:
        """Tell whether the scores are of networks of just this space, settings included."""
        stated = json.loads(self.identity)
        return isinstance(stated, dict) and stated.get("space") == describe(space)


@dataclass(frozen=True, eq=False)
class ShippedScores:
    """Scores of all different networks of a space.

    Attributes:
        table: text of each class's representative with its raw score by the name of the proxy, by
            canonical key; NaN where there is none.
        about: origin of each column.
        again: some of these networks with their scores of a second seed.
        provenance: versions, host, date and the command that makes the file again.
    """

    table: Table[str]
    about: Mapping[str, ShippedColumn]
    again: Table[str]
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Find the networks of the second seed among the others."""
        if self.table.keys is None or not set(self.again.keys or ()) <= set(self.table.keys):
            raise InvalidValueError("`table` must have keys, those of `again` among them.")

    @property
    def keys(self) -> Sequence[str]:
        """The `(n,)` canonical keys."""
        return self.table.keys or ()

    def by_key(self, name: str) -> dict[str, float]:
        """Give a column's scores by canonical key."""
        return dict(zip(self.keys, self.table.columns[name].tolist(), strict=True))

    @cached_property
    def reasons(self) -> Mapping[tuple[str, int], str]:
        """Why a score is missing, by column and row."""
        return {
            (name, row): reason
            for name, column in self.about.items()
            for reason, rows in column.errors.items()
            for row in rows
        }

    def with_columns_of(self, other: ShippedScores) -> ShippedScores:
        """Replace columns by those of the same name that another table of these networks has."""
        names = ", ".join(other.table.columns)
        seen = f"{self.provenance['input']}; {names}: {other.provenance['input']}"
        return ShippedScores(
            self.table.with_columns(other.table.columns),
            {**self.about, **other.about},
            self.again.with_columns(other.again.columns),
            {**self.provenance, "input": seen},
        )

    def write(self, path: Path) -> None:
        """Write the file; numbers keep 24 bits of their mantissa."""
        names = list(self.table.columns)
        second = self.again.keys or ()
        header = {
            "columns": {name: asdict(self.about[name]) for name in names},
            "provenance": dict(self.provenance),
        }
        arrays = {
            "archs": np.array(self.table.archs),
            "keys": np.array(self.table.keys),
            "scores": np.stack([_shortened(self.table.columns[name]) for name in names]),
            "again_rows": np.array([self.table.rows[key] for key in second], dtype=np.intp),
            "again": np.stack([_shortened(self.again.columns[name]) for name in names]),
        }
        write_npz(path, _FILE, header, arrays)

    @classmethod
    def read(cls, path: Path) -> ShippedScores:
        """Read a file.

        Raises:
            DataNotFoundError: there is no such file.
            DataFormatError: it is damaged, or none of ours.
        """
        with opened_npz(path, _FILE) as (header, arrays):
            about = {name: ShippedColumn(**entry) for name, entry in header["columns"].items()}
            archs, keys, scores = arrays["archs"], arrays["keys"], arrays["scores"]
            rows, second = arrays["again_rows"], arrays["again"]
            if not len(archs) == len(keys) == scores.shape[1] or len(rows) != second.shape[1]:
                raise ValueError("its columns differ in length")
            table = Table(archs.tolist(), dict(zip(about, scores, strict=True)), keys.tolist())
            seconds = table.select(()).take(rows)
            again = seconds.with_columns(dict(zip(about, second, strict=True)))
            return cls(table, about, again, header["provenance"])


def _shortened(values: FloatArray) -> FloatArray:
    """Round to 24 bits of the mantissa, which compress to half."""
    bits = np.ascontiguousarray(values, dtype=np.float64).view(np.uint64)
    rounded = (bits + np.uint64(1 << (_BITS - 1))) >> np.uint64(_BITS) << np.uint64(_BITS)
    return np.where(np.isfinite(values), rounded.view(np.float64), values)


@lru_cache(maxsize=4)
def shipped_scores(space: str, dataset: str, images: str = "gaussian") -> ShippedScores | None:
    """Find the scores of a space's networks for a data set's classes and image size.

    Args:
        space: name of the space.
        dataset: name of the data set.
        images: what proxies saw, see `hwnas.study.configuration.EvaluationSetup`. Of other images
            than Gaussian ones there are only some columns; Gaussian ones take the place of others.

    Returns:
        The scores, or None where none are shipped.
    """
    path = _FOLDER / shipped_name(space, dataset, images)
    if not path.is_file():
        return None
    scores = ShippedScores.read(path)
    if images == "gaussian":
        return scores
    others = shipped_scores(space, dataset)
    return None if others is None else others.with_columns_of(scores)


def shipped_name(space: str, dataset: str, images: str = "gaussian") -> str:
    """Give the name of the file of shipped scores."""
    return f"{space}-{dataset}{'' if images == 'gaussian' else f'-{images}'}.npz"


@lru_cache(maxsize=4)
def shipped_columns(space: str) -> Mapping[str, tuple[ShippedScores, str]]:
    """Give scores and column by identity, over all files of a space."""
    files = [ShippedScores.read(path) for path in sorted(_FOLDER.glob(f"{space}-*.npz"))]
    return {c.identity: (scores, name) for scores in files for name, c in scores.about.items()}


def shipped_values(space: str, identity: str) -> Mapping[str, float]:
    """Give the shipped scores of all networks by canonical key; none where there is no column.

    Args:
        space: name of the space.
        identity: what the scores depend on beside the architecture.
    """
    if identity not in (columns := shipped_columns(space)):
        return {}
    scores, name = columns[identity]
    return scores.by_key(name)


def shipped_result(space: str, identity: str, key: str) -> Result | None:
    """Give the shipped score of one network, or None where there is none.

    Args:
        space: name of the space.
        identity: what the score depends on beside the architecture.
        key: canonical key.
    """
    if identity not in (columns := shipped_columns(space)):
        return None
    scores, name = columns[identity]
    if (row := scores.table.rows.get(key)) is None:
        return None
    seconds, reason = scores.about[name].seconds, scores.reasons.get((name, row))
    return Result(float(scores.table.columns[name][row]), reason, seconds, {"shipped": True})
