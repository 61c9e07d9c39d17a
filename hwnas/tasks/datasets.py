"""The image data sets that networks are built for: number of classes and image shape."""

from __future__ import annotations

from dataclasses import dataclass

from hwnas.errors import unknown_name
from hwnas.typing import InShape


@dataclass(frozen=True)
class Dataset:
    """What a network must know of an image data set.

    Attributes:
        name: official name, as the benchmarks spell it.
        num_classes: classes K.
        in_shape: (C, H, W) of an image.
    """

    name: str
    num_classes: int
    in_shape: InShape


DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset("cifar10", 10, (3, 32, 32)),
        Dataset("cifar100", 100, (3, 32, 32)),
        Dataset("ImageNet16-120", 120, (3, 16, 16)),
        Dataset("ImageNet", 1000, (3, 224, 224)),
    )
}


def get_dataset(name: str) -> Dataset:
    """Find a data set by its official name.

    Raises:
        UnknownNameError: there is no such data set; suggests the closest name.
    """
    if name not in DATASETS:
        raise unknown_name("dataset", name, DATASETS)
    return DATASETS[name]
