"""NASGraph's graph of a network: channels are nodes, edges tell which channel reaches which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hwnas.proxies.engine.block_trace import Block, Term, trace_blocks
from hwnas.typing import InShape

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Degrees:
    """Degrees of the graph's nodes; a node without an edge is not in the graph.

    Attributes:
        incoming: `(v,)` edges that end in each node.
        outgoing: `(v,)` edges that start from it.
    """

    incoming: IntArray
    outgoing: IntArray

    @property
    def total(self) -> IntArray:
        """`(v,)` edges of each node."""
        return self.incoming + self.outgoing


def channel_graph(model: nn.Module, in_shape: InShape, generator: torch.Generator) -> Degrees:
    """Convert a network to NASGraph's directed acyclic graph, without running it.

    Args:
        model: a network of convolutions, linear layers, pools, `nn.Identity`, sums and
            concatenations, with any normalisation and activations; it is left as it is.
        in_shape: (C, H, W) of an image.
        generator: draws the N(0, 1) weights, layer by layer in the order in which they run.

    Raises:
        ProxyError: the network has an operator that the graph is not defined for.
    """
    return _degrees(trace_blocks(model, in_shape, generator))


def _degrees(blocks: Sequence[Block]) -> Degrees:
    """Count the edges of all blocks but the classifier, a linear layer that no block reads."""
    count = max((block.nodes.stop for block in blocks), default=0)
    incoming, outgoing = torch.zeros(2, count, dtype=torch.int64)
    read = torch.zeros(count, dtype=torch.bool)
    for block in blocks:
        for nodes, _ in block.reads:
            read[_index(nodes)] = True
    for block in blocks:
        if block.kind == "linear" and not read[_index(block.nodes)].any():
            continue
        incoming[_index(block.nodes)] += block.incoming
        for nodes, edges in block.reads:
            outgoing[_index(nodes)] += edges
    joined = (incoming + outgoing) > 0
    return Degrees(incoming[joined].numpy(), outgoing[joined].numpy())


def _index(nodes: Term) -> slice | Tensor:
    return slice(nodes.start, nodes.stop) if isinstance(nodes, range) else nodes
