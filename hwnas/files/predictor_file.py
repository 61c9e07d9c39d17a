"""Predictor files: numpy arrays and a JSON header in one ``.npz``, read without pickle.

The header says what the numbers are for: kind of predictor, version of hwnas, search space, metric,
unit, direction, device, checksum of the data that was learned from, and the kind's own settings.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas import __version__
from hwnas.errors import DataFormatError, DataNotFoundError, HwnasError, InvalidValueError
from hwnas.files.atomic import write_bytes
from hwnas.typing import DeviceKey, Direction

FORMAT = "hwnas predictor 1"
ANY_SPACE = "any"
"""The space of a predictor that is for no space in particular."""
_HEADER = "header"

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Facts:
    """What a predictor's values mean and where they come from.

    Attributes:
        space: `repr` of the search space, or `ANY_SPACE`.
        metric: what is counted, e.g. ``latency``.
        unit: unit of the values.
        direction: which values are better.
        device: device and runtime; its device is ``any`` before an adaptation.
        data: SHA-256 or another text that tells the data that was learned from.
    """

    space: str
    metric: str
    unit: str
    direction: Direction
    device: DeviceKey
    data: str = ""


@dataclass(frozen=True)
class PredictorFile:
    """The content of a predictor file.

    Attributes:
        kind: what the arrays are read by, e.g. ``transfer``.
        facts: what the values mean.
        settings: the kind's own settings, JSON values.
        arrays: weights by name.
        version: version of hwnas that wrote the file.
    """

    kind: str
    facts: Facts
    settings: Mapping[str, Any]
    arrays: Arrays
    version: str = __version__

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the file whole or not at all; `InvalidValueError` where that is not possible."""
        header = {
            "format": FORMAT,
            "kind": self.kind,
            "hwnas": self.version,
            "facts": asdict(self.facts),
            "settings": dict(self.settings),
        }
        stream = io.BytesIO()
        text = np.frombuffer(json.dumps(header, sort_keys=True).encode(), dtype=np.uint8)
        arrays: dict[str, Any] = {_HEADER: text, **self.arrays}
        np.savez_compressed(stream, **arrays)
        write_bytes(path, stream.getvalue())

    def require(
        self, *, space: str | None = None, unit: str | None = None, runtime: str | None = None
    ) -> None:
        """Refuse what the predictor was not made for; None leaves a fact open.

        Raises:
            InvalidValueError: space, unit or runtime differ; says which and what to do.
        """
        facts = self.facts
        for name, wanted, found in (
            ("space", space, facts.space),
            ("unit", unit, facts.unit),
            ("runtime", runtime, facts.device.runtime),
        ):
            if wanted is not None and wanted != found:
                raise InvalidValueError(
                    f"`{name}` must be {found!r}, which the predictor was made for, but got "
                    f"{wanted!r}: adapt or train a predictor for it with `hwnas predict`."
                )


@contextmanager
def insist_on_whole(file: PredictorFile) -> Iterator[None]:
    """Say in one line what a predictor misses in its file while it is made.

    Raises:
        DataFormatError: an array or a setting is missing or unfit.
        HwnasError: the space or the data set is not known.
    """
    try:
        yield
    except HwnasError:
        raise
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataFormatError(
            f"The predictor file must hold all that a {file.kind} predictor needs, but is damaged: "
            f"{reason[:200]}."
        ) from error


def read_predictor_file(path: str | os.PathLike[str], kind: str | None = None) -> PredictorFile:
    """Read a predictor file.

    Args:
        path: the file.
        kind: the kind that is expected; None takes every kind.

    Raises:
        DataNotFoundError: there is no such file.
        DataFormatError: the file is damaged, is something else, or holds another kind.
    """
    try:
        with np.load(Path(path), allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
        header = json.loads(arrays.pop(_HEADER).tobytes())
        if header["format"] != FORMAT:
            raise ValueError(f"its format is {header['format']!r}")
        facts = dict(header["facts"])
        device = DeviceKey(**facts.pop("device"))
        found = PredictorFile(
            header["kind"], Facts(**facts, device=device), header["settings"], arrays,
            header["hwnas"],
        )  # fmt: skip
    except FileNotFoundError:
        raise DataNotFoundError(
            f"`{path}` must be a predictor file, but there is none: make it with `hwnas predict`."
        ) from None
    except (
        OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, NotImplementedError,
        zipfile.BadZipFile, zlib.error
    ) as error:  # fmt: skip
        raise DataFormatError(
            f"`{path}` must be a predictor file ({FORMAT}), but it is damaged or something else: "
            f"{error or type(error).__name__}."
        ) from error
    if kind is not None and found.kind != kind:
        raise DataFormatError(
            f"`{path}` must hold a predictor of the kind {kind!r}, but holds {found.kind!r}."
        )
    return found
