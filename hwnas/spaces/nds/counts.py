"""Parameters, multiply-accumulates and layers of networks of two cells in closed form.

See `hwnas.spaces.chain_counts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hwnas.spaces.nds.genotype import INPUTS, NONE, Genotype, State, joined_states
from hwnas.spaces.nds.network import SMALL_IMAGE, STEM_MULTIPLIER
from hwnas.spaces.nds.operations import SKIP, kind_of
from hwnas.spaces.nds.space import Nds
from hwnas.spaces.walk import Place, Walk
from hwnas.tasks.task import Task, image_classes


@dataclass(frozen=True)
class CellsCounts:
    """The facet `Counted`: counts as `CellsNetwork` is built."""

    space: Nds

    def counts(self, arch: Genotype, task: Task) -> Mapping[str, int]:
        """Give ``params``, ``macs`` of one image, and ``layers``."""
        classes, in_shape = image_classes(task, self.space.name)
        walk, channels = Walk(*in_shape), self.space.channels
        halved = min(in_shape[1:]) >= SMALL_IMAGE
        last = _stem(walk, channels, halved)
        for reduces in self.space.reductions:
            now, channels = walk.place, channels * (2 if reduces else 1)
            _inputs(walk, last, channels, halved)
            states = arch.reduce if reduces else arch.normal
            _states(walk, states, self.space.parts.joins_all, 2 if reduces else 1)
            last, halved = now, reduces
        walk.pooled()
        walk.linear(classes)
        return {"params": walk.params, "macs": walk.macs, "layers": walk.layers}


def _stem(walk: Walk, channels: int, large: bool) -> Place:
    """Go to the second input of the first cell, and give the place of the first one."""
    if not large:
        walk.conv(STEM_MULTIPLIER * channels, 3)
        return walk.place
    walk.conv(channels // 2, 3, 2)
    walk.conv(channels, 3, 2)
    first = walk.place
    walk.conv(channels, 3, 2)
    return first


def _inputs(walk: Walk, last: Place, width: int, halved: bool) -> None:
    """Bring the outputs of the last but one and of the last cell, which is here, to one width."""
    now, walk.place = walk.place, last
    if halved:
        _halve(walk, width)
    else:
        walk.conv(width)
    walk.place = now
    walk.conv(width)


def _states(walk: Walk, states: Sequence[State], every: bool, stride: int) -> None:
    """Go through the operations of a cell to its output."""
    width, height, columns = before = walk.place
    after = width, -(-height // stride), -(-columns // stride)
    for term in (term for terms in states for term in terms if term.operation != NONE):
        of_input = term.source < INPUTS
        walk.place = before if of_input else after
        _operation(walk, term.operation, stride if of_input else 1)
    walk.place = width * len(joined_states(states, every)), *after[1:]


def _halve(walk: Walk, c_out: int) -> None:
    """Go through two convolutions beside one another, and a norm."""
    walk.beside(c_out // 2, 1, 2)
    walk.conv(c_out // 2, 1, 2)
    walk.channels = c_out


def _operation(walk: Walk, name: str, stride: int) -> None:
    """Go through an operation, see `hwnas.spaces.nds.operations.operation`."""
    if name == SKIP:
        if stride > 1:
            _halve(walk, walk.channels)
        return
    kind, kernel, square = kind_of(name)
    match kind:
        case "sep_conv" | "dil_sep_conv":
            _depthwise(walk, kernel, stride)
            _depthwise(walk, kernel, 1)
        case "dil_conv":
            _depthwise(walk, kernel, stride)
        case "conv" if square:
            walk.conv(walk.channels, kernel, stride)
        case "conv":
            _row_and_column(walk, kernel, stride)


def _depthwise(walk: Walk, kernel: int, stride: int) -> None:
    """Go through a depthwise convolution, a 1x1 convolution and a norm."""
    walk.conv(walk.channels, kernel, stride, groups=walk.channels, norm=False)
    walk.conv(walk.channels)


def _row_and_column(walk: Walk, kernel: int, stride: int) -> None:
    """Go through a convolution along the rows, one along the columns, and a norm."""
    weights = walk.channels**2 * kernel
    walk.width = -(-walk.width // stride)
    walk.macs += walk.height * walk.width * weights
    walk.height = -(-walk.height // stride)
    walk.macs += walk.height * walk.width * weights
    walk.params += 2 * weights + 2 * walk.channels
    walk.layers += 2
