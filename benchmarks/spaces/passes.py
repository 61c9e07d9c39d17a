"""Time of building and scoring random members of every space, in passes at the paper's input.

One pass is forward and backward of the same batch through the plain network in its default memory
layout. Scored are params, flops, synflow and the members of hwnas-agg; CPU seconds of one thread,
the least of a few repetitions, the median over members. Where a proxy has no value for a space's
networks the row names it. The batch is that of the commands::

    python -m benchmarks.spaces.passes
    python -m benchmarks.spaces.passes --space mobilenetv2 --members 3 --batch 8
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.spaces.members import draw
from hwnas.networks.freed_memory import keep_freed_memory
from hwnas.proxies import make_proxies
from hwnas.proxies.engine.scoring import score_network
from hwnas.ranking.recipes import RECIPES
from hwnas.spaces.space_text import read_space
from hwnas.tasks.batch import draw_inputs
from hwnas.tasks.task import Task
from hwnas.typing import SearchSpace

PROXIES = tuple(dict.fromkeys(("params", "flops", "synflow", *RECIPES["hwnas-agg"].proxies)))
SPACES = (
    "nasbench201",
    "natsbench-size",
    "nasbench101",
    "nasbench-macro",
    *(f"nds:family={family}" for family in ("darts", "enas", "amoeba", "nasnet", "pnas")),
    "fbnet",
    "mobilenetv3",
    "mobilenetv2",
    "proxylessnas",
    "resnet",
    "autoformer",
    "pit",
    "transnasbench101-micro",
    "transnasbench101-macro",
)


class Times(NamedTuple):
    """Of one member.

    Attributes:
        pass_s: forward and backward.
        build_s: building.
        score_s: building and scoring.
        absent: proxies without a value.
    """

    pass_s: float
    build_s: float
    score_s: float
    absent: tuple[str, ...]


def measure(space: SearchSpace[Any], arch: Any, task: Task, batch: int, repetitions: int) -> Times:
    """Time a member, the kinds in turn; the first round warms up."""
    proxies = make_proxies(PROXIES)
    build = partial(space.build, arch, task)

    def one_pass() -> None:
        model.zero_grad()
        model(images).sum().backward()

    def score() -> dict[str, Any]:
        return score_network(build(), task, proxies, batch_size=batch)

    images = draw_inputs(task.input, batch, torch.Generator().manual_seed(0))
    rounds, found = [], {}
    for _ in range(repetitions + 1):
        model = build()
        found = score()
        rounds.append([seconds(work) for work in (one_pass, build, score)])
    least = np.min(rounds[1:], axis=0)
    absent = tuple(name for name, result in found.items() if result.value != result.value)
    pass_s, build_s, score_s = least.tolist()
    return Times(pass_s, build_s, score_s, absent)


def seconds(work: Callable[[], object]) -> float:
    """Give the CPU seconds of a call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Time members of each space and print a row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repetitions", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--space", action="append", help="repeatable; all by default")
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    print("| space | input | pass, s | building, s | building and scoring, passes | no value |")
    print("| --- | --- | --- | --- | --- | --- |")
    for text in given.space or SPACES:
        space = read_space(text)
        task = space.default_task
        archs = [draw(space, given.seed + number) for number in range(given.members)]
        found = [measure(space, arch, task, given.batch, given.repetitions) for arch in archs]
        ratios = sorted(times.score_s / times.pass_s for times in found)
        size = "×".join(map(str, (given.batch, *task.input.shape)))
        absent = ", ".join(dict.fromkeys(name for times in found for name in times.absent))
        print(
            f"| `{text}` | {size} | {np.median([t.pass_s for t in found]):.2f} | "
            f"{np.median([t.build_s for t in found]):.3f} | {np.median(ratios):.2f} "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f}) | {absent or '–'} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
