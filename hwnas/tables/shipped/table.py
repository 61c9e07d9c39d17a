"""The file format of shipped scores, and how they are found.

One ``.npz`` a space, data set and kind of images: architectures, canonical keys, one column a
proxy, and a header that says where each column comes from, see `hwnas.files.npz`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.files.identity import describe
from hwnas.files.npz import NpzFormat, opened_npz, write_npz
from hwnas.tables.result import Result
from hwnas.typing import FloatArray, SearchSpace

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

    def is_of(self, space: SearchSpace[Any]) -> bool:
        """Tell whether the scores are of networks of just this space, settings included."""
        stated = json.loads(self.identity)
        return isinstance(stated, dict) and stated.get("space") == describe(space)


@dataclass(frozen=True, eq=False)
class ShippedScores:
    """Scores of all different networks of a space.

    Attributes:
        archs: (n,) text of each class's representative.
        keys: (n,) canonical keys.
        columns: (n,) raw scores by the name of the proxy; NaN where there is none.
        about: origin of each column.
        again_rows: (m,) rows that were scored with a second seed as well.
        again: (m,) raw scores of the second seed by the name of the proxy.
        provenance: versions, host, date and the command that makes the file again.
    """

    archs: Sequence[str]
    keys: Sequence[str]
    columns: Mapping[str, FloatArray]
    about: Mapping[str, ShippedColumn]
    again_rows: npt.NDArray[np.intp]
    again: Mapping[str, FloatArray]
    provenance: Mapping[str, Any]

    @cached_property
    def rows(self) -> Mapping[str, int]:
        """Row of each canonical key."""
        return {key: row for row, key in enumerate(self.keys)}

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
        return replace(
            self,
            columns={**self.columns, **other.columns},
            about={**self.about, **other.about},
            again={**self.again, **other.again},
            provenance={
                **self.provenance,
                "input": f"{self.provenance['input']}; {', '.join(other.columns)}: "
                f"{other.provenance['input']}",
            },
        )

    def write(self, path: Path) -> None:
        """Write the file; numbers keep 24 bits of their mantissa."""
        names = list(self.columns)
        header = {
            "columns": {name: asdict(self.about[name]) for name in names},
            "provenance": dict(self.provenance),
        }
        arrays = {
            "archs": np.array(self.archs),
            "keys": np.array(self.keys),
            "scores": np.stack([_shortened(self.columns[name]) for name in names]),
            "again_rows": self.again_rows,
            "again": np.stack([_shortened(self.again[name]) for name in names]),
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
            archs, keys, scores = arrays["archs"], arrays["keys"], arrays["scores"]
            rows, again = arrays["again_rows"], arrays["again"]
            about = {name: ShippedColumn(**entry) for name, entry in header["columns"].items()}
            columns = dict(zip(about, scores, strict=True))
            second = dict(zip(about, again, strict=True))
            if not len(archs) == len(keys) == scores.shape[1] or len(rows) != again.shape[1]:
                raise ValueError("its columns differ in length")
            return cls(
                archs.tolist(), keys.tolist(), columns, about, rows, second, header["provenance"]
            )


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
    """Give table and column by identity, over all files of a space."""
    tables = [ShippedScores.read(path) for path in sorted(_FOLDER.glob(f"{space}-*.npz"))]
    return {
        column.identity: (table, name) for table in tables for name, column in table.about.items()
    }


def shipped_values(space: str, identity: str) -> Mapping[str, float]:
    """Give the shipped scores of all networks by canonical key; none where there is no column.

    Args:
        space: name of the space.
        identity: what the scores depend on beside the architecture.
    """
    if identity not in (columns := shipped_columns(space)):
        return {}
    table, name = columns[identity]
    return dict(zip(table.keys, table.columns[name].tolist(), strict=True))


def shipped_result(space: str, identity: str, key: str) -> Result | None:
    """Give the shipped score of one network, or None where there is none.

    Args:
        space: name of the space.
        identity: what the score depends on beside the architecture.
        key: canonical key.
    """
    if identity not in (columns := shipped_columns(space)):
        return None
    table, name = columns[identity]
    if (row := table.rows.get(key)) is None:
        return None
    seconds, reason = table.about[name].seconds, table.reasons.get((name, row))
    return Result(float(table.columns[name][row]), reason, seconds, {"shipped": True})
