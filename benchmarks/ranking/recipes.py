"""How well the ready-made scores rank a sample of NAS-Bench-201, and what a smaller batch costs.

Kendall's tau-b with the validation accuracies of the three data sets, over networks that are
different and connected, drawn uniformly with a seed; ranks are taken within the sample. Baselines:
params, flops and layers. Needs HWNAS_DATA. Scores are cached, so an interrupted run goes on.

    python benchmarks/ranking/recipes.py --networks 250 --batch 16 --batch 64 --jobs 2
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Sequence

import numpy as np
import torch
from scipy import stats

from hwnas import __version__
from hwnas.cli.progress import progress
from hwnas.data.nasbench201 import DATASETS, accuracies
from hwnas.evaluation.cache import ResultCache
from hwnas.measure.host import host
from hwnas.proxies import make_proxies
from hwnas.ranking.recipes import RECIPES
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.study.configuration import EvaluationSetup, reference_sample
from hwnas.study.stability import scores_of
from hwnas.tasks.catalogue import get_task
from hwnas.typing import FloatArray


def main() -> None:
    arguments = _arguments()
    space = NasBench201()
    archs = reference_sample(space, arguments.networks, arguments.seed)
    print(
        f"hwnas {__version__}, torch {torch.__version__}, Python {platform.python_version()}, "
        f"{host().cpu}; {len(archs)} different connected networks, seed {arguments.seed}"
    )
    truth = {name: np.array([accuracies(name)[str(arch)] for arch in archs]) for name in DATASETS}
    print(f"{'score':<22}{'batch':>6}" + "".join(f"{name:>17}" for name in truth))
    for batch in arguments.batch:
        scores = _scores(
            EvaluationSetup(space, get_task("cifar10"), batch, arguments.seed),
            archs,
            arguments.jobs,
        )
        for name in ("params", "flops", "layers"):
            _print(name, batch, scores[name], truth)
        for recipe in RECIPES.values():
            columns = np.column_stack([scores[proxy] for proxy in recipe.proxies])
            _print(recipe.name, batch, recipe.in_population(columns), truth)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=250)
    parser.add_argument("--batch", type=int, action="append", default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    arguments.batch = arguments.batch or [16]
    return arguments


def _scores(
    setup: EvaluationSetup[Cell], archs: Sequence[Cell], jobs: int
) -> dict[str, FloatArray]:
    names = {proxy for recipe in RECIPES.values() for proxy in recipe.proxies}
    source = setup.proxies(make_proxies(sorted(names | {"params", "flops", "layers"})))
    with ResultCache.default() as cache, progress.running("scoring") as bar:
        return scores_of(source, archs, cache=cache, jobs=jobs, report=bar.count)


def _print(name: str, batch: int, score: FloatArray, truth: dict[str, FloatArray]) -> None:
    taus = [stats.kendalltau(score, accuracy).statistic for accuracy in truth.values()]
    print(f"{name:<22}{batch:>6}" + "".join(f"{tau:>17.3f}" for tau in taus), flush=True)


if __name__ == "__main__":
    main()
