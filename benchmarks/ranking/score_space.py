"""Score every network of a space and write the table that ships with the package.

Each different network once, one seed; some of them with a second seed, to see how stable the ranks
are. Scores go through the cache (HWNAS_CACHE), so an interrupted run goes on. The batch of each
group of proxies of NAS-Bench-201 is the smallest whose ranks were found to agree with 64 images,
see docs/measurements.md; other spaces are scored in the setting that SPACES names.

    python benchmarks/ranking/score_space.py --jobs 2
    python benchmarks/ranking/score_space.py --group counts --out counts.npz
    python benchmarks/ranking/score_space.py --jobs 2 --images cifar10-sample
    python benchmarks/ranking/score_space.py --memory
    python benchmarks/ranking/score_space.py --space transnasbench101-micro --counts
    python benchmarks/ranking/score_space.py --space nasbench-macro --counts
    python benchmarks/ranking/score_space.py --space nasbench-macro --agree 60

``--counts`` writes what needs no pass: parameters, FLOPs and layers of the networks of the space's
usual task. ``--memory`` counts the memory of activations, for reports. Each has a file of its own
beside that of the scores. ``--agree N`` writes nothing, and prints how well N networks are ranked
as by 64 images of the task's own size. With images of CIFAR-10 (needs HWNAS_DATA) only the proxies
of NAS-Bench-201 are scored whose ranks these change.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import hwnas.tables.shipped
from hwnas.cli.progress import progress
from hwnas.costs.counters import CounterCost, count
from hwnas.evaluation.cache import ResultCache
from hwnas.evaluation.evaluator import Evaluation, Evaluator
from hwnas.evaluation.objectives import proxy_objective
from hwnas.evaluation.sources import ProxyValues
from hwnas.pareto.provenance import describe_environment
from hwnas.proxies import make_proxies
from hwnas.proxies.identity import score_identity
from hwnas.ranking.metrics import spearman
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.spaces.space_text import named_space
from hwnas.study.configuration import EvaluationSetup, reference_sample
from hwnas.tables.shipped import ShippedColumn, ShippedScores, shipped_name
from hwnas.tables.table import Table
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.reduced import Reduced

DATASET = "cifar10"
FOLDER = Path(hwnas.tables.shipped.__file__).parent
Groups = Mapping[str, tuple[int, tuple[str, ...]]]
GAUSSIAN: Groups = {
    "counts": (16, ("params", "flops", "layers", "l2_norm")),
    "graphs": (
        16,
        ("nasgraph_avg_degree", "nasgraph_density", "nasgraph_resilience", "nasgraph_wedge"),
    ),
    "pass": (
        32,
        (
            "naswot",
            "linear_regions",
            "jacob_cov",
            "epe_nas",
            "expressivity",
            "progressivity",
            "trainability",
        ),
    ),
    "few-images": (16, ("meco", "swap", "synflow", "vkdnw")),
    "constants": (16, ("epsilon",)),
    "losses": (16, ("grad_norm", "snip", "plain", "fisher", "zico", "zen")),
    "kernels": (16, ("gradsign", "ntk_cond", "te_nas_regions", "te_nas_ntk")),
    "entropies": (16, tuple(f"fim_decile:decile={decile}" for decile in range(1, 10))),
    "curvature": (16, ("grasp",)),
    "newest": (16, ("apd", "intrain", "wrcor")),
}
"""Images and proxies by group."""
GROUPS: Mapping[str, Groups] = {
    "gaussian": GAUSSIAN,
    "cifar10-sample": {
        "pass": (32, ("naswot", "linear_regions", "jacob_cov", "epe_nas", "meco", "swap"))
    },
}
"""Groups by what the proxies see."""


class Setting(NamedTuple):
    """What a space's networks are built for, and what is scored; `reduced` as commands take it."""

    dataset: str
    reduced: str
    groups: Mapping[str, Groups]


