"""What input and initialisation are worth to a proxy: the reasons for gaps to published figures.

Kendall's tau-b with the CIFAR-10 validation accuracies over live cells of NAS-Bench-201, drawn with
a seed, for each setting of a proxy beside the one that ships; the last column is Spearman's
correlation with the latter. Needs HWNAS_DATA. Scores are cached, so an interrupted run goes on.

    python benchmarks/ranking/settings.py --networks 300 --batch 64 --jobs 2
    python benchmarks/ranking/settings.py --proxy snip grad_norm --weights kaiming standard-normal

Proxies that take the weights as they are see PyTorch's initialisation, and with ``--weights`` also
others, with Gaussian images, which are not cached.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np
from torch import nn

from hwnas.cli.output import print_table
from hwnas.cli.progress import progress
from hwnas.data.nasbench201 import accuracies
from hwnas.data.own_images import IMAGES
from hwnas.evaluation.cache import ResultCache
from hwnas.networks.layers import kaiming_weights_, standard_normal_weights_
from hwnas.proxies import make_proxies
from hwnas.proxies.engine.scoring import score_network
from hwnas.rank_study.population import shipped_population
from hwnas.ranking.metrics import kendall, spearman
from hwnas.seeding import derive_seed
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.study.configuration import EvaluationSetup
from hwnas.study.stability import scores_of
from hwnas.tables.shipped import shipped_scores
from hwnas.tasks.catalogue import get_task
from hwnas.typing import FloatArray

DATASET = "cifar10"
PROXIES = ("jacob_cov", "naswot", "synflow", "zico", "vkdnw")
RANDOM_INITS = ("jacob_cov", "naswot", "synflow")
"""Proxies whose published code keeps the default initialisation."""
WEIGHTS = {"kaiming": kaiming_weights_, "standard-normal": standard_normal_weights_}
"""Other initialisations for proxies that take the weights as they are."""


def main() -> None:
    arguments = _arguments()
    space, table = NasBench201(), shipped_scores("nasbench201", DATASET)
    assert table is not None
    live, _ = shipped_population(space, table, [c for c in space if c.is_live()], seed=0)
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
            setup = EvaluationSetup(space, get_task(DATASET), batch, arguments.seed, images=images)
            source = setup.proxies(make_proxies(names))
            with ResultCache.default() as cache, progress.running("scoring") as bar:
                scores = scores_of(
                    source, archs, cache=cache, jobs=arguments.jobs, report=bar.count
                )
            for name, values in scores.items():
                usual = shipped.get(name.split(".")[0])
                agreement = float("nan") if usual is None else spearman(values, usual)
                rows.append((name, f"{batch} {images}", kendall(values, truth), agreement))
    for weights in arguments.weights:
        scores = with_weights(WEIGHTS[weights], archs, arguments)
        rows += [
            (name, f"{weights} weights", kendall(values, truth), spearman(values, shipped[usual]))
            for name, values in scores.items()
            if (usual := name.split(".")[0]) in shipped
        ]
    print_table(
        ["proxy", "images", "Kendall τ", "ρ with shipped"],
        sorted(rows, key=lambda row: row[0].split(".")[0]),
        f"{len(archs)} live cells, CIFAR-10 validation accuracy",
    )


def with_weights(
    draw: Callable[[nn.Module, int], None], archs: Sequence[Cell], arguments: argparse.Namespace
) -> dict[str, FloatArray]:
    """Score networks whose weights are drawn anew, with their classes' seeds."""
    space, task, proxies = NasBench201(), get_task(DATASET), make_proxies(arguments.proxy)
    scores, batch = [], arguments.batch[0]
    with progress.running("scoring") as bar:
        for number, arch in enumerate(archs):
            seed = derive_seed(arguments.seed, space.canonical_key(arch))
            model = space.build(arch, task)
            draw(model, seed)
            found = score_network(model, task.input.shape, proxies, batch_size=batch, seed=seed)
            scores.append([found[proxy.name].value for proxy in proxies])
            bar.count("scores of drawn weights", number + 1, len(archs))
    columns = np.array(scores).T
    return {proxy.name: values for proxy, values in zip(proxies, columns, strict=True)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=300)
    parser.add_argument("--proxy", nargs="+", default=PROXIES)
    parser.add_argument("--batch", type=int, action="append", default=None)
    parser.add_argument("--weights", nargs="+", choices=list(WEIGHTS), default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    arguments.batch = arguments.batch or [64]
    return arguments


if __name__ == "__main__":
    main()
