"""Accuracies of the 32,768 networks of NATS-Bench's size space, as its facets.

Dong et al., TPAMI 2021: trainings of 90 epochs on three data sets. The published folder has a file
a network, a pickle that is packed by bzip2, in the order in which the space lists its networks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.data.catalogue import require
from hwnas.data.checks import damaged, insist_on_published, numbers
from hwnas.data.safe_pickle import load_pickle
from hwnas.spaces.natsbench_size import NatsBenchSize

SPLITS = ("validation", "test")
FILE = "natsbench_size/000000.pickle.pbz2"
"""The first network's; the others lie beside it."""
_NAME, _EPOCHS = "natsbench-size", 90
_SETS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("cifar10", "validation"): ("cifar10-valid", "x-valid"),
    ("cifar10", "test"): ("cifar10", "ori-test"),
    **{
        (dataset, split): (dataset, part)
        for dataset in ("cifar100", "ImageNet16-120")
        for split, part in (("validation", "x-valid"), ("test", "x-test"))
    },
}
"""What the networks learned from, and what they were tried on, by data set and split."""
DATASETS = tuple(dict.fromkeys(dataset for dataset, _ in _SETS))
_SURVEY_BEST: Mapping[str, tuple[float, float]] = {
    "grad_norm": (48.44, 40.97),
    "snip": (68.36, 45.63),
    "grasp": (57.40, 33.97),
    "gradsign": (57.40, 33.97),
    "fisher": (53.14, 35.80),
    "jacob_cov": (55.04, 35.03),
    "synflow": (66.84, 35.37),
    "zen": (69.92, 46.27),
    "params": (70.28, 44.73),
    "flops": (70.28, 44.73),
}
"""Test accuracy of the network with the largest score, CIFAR-100 and ImageNet16-120: Li et al.,
Zero-Shot Neural Architecture Search, 2024, Table IV, which prints the same figures for GraSP and
GradSign, here and of NAS-Bench-201."""


@dataclass(frozen=True)
class SizeAccuracies:
    """Accuracies in percent by the text of the architecture; a file is read when it is asked for.

    All of them take minutes, a sample seconds.
    """

    space: NatsBenchSize
    splits: tuple[str, ...] = SPLITS

    def accuracies(
        self, dataset: str, split: str, folder: Path | None = None
    ) -> Mapping[str, float]:
        """Give the mean accuracies over the trainings of 90 epochs.

        Args:
            dataset: ``cifar10``, ``cifar100`` or ``ImageNet16-120``.
            split: ``validation``, of networks that were trained without those images, or ``test``;
                for CIFAR-10 of networks that were trained on all others.
            folder: data folder; None for the default one.

        Raises:
            UnknownNameError: there is no such data set or split.
            DataNotFoundError: the files are absent.
            DataFormatError: a file is not the published one; raised when it is read.
        """
        insist_on_published("NATS-Bench", dataset, DATASETS, split, SPLITS)
        here = require(FILE, folder).parent
        present = {file.name for file in here.iterdir()}
        named = ((str(arch), f"{i:06d}.pickle.pbz2") for i, arch in enumerate(self.space))
        files = {text: here / name for text, name in named if name in present}
        return _Files(files, _SETS[dataset, split])


@dataclass(frozen=True)
class _Files(Mapping[str, float]):
    """Accuracies of one kind, by text, which are read from files as they are asked for."""

    files: Mapping[str, Path]
    wanted: tuple[str, str]

    def __getitem__(self, text: str) -> float:
        path = self.files[text]
        status = path.stat()
        return _accuracies(path, text, status.st_mtime_ns, status.st_size)[self.wanted]

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __contains__(self, text: object) -> bool:
        return text in self.files


@lru_cache(maxsize=1 << 15)
def _accuracies(path: Path, text: str, changed: int, size: int) -> Mapping[tuple[str, str], float]:
    """Read a file once a process; it is another one when it was changed."""
    del changed, size
    content = load_pickle(path, packed=True)
    try:
        results = content[str(_EPOCHS)]
        name, seeds, runs = (results[k] for k in ("arch_str", "dataset_seed", "all_results"))
        if name != text:
            raise ValueError(f"results of {name!r}")
        found = {
            (learned, part): [
                runs[learned, seed]["eval_acc1es"][f"{part}@{_EPOCHS - 1}"]
                for seed in seeds[learned]
            ]
            for learned, part in _SETS.values()
        }
        if not all(found.values()):
            raise ValueError("no training")
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise damaged(path, f"results of {text} by epochs", repr(error), _NAME) from error
    return {
        which: float(np.mean(numbers(values, path, "eval_acc1es", _NAME, percent=True)))
        for which, values in found.items()
    }


@dataclass(frozen=True)
class SizeFigures:
    """The facet `RankFigures`: what is published for rankings of all networks."""

    space: NatsBenchSize

    def published(self, row: Mapping[str, Any], labels: int | None) -> dict[str, float | None]:
        """Give the survey's test accuracy of the network with the largest score."""
        columns = DATASETS[1:]
        alike = labels is None and row["n"] == len(self.space) and row.get("split") == "test"
        if not alike or row["dataset"] not in columns or row["score"] not in _SURVEY_BEST:
            return {}
        value = _SURVEY_BEST[row["score"]][columns.index(row["dataset"])]
        return {"published_best_accuracy": value}

    def remark(self, split: str) -> str | None:
        """Say nothing: figures stand beside their own split alone."""
        del split
        return None
