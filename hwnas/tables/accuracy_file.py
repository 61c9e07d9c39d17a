"""Accuracies of the user's own trained networks, from a table with two columns."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.errors import DataFormatError, InvalidValueError
from hwnas.files.named_column import file_and_column
from hwnas.tables.directions import larger_is_better
from hwnas.tables.score_table import columns_of, read_scores, texts_of
from hwnas.typing import Arch, SearchSpace

COLUMN = "accuracy"
LOSS = "loss"
"""What stands in place of `COLUMN` where less is better; no percentage."""
SETTINGS = "settings"
"""How, and on which data, the runs were trained, as the script of an export notes it."""


@dataclass(frozen=True)
class AccuracyFile:
    """A `hwnas.spaces.facets.Truth` of one file, whatever the data set.

    Attributes:
        known: accuracy, or negative loss, by the text of the exact architecture.
        splits: the file's name, which stands for what it holds.
        column: what it holds: ``accuracy``, ``loss``, or the column that is named.
    """

    known: dict[str, float]
    splits: tuple[str, ...]
    column: str = COLUMN

    @classmethod
    def read(cls, path: Path, space: SearchSpace[Arch], *, losses: bool = False) -> AccuracyFile:
        """Read a ``.csv`` or ``.parquet`` file with the columns ``architecture`` and ``accuracy``.

        ``FILE:COLUMN`` names another column that stands for the accuracy, such as ``miou``.
        Accuracies are in percent; several of an architecture are runs, which count as their mean,
        and one without any is left out.

        Args:
            path: the file, with or without a column.
            space: search space of the architectures.
            losses: whether the column may be ``loss`` instead, of any number, whose negative is
                what is known then: what is ranked need not be a percentage.

        Raises:
            InvalidValueError: the file cannot be read, a column is absent, both are there, or runs
                of different settings or data are, or of the column that is named less is better.
            DataFormatError: an accuracy is not in 0 to 100, all are in 0 to 1 as parts of one are,
                unless the script of an export wrote them, a loss is infinite, or fewer than two
                architectures have one.
            InvalidArchitectureError: an architecture is not one of the space; gives the row.
        """
        path, named = accuracy_column(path, losses=losses)
        column = named or (_column(path) if losses else COLUMN)
        settings = texts_of(path, SETTINGS)
        insist_on_one_kind(settings, path)
        table = read_scores(path, space, [column], runs=True)
        runs: dict[str, list[float]] = {}
        for arch, value in zip(table.archs, table.columns[column].tolist(), strict=True):
            if value == value:
                runs.setdefault(str(arch), []).append(value)
        values = [v for of_one in runs.values() for v in of_one]
        _check(values, column, path, in_percent=of_script(settings))
        sign = -1.0 if column == LOSS else 1.0
        known = {text: sign * math.fsum(values) / len(values) for text, values in runs.items()}
        if len(known) < 2:
            raise DataFormatError(
                f"`{path}` must have accuracies of at least two architectures, but has "
                f"{len(known)}."
            )
        return cls(known, (path.name if named is None else f"{path.name}:{named}",), column)

    def accuracies(self, dataset: str, split: str, folder: Path | None = None) -> dict[str, float]:
        """Give what the file holds: it is for one data set and split, which it does not name."""
        del dataset, split, folder
        return self.known

    def quantity(self, dataset: str) -> str:
        """Name what the file holds, for a `hwnas.spaces.facets.QuantityTruth`."""
        del dataset
        return self.column


def accuracy_column(path: Path, *, losses: bool = False) -> tuple[Path, str | None]:
    """Take ``FILE:COLUMN`` apart; no column for ``FILE``.

    Args:
        path: the text.
        losses: whether the column may be ``loss``.

    Raises:
        InvalidValueError: the column's name is not that of something of which more is better.
    """
    file, named = file_and_column(path)
    if named is not None and not larger_is_better(named) and not (losses and named == LOSS):
        raise InvalidValueError(
            f"`{path}` must name a column of accuracies or the like, e.g. miou, but the name "
            f"{named!r} does not say that more is better: rename it."
        )
    return file, named


def of_script(settings: Iterable[str]) -> bool:
    """Tell by their settings, JSON objects, accuracies that the script of an export has written.

    These are percentages, however low; a column of that name may also be the user's own.
    """
    known = list(map(_read_settings, settings))
    return bool(known) and None not in known


def _read_settings(text: str) -> dict[str, Any] | None:
    """Read settings that are a JSON object; None if they are something else."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def insist_on_one_kind(settings: Iterable[str], path: Path) -> None:
    """Refuse accuracies whose settings differ: what was trained otherwise is not compared.

    Raises:
        InvalidValueError: there are several.
    """
    if len(kinds := set(settings)) > 1:
        differing, absent = _differences(kinds)
        told = f" ({', '.join(differing)})" if differing else ""
        again = (
            f"; rows without `{absent[0]}` are of an earlier version, and `train.py --resume` "
            f"notes finished runs anew"
            if absent
            else ""
        )
        raise InvalidValueError(
            f"`accuracy` must be of runs of one kind, but {str(path)!r} has {len(kinds)} different "
            f"`{SETTINGS}`{told}: keep the rows of one{again}."
        )


def _differences(kinds: Iterable[str]) -> tuple[list[str], list[str]]:
    """Name what differs between settings that are JSON objects, and what some do not have."""
    read = [_read_settings(text) for text in kinds]
    told = [settings for settings in read if settings is not None]
    if len(told) < len(read):
        return [], []
    names = sorted({name for settings in told for name in settings})
    differing = [n for n in names if any(s.get(n) != told[0].get(n) for s in told)]
    return differing, [n for n in names if any(n not in settings for settings in told)]


def _column(path: Path) -> str:
    """Find which of the two columns a file has; where it has none, that of accuracies is missed."""
    found = [name for name in (COLUMN, LOSS) if name in columns_of(path)]
    if len(found) > 1:
        raise InvalidValueError(
            f"`{path}` must have one of the columns {COLUMN} and {LOSS}, but has both: name "
            f"one, as in {path.name}:{LOSS}."
        )
    return found[0] if found else COLUMN


def _check(values: Sequence[float], column: str, path: Path, in_percent: bool) -> None:
    wrong = [v for v in values if not (0 <= v <= 100 if column != LOSS else math.isfinite(v))]
    if wrong and column != LOSS:
        raise DataFormatError(
            f"`{path}` must have accuracies in percent, 0 to 100, but has {wrong[0]:g}: where "
            f"`--truth` reads the file, numbers of which less is better may stand in {LOSS}."
        )
    if column != LOSS and not in_percent and 0 < max(values, default=0.0) <= 1:
        raise DataFormatError(
            f"`{path}` must have accuracies in percent, but the largest is {max(values):g}: "
            "multiply them by 100."
        )
    if wrong:
        raise DataFormatError(f"`{path}` must have finite numbers in {column}, but has {wrong[0]}.")
