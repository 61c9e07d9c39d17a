"""NASGraph's measures of exact cells of TransNAS-Bench-101 micro, beside the paper's Table 10.

`hwnas rank` looks at different networks, each once, without operations that have no effect. The
paper ranks all 4,096 cells as they are written, and its code has nodes for ``none``; here both can
be had. The graph is that of 16 channels and the task's own network; a cell without any edge is left
out, and images have 64 x 64 pixels, since the graph hardly depends on them::

    python -m benchmarks.ranking.nasgraph_cells --cells 1024 --dataset class_object
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import torch
from scipy.stats import kendalltau, spearmanr

from hwnas.data.transnasbench101 import MicroResults
from hwnas.data.transnasbench101_figures import MicroFigures
from hwnas.proxies import make_proxies
from hwnas.proxies.engine.channel_graph import channel_graph
from hwnas.proxies.nasgraph import SURROGATE, ChannelDegrees
from hwnas.spaces.transnasbench101.micro import MicroArch, TransNasMicro
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Task, TensorSpec

SPACE = TransNasMicro()
SHAPE = (3, 64, 64)
NAMES = [f"nasgraph_{measure}" for measure in ("avg_degree", "density", "resilience", "wedge")]


def scores(archs: list[MicroArch], task: Task, published: bool) -> dict[str, list[float]]:
    """Give the (n,) measures of cells by name; NaN where the graph has no edges."""
    ending = ":published=true" if published else ""
    proxies = make_proxies([f"{name}{ending}" for name in NAMES])
    surrogate = replace(SURROGATE, zeros=published)
    found: dict[str, list[float]] = {proxy.name: [] for proxy in proxies}
    for number, arch in enumerate(archs):
        network = SPACE.build_surrogate(arch, surrogate, task)
        seed = torch.Generator().manual_seed(number)
        graph = channel_graph(network, SHAPE, seed)
        for proxy in proxies:
            signals = {ChannelDegrees(): graph}
            empty = not len(graph.incoming)
            found[proxy.name].append(float("nan") if empty else proxy.score(signals))  # type: ignore[arg-type]
    return found


def main() -> None:
    """Print a row for each measure, of cells as written and of connected ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1024)
    parser.add_argument("--dataset", default="class_object")
    parser.add_argument("--split", default="test")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    every = list(SPACE)
    chosen = np.random.default_rng(given.seed).permutation(len(every))[: given.cells]
    archs = [every[i] for i in chosen]
    task = replace(get_task(given.dataset), input=TensorSpec(SHAPE))
    known = MicroResults(SPACE).accuracies(given.dataset, given.split)
    truth = np.array([known[str(arch)] for arch in archs])
    connected = np.array([SPACE.is_valid(arch) for arch in archs])
    figures = MicroFigures(SPACE)
    print(f"{given.dataset}, {given.split}: {len(archs)} cells, {connected.sum()} connected")
    print("| measure | Spearman | published | Kendall | published | connected cells alone |")
    print("| --- | --- | --- | --- | --- | --- |")
    for published in (True, False):
        for name, values in scores(archs, task, published).items():
            there = np.isfinite(values)
            paper = figures.published({"score": name, "dataset": given.dataset}, None)
            rho, tau, of_connected = (
                measure(np.array(values)[rows], truth[rows]).statistic
                for measure, rows in (
                    (spearmanr, there), (kendalltau, there), (spearmanr, there & connected)
                )
            )  # fmt: skip
            print(
                f"| {name} | {rho:.3f} | {paper['published_spearman']} | {tau:.3f} | "
                f"{paper['published_kendall']} | {of_connected:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
