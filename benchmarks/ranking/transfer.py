"""What labels of NAS-Bench-201 are worth to a few labels of another space.

Some networks of a table of `score_sample.py` are drawn as labels, each task on its own; of the
others is printed Spearman's coefficient (Kendall's of cells) of `hwnas-model` with and without the
validation accuracies of NAS-Bench-201 on CIFAR-10, mean over the choices (the same for both) and
the standard error of the difference. Without labels stand hwnas-any and what NAS-Bench-201's labels
say alone. Needs HWNAS_DATA.

The beliefs of `hwnas.ranking.label_mixture` were chosen on half of the classes of NAS-Bench-201,
CIFAR-10, after a look at TransNAS-Bench-101 micro at five and twenty labels: there this is no test.

    python benchmarks/ranking/score_sample.py transnasbench101-micro --networks 200 --second 16 \
        --proxy params layers l2_norm meco expressivity progressivity naswot epsilon --out micro.npz
    python -m benchmarks.ranking.transfer micro.npz --labels 5 20 50 --choices 4
    python -m benchmarks.ranking.transfer nasbench201 --choices 3 \
        --task cifar100/validation --task ImageNet16-120/validation

``nasbench201`` stands for 2,500 live cells with the scores that ship with hwnas. Some of them are
among those whose accuracies on CIFAR-10 are learned from, as is printed; their accuracies on the
task that is ranked are not seen.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ranking.choose_recipe import TASKS
from hwnas.rank_study.population import shipped_population
from hwnas.ranking.metrics import kendall, seed_stability, spearman
from hwnas.spaces.facets import Truth, require_facet
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.spaces.space_text import named_space
from hwnas.study.accuracy_learning import SpaceModel
from hwnas.study.carried_over import CarriedOver
from hwnas.study.configuration import EvaluationSetup
from hwnas.study.labels import Elsewhere
from hwnas.study.sample import Sample
from hwnas.tables.shipped import shipped_scores
from hwnas.typing import FloatArray

CELLS = 2500


def read(path: Path) -> Sample[Any]:
    """Read a table of `score_sample.py`, or the shipped scores."""
    if path.name == "nasbench201":
        scores = shipped_scores("nasbench201", "cifar10")
        assert scores is not None
        cells = [cell for cell in NasBench201() if cell.is_live()]
        members, stable = shipped_population(NasBench201(), scores, cells, seed=0)
        members = members.take(np.arange(CELLS))
        return Sample(NasBench201(), members.archs, members.columns, stable)
    with np.load(path) as table:
        arrays = {name: table[name] for name in table.files}
    space = named_space(str(arrays["space"]))
    columns = {key[6:]: arrays[key] for key in arrays if key.startswith("first.")}
    again = {name: arrays[f"again.{name}"] for name in columns}
    alike = {n: seed_stability(columns[n][: len(v)], v) for n, v in again.items() if len(v) > 2}
    archs = [space.parse(str(text)) for text in arrays["archs"]]
    return Sample(space, archs, columns, alike or None)


def in_both(here: Sample[Any], there: Sample[Any]) -> int:
    """Count the networks of one space that are in both samples."""
    if here.space != there.space:
        return 0
    keys = [{s.space.canonical_key(arch) for arch in s.archs} for s in (here, there)]
    return len(keys[0] & keys[1])


def tried(
    model: SpaceModel[Any],
    sample: Sample[Any],
    truth: FloatArray,
    labels: int,
    seed: int,
    metric: Callable[[FloatArray, FloatArray], float],
) -> float:
    """Learn from a choice of networks, and rank the others."""
    order = np.random.default_rng(seed).permutation(len(truth))
    some, rest = order[:labels], order[labels:]

    def part(rows: Any) -> tuple[list[Any], dict[str, FloatArray]]:
        return [sample.archs[i] for i in rows], {n: c[rows] for n, c in sample.columns.items()}

    model.fit(*part(some), truth[some])
    return metric(model.predict(*part(rest)).means, truth[rest])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("--labels", type=int, nargs="+", default=[5, 20, 50])
    parser.add_argument("--choices", type=int, default=4)
    parser.add_argument("--task", action="append", help="DATASET/SPLIT")
    parser.add_argument("--elsewhere", default="nasbench201:dataset=cifar10")
    arguments = parser.parse_args()
    sample = read(arguments.table)
    setup = EvaluationSetup(sample.space, sample.space.default_task)
    known = Elsewhere.read(arguments.elsewhere).labelled(setup, list(sample.columns))
    carried = CarriedOver.of(known, sample)
    alone, helped = SpaceModel(sample), SpaceModel(sample, elsewhere=[known])
    belief = sample.belief()
    print(f"{len(sample.archs)} networks of {sample.space.name}; {known.about}")
    print(f"{in_both(sample, known.sample)} networks are both ranked and learned from elsewhere.")
    metric = spearman if arguments.table.suffix else kendall
    print(
        f"{metric.__name__}: | task | labels | alone | with labels elsewhere | gain | its error |"
    )
    print("| --- " * 6 + "|")
    facet: Truth = require_facet(sample.space, Truth)
    for task in arguments.task or TASKS[sample.space.name]:
        dataset, split = task.split("/")
        values = facet.accuracies(dataset, split)
        truth = np.array([values[str(arch)] for arch in sample.archs])
        nothing = float("nan") if belief is None else metric(belief(sample.columns), truth)
        told = metric(carried(sample.archs, sample.columns), truth)
        print(f"| {task} | 0 | {nothing:.3f} | {told:.3f} | {told - nothing:+.3f} | – |")
        for labels in arguments.labels:
            pairs = [
                [tried(model, sample, truth, labels, seed, metric) for model in (alone, helped)]
                for seed in range(arguments.choices)
            ]
            before, after = np.mean(pairs, axis=0)
            gains = np.diff(pairs, axis=1)[:, 0]
            error = gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else float("nan")
            print(
                f"| {task} | {labels} | {before:.3f} | {after:.3f} | {gains.mean():+.3f} | "
                f"{error:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
