"""Accuracies of 100 trained AutoFormer-tiny networks, as the space's facet `Truth`.

Wei et al., Auto-Prox: Training-Free Vision Transformer Architecture Search via Automatic Proxy
Discovery, AAAI 2024: trained on three small data sets at 224 x 224 pixels, with and without a
convolutional teacher; and their accuracy on ImageNet by AutoFormer's supernet, without training.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.data.catalogue import require
from hwnas.data.checks import damaged, insist_on_published, numbers
from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.spaces.autoformer import AutoFormer, AutoFormerArch, Layer

SPLITS = ("trained", "distilled", "supernet")
FILE = "autoformer/autoformer_100.json"
_NAME = "autoformer"
_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "cifar100-224": {"trained": "c100_base_acc", "distilled": "c100_kd_acc"},
    "flowers102": {"trained": "flower_base_acc", "distilled": "flower_kd_acc"},
    "chaoyang": {"trained": "chaoyang_base_acc", "distilled": "chaoyang_kd_acc"},
    "ImageNet": {"supernet": "imagenet_super_acc"},
}


@dataclass(frozen=True)
class TrainedTransformers:
    """Accuracies in percent by the text of the architecture."""

    space: AutoFormer
    splits: tuple[str, ...] = SPLITS

    def accuracies(
        self, dataset: str, split: str, folder: Path | None = None
    ) -> Mapping[str, float]:
        """Give the accuracies of the 100 networks.

        Args:
            dataset: ``cifar100-224``, ``flowers102``, ``chaoyang`` or ``ImageNet``.
            split: ``trained`` or ``distilled``; on ImageNet there is ``supernet`` alone.
            folder: data folder; None for the default one.

        Raises:
            UnknownNameError: there is no such data set or split.
            InvalidValueError: the networks are of another size of the space.
            DataNotFoundError: the file is absent.
            DataFormatError: the file is not the published table.
        """
        if self.space.size != "tiny":
            raise InvalidValueError(
                f"`space` must be autoformer:size=tiny, whose networks were trained, but got "
                f"{self.space!r}."
            )
        splits = _COLUMNS.get(dataset, {})
        insist_on_published("AutoFormer", dataset, _COLUMNS, split, splits)
        path, column = require(FILE, folder), splits[split]
        rows = _rows(path)
        try:
            archs = [str(self.space.parse(str(_arch(row["arch"])))) for row in rows]
            values = [row[column] for row in rows]
        except (KeyError, TypeError, ValueError, InvalidArchitectureError) as error:
            raise damaged(path, f"architectures with {column}", repr(error), _NAME) from error
        percent = numbers(values, path, column, _NAME, percent=True)
        return dict(zip(archs, percent.tolist(), strict=True))


def _rows(path: Path) -> list[Any]:
    try:
        rows = json.loads(path.read_bytes())
    except ValueError as error:
        raise damaged(path, "a list of networks", str(error), _NAME) from error
    if not isinstance(rows, list):
        raise damaged(path, "a list of networks", type(rows).__name__, _NAME)
    return rows


def _arch(entry: Any) -> AutoFormerArch:
    pairs = zip(entry["num_heads"], entry["mlp_ratio"], strict=True)
    layers = tuple(Layer(int(heads), float(ratio)) for heads, ratio in pairs)
    if len(layers) != entry["depth"]:
        raise ValueError(f"{len(layers)} layers of depth {entry['depth']}")
    return AutoFormerArch(int(entry["hidden_dim"]), layers)