COUNTS = ("params", "flops", "layers")
ONE_PASS: Groups = {
    "all": (
        32,
        (
            *COUNTS,
            "l2_norm",
            "meco",
            "expressivity",
            "progressivity",
            "trainability",
            "epsilon",
            "jacob_cov",
            "naswot",
            "swap",
            "grad_norm",
        ),
    )
}
"""One build and few passes a network, for spaces whose networks are large or many; what
`hwnas-any` joins is among them."""
SPACES: Mapping[str, Setting] = {
    "nasbench201": Setting(DATASET, "", GROUPS),
    "transnasbench101-micro": Setting("class_object", "64,8", {"gaussian": ONE_PASS}),
    "nasbench-macro": Setting(DATASET, "", {"gaussian": {"all": (8, ONE_PASS["all"][1])}}),
}


def source(space: Any, images: str, group: str, seed: int) -> ProxyValues[Any]:
    dataset, reduced, groups = SPACES[space.name]
    batch, names = groups[images][group]
    small = Reduced.parse(reduced)
    task = EvaluationSetup(space, get_task(dataset), batch, seed, images=images, reduced=small)
    return replace(task.proxies(make_proxies(names)), fresh=True)


def score(
    scores: ProxyValues[Any], archs: Sequence[Any], cache: ResultCache, jobs: int
) -> list[Evaluation[Any]]:
    with progress.running("scoring") as bar:
        evaluator = Evaluator(
            scores.space,
            [proxy_objective(scores, name) for name in scores.columns],
            cache=cache,
            jobs=jobs,
            require_valid=False,
            report=bar.count,
        )
        return evaluator.evaluate(archs)


def column(scores: ProxyValues[Any], name: str, found: list[Evaluation[Any]]) -> ShippedColumn:
    errors: dict[str, list[int]] = {}
    for row, evaluation in enumerate(found):
        if (error := evaluation.results[name].error) is not None:
            errors.setdefault(error, []).append(row)
    seconds = float(np.median([e.results[name].seconds for e in found]))
    return ShippedColumn(scores.cache_prefix(name), seconds, errors)


def count_memory(out: Path | None) -> None:
    """Write the peak memory of every network."""
    space = NasBench201()
    cost = CounterCost(space, "peak_memory", get_task(DATASET))
    archs = list(dict.fromkeys(space.representative(cell) for cell in space))
    with progress.running("counting") as bar:
        counts = []
        for number, arch in enumerate(archs, start=1):
            with torch.device("meta"):  # numbers do not matter
                network = space.build(arch, cost.networks.task)
            counts.append(count(network, cost.networks.task.input))
            bar.count("networks", number, len(archs))
    values = np.array([found.peak_memory for found in counts], dtype=np.float64)
    keys = [space.canonical_key(arch) for arch in archs]
    table = Table([str(arch) for arch in archs], {"peak_memory": values}, keys)
    about = {"peak_memory": ShippedColumn(cost.identity, 0.0, {})}
    command = "python benchmarks/ranking/score_space.py --memory"
    provenance = {**describe_environment(), "input": f"networks for {DATASET}", "command": command}
    nothing: Table[str] = Table([], {"peak_memory": np.zeros(0)}, [])
    shipped = ShippedScores(table, about, nothing, provenance)
    shipped.write(out or FOLDER / shipped_name("nasbench201", DATASET, "counts"))


def count_networks(name: str, out: Path | None) -> None:
    """Write parameters, FLOPs and layers of every network of a space, for its usual task."""
    space: Any = named_space(name)
    task, proxies = space.default_task, make_proxies(COUNTS)
    archs = list(dict.fromkeys(space.representative(arch) for arch in space))
    rows = []
    with progress.running("counting") as bar:
        for number, arch in enumerate(archs, start=1):
            with torch.device("meta"):  # numbers do not matter
                found = count(space.build(arch, task), task.input)
            rows.append((found.params, found.flops, found.layers))
            bar.count("networks", number, len(archs))
    columns = dict(zip(COUNTS, np.array(rows, dtype=np.float64).T, strict=True))
    keys = [space.canonical_key(arch) for arch in archs]
    table = Table([str(arch) for arch in archs], columns, keys)
    about = {p.name: ShippedColumn(score_identity(p, space, task), 0.0, {}) for p in proxies}
    command = shlex.join(["python", "benchmarks/ranking/score_space.py", *sys.argv[1:]])
    about_it = {"input": f"networks for {task.name}", "command": command}
    # A count has no seed: another one gives the same.
    shipped = ShippedScores(table, about, table.take(range(60)), describe_environment() | about_it)
    path = out or FOLDER / shipped_name(space.name, task.name, "sizes")
    shipped.write(path)
    print(f"{path}: {len(keys)} networks")


