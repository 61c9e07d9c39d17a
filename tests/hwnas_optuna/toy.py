"""A search space's smallest evaluator, and studies of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import optuna

from hwnas.errors import HwnasError
from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.objectives import ValueObjective
from hwnas.evaluation.sources import Effort
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.tables.result import Result
from hwnas.typing import Constraint
from hwnas_optuna.search import open_study

SPACE = NasBench201()
WEIGHTS = {"none": 0.0, "skip_connect": 1.0, "avg_pool_3x3": 2.0, "nor_conv_1x1": 5.0}


class Killed(BaseException):
    """Stands for the end of the process: nothing of ours catches it."""


class LookedUp:
    """What a source of two numbers has that are neither cached nor shipped."""

    label = "toy"
    effort = Effort.LOOKUP
    resource = None
    columns = ("gain", "cost")

    def cache_prefix(self, column: str) -> str | None:
        del column
        return None

    def precomputed(self, column: str, key: str) -> Result | None:
        del column, key
        return None


@dataclass(frozen=True)
class Toy(LookedUp):
    """Two conflicting numbers of a cell; raises after `patience` architectures."""

    patience: float = float("inf")
    fails_on: str = ""
    seen: list[str] = field(default_factory=list, compare=False)

    def compute(self, arch: Cell, columns: Sequence[str]) -> dict[str, Result]:
        if len(self.seen) >= self.patience:
            raise Killed
        self.seen.append(str(arch))
        if self.fails_on and self.fails_on in arch.operations:
            raise HwnasError("no luck")
        weights = [WEIGHTS.get(o, 9.0) for o in arch.operations]
        values = {"gain": sum(weights[:3]) * max(weights), "cost": sum(weights)}
        return {column: Result(values[column]) for column in columns}


def evaluator(toy: Toy, bound: float | None = None) -> Evaluator[Cell]:
    gain = ValueObjective("gain", "", "maximize", toy, ("gain",))
    cost = ValueObjective("cost_ms", "ms", "minimize", toy, ("cost",))
    constraints = [] if bound is None else [Constraint(cost, "<=", bound)]
    return Evaluator(SPACE, [gain, cost], constraints)


def study_of(
    made: Evaluator[Cell], storage: Path | str | None, sampler: str = "nsga2", seed: int = 0
) -> optuna.Study:
    if isinstance(storage, Path):
        storage = f"sqlite:///{storage}"
    return open_study(
        made, storage=storage, name="s", sampler=sampler, seed=seed, settings={"toy": 1}
    )
