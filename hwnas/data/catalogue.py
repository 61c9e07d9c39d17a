"""The published data that hwnas reads: what it is, where it is published, where it lies here.

The facts stand in ``catalogue.json``: licence, citation, checksums, and addresses at pinned
commits. Data is never part of the package; `hwnas.data.download` fetches it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Literal, NamedTuple

import platformdirs

from hwnas.errors import DataNotFoundError, unknown_name
from hwnas.files.pinned import sha256

State = Literal["ok", "missing", "wrong checksum", "no known checksum"]


@dataclass(frozen=True)
class DataFile:
    """One file of a published data set.

    Attributes:
        path: path below the data folder, with forward slashes.
        sha256: checksum in hexadecimal; None where it is not known.
        url: address at a pinned commit; None where the file must be fetched by hand.
    """

    path: str
    sha256: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class PublishedData:
    """A published data set.

    Attributes:
        name: name in the catalogue.
        title: one line on what it holds.
        place: web page of the publication.
        licence: SPDX identifier.
        citation: paper to cite.
        instruction: how files without an address are fetched by hand; empty if there are none.
        files: its files.
    """

    name: str
    title: str
    place: str
    licence: str
    citation: str
    instruction: str
    files: tuple[DataFile, ...]


class FileState(NamedTuple):
    """Whether a file is here and is the published one."""

    file: str
    state: State


@lru_cache(maxsize=1)
def catalogue() -> Mapping[str, PublishedData]:
    """Give all published data sets by name."""
    text = resources.files("hwnas.data").joinpath("catalogue.json").read_text(encoding="utf-8")
    return {
        name: PublishedData(
            name=name,
            **{**entry, "files": tuple(DataFile(p, **f) for p, f in entry["files"].items())},
        )
        for name, entry in json.loads(text).items()
    }


def published(name: str) -> PublishedData:
    """Find a data set by name; `UnknownNameError` if there is none."""
    if name not in catalogue():
        raise unknown_name("data set", name, catalogue())
    return catalogue()[name]


def data_folder(explicit: Path | None = None) -> Path:
    """Give the folder of published data, which need not exist.

    Args:
        explicit: folder named by the user; else ``HWNAS_DATA``, else the user's data folder.
    """
    if explicit is not None:
        return explicit
    return Path(
        os.environ.get("HWNAS_DATA") or platformdirs.user_data_dir("hwnas", appauthor=False)
    )


def find(file: str, folder: Path | None = None) -> Path | None:
    """Give where a file of the catalogue lies, or None if it is absent.

    Args:
        file: path below the data folder, e.g. ``hw_nas_bench/hw_cifar10.csv``.
        folder: data folder; None for the default one.
    """
    path = data_folder(folder) / file
    return path if path.is_file() else None


def require(file: str, folder: Path | None = None) -> Path:
    """Give where a file of the catalogue lies.

    Args:
        file: path below the data folder.
        folder: data folder; None for the default one.

    Raises:
        DataNotFoundError: the file is absent; says which command or step fetches it.
    """
    path = find(file, folder)
    if path is not None:
        return path
    owner = next(d for d in catalogue().values() if any(f.path == file for f in d.files))
    step = owner.instruction or f"Run `hwnas data get {owner.name}`."
    raise DataNotFoundError(
        f"`{file}` must be in the data folder {data_folder(folder)}, but it is not there. {step} "
        f"If you have it elsewhere, name that folder in HWNAS_DATA or with --data."
    )


def verify(name: str, folder: Path | None = None) -> list[FileState]:
    """Compare every file of a data set with its published checksum.

    Args:
        name: name in the catalogue.
        folder: data folder; None for the default one.

    Raises:
        UnknownNameError: there is no such data set.
    """
    return [FileState(file.path, _state(file, folder)) for file in published(name).files]


def _state(file: DataFile, folder: Path | None) -> State:
    path = find(file.path, folder)
    if path is None:
        return "missing"
    if file.sha256 is None:
        return "no known checksum"
    return "ok" if sha256(path) == file.sha256 else "wrong checksum"
