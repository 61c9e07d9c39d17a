"""A user's own data: a ``.npz`` of arrays, or a folder of pictures or of class folders of them."""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.errors import (
    DataFormatError,
    DataNotFoundError,
    InvalidValueError,
    MissingDependencyError,
    UnknownNameError,
    unknown_name,
)
from hwnas.files.pinned import pinned_text, split_pinned
from hwnas.tasks.arrays import batch_of_arrays, in_turn, spec_of_array, task_of_arrays
from hwnas.tasks.batch import Batch
from hwnas.tasks.catalogue import get_task, is_sizes, output_text
from hwnas.tasks.task import AllOutputs, Logits, Map, Task, TensorSpec

IMAGES = ("gaussian", "cifar10-sample")
"""Names of images that are not the user's own."""
_ARRAYS = ("images", "inputs")
"""Names of the array of inputs: one of them is in a file."""
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"})
_SIZED = re.compile(r"(.+)@([1-9]\d{0,3})x([1-9]\d{0,3})", re.DOTALL)


@dataclass(frozen=True)
class OwnImages:
    """Images or other inputs that a user names; what they hold is read when it is asked for.

    Attributes:
        path: ``.npz`` with the arrays ``images`` (or ``inputs``) and, where there are any,
            ``labels``, as `hwnas.tasks.arrays.task_of_arrays` takes them; or ``classes``, their
            number, ``vocabulary``, that of different tokens, and ``ignore_index``, the label that
            stands for none, which may be NaN. Or a folder with a folder of pictures for each class,
            or with pictures that have none; where it has the folders ``train`` and ``test``, that
            of ``train``.
        checksum: of the batch that must be found there; None for any.
        resized: height and width that pictures are brought to; None leaves them as they are.
    """

    path: Path
    checksum: str | None = None
    resized: tuple[int, int] | None = None

    @classmethod
    def parse(cls, text: str) -> OwnImages | None:
        """Read ``FILE.npz``, ``FOLDER`` or ``FOLDER@HxW``, each with or without ``#CHECKSUM``.

        Returns:
            None if it is none of them.
        """
        if not text or text in IMAGES:
            return None
        place, checksum = split_pinned(text)
        if (sized := _SIZED.fullmatch(place)) and not Path(place).exists():
            folder, size = Path(sized[1]), (int(sized[2]), int(sized[3]))
            return cls(folder, checksum, size) if folder.is_dir() else None
        path = Path(place)
        return cls(path, checksum) if path.suffix == ".npz" or path.is_dir() else None

    def pinned(self, size: int) -> str:
        """Give the text that finds these images again, and no others.

        Args:
            size: images B of the batch.
        """
        sizes = "" if self.resized is None else "@{}x{}".format(*self.resized)
        return pinned_text(f"{self.path.resolve()}{sizes}", _checksum(self.batch(size)))

    @property
    def name(self) -> str:
        """Name of the task; no data set of a benchmark has such a one."""
        return self.path.name if self.path.suffix == ".npz" else f"{self.path.name}/"

    @property
    def known(self) -> Task | TensorSpec:
        """The task that they are examples of; what an input is where labels are missing.

        Raises:
            DataNotFoundError: there is nothing of this name.
            DataFormatError: it is something else.
        """
        found = self._examples(1)
        if found.labels is None and found.classes is None:
            return spec_of_array(found.inputs, found.vocabulary)
        return task_of_arrays(
            found.inputs,
            found.labels,
            classes=found.classes,
            vocabulary=found.vocabulary,
            ignore_index=found.ignore_index,
            name=self.name,
        )

    @property
    def says_task(self) -> bool:
        """Whether they say what networks answer: they have labels, or a number of classes.

        Raises:
            DataNotFoundError: there is nothing of this name.
            DataFormatError: it is something else.
        """
        return isinstance(self.known, Task)

    @property
    def task(self) -> Task:
        """The task, for networks that are built for it.

        Raises:
            DataNotFoundError: there is nothing of this name.
            DataFormatError: it is something else.
            InvalidValueError: it does not say how many classes there are.
        """
        if not isinstance(known := self.known, Task):
            raise InvalidValueError(
                f"`{self.path}` must hold `labels`, or `classes`, the number that networks are "
                f"built for, but holds {self.known} alone: say what they answer, as --classes 4 "
                f"or --classes outputs."
            )
        return known

    def task_for(self, dataset: str) -> Task:
        """Give the task that they are examples of: theirs, or what is said beyond it.

        Args:
            dataset: name of a data set, which counts where they do not say what networks answer,
                or of sizes, which count anyway.

        Raises:
            HwnasError: they cannot be read, or there is no such data set.
        """
        if not self.says_task:
            return get_task(dataset)
        given = get_task(dataset) if is_sizes(dataset) else self.task
        return self.task if given.settings == self.task.settings else given

    def insist_on(self, given: Task) -> None:
        """Refuse a task that they are no examples of.

        Their labels may lack the last classes of it; networks that return all sorts of outputs get
        none of them.

        Raises:
            HwnasError: they are of another one, or cannot be read.
        """
        known = self.known
        spec = known.input if isinstance(known, Task) else known
        if given.input != spec:
            raise InvalidValueError(
                f"`images` must be of the size that networks are built for, {given.input}, but "
                f"those of {self.path} are {spec}."
            )
        if not isinstance(known, Task):
            return
        match known.output, given.output:
            case (_, AllOutputs()):
                pass
            case (Logits(theirs), Logits(classes)) | (Map(theirs), Map(classes)) if (
                theirs <= classes
            ):
                pass
            case theirs, wanted if theirs != wanted:
                raise InvalidValueError(
                    f"`classes` must be those of the labels of {self.path}, "
                    f"{output_text(theirs)}, or more of them, or outputs, but got "
                    f"{output_text(wanted)}."
                )

    def batch(self, size: int) -> Batch:
        """Give the first inputs of each class in turn, bytes as numbers of mean 0, deviation 1.

        Raises:
            DataNotFoundError: there is nothing of this name.
            DataFormatError: it is something else.
            InvalidValueError: there are fewer images, or not those of the checksum.
        """
        examples = self._examples(size)
        batch = batch_of_arrays(
            examples.inputs,
            examples.labels,
            ignore_index=examples.ignore_index,
            description="own images",
        )
        if self.checksum not in (None, found := _checksum(batch)):
            raise InvalidValueError(
                f"`images` must be those that were named, of checksum {self.checksum}, but the "
                f"first {size} of {self.path} have {found}: start anew in another folder."
            )
        return batch

    def _examples(self, size: int) -> _Examples:
        if self.path.is_dir():
            return _read_pictures(self.path, size, self.resized)
        return _some(self.path, size)


