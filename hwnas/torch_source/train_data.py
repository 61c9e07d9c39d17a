"""The data of `train.py`: inputs and labels of a file or of a folder of pictures.

This file stands beside `train.py`, which says what the data are.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

IGNORED = -100  # label of positions that have none, as PyTorch's cross-entropy takes it; or NaN
PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}


class UserError(Exception):
    """What the user can put right, in one line."""


@dataclass(frozen=True)
class Data:
    """Examples in memory: inputs and labels (N, ...) of both parts, scaled when used."""

    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    mean: Tensor
    deviation: Tensor

    @property
    def of_positions(self) -> bool:
        """Whether the labels are classes of each position of images or signals."""
        inputs, labels = self.train
        return labels.ndim > 1 and not labels.is_floating_point() and inputs.dtype != torch.int64

    def scaled(self, inputs: Tensor, device: torch.device) -> Tensor:
        """Give (B, ...) inputs as numbers of mean 0 and deviation 1, tokens as they are."""
        inputs = inputs.to(device)
        if inputs.dtype == torch.int64:
            return inputs
        return (inputs.float() - self.mean.to(device)) / self.deviation.to(device)

    def checksum(self) -> str:
        """Give a text that tells these examples from others, wherever they are kept."""
        digest = hashlib.sha256()
        for part in (*self.train, *self.test):
            digest.update(part.contiguous().numpy().data)
        return digest.hexdigest()[:16]


def read_data(path: Path, test_share: float) -> Data:
    """Read inputs and labels, and part them into training and test."""
    try:
        folder, size = sized(path)
        inputs, labels, test = read_folder(folder, size) if folder.is_dir() else read_npz(path)
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"--data {path}: {error}") from None
    test = drawn_test(labels, test_share) if test is None else test
    if not 0 < test.sum() < len(labels):
        raise UserError(f"--data {path}: {test.sum()} of {len(labels)} are for the test.")
    tokens, known = inputs.ndim == 2 and inputs.dtype.kind in "iu", torch.from_numpy(test)
    whole = inputs.dtype in (np.uint8, np.int16) and not tokens
    kind = np.int64 if tokens else inputs.dtype if whole else np.float32
    values = torch.from_numpy(np.ascontiguousarray(inputs, kind))
    answers = torch.from_numpy(labels.astype(np.float32 if labels.dtype.kind == "f" else np.int64))
    if real := answers.is_floating_point():
        centre, spread = moments(answers[~known])
        answers = ((answers - centre) / spread).reshape(len(labels), -1, *labels.shape[2:])
    mean, deviation = moments(values[~known]) if whole else (torch.zeros(()), torch.ones(()))
    train, tested = ((values[flags], answers[flags]) for flags in (~known, known))
    for _, part in (train, tested):
        # Of real targets (N, n, ...) each has a known one.
        gone = part.isnan().transpose(0, 1).flatten(1).all(1) if real else (part == IGNORED).all()
        if gone.any():
            raise UserError(f"--data {path}: no label is for training, or none for the test.")
    return Data(train, tested, mean, deviation)


def moments(values: Tensor) -> tuple[Tensor, Tensor]:
    """Give mean and deviation of each channel of (N, C, ...) without NaN; a constant one's is 1."""
    over, values = (0, *range(2, values.ndim)), values.double()
    deviation, mean = torch.std_mean(values, over, correction=0, keepdim=True)
    if mean.isnan().any():
        mean = values.nanmean(over, keepdim=True)
        deviation = (values - mean).square().nanmean(over, keepdim=True).sqrt()
    return mean.float(), torch.where(deviation > 0, deviation, 1.0).float()


Array = np.ndarray[Any, Any]
Arrays = tuple[Array, Array, Array | None]  # inputs, labels, which are tested where that is known


