"""What a command is about to do, before it does it."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.cli.output import note
from hwnas.cli.progress import progress

if TYPE_CHECKING:
    from hwnas.study.settings import SearchSettings


@dataclass
class PlanFirst:
    """A `hwnas.study.hosts.Watch` that says the plan once all input has proven good.

    Attributes:
        settings: of the search.
        where: folder or storage.
        told: whether it has been said.
    """

    settings: SearchSettings
    where: str
    told: bool = False

    def stage(self, what: str) -> None:
        """Say what is done now."""
        progress.stage(what)

    def trials(self, finished: int, total: int, facts: Sequence[str]) -> None:
        """Say the plan before the first trial, then how many there are."""
        if not self.told:
            tell_plan(self.settings, self.where)
            self.told = True
        progress.trials(finished, total, facts)


def tell_plan(settings: SearchSettings, where: str) -> None:
    """Say what is searched, for what, how long and where the results go.

    Args:
        settings: of the search, or of the study that is joined.
        where: folder or storage.
    """
    s = settings
    usual = "hwnas-model" if s.labels else "the default score"
    scores = s.objectives or (usual,)
    tell(
        ("Space", f"{s.space}, for {s.dataset}"),
        ("Objectives", ", ".join([*scores, *s.costs])),
        ("Scores", f"reduced to {s.reduced}: pixels of a side, images" if s.reduced else ""),
        ("Labels", ", ".join([s.labels.rpartition("/")[2], *s.transfer]) if s.labels else ""),
        ("Bounds", ", ".join(s.constraints)),
        ("Device", processor_of(*s.costs)),
        ("Trials", f"{s.trials:,} by {s.sampler}, seed {s.seed}, in {where}"),
    )


def tell(*rows: tuple[str, str]) -> None:
    """Say a plan, a line a row; a row without a text is left out."""
    for name, text in rows:
        if text:
            note(f"{name:<12}{text}")


class Planned:
    """Reports how far a command is, and says its plan before the first time.

    By then all input has proven good: of what is wrong nothing is told but the one line.

    Args:
        rows: of the plan.
    """

    def __init__(self, *rows: tuple[str, str]) -> None:
        self._rows = rows

    def _tell(self) -> None:
        rows, self._rows = self._rows, ()
        tell(*rows)

    def count(self, label: str, finished: int, total: int) -> None:
        """Say how many of what are done now."""
        self._tell()
        progress.count(label, finished, total)

    def stage(self, what: str) -> None:
        """Say what is done now."""
        self._tell()
        progress.stage(what)


def processor_of(*costs: str) -> str:
    """Name this machine's processor if one of the costs is of it, without a measurement's imports.

    Args:
        costs: as ``onnxruntime:cpu:latency``.
    """
    if not any(":cpu:" in cost for cost in costs):
        return ""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
