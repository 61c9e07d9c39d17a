"""What input and initialisation are worth to a proxy: the reasons for gaps to published figures.

Kendall's tau-b with the CIFAR-10 validation accuracies over live cells of NAS-Bench-201, drawn with
a seed, for each setting of a proxy beside the one that ships; the last column is Spearman's
correlation with the latter. Needs HWNAS_DATA. Scores are cached, so an interrupted run goes on.

    python benchmarks/ranking/settings.py --networks 300 --batch 64 --jobs 2
"""

from __future__ import annotations

import argparse

import numpy as np

from hwnas.cache import ResultCache
from hwnas.cli.output import print_table
from hwnas.cli.progress import ProgressBar
from hwnas.configuration import IMAGES, Task
from hwnas.data.datasets import get_dataset
from hwnas.data.nasbench201 import accuracies
from hwnas.proxies import make_proxies
from hwnas.ranking.metrics import kendall, spearman
from hwnas.ranking.population import raw_scores, shipped_population
from hwnas.ranking.shipped import shipped_scores
from hwnas.spaces.nasbench201 import NasBench201

DATASET = "cifar10"
PROXIES = ("jacob_cov", "naswot", "synflow", "zico", "vkdnw")
RANDOM_INITS = ("jacob_cov", "naswot", "synflow")
"""Proxies whose published code keeps the default initialisation."""


def main() -> None:
    arguments = _arguments()
    space, table = NasBench201(), shipped_scores("nasbench201", DATASET)
    assert table is not None
    live = shipped_population(space, table, lambda cell: cell.is_live(), seed=0)
    rng = np.random.default_rng(arguments.seed)
    drawn = rng.choice(len(live.archs), arguments.networks, replace=False)
    archs = [live.archs[row] for row in drawn]
    truth = np.array([accuracies(DATASET)[str(arch)] for arch in archs])
    shipped = {name: values[drawn] for name, values in live.columns.items()}
    rows = [
        (name, "as shipped", kendall(shipped[name], truth), 1.0)
        for name in arguments.proxy
        if name in shipped
    ]
    inits = [f"{name}:init=as_built" for name in RANDOM_INITS if name in arguments.proxy]
    names = [*arguments.proxy, *inits]
    for batch in arguments.batch:
        for images in IMAGES:
            task = Task(space, get_dataset(DATASET), batch, arguments.seed, images=images)
            source = task.proxies(make_proxies(names))
            with ResultCache.default() as cache, ProgressBar() as bar:
                scores = raw_scores(source, archs, cache=cache, jobs=arguments.jobs, report=bar)
            for name, values in scores.items():
                usual = shipped.get(name.split(".")[0])
                agreement = float("nan") if usual is None else spearman(values, usual)
                rows.append((name, f"{batch} {images}", kendall(values, truth), agreement))
    print_table(
        ["proxy", "images", "Kendall τ", "ρ with shipped"],
        sorted(rows, key=lambda row: row[0].split(".")[0]),
        f"{len(archs)} live cells, CIFAR-10 validation accuracy",
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=300)
    parser.add_argument("--proxy", nargs="+", default=PROXIES)
    parser.add_argument("--batch", type=int, action="append", default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    arguments.batch = arguments.batch or [64]
    return arguments


if __name__ == "__main__":
    main()
