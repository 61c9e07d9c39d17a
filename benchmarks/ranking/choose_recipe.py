"""Choose one score for any space, each time without the space that it is then tried on.

Proxies are added one at a time, one of them again counting as a larger weight, while the mean
Spearman coefficient grows by more than .002: first over the tasks of a space, then over the spaces.
Each weight is multiplied by the agreement of two seeds in the space, and a proxy without values, or
whose seeds agree by less than .5, is left out there, as `Recipe.weighed_by` does. The choice is
made once without each space and once without each task, and the score of each is tried on what was
left out, beside hwnas-any and the best proxies and scores there; the interval is that of the
difference of the mean coefficients of hwnas-any and the best rival, 500 paired resamples.

Of NAS-Bench-201 it sees the live cells of one half of the classes (by the parity of their key) with
the CIFAR-10 validation accuracies and the shipped scores, of other spaces tables of
`score_sample.py`. Candidates are the proxies that all tables have. Needs HWNAS_DATA.

    python benchmarks/ranking/score_sample.py transnasbench101-micro --networks 176 --out t.npz
    python benchmarks/ranking/score_sample.py autoformer --known cifar100-224 --out a.npz
    python benchmarks/ranking/choose_recipe.py t.npz a.npz
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas.errors import HwnasError
from hwnas.proxies import proxy_direction
from hwnas.rank_study.population import shipped_population
from hwnas.ranking.aggregation import log_rank
from hwnas.ranking.bootstrap import bootstrap_interval
from hwnas.ranking.metrics import seed_stability, spearman
from hwnas.ranking.recipes import LEAST_AGREEMENT, RECIPES, Recipe
from hwnas.spaces.facets import Truth, require_facet
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.spaces.space_text import named_space
from hwnas.tables.shipped import shipped_scores
from hwnas.typing import Direction, FloatArray

GAIN = 2e-3
LIMIT = 10
_LEAST_AGAIN = 3
ANY = dict(zip(RECIPES["hwnas-any"].members, RECIPES["hwnas-any"].weights or (), strict=True))
INSTEAD = RECIPES["hwnas-any"].instead
TASKS = {
    "nasbench201": ("cifar10/validation",),
    "transnasbench101-micro": (
        "class_object/validation",
        "segmentsemantic/validation",
        "autoencoder/validation",
    ),
    "autoformer": (
        "cifar100-224/distilled",
        "flowers102/distilled",
        "chaoyang/distilled",
        "cifar100-224/trained",
        "flowers102/trained",
        "chaoyang/trained",
        "ImageNet/supernet",
    ),
}


@dataclass(frozen=True, eq=False)
class Space:
    """Networks of one space.

    Attributes:
        name: name of the space.
        columns: (n,) scores by proxy, larger is better.
        agreement: Spearman of two seeds by proxy.
        truths: (n,) accuracies by task.
    """

    name: str
    columns: Mapping[str, FloatArray]
    agreement: Mapping[str, float]
    truths: Mapping[str, FloatArray]

    def joint(self, weights: Mapping[str, float]) -> FloatArray | None:
        """Join the members that have values here, by reliability; None where none is left."""
        opposed = tuple(name[1:] for name in weights if name.startswith("-"))
        recipe = Recipe(
            "",
            tuple(name.removeprefix("-") for name in weights),
            "",
            weights=tuple(weights.values()),
            reliable=True,
            instead=INSTEAD,
            opposed=opposed,
        )
        names = [n for n in recipe.needed if n in self.columns]
        here = {n: self.agreement[n] for n in names if not np.isnan(self.columns[n]).all()}
        if not any(value >= LEAST_AGREEMENT for value in here.values()):
            return None
        weighed = recipe.weighed_by(here)
        table = np.column_stack([self.columns[name] for name in weighed.proxies])
        # Larger is better in all columns.
        ways: list[Direction] = [
            "minimize" if n in opposed else "maximize" for n in weighed.proxies
        ]
        return log_rank(table, ways, weighed.weights)

    def rho(self, weights: Mapping[str, float], tasks: Sequence[str]) -> float:
        """Give the mean Spearman coefficient over some tasks; 0 where nothing has a value."""
        joint = self.joint(weights)
        if joint is None or not tasks:
            return 0.0
        return float(np.mean([spearman(joint, self.truths[task]) for task in tasks]))


def nasbench201() -> Space:
    """Take the live cells of the choosing half, by the shipped scores."""
    space, scores = NasBench201(), shipped_scores("nasbench201", "cifar10")
    assert scores is not None
    cells = [c for c in space if c.is_live() and int(space.canonical_key(c), 16) % 2 == 0]
    members, alike = shipped_population(space, scores, cells, seed=0)
    columns = {name: _up(name, values) for name, values in members.columns.items()}
    agreement = {name: alike[name] for name in columns}
    return Space(
        space.name, columns, agreement, _truths(space.name, [str(c) for c in members.archs])
    )


def read(path: Path) -> Space:
    """Read a table of `score_sample.py`."""
    with np.load(path) as table:
        arrays = {name: table[name] for name in table.files}
    columns: dict[str, FloatArray] = {}
    agreement: dict[str, float] = {}
    for proxy in [key[6:] for key in arrays if key.startswith("first.")]:
        first, again = (_up(proxy, arrays[f"{kind}.{proxy}"]) for kind in ("first", "again"))
        columns[proxy] = first
        if len(again) < _LEAST_AGAIN:
            raise SystemExit(f"{path}: needs `score_sample.py --second {_LEAST_AGAIN}` or more.")
        agreement[proxy] = seed_stability(first[: len(again)], again)
    name = str(arrays["space"])
    return Space(name, columns, agreement, _truths(name, arrays["archs"].tolist()))


def _up(proxy: str, values: FloatArray) -> FloatArray:
    return values if proxy_direction(proxy) == "maximize" else -values


def _truths(name: str, archs: Sequence[str]) -> dict[str, FloatArray]:
    known: Truth = require_facet(named_space(name), Truth)
    found: dict[str, FloatArray] = {}
    for task in TASKS[name]:
        dataset, split = task.split("/")
        try:
            values = known.accuracies(dataset, split)
        except HwnasError as error:
            print(f"{name} {task} is left out: {error}")
            continue
        found[task] = np.array([values[arch] for arch in archs])
    return found


def choose(pairs: Sequence[tuple[Space, Sequence[str]]], names: Sequence[str]) -> Counter[str]:
    """Add one proxy at a time, or one again, by the mean over spaces of the mean over tasks."""
    chosen: Counter[str] = Counter()
    best = -1.0
    while sum(chosen.values()) < LIMIT:
        trials = [
            (float(np.mean([s.rho(chosen + Counter([n]), t) for s, t in pairs if t])), n)
            for n in names
        ]
        value, name = max(trials)
        if value < best + GAIN:
            break
        best = value
        chosen[name] += 1
    return chosen


def rivals(space: Space) -> dict[str, FloatArray]:
    """Give every proxy, and every ready-made score of other papers."""
    found = {n: v for n, v in space.columns.items() if not np.isnan(v).all()}
    for recipe in RECIPES.values():
        if set(recipe.proxies) <= set(found) and recipe.method == "log" and not recipe.reliable:
            table = np.column_stack([found[name] for name in recipe.proxies])
            up: list[Direction] = ["maximize"] * table.shape[1]
            found[recipe.name] = log_rank(table, up, recipe.weights)
    return found


def show(title: str, weights: Mapping[str, float], space: Space, tasks: Sequence[str]) -> None:
    """Print the score chosen without a space or task, hwnas-any, and the best of the others."""
    means = {
        name: float(np.mean([spearman(values, space.truths[task]) for task in tasks]))
        for name, values in rivals(space).items()
    }
    top = sorted(((v, n) for n, v in means.items() if v == v), reverse=True)[:3]
    text = ", ".join(f"{name} {value:.3f}" for value, name in top)
    what = tasks[0] if len(tasks) == 1 else f"mean of {len(tasks)} tasks"
    chosen = " ".join(f"{n}:{w:g}" for n, w in weights.items())
    print(
        f"| {title} | {space.name}, {what} | {space.rho(weights, tasks):.3f} | "
        f"{space.rho(ANY, tasks):.3f} | {text} | {chosen} |",
        flush=True,
    )


def paired(space: Space) -> None:
    """Print the interval of hwnas-any's advantage over the best rival, over all tasks."""
    joint, truths = space.joint(ANY), list(space.truths.values())
    if joint is None:
        return

    def mean(values: FloatArray, drawn: npt.NDArray[np.intp]) -> float:
        return float(np.mean([spearman(values[drawn], truth[drawn]) for truth in truths]))

    every = np.arange(len(joint))
    others = {n: v for n, v in rivals(space).items() if n != "hwnas-agg"}
    best = max(others, key=lambda n: np.nan_to_num(mean(others[n], every), nan=-1.0))

    def gain(drawn: npt.NDArray[np.intp]) -> float:
        return mean(joint, drawn) - mean(others[best], drawn)

    low, high = bootstrap_interval(gain, len(joint), 500, seed=0)
    print(f"{space.name}: hwnas-any less {best}: {gain(every):+.3f} [{low:+.3f}, {high:+.3f}]")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="+", type=Path)
    spaces = [nasbench201(), *map(read, parser.parse_args().tables)]
    names = [n for n in spaces[-1].columns if all(n in space.columns for space in spaces)]
    for space in spaces:
        text = ", ".join(f"{n} {space.agreement[n]:.2f}" for n in names)
        print(f"{space.name}, {len(space.columns[names[0]])} networks; two seeds agree: {text}")
    print("\n| left out | tried on | chosen | hwnas-any | best of the others | weights |")
    print("| --- " * 6 + "|")
    for left in spaces:
        rest = [(s, list(s.truths)) for s in spaces if s is not left]
        show("the space", choose(rest, names), left, list(left.truths))
    for left in spaces:
        for task in left.truths if len(left.truths) > 1 else ():
            rest = [(s, [t for t in s.truths if (s, t) != (left, task)]) for s in spaces]
            show("the task", choose(rest, names), left, [task])
    print()
    for space in spaces:
        paired(space)


if __name__ == "__main__":
    main()