def read_npz(path: Path) -> Arrays:
    """Read `images` or `inputs`, `labels` and, if they are there, `split` and `ignore_index`."""
    with np.load(path, allow_pickle=False) as arrays:
        inputs = arrays["inputs" if "inputs" in arrays and "images" not in arrays else "images"]
        labels, split = arrays["labels"], arrays.get("split")
        ignored = arrays.get("ignore_index")
    must = f"`labels` must be {len(inputs)} classes from 0 on, or finite numbers"
    if len(labels) != len(inputs) or labels.dtype.kind not in "iuf" or not labels.size:
        raise ValueError(f"{must}.")
    real, gone = labels.dtype.kind == "f", left_out(labels, ignored)
    wrong = labels[~gone & ~(np.isfinite(labels) if real else labels >= 0)]
    if wrong.size:
        advice = ": name `ignore_index` nan in the file to leave NaN out"
        raise ValueError(f"{must}{advice if np.isnan(wrong).any() else ''}.")
    labels = (
        np.where(gone, np.nan, labels) if real else np.where(gone, IGNORED, labels.astype(np.int64))
    )
    if split is not None and not (len(split) == len(inputs) and set(split) <= {"train", "test"}):
        raise ValueError("`split` must be `train` or `test` for each input.")
    return inputs, labels, None if split is None else np.asarray(split == "test")


def left_out(labels: Array, ignored: Array | None) -> Array:
    """Mark labels that stand for none: those that are `ignored`, else -100 of positions."""
    if labels.dtype.kind == "f" and ignored is not None:
        return np.isnan(labels) if np.isnan(ignored) else np.asarray(labels == float(ignored))
    if labels.dtype.kind == "f" or labels.ndim < 2:
        return np.zeros(labels.shape, dtype=bool)
    return np.asarray(labels == (IGNORED if ignored is None else int(ignored)))


def sized(path: Path) -> tuple[Path, tuple[int, int] | None]:
    """Part `FOLDER@HxW` into the folder, and the height and width that pictures are brought to."""
    found = re.fullmatch(r"(.+)@(\d+)x(\d+)", str(path))
    if found is None or path.exists():
        return path, None
    return Path(found[1]), (int(found[2]), int(found[3]))


def read_folder(folder: Path, size: tuple[int, int] | None = None) -> Arrays:
    """Read pictures; grey ones have one channel, where any is coloured all have three."""
    parts = [folder / name for name in ("train", "test")]
    known = all(part.is_dir() for part in parts)
    files, labels, test = list[Path](), list[int](), list[bool]()
    first = parts[0] if known else folder
    names = sorted(entry.name for entry in first.iterdir() if entry.is_dir())
    for part in parts if known else [folder]:
        for number, name in enumerate(names):
            found = sorted(p for p in (part / name).rglob("*") if p.suffix.lower() in PICTURES)
            files += found
            labels += [number] * len(found)
            test += [part.name == "test"] * len(found)
    if not files:
        raise ValueError("it must hold a folder of pictures for each class.")
    pictures = [read_picture(file, size) for file in files]
    if len({picture.shape[:2] for picture in pictures}) > 1:
        raise ValueError("the pictures must all have one size: name it, --data FOLDER@HxW.")
    channels = max(picture.shape[2] for picture in pictures)
    images = np.stack([np.broadcast_to(p, (*p.shape[:2], channels)) for p in pictures])
    images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return images, np.array(labels), np.array(test) if known else None


def read_picture(file: Path, size: tuple[int, int] | None) -> Array:
    """Give (H, W, 1) or (H, W, 3) bytes."""
    try:
        from PIL import Image
    except ImportError:
        raise UserError("--data of pictures needs Pillow: pip install pillow") from None
    with Image.open(file) as picture:
        grey = picture.mode in ("1", "L", "LA")
        found = picture.convert("L" if grey else "RGB")
        if size is not None:
            found = found.resize(size[::-1], Image.Resampling.BILINEAR)
        pixels = np.asarray(found, dtype=np.uint8)
    return pixels[..., None] if grey else pixels


def drawn_test(labels: Array, share: float) -> Array:
    """Draw a share of each class, at least one example, the same ones in every run."""
    rng, test = np.random.default_rng(0), np.zeros(len(labels), dtype=bool)
    classes = labels if labels.ndim == 1 and labels.dtype.kind in "iu" else np.zeros(len(labels))
    for label in np.unique(classes):
        places = rng.permutation(np.flatnonzero(classes == label))
        test[places[: max(1, round(share * len(places)))]] = True
    return test
