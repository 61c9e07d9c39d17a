"""Time of the recipes in passes, and time and memory of one at a resolution of 224.

"One pass" is forward and backward of a batch of the same size through the plain network in its
default memory layout, in the same run; CPU time of the process, one thread, medians over networks
of the least of a few repetitions; freed memory is kept for both, as where hwnas scores. Memory is
the largest of a fresh process above what it had with the network built.

Usage: ``python benchmarks/proxies/recipe_speed.py``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from hwnas.cli.output import note, print_table
from hwnas.networks.freed_memory import keep_freed_memory
from hwnas.proxies import make_proxies
from hwnas.proxies.engine.scoring import score_network
from hwnas.ranking.recipes import RECIPES
from hwnas.spaces.mobilenetv3 import MobileNetV3
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.study.configuration import reference_sample
from hwnas.tasks.batch import draw_inputs
from hwnas.tasks.task import TensorSpec, image_task
from hwnas.typing import Proxy

SMALL, LARGE = (3, 32, 32), (3, 224, 224)
LIMITS = {"hwnas-agg": 1.0, "jacob_cov+params": 0.6, "vkdnw-agg": 1.1, "az-nas": 0.7}
EVERY, EVERY_LIMIT = "all without a surrogate, batch 64", 5.0
NEWER = ("intrain", "dextr", "wrcor", "apd")
"""What came after the limit was set."""
LARGE_ARCH = "r224|k3e3,k3e3|k5e4,k5e4|k3e6,k7e6|k3e3,k3e3,k3e3|k5e6,k5e6"
LARGE_BATCH, LARGE_LIMIT, MEMORY_LIMIT = 8, 1.2, 1.3
Shape = tuple[int, int, int]


def one_pass(model: nn.Module, shape: Shape, batch_size: int) -> None:
    images = draw_inputs(TensorSpec(shape), batch_size, torch.Generator().manual_seed(0))
    model.zero_grad()
    model(images).sum().backward()


def least(model: nn.Module, shape: Shape, batch_size: int, backward: int) -> None:
    """Run what a recipe cannot do without: a forward pass, and backward passes to the images."""
    model.requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = draw_inputs(TensorSpec(shape), batch_size, torch.Generator().manual_seed(0))
    images = images.contiguous(memory_format=torch.channels_last).requires_grad_()
    total = model(images).sum()
    for _ in range(backward):
        torch.autograd.grad(total, images, retain_graph=True)


def score(model: nn.Module, shape: Shape, batch_size: int, proxies: Sequence[Proxy]) -> None:
    score_network(model, shape, proxies, batch_size=batch_size)


def passes(
    build: Callable[[], nn.Module],
    shape: Shape,
    batch_size: int,
    proxies: Sequence[Proxy] | int,
    repetitions: int,
) -> float:
    """Give the time of scoring in passes: alternating, the least of each.

    Args:
        build: makes the network.
        shape: of an image.
        batch_size: images.
        proxies: what is scored; or of how many backward passes the least is taken, see `least`.
        repetitions: of each.
    """
    pass_s, score_s = [], []
    for _ in range(repetitions + 1):  # the first warms up
        pass_s.append(seconds(partial(one_pass, build(), shape, batch_size)))
        work = least if isinstance(proxies, int) else score
        score_s.append(seconds(partial(work, build(), shape, batch_size, proxies)))  # type: ignore[arg-type]
    return min(score_s[1:]) / min(pass_s[1:])


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def large_network() -> nn.Module:
    space = MobileNetV3()
    return space.build(space.parse(LARGE_ARCH), image_task(1000, LARGE))


def peak_mib(recipe: str) -> float:
    """Run in a fresh process; give the memory of a recipe, or of one pass if it is empty."""
    torch.set_num_threads(1)
    model = large_network()
    one_pass(model, LARGE, 1)
    before = peak()
    if recipe:
        score(model, LARGE, LARGE_BATCH, RECIPES[recipe].make())
    else:
        one_pass(model, LARGE, LARGE_BATCH)
    return (peak() - before) / 2**10


def peak() -> int:
    """Give the largest memory of this process in KiB; `ru_maxrss` would be its parent's as well."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def memory(recipe: str) -> float:
    """Give the memory of a recipe in that of one pass."""
    found = []
    for name in (recipe, ""):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found.append(pool.apply(peak_mib, (name,)))
    note(f"{recipe}: {found[0]:.0f} MiB, one pass: {found[1]:.0f} MiB")
    return found[0] / found[1]


def row(label: str, found: float, limit: float | None, unit: str = "passes") -> tuple[object, ...]:
    if limit is None:
        return label, found, "", ""
    return label, found, f"{limit:g} {unit}", "yes" if found <= limit else "NO"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=12)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--label", default="", help="only what has this text in its label")
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    space = NasBench201()
    cells = reference_sample(space, args.networks, args.seed)
    sets: dict[str, tuple[int, Sequence[Proxy] | int, float | None]] = {
        f"{name}, batch 32": (32, RECIPES[name].make(), LIMITS[name]) for name in LIMITS
    }
    sets |= {f"forward and {n} backward to the images, batch 32": (32, n, None) for n in (1, 2)}
    every = [p for p in make_proxies(["all"]) if getattr(p, "surrogate", None) is None]
    sets[EVERY] = (64, every, EVERY_LIMIT)
    sets[f"{EVERY}, but {', '.join(NEWER)}"] = (
        64, [p for p in every if p.name not in NEWER], EVERY_LIMIT,
    )  # fmt: skip
    sets = {label: found for label, found in sets.items() if args.label in label}
    rows = []
    for label, (batch_size, proxies, limit) in sets.items():
        ratios = [
            passes(partial(space.build, cell), SMALL, batch_size, proxies, args.repetitions)
            for cell in cells
        ]
        note(f"{label}: {min(ratios):.2f} to {max(ratios):.2f}")
        rows.append(row(label, float(np.median(ratios)), limit))
    label, recipe = f"hwnas-agg, MobileNetV3, batch {LARGE_BATCH}", RECIPES["hwnas-agg"].make()
    if args.label in label:
        found = passes(large_network, LARGE, LARGE_BATCH, recipe, args.repetitions)
        rows.append(row(label, found, LARGE_LIMIT))
        rows.append(row(f"{label}: memory", memory("hwnas-agg"), MEMORY_LIMIT, "of one pass"))
    label = f"forward and 2 backward to the images, MobileNetV3, batch {LARGE_BATCH}"
    if args.label in label:
        found = passes(large_network, LARGE, LARGE_BATCH, 2, args.repetitions)
        rows.append(row(label, found, None))
    print_table(
        ["what", "median passes", "limit", "met"],
        rows,
        f"{args.networks} NAS-Bench-201 networks, seed {args.seed}, 1 thread, torch "
        f"{torch.__version__}",
    )


if __name__ == "__main__":
    main()