def print_agreement(space: Any, setting: Setting, arguments: argparse.Namespace) -> None:
    """Compare the ranks of each proxy's setting with those by 64 images of the usual size."""
    sample = reference_sample(space, arguments.agree, arguments.seed)
    with ResultCache.default() as cache:
        for group, (_, names) in setting.groups[arguments.images].items():
            small = source(space, arguments.images, group, arguments.seed)
            usual = EvaluationSetup(
                space, get_task(setting.dataset), 64, arguments.seed, images=arguments.images
            )
            full = replace(usual.proxies(make_proxies(names)), fresh=True)
            found = score(small, sample, cache, arguments.jobs)
            again = score(full, sample, cache, arguments.jobs)
            for name in small.columns:
                pair = [[e.results[name].value for e in rows] for rows in (found, again)]
                print(f"{name} {spearman(*map(np.array, pair)):.3f}")


def main() -> None:
    arguments = _arguments()
    if arguments.counts:
        count_networks(arguments.space, arguments.out)
        return
    if arguments.memory:
        count_memory(arguments.out)
        return
    images, setting = arguments.images, SPACES[arguments.space]
    wanted = arguments.group or list(setting.groups[images])
    space: Any = named_space(arguments.space)
    if arguments.agree:
        print_agreement(space, setting, arguments)
        return
    archs = list(dict.fromkeys(space.representative(cell) for cell in space))
    keys = [space.canonical_key(arch) for arch in archs]
    sample = reference_sample(space, arguments.second, arguments.seed)
    columns, about, again = {}, {}, {}
    with ResultCache.default() as cache:
        for group in wanted:
            scores = source(space, images, group, arguments.seed)
            found = score(scores, archs, cache, arguments.jobs)
            other = source(space, images, group, arguments.seed + 1)
            second = score(other, sample, cache, arguments.jobs)
            for name in scores.columns:
                columns[name] = np.array([e.results[name].value for e in found])
                about[name] = column(scores, name, found)
                again[name] = np.array([e.results[name].value for e in second])
    groups = [setting.groups[images][group] for group in wanted]
    smaller = f", reduced to {setting.reduced}" if setting.reduced else ""
    numbers = "; ".join(f"{batch} for {', '.join(names)}" for batch, names in groups)
    provenance = {
        **describe_environment(),
        "input": f"networks for {setting.dataset}{smaller}, {images} images, seed {arguments.seed}",
        "images": numbers,
        "command": shlex.join(["python", "benchmarks/ranking/score_space.py", *sys.argv[1:]]),
    }
    table = Table([str(arch) for arch in archs], columns, keys)
    rows = [table.rows[space.canonical_key(arch)] for arch in sample]
    seconds = table.select(()).take(rows).with_columns(again)
    shipped = ShippedScores(table, about, seconds, provenance)
    out = arguments.out or FOLDER / shipped_name(space.name, setting.dataset, images)
    shipped.write(out)
    print(f"{out}: {len(keys)} networks, {len(columns)} proxies")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", choices=list(SPACES), default="nasbench201")
    parser.add_argument("--images", choices=list(GROUPS), default="gaussian")
    parser.add_argument("--group", action="append")
    parser.add_argument("--second", type=int, default=60, help="networks with a second seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--counts", action="store_true", help="count without scoring")
    parser.add_argument("--agree", type=int, default=0, help="networks to compare settings by")
    parser.add_argument("--memory", action="store_true", help="count the memory of activations")
    parser.add_argument("--out", type=Path, help="[default: the file in the package]")
    arguments = parser.parse_args()
    groups = SPACES[arguments.space].groups.get(arguments.images)
    if groups is None:
        parser.error(f"--images must be gaussian for {arguments.space}")
    if not set(arguments.group or []) <= set(groups):
        parser.error(f"--group must be in {', '.join(groups)} for these images and this space")
    return arguments


if __name__ == "__main__":
    main()
