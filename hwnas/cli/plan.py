"""What a search is about to do, before it does it."""

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
    note(f"Space       {s.space}, for {s.dataset}")
    scores = s.objectives or ("the default score",)
    note(f"Objectives  {', '.join([*scores, *s.costs])}")
    if s.constraints:
        note(f"Bounds      {', '.join(s.constraints)}")
    if any(":cpu:" in cost for cost in s.costs):
        note(f"Device      {_processor()}")
    note(f"Trials      {s.trials:,} by {s.sampler}, seed {s.seed}, in {where}")


def _processor() -> str:
    """Name this machine's processor, without the imports that a measurement needs."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
