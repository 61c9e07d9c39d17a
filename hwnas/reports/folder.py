"""The folder of a search's results: what is written there, under fixed names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hwnas.pareto import ParetoSet
    from hwnas.typing import Arch, SearchSpace

FRONT, TABLE, REPORT = "front.json", "front.csv", "report.html"


def write_results(pareto_set: ParetoSet, folder: Path, space: SearchSpace[Arch]) -> None:
    """Write `front.json`, `front.csv` and `report.html`; each file is replaced at once.

    Args:
        pareto_set: the result.
        folder: where to write; made if absent.
        space: search space, whose architectures are drawn in the report.
    """
    from hwnas.pareto.json_csv import write_csv, write_json
    from hwnas.reports.report import write_report

    folder.mkdir(parents=True, exist_ok=True)
    write_json(pareto_set, folder / FRONT)
    write_csv(pareto_set, folder / TABLE)
    write_report(pareto_set, folder / REPORT, space)
