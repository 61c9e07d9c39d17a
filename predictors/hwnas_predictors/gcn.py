"""A graph convolutional network over computation graphs (Kipf and Welling, ICLR 2017)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class GraphNetwork(nn.Module):
    """Describes a graph by the sum of its nodes' states after graph convolutions.

    A layer gives `relu(H U + P H V + S H W)`, where `P` and `S` take the mean over a node's
    predecessors and successors. BRP-NAS has one matrix and one direction, so that nodes which
    differ only in what follows them start alike; it also reads the state of a node that is joined
    to all others. Here the nodes' states are summed, since costs add up over operations and
    canonical graphs differ in size.

    Args:
        features: features f of a node.
        hidden: width of each layer.
        layers: graph convolutions.
        extra: numbers c of a graph that are appended to its description.
    """

    def __init__(self, features: int, hidden: int, layers: int, extra: int = 0) -> None:
        super().__init__()
        self.width = hidden + extra
        widths = [features, *[hidden] * layers]
        self.layers = nn.ModuleList(nn.Linear(3 * a, b) for a, b in pairwise(widths))

    def forward(self, adjacency: Tensor, features: Tensor, mask: Tensor, extra: Tensor) -> Tensor:
        """Describe graphs.

        Args:
            adjacency: `(n, v, v)` of a `GraphBatch`.
            features: `(n, v, f)` of it.
            mask: `(n, v)` of it.
            extra: `(n, c)` numbers of the graphs.

        Returns:
            `(n, hidden + c)` descriptions.
        """
        there = mask.unsqueeze(-1).to(features)
        before, after = _mean_over(adjacency.transpose(1, 2)), _mean_over(adjacency)
        states = features
        for layer in self.layers:
            around = torch.cat([states, before @ states, after @ states], dim=-1)
            states = torch.relu(layer(around)) * there
        return torch.cat([states.sum(dim=1), extra], dim=1)


def _mean_over(adjacency: Tensor) -> Tensor:
    """Give rows of sum 1, or of zeros for a node without neighbours."""
    return adjacency / adjacency.sum(dim=2, keepdim=True).clamp(min=1)


class GraphRegression(nn.Module):
    """A number of a graph: a linear function of its description."""

    def __init__(self, features: int, hidden: int, layers: int, extra: int = 0) -> None:
        super().__init__()
        self.body = GraphNetwork(features, hidden, layers, extra)
        self.head = nn.Linear(self.body.width, 1)

    def forward(self, adjacency: Tensor, features: Tensor, mask: Tensor, extra: Tensor) -> Tensor:
        """Give `(n,)` numbers for what `GraphNetwork` takes."""
        number: Tensor = self.head(self.body(adjacency, features, mask, extra)).squeeze(-1)
        return number


class BinaryRelation(nn.Module):
    """How sure a graph is better than another: `r(a, b) = f(a, b) - f(b, a)`.

    BRP-NAS takes a softmax over two outputs of `f(a, b)`; the difference makes the relation
    antisymmetric whatever the weights are.
    """

    def __init__(self, features: int, hidden: int, layers: int, extra: int = 0) -> None:
        super().__init__()
        self.body = GraphNetwork(features, hidden, layers, extra)
        self.compare = nn.Sequential(
            nn.Linear(2 * self.body.width, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Give `(n,)` log odds from two `(n, hidden + c)` descriptions by `body`."""
        ahead = self.compare(torch.cat([first, second], dim=-1))
        behind = self.compare(torch.cat([second, first], dim=-1))
        odds: Tensor = (ahead - behind).squeeze(-1)
        return odds
