"""What the study searches: NAS-Bench-201 accuracies against the costs of HW-NAS-Bench.

Every value is looked up by the exact cell. The members of one class have accuracies and costs that
differ by the noise of training and measurement, so that a search which proposes each class once
cannot find every cell of the true front: it proposes the cheapest member of a class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from hwnas.costs.hw_nas_bench import HwNasBench
from hwnas.data.nasbench201 import accuracies
from hwnas.pareto.metrics import FrontQuality, front_quality
from hwnas.ranking.recipes import RECIPES
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.strategies import Knowledge, Problem
from hwnas.strategies.problem import Measure
from hwnas.strategies.score_knowledge import LEARN_FROM, score_knowledge
from hwnas.tables.score_table import read_scores
from hwnas.tables.shipped import shipped_scores
from hwnas.typing import FloatArray, SearchSpace

Cells = Literal["live", "all"]
SPACE = NasBench201()
DATASETS = ("cifar10", "cifar100", "ImageNet16-120")
COSTS = (
    ("edgegpu", "latency"),
    ("edgegpu", "energy"),
    ("raspi4", "latency"),
    ("pixel3", "latency"),
)


@dataclass(frozen=True)
class Task:
    """Two losses of every cell of a population: accuracy negated, and a cost.

    Attributes:
        dataset: data set of accuracy and cost.
        device: device of HW-NAS-Bench.
        metric: ``latency`` or ``energy``.
        cells: ``live`` or ``all``; cells without a path from input to output are in neither.
    """

    dataset: str
    device: str
    metric: str
    cells: Cells = "live"

    @cached_property
    def population(self) -> list[Cell]:
        """(n,) cells."""
        every = (cell for cell in SPACE if SPACE.is_valid(cell))
        return [cell for cell in every if self.cells == "all" or cell.is_live()]

    @cached_property
    def losses(self) -> FloatArray:
        """(n, 2) losses: accuracy in percent, negated, and the cost in its unit."""
        accuracy = accuracies(self.dataset)
        cost = HwNasBench(self.dataset, self.device, self.metric).predict(self.population)
        return np.column_stack([[-accuracy[str(cell)] for cell in self.population], cost])

    @cached_property
    def row(self) -> dict[Cell, int]:
        """Row of each cell."""
        return {cell: i for i, cell in enumerate(self.population)}

    def costs(self, cells: Sequence[Cell]) -> FloatArray:
        """Look the `(n,)` costs of cells up."""
        return self.losses[[self.row[cell] for cell in cells], 1]

    def problem(
        self, proxies: Proxies | None = None, space: SearchSpace[Cell] = SPACE
    ) -> Problem[Cell]:
        """Pose the problem with the cost known, and with proxies if given."""
        known: Mapping[int, Measure[Cell]] = {1: self.costs}
        knowledge = Knowledge(known_losses=known) if proxies is None else proxies.knowledge(known)
        return Problem(space, knowledge=knowledge, candidates=self.population)

    def quality(self, found: Sequence[int]) -> FrontQuality:
        """Rate the rows that were found."""
        return front_quality(self.losses[list(found)], self.losses)


@dataclass(frozen=True)
class Proxies:
    """Proxy scores of every class: those that ship with hwnas, or `hwnas score --out`'s.

    Attributes:
        keys: (n,) canonical keys.
        columns: (n,) raw scores by the name of the proxy.
    """

    keys: Sequence[str]
    columns: Mapping[str, FloatArray]

    @classmethod
    def read(cls, path: Path | None = None, images: str = "gaussian") -> Proxies:
        """Read a table, or the shipped scores of these images.

        A table without params gets the count that orders cells the same way.
        """
        if path is None:
            shipped = shipped_scores(SPACE.name, "cifar10", images)
            assert shipped is not None
            return cls(shipped.keys, shipped.table.columns)
        table = read_scores(path, SPACE)
        params = np.array([conv_weights(cell) for cell in table.archs])
        keys = [SPACE.canonical_key(cell) for cell in table.archs]
        return cls(keys, {"params": params, **table.columns})

    def knowledge(
        self,
        known_losses: Mapping[int, Measure[Cell]] | None = None,
        begin_with: Sequence[str] | None = None,
    ) -> Knowledge[Cell]:
        """Make knowledge as `shipped_knowledge` does, of those of its columns that are here."""
        first = [
            p for n in begin_with or () for p in (RECIPES[n].proxies if n in RECIPES else (n,))
        ]
        names = dict.fromkeys([*(n for n in LEARN_FROM if n in self.columns), *first])
        columns = {name: self.columns[name] for name in names}
        return score_knowledge(SPACE, self.keys, columns, known_losses, begin_with)


def conv_weights(cell: Cell) -> float:
    """Count the kernel elements of a cell's convolutions: params and FLOPs grow with it alone."""
    return float(sum({"nor_conv_1x1": 1, "nor_conv_3x3": 9}.get(o, 0) for o in cell.operations))
