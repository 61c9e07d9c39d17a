"""Seconds a network for each proxy alone and for all together, on one thread.

Ratios are to "one pass": forward and backward of the same batch through the plain network in its
default memory layout, in the same run. Usage: ``python benchmarks/proxies/speed.py --networks 20``.
"""

from __future__ import annotations

import argparse
import platform
import resource
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import nn

from hwnas.cli.output import note, print_table
from hwnas.proxies import make_proxies, proxy_names
from hwnas.proxies.batch import gaussian_batch
from hwnas.proxies.engine import score_network
from hwnas.spaces.nasbench201 import Cell, NasBench201

IN_SHAPE = (3, 32, 32)


def draw_cells(space: NasBench201, networks: int, seed: int) -> list[Cell]:
    """Draw different representatives of live cells with a path from input to output."""
    rng = np.random.default_rng(seed)
    cells: dict[Cell, None] = {}
    while len(cells) < networks:
        cell = space.sample(rng)
        if space.is_valid(cell):
            cells.setdefault(space.representative(cell))
    return list(cells)


def seconds(work: Callable[[], object]) -> float:
    """Measure CPU time of the process: other processes do not count."""
    start = time.process_time()
    work()
    return time.process_time() - start


def one_pass(model: nn.Module, batch_size: int, seed: int) -> None:
    images = gaussian_batch(IN_SHAPE, batch_size, 10, seed).images
    model.zero_grad()
    model(images).sum().backward()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    space = NasBench201()
    cells = draw_cells(space, args.networks, args.seed)
    sets = {name: make_proxies([name]) for name in proxy_names()}
    sets["all together"] = make_proxies(["all"])
    times: dict[str, list[float]] = {name: [] for name in ("one pass", *sets)}
    score_network(space.build(cells[0]), IN_SHAPE, sets["all together"], batch_size=2)  # warm up
    for number, cell in enumerate(cells, start=1):
        note(f"{number}/{len(cells)} {cell}")
        torch.manual_seed(args.seed)
        model = space.build(cell)
        times["one pass"].append(seconds(partial(one_pass, model, args.batch, args.seed)))
        for name, proxies in sets.items():
            work = partial(
                score_network, model, IN_SHAPE, proxies, batch_size=args.batch, seed=args.seed
            )
            times[name].append(seconds(work))
    report(times, args)


def report(times: dict[str, list[float]], args: argparse.Namespace) -> None:
    passes = np.array(times["one pass"])
    rows = [
        (name, statistics.median(values), float(np.median(np.array(values) / passes)))
        for name, values in times.items()
    ]
    alone = np.sum([times[name] for name in proxy_names()], axis=0)
    rows.append(("sum of each alone", float(np.median(alone)), float(np.median(alone / passes))))
    print_table(
        ["proxy", "median CPU seconds", "median ratio to one pass"],
        rows,
        f"{args.networks} NAS-Bench-201 networks (live representatives, C=16, N=5), "
        f"batch {args.batch}, seed {args.seed}, 1 thread",
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    note(
        f"{platform.processor() or platform.machine()}, {platform.platform()}, "
        f"Python {platform.python_version()}, torch {torch.__version__}; peak RSS {peak:.2f} GiB"
    )


if __name__ == "__main__":
    main()
