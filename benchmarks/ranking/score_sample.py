"""Score networks of any space whose accuracies are known, at any size of image.

The first networks of the space's reference sample, or all whose accuracy is known where these are
fewer, with Gaussian images; some with a second seed. Scores go through the cache (HWNAS_CACHE),
network by network, so an interrupted run goes on, and a longer one begins with a shorter one's.

    python benchmarks/ranking/score_sample.py transnasbench101-micro --pixels 64 --out micro.npz
    python benchmarks/ranking/score_sample.py autoformer --known cifar100-224 --out autoformer.npz
    python benchmarks/ranking/score_sample.py transnasbench101-micro --task autoencoder --out ae.npz
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.evaluation.cache import ResultCache
from hwnas.proxies import make_proxies
from hwnas.spaces.facets import Truth, require_facet
from hwnas.spaces.space_text import named_space
from hwnas.study.configuration import EvaluationSetup, reference_sample
from hwnas.study.stability import scores_of
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Task, TensorSpec

PROXIES = (
    "params", "flops", "layers", "l2_norm", "synflow", "epsilon", "nasgraph_avg_degree", "meco",
    "naswot", "swap", "jacob_cov", "expressivity", "progressivity", "trainability",
    "grad_norm", "snip", "zen",
)  # fmt: skip
STEP = 4


def setup_of(space: Any, task: Task, pixels: int, batch: int, seed: int) -> EvaluationSetup[Any]:
    """Shrink the input of a task."""
    spec = TensorSpec((task.input.shape[0], pixels, pixels), task.input.kind)
    return EvaluationSetup(space, Task(task.name, spec, task.output), batch, seed)


def chosen(space: Any, arguments: argparse.Namespace) -> list[Any]:
    """Draw the networks."""
    if arguments.known is None:
        return reference_sample(space, arguments.networks, arguments.seed)
    truth = require_facet(space, Truth)
    texts = truth.accuracies(arguments.known, truth.splits[0])
    return [space.parse(text) for text in texts][: arguments.networks]


def scored(
    setup: EvaluationSetup[Any], archs: Sequence[Any], names: Sequence[str], cache: ResultCache
) -> dict[str, np.ndarray]:
    """Score a few networks at a time."""
    source = setup.proxies(make_proxies(names))
    parts = [dict.fromkeys(source.columns, np.zeros(0))]
    for start in range(0, len(archs), STEP):
        parts.append(scores_of(source, archs[start : start + STEP], cache=cache))
        print(f"seed {setup.seed}: {min(start + STEP, len(archs))} of {len(archs)}", flush=True)
    return {name: np.concatenate([part[name] for part in parts]) for name in source.columns}


def main() -> None:
    arguments = _arguments()
    space = named_space(arguments.space)
    archs = chosen(space, arguments)
    task = space.default_task if arguments.task is None else get_task(arguments.task)
    setup = setup_of(space, task, arguments.pixels, arguments.batch, arguments.seed)
    other = replace(setup, seed=arguments.seed + 1)
    with ResultCache.default() as cache:
        first = scored(setup, archs, arguments.proxy, cache)
        again = scored(other, archs[: arguments.second], arguments.proxy, cache)
    columns = {"archs": np.array([str(arch) for arch in archs]), "space": np.array(space.name)}
    columns |= {f"first.{name}": values for name, values in first.items()}
    columns |= {f"again.{name}": values for name, values in again.items()}
    np.savez_compressed(arguments.out, allow_pickle=False, **columns)
    print(f"{arguments.out}: {len(archs)} networks, {len(first)} proxies")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("space")
    parser.add_argument("--proxy", nargs="+", default=PROXIES)
    parser.add_argument("--task", help="what they are built for; the space's usual task")
    parser.add_argument("--networks", type=int, default=400)
    parser.add_argument("--known", help="data set: all networks whose accuracy on it is known")
    parser.add_argument("--second", type=int, default=40, help="networks with a second seed")
    parser.add_argument("--pixels", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
