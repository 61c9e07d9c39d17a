"""Accuracies of the user's own trained networks, from a table with two columns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.errors import DataFormatError
from hwnas.tables.score_table import read_scores
from hwnas.typing import SearchSpace

COLUMN = "accuracy"


@dataclass(frozen=True)
class AccuracyFile:
    """A `hwnas.spaces.facets.Truth` of one file, whatever the data set.

    Attributes:
        known: accuracy by the text of the exact architecture.
        splits: the file's name, which stands for what it holds.
    """

    known: dict[str, float]
    splits: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, space: SearchSpace[Any]) -> AccuracyFile:
        """Read a ``.csv`` or ``.parquet`` file with the columns ``architecture`` and ``accuracy``.

        Accuracies are in percent; several of an architecture are runs, which count as their mean,
        and one without any is left out.

        Raises:
            InvalidValueError: the file cannot be read, or a column is absent.
            DataFormatError: a value is not in 0 to 100, or fewer than two architectures have one.
            InvalidArchitectureError: an architecture is not one of the space; gives the row.
        """
        table = read_scores(path, space, [COLUMN], runs=True)
        runs: dict[str, list[float]] = {}
        for arch, value in zip(table.archs, table.columns[COLUMN].tolist(), strict=True):
            if value == value:
                runs.setdefault(str(arch), []).append(value)
        known = {text: math.fsum(values) / len(values) for text, values in runs.items()}
        if wrong := [v for values in runs.values() for v in values if not 0 <= v <= 100]:
            raise DataFormatError(
                f"`{path}` must have accuracies in percent, 0 to 100, but has {wrong[0]:g}."
            )
        if len(known) < 2:
            raise DataFormatError(
                f"`{path}` must have accuracies of at least two architectures, but has "
                f"{len(known)}."
            )
        return cls(known, (path.name,))

    def accuracies(self, dataset: str, split: str, folder: Path | None = None) -> dict[str, float]:
        """Give what the file holds: it is for one data set and split, which it does not name."""
        del dataset, split, folder
        return self.known
