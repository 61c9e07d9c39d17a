"""The manifest of a bundle: what it is to hold, and whether it does.

Everything read here may come from elsewhere: it is data, whose form, size and numbers are checked,
and whose names become paths only where they are of letters and digits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.bundles.runner import (
    BUNDLE_SCHEMA,
    ENDS,
    MANIFEST,
    REFERENCE,
    VERSION,
    digest,
    runtime_of,
)
from hwnas.errors import DataFormatError, DataNotFoundError
from hwnas.files.csv_table import ARCHITECTURE, architecture_of

LARGEST_BYTES = 64 << 20
"""Of a manifest or a file of results."""
_NAME = re.compile(r"[a-z][a-z0-9]{0,31}")
_SHA = re.compile(r"[0-9a-f]{64}")
_PROVIDER = re.compile(r"[A-Za-z]{1,40}ExecutionProvider")
PRECISIONS = ("float32", "float16", "int8")
_LEAST, _MOST = 1e-9, 1e12
_ACCEPTED = range(1, 1 << 31)
_CHECKSUMS = ("model_sha256", "expected_sha256", "input_sha256")


@dataclass(frozen=True)
class Network:
    """A model of a bundle.

    Attributes:
        name: its name, of letters and digits.
        arch: the architecture's text; empty for the reference network.
        checksums: SHA-256 of model, expected outputs and input.
    """

    name: str
    arch: str
    checksums: tuple[str, str, str]


@dataclass(frozen=True)
class Manifest:
    """What a bundle holds.

    Attributes:
        folder: the bundle's folder.
        checksum: SHA-256 of the manifest, by which results name the bundle.
        space: text of the search space.
        provider: ONNX Runtime's execution provider; of other runtimes where they run, in its words.
        precision: number format.
        batch: inputs a run.
        threads: CPU threads.
        seconds: time to measure a network.
        accepted_error: largest difference of outputs, as a share of the largest one.
        reference: the network that is timed beside every other.
        networks: the models to measure.
        runtime: what runs them.
        task: text of the settings of what the networks are for.
    """

    folder: Path
    checksum: str
    space: str
    provider: str
    precision: str
    batch: int
    threads: int
    seconds: float
    accepted_error: float
    reference: Network
    networks: tuple[Network, ...]
    runtime: str = "onnxruntime"
    task: str = ""

    def files(self, name: str) -> tuple[Path, Path]:
        """Give the files of a model: the model itself, and the outputs that it should have."""
        return files_of(self.folder, name, self.runtime)


def read_manifest(folder: Path) -> Manifest:
    """Read a bundle's manifest, and compare the checksums of its files.

    Raises:
        DataNotFoundError: the folder has no manifest.
        DataFormatError: it is not of this form, or a file is another than it says.
    """
    path = folder / MANIFEST
    content = read_limited(path, "the manifest of a bundle")
    try:
        found = _manifest(folder, digest(content), parse_json(content))
    except (ValueError, KeyError, TypeError) as error:
        raise DataFormatError(
            f"`{path}` must be a manifest of {BUNDLE_SCHEMA} {VERSION}, but it is not: "
            f"{reason(error)}. Write the bundle again."
        ) from None
    for network in (found.reference, *found.networks):
        for file, wanted in zip(found.files(network.name), network.checksums, strict=False):
            if digest(read_limited(file, "a file of the bundle", 1 << 31)) != wanted:
                raise DataFormatError(
                    f"`{file}` must have the checksum of the manifest, but has another: write the "
                    f"bundle again."
                )
    return found


def files_of(folder: Path, name: str, runtime: str) -> tuple[Path, Path]:
    """Give the files of a model: the model itself, and the outputs that it should have."""
    return folder / "models" / f"{name}{ENDS[runtime]}", folder / "expected" / f"{name}.npy"


def read_limited(path: Path, what: str, limit: int = LARGEST_BYTES) -> bytes:
    """Read a file that is not too large.

    Raises:
        DataNotFoundError: there is none.
        DataFormatError: it is too large, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError:
        raise DataNotFoundError(f"`{path}` must be {what}, but there is no such file.") from None
    except OSError as error:
        raise DataFormatError(
            f"`{path}` must be {what}, but it cannot be read: {error.strerror}."
        ) from error
    if len(content) > limit:
        raise DataFormatError(f"`{path}` must have {limit} bytes at most, but is larger.")
    return content


