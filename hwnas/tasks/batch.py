"""The images that proxies see."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hwnas.errors import InvalidValueError


@dataclass(frozen=True, eq=False)
class Batch:
    """Images, with labels where there are any.

    Attributes:
        images: (B, C, H, W) float.
        labels: (B,) class indices, or None: random ones are drawn where a proxy needs them.
        description: where the images come from; part of cache keys, so it must tell batches apart.
    """

    images: Tensor
    labels: Tensor | None = None
    description: str = "user images"

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or not self.images.is_floating_point() or not len(self.images):
            raise InvalidValueError(
                f"`images` must be a (B, C, H, W) float tensor with B >= 1, but got "
                f"{tuple(self.images.shape)} of {self.images.dtype}."
            )
        if self.labels is not None and self.labels.shape != (len(self),):
            raise InvalidValueError(
                f"`labels` must have shape ({len(self)},), one an image, but got "
                f"{tuple(self.labels.shape)}."
            )

    def __len__(self) -> int:
        return len(self.images)

    def part(self, start: int, stop: int) -> Batch:
        """Give the images of `range(start, stop)`."""
        labels = None if self.labels is None else self.labels[start:stop]
        return Batch(self.images[start:stop], labels, f"{self.description}[{start}:{stop}]")


def gaussian_batch(in_shape: tuple[int, ...], size: int, num_classes: int, seed: int) -> Batch:
    """Draw standard-normal images with uniformly random labels.

    Args:
        in_shape: (C, H, W) of an image.
        size: images B.
        num_classes: classes K.
        seed: seed of both draws.

    Returns:
        The batch; its description states size and seed.
    """
    if size < 1:
        raise InvalidValueError(f"`size` must be at least 1, but got {size}.")
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(size, *in_shape, generator=generator)
    return Batch(
        images,
        random_labels(size, num_classes, generator),
        f"gaussian B={size} seed={seed}",
    )


def random_labels(size: int, num_classes: int, generator: torch.Generator) -> Tensor:
    """Draw `(size,)` class indices uniformly."""
    return torch.randint(num_classes, (size,), generator=generator)
