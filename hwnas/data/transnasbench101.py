"""The published results of TransNAS-Bench-101 micro, as its facet `Truth`.

Duan et al., CVPR 2021; the best value over the epochs of one training. The files number the 3,256
macro networks first, in an order that is not published, and then the micro ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hwnas.data.catalogue import require
from hwnas.data.checks import damaged, insist_on_published, require_whole_csv
from hwnas.errors import InvalidValueError
from hwnas.spaces.transnasbench101.micro import TransNasMicro
from hwnas.typing import FloatArray

SPLITS = ("validation", "test", "validation-miou", "test-miou")


class _Metric(NamedTuple):
    """A column of the published files, more being better.

    The files keep the largest value over the epochs of each column: of a loss, that is its worst.
    """

    column: str
    least: float = 0.0
    most: float = 100.0
    factor: float = 1.0


_TOP1, _SSIM = _Metric("top1"), _Metric("ssim", -1, 1, 100)
_METRICS: Mapping[str, _Metric] = {
    "class_object": _TOP1,
    "class_scene": _TOP1,
    "jigsaw": _TOP1,
    "room_layout": _Metric("neg_loss", -math.inf, 0),
    "segmentsemantic": _Metric("acc"),
    "normal": _SSIM,
    "autoencoder": _SSIM,
}
_FIRST, _MICRO = 3_256, 4_096
_PREFIX = {"validation": "valid", "test": "test"}
_WITH_CHECKSUM = ("class_object", "segmentsemantic", "autoencoder")


@dataclass(frozen=True)
class MicroResults:
    """Results by the text of the architecture.

    Top-1 accuracies of the classifications and of jigsaw, pixel accuracies of segmentation (papers
    rank by these; the splits that end in ``-miou`` have the mean intersection over union), and
    structural similarities of normals and autoencoding times 100. Of room layout it is the negative
    loss.
    """

    space: TransNasMicro
    splits: tuple[str, ...] = SPLITS

    def accuracies(
        self, dataset: str, split: str, folder: Path | None = None
    ) -> Mapping[str, float]:
        """Give the results of a task.

        Args:
            dataset: one of the benchmark's seven tasks.
            split: one of `splits`.
            folder: data folder; None for the default one.

        Raises:
            UnknownNameError: there is no such task or split.
            InvalidValueError: only segmentation has this split, or the space is not the published
                one.
            DataNotFoundError: the file is absent.
            DataFormatError: the file is not the published table.
        """
        if self.space != TransNasMicro():
            raise InvalidValueError(
                f"`space` must be {TransNasMicro()!r}, whose networks were trained, but got "
                f"{self.space!r}."
            )
        insist_on_published("TransNAS-Bench-101", dataset, _METRICS, split, SPLITS)
        metric = _METRICS[dataset]
        part, _, other = split.partition("-")
        if other and dataset != "segmentsemantic":
            raise InvalidValueError(
                f"`split` must be validation or test for {dataset}, since only segmentsemantic has "
                f"intersections over unions, but got {split}."
            )
        if other:
            metric = _Metric("mIoU")
        path = require(f"transnasbench101/transbench101_{dataset}.csv", folder)
        values = metric.factor * _column(path, _PREFIX[part], metric, path.stat().st_mtime_ns)
        return dict(zip(map(str, self.space), values.tolist(), strict=True))

    def quantity(self, dataset: str) -> str:
        """Name what a task's results are: ``loss`` of room layouts, else ``accuracy``."""
        return "loss" if dataset == "room_layout" else "accuracy"


@lru_cache(maxsize=8)
def _column(path: Path, part: str, metric: _Metric, changed: int) -> FloatArray:
    """Read the `(4096,)` values of the micro networks; once a process while it is unchanged."""
    import pandas as pd

    del changed
    column = f"{part}_{metric.column}"
    known = path.stem.partition("_")[2] in _WITH_CHECKSUM
    name = "transnasbench101" if known else "transnasbench101-more"
    require_whole_csv(path, name)
    try:
        frame = pd.read_csv(path)
        numbers = frame["file_id"].tolist()
        values = frame[column].to_numpy(dtype=np.float64)
    except (ValueError, KeyError, UnicodeDecodeError) as error:
        raise damaged(path, f"the columns file_id and {column}", repr(error), name) from error
    if numbers != list(range(_FIRST + _MICRO)):
        raise damaged(path, f"the networks 0 to {_FIRST + _MICRO - 1}", "others", name)
    right = np.isfinite(values) & (values >= metric.least) & (values <= metric.most)
    bad = np.flatnonzero(~right)
    if len(bad):
        got = f"{values[bad[0]]:g} in row {bad[0] + 1}, column {column!r}"
        raise damaged(path, f"numbers from {metric.least:g} to {metric.most:g}", got, name)
    return values[_FIRST:]
