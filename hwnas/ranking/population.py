"""The architectures that scores are compared on, with their raw scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic

import numpy as np

from hwnas.cache import ResultCache
from hwnas.configuration import Task, reference_sample
from hwnas.evaluation import Evaluator, Report
from hwnas.objectives import proxy_objective
from hwnas.proxies import make_proxies
from hwnas.ranking.score_table import ScoreTable
from hwnas.typing import Arch, FloatArray


@dataclass(frozen=True)
class Population(Generic[Arch]):
    """Architectures in an order without meaning, so that ties may be taken in this order.

    Attributes:
        archs: (n,) architectures.
        columns: (n,) raw scores by the name of the proxy; NaN where there is none.
        origin: where they come from, for people.
        again: (n,) raw scores of a second seed; empty where there is none.
    """

    archs: list[Arch]
    columns: dict[str, FloatArray]
    origin: str
    again: dict[str, FloatArray]


def shuffled(table: ScoreTable[Arch], file: Path, seed: int) -> Population[Arch]:
    """Take the architectures of a table in a random order."""
    order = np.random.default_rng(seed).permutation(len(table.archs))
    columns = {name: values[order] for name, values in table.columns.items()}
    return Population([table.archs[i] for i in order], columns, f"scores of {file.name}", {})


def scored_sample(
    task: Task[Arch],
    proxies: Sequence[str],
    n: int,
    *,
    second_seed: int | None = None,
    cache: ResultCache | None = None,
    jobs: int = 1,
    report: Report | None = None,
) -> Population[Arch]:
    """Score `n` different networks, or all there are.

    Args:
        task: space, data set, batch size, and the seed of the sample and of the scores.
        proxies: names of the proxies.
        n: networks.
        second_seed: seed of scores of the same networks, to compare the first ones with.
        cache: where scores are kept.
        jobs: worker processes.
        report: progress.
    """
    archs = reference_sample(task.space, n, task.seed)

    def scores(seed: int) -> dict[str, FloatArray]:
        source = replace(task, seed=seed).proxies(make_proxies(proxies))
        objectives = [proxy_objective(source, name) for name in source.columns]
        evaluator = Evaluator(task.space, objectives, cache=cache, jobs=jobs, report=report)
        found = evaluator.evaluate(archs)
        return {name: np.array([e.values[name] for e in found]) for name in source.columns}

    origin = (
        f"networks of uniformly drawn cells, each once, scored with {task.batch_size} Gaussian "
        f"images for {task.dataset.name}, seed {task.seed}"
    )
    again = {} if second_seed is None else scores(second_seed)
    return Population(archs, scores(task.seed), origin, again)
