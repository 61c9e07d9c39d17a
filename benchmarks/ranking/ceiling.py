"""How well one score can rank the networks of a space for several tasks at once, at best.

Spearman's coefficients are linear in the ranks that a score gives, so that no order has a larger
mean of them over some tasks than that by the mean of the networks' ranks in each, which knows every
result. Printed are that mean, each task's coefficient in it, and how alike the tasks rank. The sets
of tasks are all, and those of each split where there are several. Needs HWNAS_DATA.

    python -m benchmarks.ranking.ceiling autoformer transnasbench101-micro
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from itertools import combinations

import numpy as np

from benchmarks.ranking.choose_recipe import TASKS
from hwnas.ranking.metrics import spearman
from hwnas.ranking.ranks import average_ranks
from hwnas.spaces.facets import Truth, require_facet
from hwnas.spaces.space_text import named_space
from hwnas.typing import FloatArray


def results(name: str) -> dict[str, FloatArray]:
    """Give the (n,) results of the networks that all tasks of a space have, by task."""
    truth = require_facet(named_space(name), Truth)
    pairs = [task.partition("/")[::2] for task in TASKS[name]]
    known = [truth.accuracies(dataset, split) for dataset, split in pairs]
    archs = [arch for arch in known[0] if all(arch in values for values in known)]
    return {
        task: np.array([values[arch] for arch in archs])
        for task, values in zip(TASKS[name], known, strict=True)
    }


def sets(tasks: Mapping[str, FloatArray]) -> dict[str, list[str]]:
    """Name the sets of tasks."""
    splits: dict[str, list[str]] = {"all": list(tasks)}
    for task in tasks:
        splits.setdefault(task.partition("/")[2], []).append(task)
    whole = splits.pop("all")
    parts = {split: part for split, part in splits.items() if 1 < len(part) < len(whole)}
    return {"all": whole, **parts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("space", nargs="+", choices=TASKS)
    for space in parser.parse_args().space:
        tasks = results(space)
        for split, part in sets(tasks).items():
            order = np.mean([average_ranks(tasks[task]) for task in part], axis=0)
            own = [spearman(order, tasks[task]) for task in part]
            alike = [spearman(tasks[a], tasks[b]) for a, b in combinations(part, 2)]
            print(
                f"{space}, {len(part)} tasks ({split}), {len(order)} networks: at best "
                f"{np.mean(own):.3f} ({' '.join(f'{value:.2f}' for value in own)}); two tasks "
                f"{np.min(alike):.2f} to {np.max(alike):.2f}"
            )


if __name__ == "__main__":
    main()
