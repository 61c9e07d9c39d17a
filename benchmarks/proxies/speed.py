"""Time and memory of the proxies on one thread, beside the limits that they must keep.

Ratios are to "one pass": forward and backward of a batch of the same size through the plain network
in its default memory layout, in the same run; seconds are CPU time. The median over the networks
counts. Usage: ``python benchmarks/proxies/speed.py``; ``--networks 12`` for a quick look, and
``--alone`` for each proxy alone as well. With ``--device cuda`` the passes run there, seconds are
wall time, and the ranks of each proxy are compared with those of the CPU.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from hwnas.cli.output import note, print_table
from hwnas.evaluation.sources import ProxyValues, scored_surrogate
from hwnas.networks.device import read_device
from hwnas.proxies import make_proxies, make_proxy, proxy_names
from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.vkdnw import VkdnwEntropy
from hwnas.ranking.metrics import spearman
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.study.configuration import reference_sample
from hwnas.tasks.batch import draw_batch
from hwnas.tasks.task import image_task
from hwnas.typing import FloatArray, InShape, Proxy

IN_SHAPE = (3, 32, 32)
TOGETHER = [
    *("naswot", "swap", "meco", "expressivity", "progressivity", "trainability", "jacob_cov"),
    *("grad_norm", "snip", "plain", "fisher", "zico", "synflow", "l2_norm", "params", "flops"),
]
NASGRAPH = [f"nasgraph_{m}" for m in ("avg_degree", "density", "resilience", "wedge")]
LARGEST_GIB = 1.5
AGREEMENT = 0.999
"""Least rank agreement of a device's scores with the CPU's."""


@dataclass(frozen=True)
class Bar:
    """A limit of the median over the networks, in passes or in CPU seconds."""

    label: str
    proxies: tuple[Proxy, ...]
    limit: float
    unit: str = "passes"


def bars() -> list[Bar]:
    """List the limits of the proxies that exist."""
    vkdnw64 = make_proxy("vkdnw", entropy=VkdnwEntropy(batch_size=64))
    found = [
        Bar("16 proxies together", tuple(make_proxies(TOGETHER)), 3),
        Bar("vkdnw, 64 images", (vkdnw64,), 3),
        Bar("vkdnw, default images", (make_proxy("vkdnw"),), 1),
        Bar("grasp", (make_proxy("grasp"),), 2),
        Bar("gradsign", (make_proxy("gradsign"),), 1.5),
        Bar("ntk_cond, evaluation mode", (make_proxy("ntk_cond"),), 2.5),
    ]
    if set(NASGRAPH) <= set(proxy_names()):
        found.append(Bar("nasgraph, 4 measures", tuple(make_proxies(NASGRAPH)), 0.02, "s"))
    return [*found, Bar("epsilon", (make_proxy("epsilon"),), 0.1, "s")]


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Measure CPU time of the process, as others do not count there; elsewhere wall time."""
    if device.type == "cpu":
        start = time.process_time()
        work()
        return time.process_time() - start
    there = torch.get_device_module(device)
    there.synchronize()
    start = time.perf_counter()
    work()
    there.synchronize()
    return time.perf_counter() - start


def one_pass(model: nn.Module, batch_size: int, seed: int, device: torch.device) -> None:
    images = draw_batch(image_task(10, IN_SHAPE), batch_size, seed).inputs.to(device)
    model.zero_grad()
    model(images).sum().backward()


def peak_gib(cell: Cell, batch_size: int) -> float:
    """Score one network with every proxy; give the largest memory of this process."""
    torch.set_num_threads(1)
    source = ProxyValues(
        NasBench201(),
        tuple(make_proxies(["all"])),
        image_task(10, IN_SHAPE),
        batch_size,
        fresh=True,
    )
    source.compute(cell, source.columns)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def network(space: NasBench201, cell: Cell, proxies: Sequence[Proxy]) -> nn.Module:
    """Build what the proxies score: the cell's network, or the surrogate of the first one."""
    surrogate = scored_surrogate(proxies[0])
    if surrogate is None:
        return space.build(cell)
    return space.build_surrogate(cell, surrogate, image_task(10, in_shape(proxies)))


def in_shape(proxies: Sequence[Proxy]) -> InShape:
    """Give the (C, H, W) of what they score: that of the first one's surrogate, if it says one."""
    surrogate = scored_surrogate(proxies[0])
    return IN_SHAPE if surrogate is None else surrogate.in_shape or IN_SHAPE


