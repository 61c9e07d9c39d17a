"""Accuracies of the 6,561 trained chains of NAS-Bench-Macro, as the space's facet `Truth`.

Su et al., CVPR 2021: three trainings each on CIFAR-10, in the layout that the benchmark's page
describes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.data.catalogue import require
from hwnas.data.checks import damaged, insist_on_published, numbers
from hwnas.errors import InvalidArchitectureError
from hwnas.spaces.nasbench_macro import NasBenchMacro

DATASETS = ("cifar10",)
SPLITS = ("test",)
FILE = "nasbench_macro/nas-bench-macro_cifar10.json"
_NAME = "nasbench-macro"


@dataclass(frozen=True)
class ChainAccuracies:
    """Test accuracies in percent by the text of the architecture."""

    space: NasBenchMacro
    splits: tuple[str, ...] = SPLITS

    def accuracies(
        self, dataset: str, split: str, folder: Path | None = None
    ) -> Mapping[str, float]:
        """Give the mean accuracies over the trainings.

        Args:
            dataset: ``cifar10``.
            split: ``test``.
            folder: data folder; None for the default one.

        Raises:
            UnknownNameError: there is no such data set or split.
            DataNotFoundError: the file is absent.
            DataFormatError: the file is not the published table.
        """
        insist_on_published("NAS-Bench-Macro", dataset, DATASETS, split, SPLITS)
        path = require(FILE, folder)
        found: dict[str, float] = {}
        for text, entry in _entries(path).items():
            try:
                arch, runs = self.space.parse(text), entry["test_acc"]
            except (InvalidArchitectureError, KeyError, TypeError) as error:
                raise damaged(path, "`test_acc` by eight digits", repr(error), _NAME) from error
            column = f"test_acc of {arch}"
            found[str(arch)] = float(np.mean(numbers(runs, path, column, _NAME, percent=True)))
        return found


def _entries(path: Path) -> Mapping[str, Any]:
    try:
        entries = json.loads(path.read_bytes())
    except ValueError as error:
        raise damaged(path, "results by architecture", str(error), _NAME) from error
    if not isinstance(entries, dict) or not entries:
        raise damaged(path, "results by architecture", type(entries).__name__, _NAME)
    return entries
