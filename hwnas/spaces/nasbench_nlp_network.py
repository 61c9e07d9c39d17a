"""The network of a recurrent cell (Klyuchnikov et al., IEEE Access 2022)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from hwnas.spaces.nasbench_nlp import Node, RecurrentCell


class RecurrentLayer(nn.Module):
    """One cell: W v + … + b, products, sums, blends and activations of `(B, C)` values."""

    def __init__(self, cell: RecurrentCell, channels: int) -> None:
        super().__init__()
        self.cell, self.channels = cell, channels
        # The sum of linear maps with one bias is a linear map of the joined inputs.
        self.linear = nn.ModuleDict(
            {
                str(number): nn.Linear(channels * len(node.inputs), channels)
                for number, node in enumerate(cell.nodes)
                if node.operation == "linear"
            }
        )
        self.leaky_relu = nn.LeakyReLU()

    def forward(self, x: Tensor, states: list[Tensor]) -> list[Tensor]:
        """Map a `(B, C)` token and `(B, C)` states to the new states."""
        values = {"x": x, **{f"h{i}": state for i, state in enumerate(states)}}
        for number, node in enumerate(self.cell.nodes):
            inputs = [values[name] for name in node.inputs]
            values[f"n{number}"] = self._operate(number, node, inputs)
        return [values[f"n{state}"] for state in self.cell.states]

    def _operate(self, number: int, node: Node, inputs: list[Tensor]) -> Tensor:
        match node.operation:
            case "linear":
                return cast(Tensor, self.linear[str(number)](torch.cat(inputs, dim=1)))
            case "blend":
                gate, first, second = inputs
                return gate * first + (1 - gate) * second
            case "prod":
                return inputs[0] * inputs[1]
            case "sum":
                return inputs[0] + inputs[1]
            case "tanh":
                return inputs[0].tanh()
            case "sigm":
                return inputs[0].sigmoid()
        return cast(Tensor, self.leaky_relu(inputs[0]))


class RecurrentNetwork(nn.Module):
    """Embedded tokens, layers of one cell each, and a linear classifier.

    It classifies every output, whose classes are the next tokens, or the last one where there are
    other classes.
    """

    def __init__(
        self, cell: RecurrentCell, channels: int, layers: int, vocabulary: int, classes: int | None
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, channels)
        self.layers = nn.ModuleList(RecurrentLayer(cell, channels) for _ in range(layers))
        self.every = classes is None
        self.classifier = nn.Linear(channels, vocabulary if classes is None else classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map `(B, T)` tokens to `(B, T, V)` or `(B, K)` logits."""
        sequence = list(self.embedding(tokens).unbind(1))  # T of (B, C)
        for layer in self.layers:
            cell = cast(RecurrentLayer, layer)
            states = [torch.zeros_like(sequence[0]) for _ in cell.cell.states]
            for place, value in enumerate(sequence):
                states = cell(value, states)
                sequence[place] = states[0]
        outputs = torch.stack(sequence, dim=1) if self.every else sequence[-1]
        return cast(Tensor, self.classifier(outputs))
