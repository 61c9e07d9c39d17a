"""Choose the proxies of `hwnas-agg` and their weights, and show what each of them is worth.

The candidates are the proxies that ship with the package. Half of the classes of NAS-Bench-201 (by
the parity of their key) and the CIFAR-10 validation accuracies are all that the choice sees.
Proxies are added one at a time, one of them again counting as a larger weight, while Kendall's tau
of the weighted log ranks grows by more than a thousandth. It is reported on the other half and,
over all live cells, on each data set and split. Needs HWNAS_DATA.

    python benchmarks/ranking/choose_aggregate.py
    python benchmarks/ranking/choose_aggregate.py --images cifar10-sample
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hwnas.data.nasbench201 import DATASETS, SPLITS, Split, accuracies
from hwnas.data.own_images import IMAGES
from hwnas.proxies import proxy_direction
from hwnas.rank_study.population import shipped_population
from hwnas.ranking.aggregation import log_rank
from hwnas.ranking.metrics import kendall
from hwnas.ranking.recipes import RECIPES
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.tables.shipped import shipped_scores
from hwnas.typing import FloatArray

GAIN = 1e-3


@dataclass(frozen=True)
class Study:
    """The live cells.

    Attributes:
        logs: (n,) logarithms of ranks by the name of the proxy.
        truths: (n,) accuracies by data set and split.
        seen: (n,) flags of the cells whose class the choice may look at.
    """

    logs: Mapping[str, FloatArray]
    truths: Mapping[tuple[str, Split], FloatArray]
    seen: np.ndarray

    def tau(self, weights: Mapping[str, float], where: np.ndarray) -> float:
        """Compute tau on CIFAR-10 validation among some of the cells."""
        return kendall(self.joint(weights)[where], self.truths["cifar10", "validation"][where])

    def joint(self, weights: Mapping[str, float]) -> FloatArray:
        """Give the (n,) weighted sums of logarithms."""
        joint = np.zeros(len(self.seen))
        for name, weight in weights.items():
            joint += weight * self.logs[name]
        return joint

    def row(self, weights: Mapping[str, float]) -> str:
        """Give tau on the seen and the unseen half, then on all cells for each accuracy."""
        halves = [self.tau(weights, self.seen), self.tau(weights, ~self.seen)]
        joint = self.joint(weights)
        return " | ".join(
            f"{tau:.3f}" for tau in (*halves, *(kendall(joint, t) for t in self.truths.values()))
        )


def study(images: str) -> Study:
    space, scores = NasBench201(), shipped_scores("nasbench201", "cifar10", images)
    assert scores is not None
    cells, _ = shipped_population(space, scores, [c for c in space if c.is_live()], seed=0)
    logs = {
        name: log_rank(values[:, None], [proxy_direction(name)])
        for name, values in cells.columns.items()
    }
    truths: dict[tuple[str, Split], FloatArray] = {}
    for name in DATASETS:
        for split in SPLITS if name == "cifar10" else SPLITS[:2]:
            known = accuracies(name, split)
            truths[name, split] = np.array([known[str(cell)] for cell in cells.archs])
    seen = np.array([int(space.canonical_key(cell), 16) % 2 == 0 for cell in cells.archs])
    return Study(logs, truths, seen)


def choose(cells: Study, limit: int) -> Counter[str]:
    """Add one proxy at a time, or one again."""
    chosen: Counter[str] = Counter()
    best = 0.0
    while sum(chosen.values()) < limit:
        tau, name = max((cells.tau(chosen + Counter([n]), cells.seen), n) for n in cells.logs)
        if tau < best + GAIN:
            break
        best = tau
        chosen[name] += 1
        print(f"| + {name} | {cells.row(chosen)} |", flush=True)
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=12, help="sum of the weights at most")
    parser.add_argument("--images", choices=IMAGES, default="gaussian")
    arguments = parser.parse_args()
    cells = study(arguments.images)
    names = " | ".join(f"{name} {split}" for name, split in cells.truths)
    print(f"Kendall's tau-b; {len(cells.seen):,} live cells, {cells.seen.sum():,} of them seen\n")
    print(f"| score | seen half | other half | {names} |")
    print("| --- " * (3 + len(cells.truths)) + "|")
    chosen = choose(cells, arguments.limit)
    print("\nWithout one of them:\n")
    for name in chosen:
        rest = {n: w for n, w in chosen.items() if n != name}
        print(f"| without {name} | {cells.row(rest)} |")
    print("\nEqual weights, and ready-made scores:\n")
    print(f"| equal weights | {cells.row(dict.fromkeys(chosen, 1.0))} |")
    for recipe in RECIPES.values():
        if recipe.method == "log" and set(recipe.proxies) <= set(cells.logs):
            weights = recipe.weights or (1.0,) * len(recipe.proxies)
            print(
                f"| {recipe.name} | {cells.row(dict(zip(recipe.proxies, weights, strict=True)))} |"
            )
    print(f"\nchosen: {dict(chosen)}")


if __name__ == "__main__":
    main()
