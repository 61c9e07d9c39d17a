"""Choose the proxies of `hwnas-agg` and `hwnas-any`, their weights, and show what each is worth.

Half of the classes of NAS-Bench-201 (by the parity of their key) and the CIFAR-10 validation
accuracies are all that the choice sees. Proxies are added one at a time, one of them again counting
as a larger weight, while Kendall's tau of the weighted log ranks grows by more than a thousandth.
It is reported on the other half and, over all live cells, on each data set and split. The
candidates of `hwnas-agg` are all proxies that ship with the package. Needs HWNAS_DATA.

``--any`` chooses `hwnas-any`, for spaces of every kind: among the proxies that `score_sample.py`
has for other spaces, each also the other way round (``-name``: a small value is good), one or two
at a time while tau grows by more than two thousandths, one of them being taken away where that
gains; by the mean tau of the scores of Gaussian images and of those of CIFAR-10. Params stand for
flops, which rank all cells alike.

    python benchmarks/ranking/choose_aggregate.py
    python benchmarks/ranking/choose_aggregate.py --images cifar10-sample
    python -m benchmarks.ranking.choose_aggregate --any
"""

from __future__ import annotations

import argparse
import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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
from hwnas.typing import Direction, FloatArray

GAIN = 1e-3
GAIN_OF_ANY = 2e-3
_OTHER: Mapping[Direction, Direction] = {"maximize": "minimize", "minimize": "maximize"}


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
    """Read scores and accuracies; each proxy stands the other way round as well, as ``-name``."""
    space, scores = NasBench201(), shipped_scores("nasbench201", "cifar10", images)
    assert scores is not None
    cells, _ = shipped_population(space, scores, [c for c in space if c.is_live()], seed=0)
    logs: dict[str, FloatArray] = {}
    for name, values in cells.columns.items():
        direction = proxy_direction(name)
        logs[name] = log_rank(values[:, None], [direction])
        logs[f"-{name}"] = log_rank(values[:, None], [_OTHER[direction]])
    truths: dict[tuple[str, Split], FloatArray] = {}
    for name in DATASETS:
        for split in SPLITS if name == "cifar10" else SPLITS[:2]:
            known = accuracies(name, split)
            truths[name, split] = np.array([known[str(cell)] for cell in cells.archs])
    seen = np.array([int(space.canonical_key(cell), 16) % 2 == 0 for cell in cells.archs])
    return Study(logs, truths, seen)


def choose(cells: Study, limit: int) -> Counter[str]:
    """Add one proxy at a time, or one again."""
    pool = [name for name in cells.logs if not name.startswith("-")]
    chosen: Counter[str] = Counter()
    best = 0.0
    while sum(chosen.values()) < limit:
        tau, name = max((cells.tau(chosen + Counter([n]), cells.seen), n) for n in pool)
        if tau < best + GAIN:
            break
        best = tau
        chosen[name] += 1
        print(f"| + {name} | {cells.row(chosen)} |", flush=True)
    return chosen


def choose_any(both: Sequence[Study], limit: int) -> Counter[str]:
    """Add one or two members at a time, and take away what is better left out."""
    from benchmarks.ranking.score_sample import PROXIES

    pool = [n for p in PROXIES if p != "flops" for n in (p, f"-{p}") if n in both[0].logs]

    def tau(weights: Mapping[str, float]) -> float:
        return float(np.mean([cells.tau(weights, cells.seen) for cells in both]))

    def best_of(trials: Iterable[Counter[str]]) -> tuple[float, Counter[str]]:
        return max(((tau(w), w) for w in trials), key=lambda trial: trial[0])

    chosen: Counter[str] = Counter()
    best = 0.0
    while sum(chosen.values()) < limit:
        value, found = best_of(_additions(chosen, pool, limit))
        if value < best + GAIN_OF_ANY:
            break
        while value > best:
            best, chosen = value, found
            print(f"{best:.4f} {dict(sorted(chosen.items()))}", flush=True)
            value, found = best_of(chosen - Counter([name]) for name in chosen)
    return chosen


def worth(both: Sequence[Study], chosen: Mapping[str, float]) -> None:
    """Print what the choice is worth, whole, without each member and with equal weights."""
    names = " | ".join(f"{name} {split}" for name, split in both[0].truths)
    print(f"\n| score, images | seen half | other half | {names} |")
    print("| --- " * (3 + len(both[0].truths)) + "|")
    variants = {"chosen": dict(chosen), "equal weights": dict.fromkeys(chosen, 1.0)}
    for name in chosen:
        variants[f"without {name}"] = {n: w for n, w in chosen.items() if n != name}
    for label, weights in variants.items():
        for images, cells in zip(IMAGES, both, strict=True):
            print(f"| {label}, {images} | {cells.row(weights)} |", flush=True)
    print(f"\nchosen: {dict(chosen)}")


def _additions(chosen: Counter[str], pool: Sequence[str], limit: int) -> Iterator[Counter[str]]:
    """Give the choices with one or two more, up to the limit; a member is on one side alone."""
    pairs = itertools.combinations_with_replacement(pool, 2)
    for more in itertools.chain(((name,) for name in pool), pairs):
        found = chosen + Counter(more)
        one_side = len({name.removeprefix("-") for name in found}) == len(found)
        if one_side and found.total() <= limit:
            yield found


def ready_made(known: Collection[str]) -> Iterator[tuple[str, Mapping[str, float]]]:
    """Give name and weights of the recipes of these members, a minus before what is opposed."""
    for recipe in RECIPES.values():
        if recipe.method == "log" and set(recipe.members) <= set(known):
            weights = recipe.weights or (1.0,) * len(recipe.members)
            yield recipe.name, dict(zip(recipe.members, weights, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=12, help="sum of the weights at most")
    parser.add_argument("--images", choices=IMAGES, default="gaussian")
    parser.add_argument("--any", action="store_true", help="choose hwnas-any")
    arguments = parser.parse_args()
    if arguments.any:
        both = [study(images) for images in IMAGES]
        worth(both, choose_any(both, arguments.limit))
        return
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
    for recipe, weights in ready_made(cells.logs):
        print(f"| {recipe} | {cells.row(weights)} |")
    print(f"\nchosen: {dict(chosen)}")


if __name__ == "__main__":
    main()
