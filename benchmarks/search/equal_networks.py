"""Keys of traced networks against their outputs: equal keys exactly where outputs are equal?

Pairs of two spaces are built; their keys (`hwnas.networks.traced`) are compared, and their outputs
in double precision for equal random weights, those of batch norms included. Two networks count as
equal if *some* matching of their weights gives equal outputs. Prints the counts, every exception,
and CPU milliseconds a key::

    python -m benchmarks.search.equal_networks --pairs 1000

- `mobile`: chains of inverted residuals (width, depth, kernel, expansion, squeeze) for 96x96x1 and
  7 classes. Half of the pairs differ in one choice, which often has no effect: that of a layer
  beyond the depth, the order of registration, activations in place or not.
- `cells`: NAS-Bench-201 with one cell a stage of 4 channels. Half of the pairs are of one class by
  the space's own key, the others of two classes with the same operations.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hwnas.networks.traced import network_key
from hwnas.seeding import derive_seed
from hwnas.spaces.assignments import Assignment, AssignmentSpace
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.spaces.options import Choose, Options
from hwnas.tasks.task import Task, TensorSpec, image_task

Pair = tuple[str, str, bool, bool]
"""Both architectures, and whether their keys and their outputs are equal."""
TASK = image_task(7, (1, 96, 96))
CELLS = NasBench201(channels=4, cells=1)
CELL_TASK = image_task(10, (3, 8, 8))
LAYERS = 4


class Residual(nn.Module):
    """Expansion, depthwise convolution, squeeze, projection; a sum where the shape stays."""

    def __init__(self, c_in: int, c_out: int, layer: dict[str, Any], turned: bool) -> None:
        super().__init__()
        hidden, kernel = c_in * layer["expansion"], layer["kernel"]
        made: dict[str, nn.Module] = {}
        if layer["expansion"] > 1:
            made["expand"] = nn.Sequential(nn.Conv2d(c_in, hidden, 1), nn.BatchNorm2d(hidden))
        depthwise = nn.Conv2d(hidden, hidden, kernel, padding=kernel // 2, groups=hidden)
        made["depthwise"] = nn.Sequential(depthwise, nn.BatchNorm2d(hidden))
        if layer["squeeze"]:
            inner = hidden // 2
            made["squeeze"] = nn.Sequential(
                nn.AdaptiveAvgPool2d(1), nn.Conv2d(hidden, inner, 1), nn.ReLU(),
                nn.Conv2d(inner, hidden, 1), nn.Hardsigmoid(),
            )  # fmt: skip
        made["project"] = nn.Sequential(nn.Conv2d(hidden, c_out, 1), nn.BatchNorm2d(c_out))
        for name in sorted(made, reverse=turned):
            self.add_module(name, made[name])
        self.in_place, self.turned, self.adds = layer["in_place"], turned, c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H, W)."""
        y: Tensor = self.get_submodule("expand")(x) if "expand" in self._modules else x
        y = self.get_submodule("depthwise")(y)
        y = y.relu_() if self.in_place else torch.relu(y)
        if "squeeze" in self._modules:
            scale = self.get_submodule("squeeze")(y)
            y = scale * y if self.turned else y * scale
        y = self.get_submodule("project")(y)
        if not self.adds:
            return y
        return x + y if self.turned else y + x


