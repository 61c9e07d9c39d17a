"""Fetching published data from its official place, with checksums."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hwnas.data.catalogue import DataFile, data_folder, find, published
from hwnas.errors import DataFormatError, DataNotFoundError, InvalidValueError
from hwnas.files.pinned import sha256

LARGEST = 512 << 20
"""Bytes of the largest file that is fetched."""
_SILENT_SECONDS = 30.0


def get(
    name: str,
    folder: Path | None = None,
    base_url: str | None = None,
    report: Callable[[str], object] | None = None,
) -> list[Path]:
    """Fetch the files of a data set that are not here yet.

    Each file is written under another name, compared with its checksum and only then renamed, so
    a folder never holds a part of a file, and several processes may fetch at once. Files that
    are here and right are left alone: calling again continues an interrupted run.

    Args:
        name: name in the catalogue.
        folder: data folder; None for the default one.
        base_url: address of a mirror that is laid out as the data folder; None for the official
            places.
        report: called with one line of text before each download; None for silence.

    Returns:
        The files of the data set, all of them present.

    Raises:
        UnknownNameError: there is no such data set.
        DataNotFoundError: a file cannot be fetched; says what to do by hand where that is the way.
        DataFormatError: a file arrived with a wrong checksum, or is larger than `LARGEST`; nothing
            of it is kept.
        InvalidValueError: the folder cannot be written.
    """
    data, target = published(name), data_folder(folder)
    paths = []
    for file in data.files:
        if not _is_right(file, target):
            url = f"{base_url.rstrip('/')}/{file.path}" if base_url else file.url
            if url is None or file.sha256 is None:
                raise DataNotFoundError(f"{data.title}: fetch by hand. {data.instruction}")
            if report is not None:
                report(f"downloading {url}")
            _download(url, target / file.path, file.sha256)
        paths.append(target / file.path)
    return paths


class _TooLargeError(Exception):
    """A server sends more than any published file has."""


def _fetch(url: str, target: Any, _: object) -> None:
    """Write what a server sends, up to a limit; a `downloader` of pooch."""
    import requests

    received = 0
    with requests.get(url, stream=True, timeout=_SILENT_SECONDS) as response:
        response.raise_for_status()
        with open(target, "wb") as file:
            for part in response.iter_content(1 << 20):
                received += len(part)
                if received > LARGEST:
                    raise _TooLargeError
                file.write(part)


def _is_right(file: DataFile, folder: Path) -> bool:
    path = find(file.path, folder)
    return path is not None and (file.sha256 is None or sha256(path) == file.sha256)


def _download(url: str, path: Path, known_hash: str) -> None:
    import pooch
    from requests import RequestException

    pooch.get_logger().setLevel(logging.WARNING)
    try:
        pooch.retrieve(
            url,
            known_hash=f"sha256:{known_hash}",
            fname=path.name,
            path=path.parent,
            downloader=_fetch,
        )
    except _TooLargeError as error:
        raise DataFormatError(
            f"`{url}` must have at most {LARGEST >> 20} MiB, but has more; nothing was kept. Fetch "
            f"the file by other means and put it at {path}."
        ) from error
    except RequestException as error:
        raise DataNotFoundError(
            f"`{url}` must be reachable, but got {error}. Check the connection, or fetch the file "
            f"by other means and put it at {path}."
        ) from error
    except OSError as error:
        raise InvalidValueError(f"`{path.parent}` must be writable, but got {error}.") from error
    except ValueError as error:
        raise DataFormatError(
            f"`{url}` must have SHA-256 {known_hash}, but other content arrived; nothing was kept. "
            f"Try again, and report it if it stays so."
        ) from error
