"""Make a small Pareto set and export it: JSON, CSV, ONNX models and an HTML report.

    python examples/03_export_pareto_set.py [FOLDER]

Random cells of NAS-Bench-201 are compared by two counts that need neither data nor a device: MACs
(to be few) and convolutions on the longest path through a cell (to be many).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from hwnas.cli.progress import progress

with progress.loading(__name__):  # says that it is alive while PyTorch is imported
    import numpy as np

    from hwnas.costs.counters import CounterCost
    from hwnas.pareto import ObjectiveInfo, ParetoSet, describe_environment
    from hwnas.pareto.json_csv import write_csv, write_json
    from hwnas.reports.onnx_members import export_onnx_members
    from hwnas.reports.report import write_report
    from hwnas.spaces.nasbench201 import Cell, NasBench201
    from hwnas.tasks.task import image_task

SEED = 0
TASK = image_task(10, (3, 32, 32))


def depth(space: NasBench201, cell: Cell) -> int:
    """Count the convolutions on the longest path through the cell."""
    graph = space.to_graph(cell)
    longest = [0] * len(graph)
    for j in range(1, len(graph)):
        before = max((longest[i] for i in np.flatnonzero(graph.adjacency[:, j])), default=0)
        longest[j] = before + graph.operations[j].startswith("nor_conv")
    return longest[-1]


def main(folder: Path) -> None:
    """Evaluate 40 cells and write the result to a folder."""
    space = NasBench201(channels=8, cells=2)
    rng = np.random.default_rng(SEED)
    cells = [space.sample(rng) for _ in range(40)]
    with progress.running("counting"):
        macs = CounterCost(space, "macs", TASK).predict(cells)
    pareto_set = ParetoSet.from_values(
        cells,
        [space.canonical_key(cell) for cell in cells],
        np.column_stack([macs, [depth(space, cell) for cell in cells]]),
        [ObjectiveInfo("macs", "MAC", "minimize"), ObjectiveInfo("depth", "", "maximize")],
        space=space,
        statuses=["complete" if space.is_valid(cell) else "infeasible" for cell in cells],
        provenance=describe_environment() | {"seed": SEED, **TASK.settings},
    )

    with progress.running("writing"):
        write_json(pareto_set, folder / "front.json")
        write_csv(pareto_set, folder / "front.csv")
        write_report(pareto_set, folder / "report.html", space)
        files = export_onnx_members(pareto_set, space, TASK, folder / "onnx", seed=SEED)

    again = ParetoSet.load(folder / "front.json")
    print(f"written to {folder}, read back unchanged: {again == pareto_set}")
    for member, file in zip(again.members, files, strict=True):
        print(f"{member.values[0] / 1e6:6.2f} MMAC  depth {member.values[1]:.0f}  {file.file.name}")
    print(f"a compromise: {again.knee().arch}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="hwnas-")))
