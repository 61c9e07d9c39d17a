"""The default sampler beside evolution in FBNet, MobileNetV2 and V3: a proxy against a cost.

    python -m benchmarks.search.large_spaces --seeds 5 --evaluations 200 --out large_spaces.csv

Of the networks that HELP measured (5,000 of a space: these alone are proposed) the zero-cost proxy
that counts multiply-accumulates is maximised, and a latency is minimised. In whole spaces
parameters are maximised and multiply-accumulates minimised. An evaluation is a value of the proxy,
in closed form; the cost is known before, as in `hwnas search`. Predictor-guided is what the default
sampler is there. Quality is the hypervolume of the front as a share of that of the best front: of
the 5,000, or of all that any run found. Losses are ranks among the 5,000, or among 5,000 random
networks, so that both count alike, and the reference point is the worst. Each run is appended at
once and not repeated. Needs HWNAS_DATA.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.costs.counters import CounterCost, Metric
from hwnas.costs.source import make_cost
from hwnas.pareto.metrics import hypervolume, is_non_dominated
from hwnas.spaces.space_text import read_space
from hwnas.strategies import AskTell, make_proposer
from hwnas.strategies.problem import Knowledge, Problem
from hwnas.tasks.catalogue import get_task
from hwnas.typing import FloatArray

TASKS = (
    ("fbnet", "cifar100", "help:pixel3:latency"),
    ("fbnet", "cifar100", "help:raspi4:latency"),
    ("fbnet", "cifar100", "help:1080ti_1:latency"),
    ("mobilenetv3", "ImageNet", "help:v100_1:latency"),
    ("mobilenetv3", "ImageNet", "help:2080ti_64:latency"),
    ("mobilenetv2", "ImageNet", "count:any:macs"),
    ("mobilenetv3", "ImageNet", "count:any:macs"),
    ("fbnet", "cifar100", "count:any:macs"),
)
SAMPLERS = ("predictor-guided", "pareto-evolution", "random-search")
SAMPLE = 5000
BUDGETS = (50, 100, 200, 400)


@dataclass(frozen=True)
class Task:
    """A proxy, which evaluations tell, against a cost, which is known.

    Attributes:
        space_name: search space.
        dataset: data set of the cost.
        cost_name: the cost.
    """

    space_name: str
    dataset: str
    cost_name: str

    @cached_property
    def space(self) -> Any:
        """The search space."""
        return read_space(self.space_name)

    @cached_property
    def cost(self) -> Any:
        """What was measured."""
        return make_cost(self.cost_name, self.space, get_task(self.dataset), None, None)

    @cached_property
    def candidates(self) -> list[Any] | None:
        """The networks that were measured; None where the whole space may be proposed."""
        covers = getattr(self.cost, "covers", None)
        return None if covers is None else list(covers)

    @cached_property
    def proxy(self) -> CounterCost[Any]:
        """What is maximised: multiply-accumulates, or parameters where these are the cost."""
        metric: Metric = "macs" if self.candidates else "params"
        return CounterCost(self.space, metric, get_task(self.dataset))

    def losses(self, archs: Sequence[Any]) -> FloatArray:
        """Give `(n, 2)` losses: the proxy negated, and the cost."""
        return np.column_stack([-self.proxy.predict(archs), self.cost.predict(archs)])

    @cached_property
    def scale(self) -> FloatArray:
        """`(n, 2)` losses of all that were measured, or of random networks, each in order."""
        rng = np.random.default_rng(0)
        archs = self.candidates or [self.space.sample(rng) for _ in range(SAMPLE)]
        return np.sort(self.losses(archs), axis=0)

    def shares(self, losses: FloatArray) -> FloatArray:
        """Give `(n, 2)` shares of the networks that are better: 0 best, 1 worst."""
        columns = zip(self.scale.T, losses.T, strict=True)
        return np.column_stack([np.searchsorted(s, x) / len(s) for s, x in columns])

    def problem(self) -> Problem[Any]:
        """Pose the search with the cost known."""
        known = {1: lambda archs: np.asarray(self.cost.predict(archs), dtype=np.float64)}
        return Problem(self.space, None, Knowledge(known_losses=known), self.candidates)


def run(task: Task, name: str, seed: int, n: int) -> tuple[FloatArray, float]:
    """Run a strategy of hwnas; give `(n, 2)` losses and the CPU seconds a proposal."""
    search, found, seconds = AskTell(make_proposer(name, task.problem()), task.space, seed), [], 0.0
    for _ in range(n):
        start = time.process_time()
        asked = search.ask(1)
        seconds += time.process_time() - start
        losses = task.losses(asked)
        search.tell(asked, losses)
        found.append(losses[0])
    return np.array(found), seconds / n


def best_front(task: Task, runs: Sequence[FloatArray]) -> FloatArray:
    """Give the `(k, 2)` shares of the front of all that was measured, or that any run found."""
    known = np.concatenate(runs) if task.candidates is None else task.losses(task.candidates)
    shares = task.shares(known)
    return shares[is_non_dominated(shares)]


def show(rows: Sequence[dict[str, str]]) -> None:
    """Print hypervolumes, mean and standard deviation over the seeds, as Markdown."""
    print(f"| space, cost | sampler | {' | '.join(map(str, BUDGETS))} | ms a proposal |")
    print("| --- " * (3 + len(BUDGETS)) + "|")
    for names in TASKS:
        mine = [row for row in rows if (row["space"], row["cost"]) == (names[0], names[2])]
        if not mine:
            continue
        task = Task(*names)
        runs = {(r["sampler"], r["seed"]): np.array(json.loads(r["losses"])) for r in mine}
        best = hypervolume(best_front(task, list(runs.values())), [1.0, 1.0])
        for sampler in dict.fromkeys(row["sampler"] for row in mine):
            those = [losses for (name, _), losses in runs.items() if name == sampler]
            cells = []
            for n in BUDGETS:
                got = [hypervolume(task.shares(x[:n]), [1.0, 1.0]) / best for x in those]
                done = min(map(len, those)) >= n
                cells.append(f"{np.mean(got):.3f} ± {np.std(got):.3f}" if done else "")
            ms = 1000 * np.mean([float(r["seconds"]) for r in mine if r["sampler"] == sampler])
            print(f"| {names[0]}, {names[2]} | {sampler} | {' | '.join(cells)} | {ms:.0f} |")


def main() -> None:
    """Run what is missing in the file, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sampler", nargs="+", choices=SAMPLERS, default=list(SAMPLERS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--evaluations", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("large_spaces.csv"))
    given = parser.parse_args()
    csv.field_size_limit(10**7)
    names = ("space", "cost", "sampler", "seed", "seconds", "losses")
    rows = list(csv.DictReader(given.out.open())) if given.out.exists() else []
    for seed in range(given.seeds):
        for task in (Task(*t) for t in TASKS):
            for sampler in given.sampler:
                key = (task.space_name, task.cost_name, sampler, str(seed))
                if key in {tuple(row[name] for name in names[:4]) for row in rows}:
                    continue
                losses, seconds = run(task, sampler, seed, given.evaluations)
                values = (*key, f"{seconds:.5f}", json.dumps(losses.tolist()))
                rows.append(dict(zip(names, values, strict=True)))
                with given.out.open("a", newline="") as file:
                    writer = csv.DictWriter(file, names)
                    if file.tell() == 0:
                        writer.writeheader()
                    writer.writerow(rows[-1])
                print(*key, f"{seconds:.4f} s a proposal", flush=True)
    show(rows)


if __name__ == "__main__":
    main()