def measure(
    cells: Sequence[Cell],
    sets: dict[str, Sequence[Proxy]],
    batch_size: int,
    seed: int,
    device: torch.device,
) -> dict[str, FloatArray]:
    """Give the seconds of one pass and of each set, one a network."""
    space = NasBench201()
    times: dict[str, list[float]] = {label: [] for label in ("one pass", *sets)}
    for proxies in sets.values():  # warm up
        first = network(space, cells[0], proxies)
        score_network(first, in_shape(proxies), proxies, batch_size=2, device=str(device))
    for number, cell in enumerate(cells, start=1):
        note(f"{number}/{len(cells)} {cell}")
        torch.manual_seed(seed)
        model = space.build(cell).to(device)
        one = partial(one_pass, model, batch_size, seed, device)
        times["one pass"].append(seconds(one, device))
        for label, proxies in sets.items():
            scored = network(space, cell, proxies)
            work = partial(
                score_network,
                scored,
                in_shape(proxies),
                proxies,
                batch_size=batch_size,
                seed=seed,
                device=str(device),
            )
            times[label].append(seconds(work, device))
    return {label: np.array(values) for label, values in times.items()}


def agreement(
    cells: Sequence[Cell],
    proxies: Sequence[Proxy],
    batch_size: int,
    seed: int,
    device: torch.device,
) -> list[tuple[object, ...]]:
    """Compare the ranks of the networks by scores of the device and of the CPU, one row a proxy."""
    space, values = NasBench201(), {}
    for place in (str(device), "cpu"):
        found = [
            score_network(
                network(space, cell, proxies),
                IN_SHAPE,
                proxies,
                batch_size=batch_size,
                seed=seed,
                device=place,
            )
            for cell in cells
        ]
        values[place] = {p.name: [scores[p.name].value for scores in found] for p in proxies}
    rows: list[tuple[object, ...]] = []
    for proxy in proxies:
        there, here = (values[place][proxy.name] for place in values)
        rho = spearman(there, np.nan_to_num(here, nan=-np.inf))
        met = "" if np.isnan(rho) else "yes" if rho >= AGREEMENT else "NO"
        rows.append((f"{proxy.name}: Spearman with the CPU {rho:.5f}", "", "", AGREEMENT, met))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--alone", action="store_true", help="time each proxy alone as well")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or mps")
    args = parser.parse_args()
    device = read_device(args.device)
    torch.set_num_threads(1)
    cells = reference_sample(NasBench201(), args.networks, args.seed)
    limits = bars()
    sets: dict[str, Sequence[Proxy]] = {bar.label: bar.proxies for bar in limits}
    every = [p for p in make_proxies(["all"]) if getattr(p, "surrogate", None) is None]
    sets[f"the {len(every)} without a surrogate together"] = every
    if args.alone:
        sets |= {f"{name} alone": make_proxies([name]) for name in proxy_names()}
    times = measure(cells, sets, args.batch, args.seed, device)
    passes = times["one pass"]
    rows: list[tuple[object, ...]] = []
    for label, values in times.items():
        bar = next((bar for bar in limits if bar.label == label), None)
        in_seconds, ratio = float(np.median(values)), float(np.median(values / passes))
        rows.append((label, in_seconds, ratio, *verdict(bar, in_seconds, ratio)))
    clock = "CPU" if device.type == "cpu" else f"{device} wall"
    if device.type != "cpu":
        rows += agreement(cells, every, args.batch, args.seed, device)
    # In a process of its own, which has the memory of one network only.
    largest = max(cells, key=lambda c: sum(p.numel() for p in NasBench201().build(c).parameters()))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        peak = pool.apply(peak_gib, (largest, args.batch))
    note(f"largest memory of one network with all proxies: {peak:.2f} GiB ({largest})")
    rows.append(
        (
            f"memory {peak:.2f} GiB",
            "",
            "",
            f"{LARGEST_GIB} GiB",
            "yes" if peak < LARGEST_GIB else "NO",
        )
    )
    print_table(
        ["what", f"median {clock} seconds", "median passes", "limit", "met"],
        rows,
        f"{args.networks} NAS-Bench-201 networks (live representatives, C=16, N=5), "
        f"batch {args.batch}, seed {args.seed}, 1 thread",
    )
    note(
        f"{platform.processor() or platform.machine()}, {platform.platform()}, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def verdict(bar: Bar | None, in_seconds: float, ratio: float) -> tuple[str, str]:
    """Give the limit and whether it is met; empty where there is none."""
    if bar is None:
        return "", ""
    met = (ratio if bar.unit == "passes" else in_seconds) <= bar.limit
    return f"{bar.limit:g} {bar.unit}", "yes" if met else "NO"


if __name__ == "__main__":
    main()
