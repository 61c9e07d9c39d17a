"""Images by the name that a user gives them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hwnas.data.cifar10_sample import cifar10_sample
from hwnas.data.own_images import OwnImages, check_images
from hwnas.errors import InvalidValueError
from hwnas.tasks.batch import Batch
from hwnas.tasks.task import AllOutputs, Task, TensorSpec


def real_images(
    images: str, size: int, task: Task | TensorSpec, data_folder: Path | None = None
) -> Batch | None:
    """Give the real images of a name, or None for Gaussian ones.

    Args:
        images: ``gaussian``, ``cifar10-sample``, or the user's own.
        size: images B.
        task: what the network gets.
        data_folder: folder of published data, or None for the default one.

    Raises:
        UnknownNameError: there are no such images.
        DataNotFoundError: the images are absent.
        InvalidValueError: there are none of this number or shape.
    """
    check_images(images)
    if own := OwnImages.parse(images):
        batch = own.batch(size)
        unlabelled = isinstance(task, Task) and isinstance(task.output, AllOutputs)
        return replace(batch, labels=None) if unlabelled else batch
    if images == "gaussian":
        return None
    spec = task.input if isinstance(task, Task) else task
    if spec.kind != "image":
        raise InvalidValueError(f"`images` must be those of the input, {spec}, but got {images}.")
    channels, height, width = spec.shape
    return cifar10_sample(size, (channels, height, width), data_folder)
