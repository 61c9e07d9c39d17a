"""Published ImageNet accuracies of ResNets and Wide ResNets, as the space's facet `Truth`.

timm's table of results; a split is how the networks were trained, by timm's tag.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hwnas.data.catalogue import require
from hwnas.data.checks import damaged, insist_on_published, numbers, require_whole_csv
from hwnas.spaces.resnet import PUBLISHED, ResNet

DATASETS = ("ImageNet",)
SPLITS = ("tv", "tv2", "a1", "a2", "a3", "gluon")
"""torchvision's first and second recipe, those of Wightman et al. (2021), and GluonCV's."""
FILE = "timm/results-imagenet.csv"
SIZE = "224"
_NAME = "timm"


@dataclass(frozen=True)
class TrainedResNets:
    """Top-1 accuracies in percent at 224 pixels by the text of the architecture."""

    space: ResNet
    splits: tuple[str, ...] = SPLITS

    def accuracies(
        self, dataset: str, split: str, folder: Path | None = None
    ) -> Mapping[str, float]:
        """Give the accuracies of the networks that were trained so; ``tv`` has all seven.

        Args:
            dataset: ``ImageNet``.
            split: one of `splits`.
            folder: data folder; None for the default one.

        Raises:
            UnknownNameError: there is no such data set or split.
            DataNotFoundError: the file is absent.
            DataFormatError: the file is not the published table.
        """
        insist_on_published("ResNets", dataset, DATASETS, split, SPLITS)
        path = require(FILE, folder)
        require_whole_csv(path, _NAME)
        wanted = {f"{name}.{split}_in1k": str(arch) for name, arch in PUBLISHED.items()}
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows = [row for row in csv.DictReader(file) if row["img_size"] == SIZE]
            found = {
                wanted[row["model"]]: float(row["top1"]) for row in rows if row["model"] in wanted
            }
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            content = "columns model, img_size and top1"
            raise damaged(path, content, repr(error), _NAME) from error
        numbers(list(found.values()), path, "top1", _NAME, percent=True)
        return found
