"""The compared methods: each gives the cells of a task that it evaluates, one after another."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import optuna

from benchmarks.search.tasks import SPACE, Proxies, Task
from hwnas.ranking.aggregation import log_rank
from hwnas.spaces.nasbench201 import Cell
from hwnas.strategies import AskTell, make_proposer
from hwnas.strategies.each_architecture import each_architecture
from hwnas.strategies.selection import pareto_ranks
from hwnas.typing import SearchSpace

Found = tuple[int | None, float]
"""A proposal: row of the task, None if it cannot be evaluated, and the CPU seconds it took."""
Method = Callable[[Task, Proxies, int, int], Iterator[Found]]
"""Gives the proposals of (task, proxies, seed, evaluations)."""
POPULATION = 20


def strategy(name: str, *, proxies: bool = False, space: SearchSpace[Cell] = SPACE) -> Method:
    """Run a strategy of hwnas, asked and told one by one; the cost is known to it."""

    def run(task: Task, scores: Proxies, seed: int, evaluations: int) -> Iterator[Found]:
        problem = task.problem(scores if proxies else None, space)
        search = AskTell(make_proposer(name, problem), space, seed)
        for _ in range(evaluations):
            start = time.process_time()
            asked = search.ask(1)
            seconds = time.process_time() - start
            if not asked:
                return
            row = task.row[asked[0]]
            search.tell(asked, task.losses[[row]])
            yield row, seconds

    return run


def layers(*names: str) -> Method:
    """Evaluate by Pareto layers of joint proxy ranks and cost: no label decides what comes next."""

    def run(task: Task, scores: Proxies, seed: int, evaluations: int) -> Iterator[Found]:
        cells = task.population
        give = scores.knowledge(begin_with=names).scores
        assert give is not None
        table = give(cells)
        joint = log_rank(table, ["maximize"] * table.shape[1])
        layer = pareto_ranks(np.column_stack([-joint, task.losses[:, 1]]))
        order = np.lexsort((np.random.default_rng(seed).random(len(cells)), layer))
        yield from ((int(row), 0.0) for row in order[:evaluations])

    return run


def stock(make: Callable[[int], optuna.samplers.BaseSampler]) -> Method:
    """Run a stock sampler on the six edges; a cell that is not in the population is its class."""

    def run(task: Task, scores: Proxies, seed: int, evaluations: int) -> Iterator[Found]:
        del scores
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(directions=["minimize"] * 2, sampler=make(seed))
        edges: dict[str, optuna.distributions.BaseDistribution] = {
            name: optuna.distributions.CategoricalDistribution(choices)
            for name, choices in SPACE.parameters.items()
        }
        for _ in range(evaluations):
            start = time.process_time()
            trial = study.ask(edges)
            seconds = time.process_time() - start
            cell = SPACE.decode(trial.params)
            if not SPACE.is_valid(cell):
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                yield None, seconds
                continue
            row = task.row[cell] if cell in task.row else task.row[SPACE.representative(cell)]
            study.tell(trial, task.losses[row].tolist())
            yield row, seconds

    return run


METHODS: Mapping[str, Method] = {
    "hardware-aware": strategy("predictor-guided", proxies=True),
    "hardware-aware, each cell": strategy(
        "predictor-guided", proxies=True, space=each_architecture(SPACE)
    ),
    "without proxies": strategy("predictor-guided"),
    "pareto-evolution": strategy("pareto-evolution"),
    "pareto-local-search": strategy("pareto-local-search"),
    "random-search": strategy("random-search"),
    "FLOPs + table": layers("params"),
    "jacob_cov, params + table": layers("params", "jacob_cov"),
    "FLOPs, naswot, jacob_cov + table": layers("params", "naswot", "jacob_cov"),
    "Optuna random": stock(lambda seed: optuna.samplers.RandomSampler(seed=seed)),
    "Optuna TPE": stock(lambda seed: optuna.samplers.TPESampler(seed=seed)),
    "Optuna NSGA-II": stock(
        lambda seed: optuna.samplers.NSGAIISampler(seed=seed, population_size=POPULATION)
    ),
    "Optuna NSGA-III": stock(
        lambda seed: optuna.samplers.NSGAIIISampler(seed=seed, population_size=POPULATION)
    ),
    "Optuna GP": stock(lambda seed: optuna.samplers.GPSampler(seed=seed)),
}


def distinct(rows: Sequence[int]) -> int:
    """Count the different cells."""
    return len(set(rows))
