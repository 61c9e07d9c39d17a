"""Scores of a table that `hwnas predict train` learns from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.cli.output import note

if TYPE_CHECKING:
    from hwnas.typing import Arch, SearchSpace


def read_extra(
    path: Path | None, space: SearchSpace[Arch], names: list[str]
) -> dict[str, dict[str, float]] | None:
    """Read the proxies of a table that are among the names, by canonical key."""
    if path is None:
        return None
    from hwnas.errors import DataFormatError, InvalidValueError
    from hwnas.tables.score_table import read_scores

    table = read_scores(path, space, note=note)
    keys = [space.canonical_key(arch) for arch in table.archs]
    found: dict[str, dict[str, float]] = {n: {} for n in table.columns if n in names}
    for name, known in found.items():
        for key, value in zip(keys, table.columns[name].tolist(), strict=True):
            other = known.setdefault(key, value)
            if math.isnan(other):
                known[key] = value
            elif other != value and not math.isnan(value):
                raise DataFormatError(
                    f"`{path}` must have one {name} for equal networks, but has {other} and "
                    f"{value} for {key}."
                )
    if not found:
        raise InvalidValueError(
            f"`--extra` must name proxies of {str(path)!r}, but got {', '.join(names) or 'none'}: "
            f"there are {', '.join(table.columns)}."
        )
    return found


def note_missing_scores(
    known: Mapping[str, Mapping[str, float]] | None, keys: Sequence[str]
) -> None:
    """Say of how many architectures a table has no score."""
    for name, by_key in (known or {}).items():
        if absent := sum(not math.isfinite(by_key[k]) for k in keys if k in by_key):
            note(f"{name}: {absent} of {len(keys)} architectures have no score")
