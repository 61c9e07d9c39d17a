"""Published ImageNet accuracies of timm's weights, as the facet `Truth` of two spaces.

The table names weights ``MODEL.TAG``; the tag says how they were trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hwnas.data.catalogue import require
from hwnas.data.checks import damaged, insist_on_published, numbers, read_whole_csv
from hwnas.spaces.resnet import PUBLISHED, ResNet
from hwnas.spaces.timm_space import TimmModels

DATASETS = ("ImageNet",)
RECIPES = ("tv", "tv2", "a1", "a2", "a3", "gluon")
"""torchvision's first and second recipe, those of Wightman et al. (2021), and GluonCV's."""
ALONE, ANY = "in1k", "any"
SPLITS = (ALONE, ANY)
FILE = "timm/results-imagenet.csv"
SIZE = 224
_NAME = "timm"
_MORE_THAN_IMAGENET = frozenset((
    "in12k", "in21k", "in22k", "jft", "clip", "swag", "ft", "ssl", "swsl", "ssld", "dist",
    "distilled", "teacher", "usi", "ap", "adv",
))  # fmt: skip
"""Words of tags: other images, fine-tuning of what was trained before, a teacher, attacks."""


class Weights(NamedTuple):
    """A row of the table.

    Attributes:
        model: name of the model.
        tag: how it was trained.
        size: side of the images in pixels.
        top1: accuracy in percent.
    """

    model: str
    tag: str
    size: int
    top1: float

    @property
    def of_imagenet_alone(self) -> bool:
        """Whether nothing but ImageNet-1K was learned from: no other images and no teacher."""
        words = {*self.tag.split("_"), *self.model.split("_")}
        return "in1k" in words and not words & _MORE_THAN_IMAGENET


@dataclass(frozen=True)
class TrainedResNets:
    """Top-1 accuracies in percent at 224 pixels by the text of the architecture."""

    space: ResNet
    splits: tuple[str, ...] = RECIPES

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
        insist_on_published("ResNets", dataset, DATASETS, split, RECIPES)
        return {
            str(PUBLISHED[row.model]): row.top1
            for row in published_weights(folder)
            if row.model in PUBLISHED and row.tag == f"{split}_in1k" and row.size == SIZE
        }


@dataclass(frozen=True)
class TrainedModels:
    """Top-1 accuracies in percent by the name of the model, at the size that each does best at.

    Models that were trained in several ways have the best of these: ``in1k`` from ImageNet-1K
    alone, without a teacher or other images, ``any`` in any way.
    """

    space: TimmModels
    splits: tuple[str, ...] = SPLITS

    def accuracies(
        self, dataset: str, split: str, folder: Path | None = None
    ) -> Mapping[str, float]:
        """Give the accuracies of those models of the space that there are weights of.

        Args:
            dataset: ``ImageNet``.
            split: one of `splits`.
            folder: data folder; None for the default one.

        Raises:
            UnknownNameError: there is no such data set or split.
            DataNotFoundError: the file is absent.
            DataFormatError: the file is not the published table.
        """
        insist_on_published("timm's models", dataset, DATASETS, split, SPLITS)
        known = set(self.space.names)
        return best(
            row
            for row in published_weights(folder)
            if row.model in known and (split == ANY or row.of_imagenet_alone)
        )


def best(rows: Iterable[Weights]) -> dict[str, float]:
    """Give the best accuracy of each model."""
    found: dict[str, float] = {}
    for row in rows:
        found[row.model] = max(row.top1, found.get(row.model, row.top1))
    return found


def published_weights(folder: Path | None = None) -> list[Weights]:
    """Read the table.

    Raises:
        DataNotFoundError: the file is absent.
        DataFormatError: the file is not the published table.
    """
    path = require(FILE, folder)
    columns = read_whole_csv(path, _NAME, ("model", "img_size", "top1"))
    try:
        sizes = [int(text) for text in columns["img_size"]]
        top1 = [float(text) for text in columns["top1"]]
    except ValueError as error:
        raise damaged(path, "numbers in img_size and top1", str(error), _NAME) from error
    names = (name.partition(".") for name in columns["model"])
    values = numbers(top1, path, "top1", _NAME, percent=True).tolist()
    return [
        Weights(model, tag, size, value)
        for (model, _, tag), size, value in zip(names, sizes, values, strict=True)
    ]
