"""Real images for proxies that look at data: 1,000 training images of CIFAR-10.

Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

from __future__ import annotations

import zipfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hwnas.data.catalogue import require
from hwnas.deferred import deferred
from hwnas.errors import DataFormatError, InvalidValueError
from hwnas.tasks.batch import Batch
from hwnas.typing import InShape

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
else:
    torch = deferred("torch")
    F = deferred("torch.nn.functional")

FILE = "cifar10_sample/cifar10_train_1000.npz"

_SIZE = 32
# Mean and standard deviation of the training images' red, green and blue, 0 to 1.
_MEAN = (0.4914, 0.4822, 0.4465)
_STD = (0.2470, 0.2435, 0.2616)


def cifar10_sample(
    size: int = 64, in_shape: InShape = (3, 32, 32), folder: Path | None = None
) -> Batch:
    """Give the first images of the sample; image i has class i mod 10.

    Each channel is normalised by the mean and standard deviation of all training images. There is
    no augmentation.

    Args:
        size: images B, at most 1,000.
        in_shape: (C, H, W) of an image: 3 channels, and 32 or a divisor of it for H and W, over
            which pixels are averaged.
        folder: data folder; None for the default one.

    Returns:
        The images, (B, *in_shape) float32, and their labels 0 to 9.

    Raises:
        InvalidValueError: the sample has no such images.
        DataNotFoundError: the file is absent.
        DataFormatError: the file holds something else.
    """
    channels, height, width = in_shape
    if channels != 3 or min(height, width) < 1 or _SIZE % height or _SIZE % width:
        raise InvalidValueError(
            f"`in_shape` must be (3, H, W) with divisors of {_SIZE} for CIFAR-10 images, but got "
            f"{in_shape}: use Gaussian ones."
        )
    pixels, labels = _read(require(FILE, folder).absolute())
    if not 1 <= size <= len(pixels):
        raise InvalidValueError(f"`size` must be in 1 to {len(pixels)}, but got {size}.")
    images = torch.from_numpy(pixels[:size]).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (_MEAN, _STD))
    images = F.avg_pool2d((images - mean) / std, (_SIZE // height, _SIZE // width))
    return Batch(images, torch.from_numpy(labels[:size]), f"cifar10-sample B={size}")


@lru_cache(maxsize=1)
def _read(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Read (n, 32, 32, 3) images and (n,) labels once a process."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            images, labels = arrays["images"], arrays["labels"].astype(np.int64)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise _foreign(path, f"reading it failed ({error})") from error
    if images.dtype != np.uint8 or images.shape != (len(labels), _SIZE, _SIZE, 3):
        raise _foreign(path, f"its images are {images.dtype} of shape {images.shape}")
    if not len(labels) or labels.min() < 0 or labels.max() > 9:
        raise _foreign(path, "its labels are not the ten classes")
    return images, labels


def _foreign(path: Path, reason: str) -> DataFormatError:
    return DataFormatError(
        f"`{path}` must hold uint8 `images` (n, {_SIZE}, {_SIZE}, 3) and `labels` (n,), but "
        f"{reason}: check it with `hwnas data verify cifar10-sample`."
    )