def parse_json(content: bytes) -> dict[str, Any]:
    """Read a JSON object with each key once, and no NaN or infinity.

    Raises:
        ValueError: it is none.
    """
    try:
        found = json.loads(
            content.decode(), parse_constant=_refuse_constant, object_pairs_hook=_each_once
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError(f"it is a {type(found).__name__} and no object")
    return found


def reason(error: Exception) -> str:
    """Say in a few words what is the matter."""
    text = f"{error} is missing" if isinstance(error, KeyError) else str(error)
    first = (text.splitlines() or [type(error).__name__])[0]
    return first if len(first) <= 200 else f"{first[:200]}…"


def number(value: Any, name: str, least: float = _LEAST, most: float = _MOST) -> float:
    """Give a number from `least` to `most`, by default a positive one; `ValueError` otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} must be a number, but is {repr(value)[:50]}")
    if not least <= value <= most:  # written so that NaN fails
        raise ValueError(f"{name} must be in {least:g} to {most:g}, but is {str(value)[:20]}")
    return float(value)


def whole(value: Any, name: str) -> int:
    """Give a whole number of 1 or more; `ValueError` if it is none."""
    if isinstance(value, bool) or not isinstance(value, int) or value not in _ACCEPTED:
        raise ValueError(f"{name} must be a whole number of 1 or more, but is {str(value)[:20]}")
    return value


def text(value: Any, name: str, pattern: re.Pattern[str] | None = None, most: int = 10_000) -> str:
    """Give a text; `ValueError` if it is none, or of another form."""
    if not isinstance(value, str) or not 0 < len(value) <= most:
        raise ValueError(
            f"{name} must be a text of 1 to {most} characters, but is {repr(value)[:50]}"
        )
    if pattern is not None and not pattern.fullmatch(value):
        raise ValueError(f"{name} must not be {repr(value)[:80]}")
    return value


def _manifest(folder: Path, checksum: str, found: Mapping[str, Any]) -> Manifest:
    if (found["schema"], found["version"]) != (BUNDLE_SCHEMA, VERSION):
        raise ValueError(f"it is of {repr(found['schema'])[:50]} {repr(found['version'])[:20]}")
    if (found["metric"], found["unit"]) != ("latency", "ms"):
        raise ValueError(f"it is about {repr(found['metric'])[:50]} in {repr(found['unit'])[:20]}")
    if not isinstance(found["networks"], list) or not isinstance(found["reference"], dict):
        raise ValueError("it must have a list of networks and a reference")
    networks = tuple(_network(entry) for entry in found["networks"])
    names = [network.name for network in networks]
    if not names or len(set(names)) < len(names) or REFERENCE in names:
        raise ValueError("it must name each network once, and one at least")
    if found["precision"] not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}")
    return Manifest(
        folder,
        checksum,
        text(found["space"], "space"),
        text(found["provider"], "provider", _PROVIDER),
        found["precision"],
        whole(found["batch"], "batch"),
        whole(found["threads"], "threads"),
        number(found["seconds"], "seconds"),
        number(found["accepted_error"], "accepted_error"),
        _network(found["reference"], reference=True),
        networks,
        _runtime(found),
        text(found["task"], "task"),
    )


def _runtime(found: Mapping[str, Any]) -> str:
    runtime = runtime_of(dict(found))
    if runtime not in ENDS:
        raise ValueError(f"runtime must be one of {', '.join(ENDS)}")
    return runtime


def _network(entry: Any, reference: bool = False) -> Network:
    if not isinstance(entry, dict):
        raise ValueError("a network must be an object")
    name = text(entry["name"], "name", _NAME)
    if reference and name != REFERENCE:
        raise ValueError(f"the reference network must be called {REFERENCE}")
    model, expected, drawn = (text(entry[key], key, _SHA) for key in _CHECKSUMS)
    arch = "" if reference else text(architecture_of(entry), ARCHITECTURE)
    _check_sizes(entry["input"], entry["outputs"])
    return Network(name, arch, (model, expected, drawn))


def _check_sizes(shape: Any, outputs: Any) -> None:
    for sizes in (shape, *(outputs if isinstance(outputs, Sequence) else [None])):
        if not isinstance(sizes, list):
            raise ValueError(f"a shape must be a list, but is {repr(sizes)[:50]}")
        for size in sizes:
            whole(size, "a size")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"it holds {name}")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("it has a key twice")
    return found
