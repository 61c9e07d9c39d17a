"""The network of a NAS-Bench-101 module (Ying et al., ICML 2019, Figure 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.errors import InvalidValueError
from hwnas.graphs.arch_graph import IntArray
from hwnas.spaces.conv_bn import conv_bn

STACKS = 3


def _conv(c_in: int, c_out: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(*conv_bn(c_in, c_out, kernel), nn.ReLU())


def _operation(name: str, channels: int) -> nn.Module:
    match name:
        case "conv3x3":
            return _conv(channels, channels, 3)
        case "conv1x1":
            return _conv(channels, channels, 1)
        case "maxpool3x3":
            return nn.MaxPool2d(3, stride=1, padding=1)
    raise InvalidValueError(f"`name` must be an operation of NAS-Bench-101, but got {name!r}.")


def vertex_channels(matrix: IntArray, c_out: int) -> list[int]:
    """Give the channels of each vertex but the input.

    Vertices before the output share its channels, the first ones a channel more where that does
    not divide; others have those of the widest vertex behind them.

    Args:
        matrix: `(v, v)` adjacency without dead vertices.
        c_out: channels of the module.
    """
    last = len(matrix) - 1
    channels = [0] * last + [c_out]
    before = [v for v in range(1, last) if matrix[v, last]]
    for number, vertex in enumerate(before):
        share, rest = divmod(c_out, len(before))
        channels[vertex] = share + (number < rest)
    for vertex in range(last - 1, 0, -1):
        if not matrix[vertex, last]:
            channels[vertex] = max(
                channels[t] for t in range(vertex + 1, last) if matrix[vertex, t]
            )
    return channels


class ModuleBlock(nn.Module):
    """One module: vertices sum what comes in, the output concatenates it.

    A 1x1 convolution takes the input to the channels of each vertex that it has an edge to; wider
    vertices are cut off at the channels of the vertex behind them.
    """

    def __init__(self, matrix: IntArray, operations: Sequence[str], c_in: int, c_out: int) -> None:
        super().__init__()
        self.edges = [list(map(bool, row)) for row in matrix.tolist()]
        self.channels = vertex_channels(matrix, c_out)
        self.projections = nn.ModuleDict(
            {
                str(vertex): _conv(c_in, self.channels[vertex], 1)
                for vertex in range(1, len(matrix))
                if matrix[0, vertex]
            }
        )
        self.operations = nn.ModuleList(
            _operation(name, self.channels[vertex]) for vertex, name in enumerate(operations, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, C_in, H, W)` to `(B, C_out, H, W)`."""
        last = len(self.edges) - 1
        values: list[Tensor] = [x]
        for vertex, operation in enumerate(self.operations, 1):
            width = self.channels[vertex]
            terms = [values[s][:, :width] for s in range(1, vertex) if self.edges[s][vertex]]
            values.append(operation(self._with_input(terms, x, vertex)))
        joined = [values[s] for s in range(1, last) if self.edges[s][last]]
        return self._with_input([torch.cat(joined, dim=1)] if joined else [], x, last)

    def _with_input(self, terms: list[Tensor], x: Tensor, vertex: int) -> Tensor:
        if self.edges[0][vertex]:
            terms = [*terms, self.projections[str(vertex)](x)]
        return sum(terms[1:], start=terms[0])


class ModuleNetwork(nn.Module):
    """Stem, three stacks of modules with a pool between them, and a linear classifier."""

    def __init__(
        self,
        matrix: IntArray,
        operations: Sequence[str],
        channels: int,
        modules: int,
        num_classes: int,
        c_in: int,
    ) -> None:
        super().__init__()
        self.stem = _conv(c_in, channels, 3)
        blocks: list[nn.Module] = []
        before = channels
        for stack in range(STACKS):
            now = channels * 2**stack
            blocks += [nn.MaxPool2d(2)] if stack else []
            for _ in range(modules):
                blocks.append(ModuleBlock(matrix, operations, before, now))
                before = now
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(before, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(B, C, H, W)` images to `(B, K)` logits."""
        features = self.blocks(self.stem(images))
        return cast(Tensor, self.classifier(F.adaptive_avg_pool2d(features, 1).flatten(1)))
