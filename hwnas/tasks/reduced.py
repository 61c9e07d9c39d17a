"""A smaller setting that proxies score in: fewer pixels and fewer images than the task has."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hwnas.errors import InvalidValueError
from hwnas.tasks.task import Task, image_classes

if TYPE_CHECKING:
    from hwnas.tasks.batch import Batch

_FORM = re.compile(r"(\d{1,9})(?:,(\d{1,9}))?", re.ASCII)


@dataclass(frozen=True)
class Reduced:
    """Images of a shorter side, and possibly fewer of them; its text is ``64`` or ``64,8``.

    Costs and constraints are those of the task itself: this is for scores alone.

    Attributes:
        side: pixels of the shorter side.
        images: images B that proxies see; None for as many as without a reduction.

    Raises:
        InvalidValueError: a number is too small.
    """

    side: int
    images: int | None = None

    def __post_init__(self) -> None:
        if self.side < 1 or (self.images is not None and self.images < 2):
            raise InvalidValueError(
                f"`reduced` must have a side of at least 1 pixel and at least 2 images, but got "
                f"{self}."
            )

    def __str__(self) -> str:
        return str(self.side) if self.images is None else f"{self.side},{self.images}"

    @classmethod
    def parse(cls, text: str) -> Reduced | None:
        """Read the text; None of an empty one.

        Raises:
            InvalidValueError: it has another form.

        Example:
            >>> Reduced.parse("64,8")
            Reduced(side=64, images=8)
        """
        if not text:
            return None
        if (found := _FORM.fullmatch(text)) is None:
            raise InvalidValueError(
                f"`reduced` must be the pixels of the shorter side, and the number of images "
                f"behind a comma where it is another one, e.g. 64 or 64,8, but got {text!r}."
            )
        return cls(int(found[1]), None if found[2] is None else int(found[2]))

    def task(self, task: Task) -> Task:
        """Give the task of smaller images; both sides keep their ratio, in whole pixels.

        Raises:
            InvalidValueError: the task is not to tell classes of images apart, or its images are
                not larger.

        Example:
            >>> from hwnas.tasks.catalogue import get_task
            >>> Reduced(64).task(get_task("ImageNet")).input.shape
            (3, 64, 64)
        """
        _, (channels, *sides) = image_classes(task, "`reduced`")
        if self.side >= min(sides):
            raise InvalidValueError(
                f"`reduced` must be below the shorter side of the images, which is {min(sides)}, "
                f"but got {self.side}."
            )
        height, width = (max(1, round(n * self.side / min(sides))) for n in sides)
        return replace(task, input=replace(task.input, shape=(channels, height, width)))

    def batch_size(self, full: int) -> int:
        """Give the number of images, of `full` without a reduction.

        Raises:
            InvalidValueError: there would be more.
        """
        if self.images is not None and self.images > full:
            raise InvalidValueError(
                f"`reduced` must have at most the {full} images that proxies see without it, but "
                f"got {self.images}."
            )
        return self.images or full

    def batch(self, batch: Batch, task: Task) -> Batch:
        """Give the first images of a batch, each pixel the mean of those that it covers.

        Args:
            batch: (B, C, H, W) images.
            task: the task without a reduction.
        """
        from torch.nn import functional

        from hwnas.tasks.batch import Batch

        few = batch.part(0, self.batch_size(len(batch)))
        size = self.task(task).input.shape[1:]
        small = functional.interpolate(few.inputs, size=size, mode="area")
        return Batch(small, few.labels, f"{few.description} at {size[0]} x {size[1]}")
