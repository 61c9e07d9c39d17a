"""Best test accuracy after 300 trained networks: random search and ageing evolution, with proxies.

As Figure 3 and Table 2 of Gracheva, Neural Architecture Search via Two Constant Shared Weights
Initialisations (arXiv 2302.04406): a search sees validation accuracies, and the test accuracy of
the network that it trained with the best validation accuracy is reported. Warm-up takes the 64 best
of 3,000 random networks by the proxy; a move takes parents by it. A class is trained once, as its
representative; the best possible network is the best of all classes. Needs HWNAS_DATA; proxy scores
are those that ship with hwnas, or a table of `hwnas score --whole-space --out`::

    python -m benchmarks.search.single_objective --proxy naswot --rounds 100
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from benchmarks.search.tasks import DATASETS, SPACE, Proxies
from hwnas.data.nasbench201 import accuracies
from hwnas.spaces.nasbench201 import Cell
from hwnas.strategies import AskTell, Problem, Proposer
from hwnas.strategies.ageing_evolution import AgeingEvolution
from hwnas.strategies.predictor_guided import PredictorGuided
from hwnas.strategies.random_search import RandomSearch

WARM_UP = 64
STEPS = (64, 100, 200, 300)

SEARCHES: Mapping[str, Callable[[Problem[Cell]], Proposer[Cell]]] = {
    "random search": RandomSearch,
    "random search, warm-up": lambda problem: RandomSearch(problem, WARM_UP),
    "ageing evolution": AgeingEvolution,
    "ageing evolution, warm-up": lambda problem: AgeingEvolution(problem, warm_up=WARM_UP),
    "ageing evolution, move": lambda problem: AgeingEvolution(problem, parents="scores"),
    "ageing evolution, warm-up and move": lambda problem: AgeingEvolution(
        problem, warm_up=WARM_UP, parents="scores"
    ),
    "hardware-aware": PredictorGuided,
}


def main() -> None:
    arguments = _arguments()
    proxies = Proxies.read(arguments.scores)
    problem = Problem(SPACE, knowledge=proxies.knowledge(begin_with=arguments.proxy))
    print("| data set | search | " + " | ".join(f"N = {n}" for n in STEPS) + " |")
    print("| --- " * (2 + len(STEPS)) + "|")
    for dataset in arguments.dataset:
        validation, test = accuracies(dataset), accuracies(dataset, "test")
        classes = {SPACE.representative(cell) for cell in SPACE if SPACE.is_valid(cell)}
        best = max(classes, key=lambda cell: validation[str(cell)])
        print(f"| {dataset} | best possible | " + f"{test[str(best)]:.2f} | " * len(STEPS))
        for name, make in SEARCHES.items():
            proposer = make(problem)
            rounds = [_trace(proposer, validation, test, seed) for seed in range(arguments.rounds)]
            means, deviations = np.mean(rounds, axis=0), np.std(rounds, axis=0)
            shown = (f"{m:.2f} ± {d:.2f}" for m, d in zip(means, deviations, strict=True))
            print(f"| {dataset} | {name} | " + " | ".join(shown) + " |", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, help="table of scores [default: shipped ones]")
    parser.add_argument("--proxy", nargs="+", required=True, help="warm-up and move go by these")
    parser.add_argument("--dataset", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--rounds", type=int, default=100)
    return parser.parse_args()


def _trace(
    proposer: Proposer[Cell], validation: Mapping[str, float], test: Mapping[str, float], seed: int
) -> list[float]:
    """Give the test accuracy of the best network by validation after each of `STEPS`."""
    search = AskTell(proposer, SPACE, seed)
    trained: list[str] = []
    for _ in range(max(STEPS)):
        (cell,) = search.ask(1)
        search.tell([cell], [[-validation[str(cell)]]])
        trained.append(str(cell))
    return [test[max(trained[:n], key=lambda text: validation[text])] for n in STEPS]


if __name__ == "__main__":
    main()
