"""Predictor files: weights and a header in one ``.npz``, see `hwnas.files.npz`.

The header says what the numbers are for: kind of predictor, version of hwnas, search space, metric,
unit, direction, device, checksum of the data that was learned from, and the kind's own settings.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np

from hwnas import __version__
from hwnas.errors import DataFormatError, HwnasError, InvalidValueError
from hwnas.files.npz import Arrays, NpzFormat, opened_npz, write_npz
from hwnas.typing import DeviceKey, Direction

FORMAT = "hwnas predictor 1"
SCORES = "extra_scores"
"""The array that may have NaN: scores of proxies that a network has none of."""
_UNITS = {
    "latency": ("s", "ms", "us", "µs", "ns"),
    "energy": ("j", "mj", "uj", "µj", "nj"),
    "accuracy": ("percent", "%", ""),
}
ANY_SPACE = "any"
"""The space of a predictor that is for no space in particular."""
_FILE = NpzFormat(FORMAT, "a predictor file", "make it with `hwnas predict`")


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
            "kind": self.kind,
            "hwnas": self.version,
            "facts": asdict(self.facts),
            "settings": dict(self.settings),
        }
        write_npz(path, _FILE, header, self.arrays)

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


def _check(file: PredictorFile) -> None:
    """Raise `ValueError` for what no predictor of ours has."""
    facts, device = file.facts, file.facts.device
    texts = (file.kind, file.version, facts.space, facts.metric, facts.unit, facts.data,
             device.device, device.runtime, device.precision)  # fmt: skip
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a fact in its header is no text")
    for count in (device.batch, device.threads):
        if count is not None and (type(count) is not int or count < 1):
            raise ValueError(f"its batch or its threads are {count!r}")
    if facts.direction not in get_args(Direction):
        raise ValueError(f"its direction is {facts.direction!r}")
    if facts.unit.lower() not in _UNITS.get(facts.metric, (facts.unit.lower(),)):
        raise ValueError(f"its unit of {facts.metric} is {facts.unit!r}")
    if not isinstance(file.settings, dict):
        raise ValueError("its settings are no object")
    for name, array in file.arrays.items():
        own = name.rpartition("/")[2]  # of a file within a file, see `predictor_columns`
        if array.dtype.kind == "U" and not own.startswith("extra_"):
            raise ValueError(f"its array {name!r} holds texts")
        # Scores of proxies alone have gaps.
        if array.dtype.kind == "f" and name != SCORES and not np.isfinite(array).all():
            raise ValueError(f"its array {name!r} has numbers that are not finite")


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
    except (
        LookupError, TypeError, ValueError, RuntimeError, ArithmeticError, AttributeError,
        AssertionError, MemoryError,
    ) as error:  # fmt: skip
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
    with opened_npz(path, _FILE) as (header, arrays):
        facts = dict(header["facts"])
        device = DeviceKey(**facts.pop("device"))
        found = PredictorFile(
            header["kind"], Facts(**facts, device=device), header["settings"], arrays,
            header["hwnas"],
        )  # fmt: skip
        _check(found)
    if kind is not None and found.kind != kind:
        raise DataFormatError(
            f"`{path}` must hold a predictor of the kind {kind!r}, but holds {found.kind!r}."
        )
    return found