def check_images(text: str) -> None:
    """Insist on a name of images, or on what may be the user's own.

    Raises:
        UnknownNameError: it is neither.
    """
    if text not in IMAGES and OwnImages.parse(text) is None:
        error = unknown_name("images", text, IMAGES)
        raise UnknownNameError(
            f"{error} Your own are a FILE.npz, a folder of pictures, or FOLDER@HEIGHTxWIDTH."
        )


_Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class _Examples:
    """Inputs, and what is known of them: labels, the numbers of classes and of different tokens."""

    inputs: _Array
    labels: _Array | None = None
    classes: int | None = None
    vocabulary: int | None = None
    ignore_index: float | None = None

    def at(self, places: npt.NDArray[np.int64]) -> _Examples:
        labels = None if self.labels is None else self.labels[places]
        return replace(self, inputs=self.inputs[places], labels=labels)


def _checksum(batch: Batch) -> str:
    digest = hashlib.sha256(batch.inputs.numpy().tobytes())
    if batch.labels is not None:
        digest.update(batch.labels.numpy().tobytes())
    return digest.hexdigest()[:16]


def _too_few(path: Path, size: int, count: int) -> InvalidValueError:
    unlabelled = ", some of them without any label" if count >= size else ""
    return InvalidValueError(
        f"`images` must be at least the {size} that are used at once, but {path} holds {count}"
        f"{unlabelled}: give more, or let fewer be used at once, such as by --batch "
        f"{max(2, min(count, size // 2))}."
    )


def _some(path: Path, size: int) -> _Examples:
    if not path.is_file():
        raise DataNotFoundError(f"`images` must name a file or folder, but there is no {path}.")
    found = _arrays(path, path.stat().st_mtime_ns)
    try:
        return found.at(in_turn(found.labels, size, len(found.inputs), found.ignore_index))
    except InvalidValueError:
        raise _too_few(path, size, len(found.inputs)) from None


