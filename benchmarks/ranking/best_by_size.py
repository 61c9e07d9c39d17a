"""The cells that the number of parameters or FLOPs alone would choose in TransNAS-Bench-101.

    python -m benchmarks.ranking.best_by_size

Of all 4,096 micro cells with a path from input to output: the best value of the validation split,
and that of the largest cell by parameters and by FLOPs, beside Table V of the survey (Li et al.,
Zero-Shot Neural Architecture Search: Challenges, Solutions, and Opportunities, TPAMI 2024). Cells
that are equally large have the mean value. A cell's count is the sum over its operations in the
network without dead ones, so that each operation of each edge is counted once, and the sum is
compared with the count of whole networks. Needs HWNAS_DATA.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hwnas.costs.counters import Metric, count
from hwnas.data.transnasbench101 import MicroResults
from hwnas.spaces.nasbench201 import EDGES, Cell
from hwnas.spaces.transnasbench101.micro import MicroArch, TransNasMicro
from hwnas.tasks.catalogue import get_task
from hwnas.typing import FloatArray

SPACE = TransNasMicro()
PUBLISHED: Mapping[str, tuple[float, float, float]] = {
    "segmentsemantic": (94.61, 94.50, 94.50),
    "autoencoder": (58.0, 46.0, 46.0),
}
"""Ground truth, #Params and #FLOPs; structural similarities times 100 here."""
SPLIT = "validation"
"""Whose best autoencoder is the published one, .58."""
METRICS: tuple[Metric, ...] = ("params", "flops")
_CHECKED = 5


def counts(task: str, cell: Cell) -> FloatArray:
    """Count the whole network of a cell as it is."""
    wanted = get_task(task)
    found = count(SPACE.build(MicroArch(cell), wanted), wanted.input)
    return np.array([float(getattr(found, metric) or 0) for metric in METRICS])


def sizes(task: str, cells: list[Cell]) -> FloatArray:
    """Give `(n, 2)` parameters and FLOPs as sums over operations."""
    nothing = Cell(("none",) * len(EDGES))
    base = counts(task, nothing)
    operations = sorted({o for cell in cells for o in cell.operations} - {"none"})
    of = {
        (edge, operation): counts(task, _with(nothing, edge, operation)) - base
        for edge in range(len(EDGES))
        for operation in operations
    }
    zero = np.zeros(len(METRICS))
    return np.array(
        [base + sum((of.get(part, zero) for part in enumerate(c.operations)), zero) for c in cells]
    )


def _with(cell: Cell, edge: int, operation: str) -> Cell:
    names = list(cell.operations)
    names[edge] = operation
    return Cell(tuple(names))


def main() -> None:
    """Print a row a task."""
    print("| task | best | published | by params | published | by FLOPs | published |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for task, published in PUBLISHED.items():
        known = MicroResults(SPACE).accuracies(task, SPLIT)
        archs = [arch for arch in map(SPACE.parse, known) if SPACE.is_valid(arch)]
        values = np.array([known[str(arch)] for arch in archs])
        cells = [SPACE.representative(arch).cell for arch in archs]
        found = sizes(task, cells)
        for place in np.random.default_rng(0).integers(len(cells), size=_CHECKED):
            np.testing.assert_allclose(counts(task, cells[place]), found[place])
        chosen = [values[column == column.max()].mean() for column in found.T]
        pairs = zip((values.max(), *chosen), published, strict=True)
        print(f"| {task} | {' | '.join(f'{a:.2f} | {b:.2f}' for a, b in pairs)} |", flush=True)


if __name__ == "__main__":
    main()
