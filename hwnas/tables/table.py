"""Columns of numbers by architecture, wherever they come from."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Generic

import numpy as np
import numpy.typing as npt

from hwnas.errors import InvalidValueError, unknown_name
from hwnas.typing import Arch, FloatArray


@dataclass(frozen=True, eq=False)
class Table(Generic[Arch]):
    """Numbers of `n` architectures.

    Attributes:
        archs: `(n,)` architectures.
        columns: `(n,)` numbers by name; NaN where there is none.
        keys: `(n,)` canonical keys, by which rows are looked up; None to look up exactly.
        origin: where the numbers are from, for people.

    Raises:
        InvalidValueError: a column or the keys have another length than the architectures.

    Example:
        >>> table = Table(["a", "b"], {"flops": np.array([3.0, 5.0])})
        >>> table.values("flops", ["b", "c"])
        array([ 5., nan])
        >>> table.take([1]).archs
        ['b']
    """

    archs: Sequence[Arch]
    columns: Mapping[str, FloatArray]
    keys: Sequence[str] | None = None
    origin: str = ""

    def __post_init__(self) -> None:
        """Compare the lengths."""
        shapes = {name: np.shape(values) for name, values in self.columns.items()}
        if self.keys is not None:
            shapes["keys"] = (len(self.keys),)
        if set(shapes.values()) - {(len(self.archs),)}:
            raise InvalidValueError(
                f"`columns` and `keys` must have one value for each of the {len(self.archs)} "
                f"architectures, but got the shapes {shapes}."
            )

    @cached_property
    def rows(self) -> Mapping[Hashable, int]:
        """Row by canonical key, or by architecture where there are no keys; the last of equals."""
        names: Sequence[Hashable] = self.archs if self.keys is None else self.keys
        return {name: row for row, name in enumerate(names)}

    def column(self, name: str) -> FloatArray:
        """Give a column of `(n,)` numbers; `UnknownNameError` if there is none of this name."""
        if name not in self.columns:
            raise unknown_name("column", name, self.columns)
        return self.columns[name]

    def values(self, name: str, wanted: Iterable[Hashable]) -> FloatArray:
        """Look `(m,)` numbers up.

        Args:
            name: the column.
            wanted: `(m,)` canonical keys, or architectures where there are no keys.

        Returns:
            `(m,)` numbers; NaN for what the table does not have.
        """
        column = self.column(name)
        found = [np.nan if (row := self.rows.get(w)) is None else column[row] for w in wanted]
        return np.array(found, dtype=np.float64)

    def take(self, rows: Sequence[int] | npt.NDArray[np.intp]) -> Table[Arch]:
        """Give these rows, in this order; `IndexError` if there is no such row."""
        order = np.asarray(rows, dtype=np.intp)
        return replace(
            self,
            archs=[self.archs[row] for row in order],
            columns={name: values[order] for name, values in self.columns.items()},
            keys=None if self.keys is None else [self.keys[row] for row in order],
        )

    def select(self, names: Iterable[str]) -> Table[Arch]:
        """Give these columns, in this order; `UnknownNameError` if there is no such column."""
        return replace(self, columns={name: self.column(name) for name in names})

    def with_columns(self, columns: Mapping[str, FloatArray]) -> Table[Arch]:
        """Add columns, or replace those of the same name."""
        return replace(self, columns={**self.columns, **columns})

    def shuffled(self, seed: int) -> Table[Arch]:
        """Give the rows in a random order."""
        return self.take(np.random.default_rng(seed).permutation(len(self.archs)))