@lru_cache(maxsize=1)
def _arrays(path: Path, changed: int) -> _Examples:
    """Read a file once while it stays as it is; pickles in it are refused."""
    del changed
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            name = next((name for name in _ARRAYS if name in arrays), None)
            if name is None:
                raise ValueError(f"it holds {', '.join(map(repr, arrays)) or 'nothing'}")
            inputs = arrays[name]
            labels = arrays.get("labels")
            classes, vocabulary = (
                None if (number := arrays.get(name)) is None else int(number)
                for name in ("classes", "vocabulary")
            )
            ignored = arrays.get("ignore_index")
        ignore_index = None if ignored is None else float(ignored)
        vocabulary = spec_of_array(inputs, vocabulary).vocabulary
        if labels is not None:
            task = task_of_arrays(
                inputs, labels, classes=classes, vocabulary=vocabulary, ignore_index=ignore_index
            )
            classes = getattr(task.output, "classes", None)
    except InvalidValueError as error:
        raise DataFormatError(
            f"`{path}` must hold `images` and `labels` of a task: {error}"
        ) from None
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        MemoryError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise DataFormatError(
            f"`{path}` must hold `images` (N, C, H, W) or signals (N, C, T) of float, uint8 or "
            f"int16, vectors (N, F) of float, or tokens (N, T), and, if any, `labels` (N, ...), "
            f"saved by `numpy.savez`, but reading it failed: {error}"
        ) from None
    return _Examples(inputs, labels, classes, vocabulary, ignore_index)


def _read_pictures(folder: Path, size: int, resized: tuple[int, int] | None) -> _Examples:
    files, labels = [], []
    if all((folder / part).is_dir() for part in ("train", "test")):
        folder = folder / "train"
    names = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    alone = sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES and p.is_file())
    if alone and not names:
        if len(alone) < size:
            raise _too_few(folder, size, len(alone))
        return _Examples(_stacked(alone[:size], resized))
    for number, name in enumerate(names):
        found = sorted(p for p in name.rglob("*") if p.suffix.lower() in PICTURES)
        files += found
        labels += [number] * len(found)
    if not files or len(set(labels)) < len(names):
        empty = [entry.name for i, entry in enumerate(names) if i not in labels]
        raise DataFormatError(
            f"`{folder}` must hold pictures, or a folder of pictures for each class, but "
            f"{f'{empty[0]!r} has no picture' if empty else 'it has no folder'} "
            f"({', '.join(sorted(PICTURES))})."
        )
    if len(names) == 1:
        raise DataFormatError(
            f"`{folder}` must hold a folder of pictures for each class, but holds "
            f"{names[0].name!r} alone: name the folder that holds the classes; pictures without "
            f"labels are {names[0]} with --classes."
        )
    try:
        chosen = in_turn(np.array(labels), size, len(files))
    except InvalidValueError:
        raise _too_few(folder, size, len(files)) from None
    images = _stacked([files[i] for i in chosen], resized)
    return _Examples(images, np.array(labels)[chosen], len(names))


def _stacked(files: Sequence[Path], resized: tuple[int, int] | None) -> npt.NDArray[np.uint8]:
    """Give (B, C, H, W) of pictures of one size: of one channel where all are grey, else three."""
    pictures = [_read_picture(file, resized) for file in files]
    for file, picture in zip(files, pictures, strict=True):
        if picture.shape[:2] != pictures[0].shape[:2]:
            (height, width), (h, w) = pictures[0].shape[:2], picture.shape[:2]
            raise DataFormatError(
                f"The pictures must all have one size, but {files[0]} is {height}x{width} and "
                f"{file} is {h}x{w}: name the folder with a size, e.g. FOLDER@{height}x{width}."
            )
    channels = max(picture.shape[2] for picture in pictures)
    return np.stack([np.broadcast_to(p, (*p.shape[:2], channels)) for p in pictures]).transpose(
        0, 3, 1, 2
    )


def _read_picture(file: Path, resized: tuple[int, int] | None) -> npt.NDArray[np.uint8]:
    """Give (H, W, 1) bytes of a grey picture, (H, W, 3) of any other."""
    try:
        from PIL import Image
    except ImportError:
        raise MissingDependencyError(
            "`images` of a folder of pictures needs Pillow: pip install 'hwnas[pictures]', or save "
            "the images as arrays in a .npz."
        ) from None
    try:
        with Image.open(file) as picture:
            grey = picture.mode in ("1", "L", "LA")
            found = picture.convert("L" if grey else "RGB")
            if resized is not None:
                found = found.resize(resized[::-1], Image.Resampling.BILINEAR)
            pixels = np.asarray(found, dtype=np.uint8)
    except Exception as error:  # whatever a decoder raises
        raise DataFormatError(f"`{file}` must be a picture, but got {error}") from None
    return pixels[..., None] if grey else pixels
