"""The state of a search as a JSON file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.errors import DataFormatError
from hwnas.files.atomic import write_text
from hwnas.files.csv_table import ARCHITECTURE, architecture_of
from hwnas.pareto.provenance import plain


@dataclass(frozen=True)
class Record:
    """A trial that has ended.

    Attributes:
        arch: its architecture.
        metrics: what it reported: a number or a dict; None if nothing.
    """

    arch: Any
    metrics: Any

    def as_dict(self) -> dict[str, Any]:
        """Give JSON values."""
        return {ARCHITECTURE: str(self.arch), "metrics": plain(self.metrics)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any], parse: Callable[[str], Any]) -> Record:
        """Read what `as_dict` gave."""
        return cls(parse(architecture_of(record)), record["metrics"])


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state; a process killed at any moment leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(state))


def read_state(path: Path) -> dict[str, Any]:
    """Read what `write_state` wrote; `DataFormatError` if it is something else."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataFormatError(f"`checkpoint` must be a JSON file, but {path} is none.") from error
    if not isinstance(state, dict) or not {"search", "records"} <= set(state):
        raise DataFormatError(
            f"`checkpoint` must be what a search of hwnas wrote, but {path} is something else: "
            f"name another file."
        )
    return state