class MobileSpace(AssignmentSpace):
    """Asks for all layers, also for those beyond the depth."""

    name = "mobile"
    default_task = TASK

    def ask(self, choose: Choose) -> dict[str, Any]:
        """Ask for the shape, for every layer, and for the order of registration."""
        return {
            "width": choose("width", Options((8, 12, 16), ordered=True)),
            "depth": choose("depth", Options(range(1, LAYERS + 1), ordered=True)),
            "turned": choose("turned", Options((False, True))),
            "layers": [
                {
                    "kernel": choose(f"kernel_{i}", Options((3, 5), ordered=True)),
                    "expansion": choose(f"expansion_{i}", Options((1, 2, 4), ordered=True)),
                    "squeeze": choose(f"squeeze_{i}", Options((False, True))),
                    "in_place": choose(f"in_place_{i}", Options((False, True))),
                }
                for i in range(LAYERS)
            ],
        }

    def build(self, arch: Assignment, task: Task | None = None) -> nn.Module:
        """Build stem, residuals and head."""
        del task
        asked = self.asked(arch)
        width, layers = asked["width"], asked["layers"][: asked["depth"]]
        widths = [width, *(width * (1 + i // 2) for i in range(len(layers)))]
        blocks = [
            Residual(a, b, layer, asked["turned"])
            for (a, b), layer in zip(itertools.pairwise(widths), layers, strict=True)
        ]
        return nn.Sequential(
            nn.Conv2d(1, width, 3, stride=4), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(widths[-1], 7),
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name, pairs in (("mobile", _mobile_pairs), ("cells", _cell_pairs)):
        TIMES.clear()
        found = list(pairs(arguments.pairs, np.random.default_rng(arguments.seed)))
        _report(name, found)


def _report(name: str, pairs: list[Pair]) -> None:
    count = Counter((keys, outputs) for *_, keys, outputs in pairs)
    print(
        f"{name}: {len(pairs)} pairs, {count[True, True]} equal by key and outputs, "
        f"{count[False, False]} different by both, {count[True, False]} by outputs alone, "
        f"{count[False, True]} by key alone; {1e3 * float(np.median(TIMES)):.1f} ms CPU a key "
        f"(median of {len(TIMES)})"
    )
    for one, other, keys, outputs in pairs:
        if keys != outputs:
            print(f"  keys {'equal' if keys else 'differ'}: {one}  {other}")


TIMES: list[float] = []


def _key(model: nn.Module, spec: TensorSpec) -> str:
    start = time.process_time()
    key = network_key(model, spec)
    TIMES.append(time.process_time() - start)
    assert key.how == "traced", key.reason
    return key.function


def _mobile_pairs(count: int, rng: np.random.Generator) -> Iterator[Pair]:
    space = MobileSpace()
    x = torch.randn(2, 1, 96, 96, generator=torch.Generator().manual_seed(0)).double()
    for i in range(count):
        one = space.sample(rng)
        near = space.neighbours(one)
        other = near[int(rng.integers(len(near)))] if i % 2 else space.sample(rng)
        models = [space.build(arch) for arch in (one, other)]
        keys = [_key(model, TASK.input) for model in models]
        first, second = (_output(model, x, {}) for model in models)
        equal = torch.allclose(first, second, rtol=1e-9)
        yield str(one), str(other), keys[0] == keys[1], equal


def _cell_pairs(count: int, rng: np.random.Generator) -> Iterator[Pair]:
    by_class: dict[str, list[Cell]] = defaultdict(list)
    by_operations: dict[tuple[str, ...], list[Cell]] = defaultdict(list)
    for cell in filter(CELLS.is_valid, CELLS):
        by_class[CELLS.canonical_key(cell)].append(cell)
        by_operations[tuple(sorted(cell.operations))].append(cell)
    groups = [group for group in by_class.values() if len(group) > 1]
    kinds = [group for group in by_operations.values() if len(group) > 1]
    for i in range(count):
        chosen = groups if i % 2 else kinds
        group = chosen[rng.integers(len(chosen))]
        one, other = (group[j] for j in rng.choice(len(group), 2, replace=False))
        yield _cell_pair(one, other)


def _cell_pair(one: Cell, other: Cell) -> Pair:
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    models = [CELLS.build(cell, CELL_TASK) for cell in (one, other)]
    keys = [_key(model, CELL_TASK.input) for model in models]
    first = _output(models[0], x, {})
    equal = any(
        torch.allclose(first, _output(models[1], x, match), rtol=1e-9)
        for match in _matchings(one, other)
    )
    return str(one), str(other), keys[0] == keys[1], equal


def _matchings(one: Cell, other: Cell) -> Iterator[dict[str, str]]:
    """Give every way to hand the weights of one cell's edges to the other's of their kind.

    Edges without a counterpart keep weights of their own.
    """
    ways = []
    for kind in ("nor_conv_1x1", "nor_conv_3x3"):
        mine, theirs = _places(one, kind), _places(other, kind)
        mine += [f"none {i}" for i in range(len(theirs) - len(mine))]
        ways.append(
            [dict(zip(theirs, p, strict=True)) for p in itertools.permutations(mine, len(theirs))]
        )
    for left, right in itertools.product(*ways):
        yield left | right


def _places(cell: Cell, kind: str) -> list[str]:
    return [
        f"nodes.{target - 1}.{source}." for (source, target), name in cell.edges() if name == kind
    ]


def _output(model: nn.Module, x: Tensor, names: dict[str, str]) -> Tensor:
    """Run with weights that depend on their names alone.

    Args:
        model: the network; its weights are replaced.
        x: input.
        names: parts of names to be replaced by others.
    """
    model = model.double().eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            for part, new in names.items():
                if part in name:
                    name = name.replace(part, new)
                    break
            weight.copy_(_weights(name, tuple(weight.shape)))
        found: Tensor = model(x)
    return found


def _weights(name: str, shape: tuple[int, ...]) -> Tensor:
    known = WEIGHTS.get((name, shape))
    if known is None:
        generator = torch.Generator().manual_seed(derive_seed(name, shape))
        fan_in = max(1, int(np.prod(shape[1:])))
        known = torch.randn(shape, generator=generator, dtype=torch.double) / fan_in**0.5
        WEIGHTS[name, shape] = known
    return known


WEIGHTS: dict[tuple[str, tuple[int, ...]], Tensor] = {}


if __name__ == "__main__":
    main()
