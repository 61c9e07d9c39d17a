"""Accuracies of the 423,624 modules of NAS-Bench-101, as the space's facet `Truth`.

Ying et al., ICML 2019: three trainings of 108 epochs each. The published file has a record a
training: JSON of the module's hash, the epochs, the adjacency in digits, the operations, and the
metrics as a message of Protocol Buffers in base64.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from hwnas.data.catalogue import require
from hwnas.data.checks import damaged, insist_on_published
from hwnas.errors import InvalidArchitectureError
from hwnas.files.protobuf import double, fields
from hwnas.files.tf_records import read_tf_records
from hwnas.spaces.nasbench101 import NasBench101, module_of

DATASETS = ("cifar10",)
SPLITS = ("validation", "test")
FILE = "nasbench101/nasbench_only108.tfrecord"
_NAME, _EPOCHS = "nasbench101", 108
_EVALUATION, _SPLIT_FIELDS = 1, {4: "validation", 5: "test"}
"""Fields of the message: evaluations, and in one of these the accuracies."""
_FINAL = 2
"""Evaluations are before, halfway through and at the end of the training."""


@dataclass(frozen=True)
class ModuleAccuracies:
    """Accuracies in percent by the text of the published module; a `SlowTruth`."""

    space: NasBench101
    splits: tuple[str, ...] = SPLITS
    reading: ClassVar[str] = "1.3 million records"

    def accuracies(
        self, dataset: str, split: str, folder: Path | None = None
    ) -> Mapping[str, float]:
        """Give the mean accuracies over the trainings of 108 epochs.

        Args:
            dataset: ``cifar10``.
            split: ``validation`` (10,000 images that were held out) or ``test``.
            folder: data folder; None for the default one.

        Raises:
            UnknownNameError: there is no such data set or split.
            DataNotFoundError: the file is absent.
            DataFormatError: the file is not the published one.
        """
        insist_on_published("NAS-Bench-101", dataset, DATASETS, split, SPLITS)
        path = require(FILE, folder)
        status = path.stat()
        return _accuracies(path, status.st_mtime_ns, status.st_size)[split]


@lru_cache(maxsize=1)
def _accuracies(path: Path, changed: int, size: int) -> Mapping[str, Mapping[str, float]]:
    """Read the file once a process; it is another one when it was changed."""
    del changed, size
    runs: dict[tuple[str, str], list[Mapping[str, float]]] = {}
    for number, record in enumerate(read_tf_records(path), start=1):
        try:
            _, epochs, edges, operations, metrics = json.loads(record)
            if not all(isinstance(text, str) for text in (edges, operations, metrics)):
                raise ValueError("something else than texts")
            if epochs == _EPOCHS:
                found = _final(base64.b64decode(metrics, validate=True))
                runs.setdefault((edges, operations), []).append(found)
        except (ValueError, TypeError, RecursionError, binascii.Error) as error:
            content = "a module and its metrics in each record"
            raise damaged(path, content, f"{error} in record {number}", _NAME) from error
    texts = {module: _text(path, *module) for module in runs}
    return {
        split: {
            texts[module]: 100 * sum(run[split] for run in of) / len(of)
            for module, of in runs.items()
        }
        for split in SPLITS
    }


def _final(message: bytes) -> Mapping[str, float]:
    """Give the accuracies, from 0 to 1, at the end of a training."""
    evaluations = [value for number, value in fields(message) if number == _EVALUATION]
    last: Any = evaluations[_FINAL] if len(evaluations) == _FINAL + 1 else b""
    if not isinstance(last, bytes):
        raise ValueError("an evaluation that is a number")
    found = {
        _SPLIT_FIELDS[number]: double(value)
        for number, value in fields(last)
        if number in _SPLIT_FIELDS
    }
    if set(found) != set(SPLITS) or not all(0 <= value <= 1 for value in found.values()):
        raise ValueError(f"the accuracies {found}")
    return found


def _text(path: Path, edges: str, operations: str) -> str:
    """Give the module's text of its published specification."""
    size = math.isqrt(len(edges))
    try:
        rows = [list(map(int, edges[row * size : (row + 1) * size])) for row in range(size)]
        return str(module_of(rows, operations.split(",")))
    except (InvalidArchitectureError, ValueError) as error:
        raise damaged(path, "modules of the benchmark", str(error), _NAME) from error
