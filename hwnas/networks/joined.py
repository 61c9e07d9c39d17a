"""A network of several inputs as one of a single input, in which they lie behind one another."""

from __future__ import annotations

import inspect
import math
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from hwnas.errors import InvalidValueError


class JoinedInputs(nn.Module):
    """Cuts one tensor into the inputs of a network, which gets them in the order of their shapes.

    Networks have one input in hwnas. Of this one it is a signal (B, 1, N) of the N numbers of all
    inputs, ``input=(1, N)``; or tokens (B, N) where all inputs are tokens of one vocabulary. What
    is drawn for it is what would be drawn for each input, parameters, operations and gradients are
    those of the network, and an ONNX file of it has one input, which its first operator cuts.

    Args:
        network: takes as many tensors as there are shapes.
        *shapes: shape of each input, without the batch.

    Raises:
        InvalidValueError: there are less than two shapes, or one is no tuple of whole numbers
            >= 1.

    Example:
        >>> import hwnas
        >>> from torch import nn
        >>> class Scores(nn.Module):
        ...     def forward(self, query, key):
        ...         return query @ key.mT
        >>> network = JoinedInputs(Scores(), (4, 16), (6, 16))
        >>> network.input
        (1, 160)
        >>> network(JoinedInputs.join(torch.ones(2, 4, 16), torch.ones(2, 6, 16))).shape
        torch.Size([2, 4, 6])
    """

    def __init__(self, network: nn.Module, *shapes: tuple[int, ...]) -> None:
        super().__init__()
        if len(shapes) < 2 or not all(map(_is_shape, shapes)):
            raise InvalidValueError(
                "`shapes` must be those of two inputs or more, tuples of whole numbers >= 1, e.g. "
                f"(3, 32, 32) and (10,), but got {', '.join(map(repr, shapes)) or 'none'}."
            )
        self.shapes = tuple(tuple(int(n) for n in shape) for shape in shapes)
        self.network = network
        self.sizes = [math.prod(shape) for shape in self.shapes]

    @property
    def input(self) -> tuple[int, int]:
        """Shape (1, N) of the signal."""
        return 1, sum(self.sizes)

    def forward(self, joined: Tensor) -> Any:
        """Cut (B, 1, N) or (B, N) into (B, *shape) of each input, and run the network."""
        parts = torch.split(joined.flatten(1), self.sizes, 1)
        inputs = [p.reshape(-1, *s) for p, s in zip(parts, self.shapes, strict=True)]
        return self.network(*inputs)

    @staticmethod
    def join(*inputs: Tensor) -> Tensor:
        """Lay inputs (B, ...) behind one another: (B, 1, N) of real numbers, (B, N) of tokens.

        Raises:
            InvalidValueError: some are real numbers and some are tokens, which would become such.
        """
        if len({tensor.is_floating_point() for tensor in inputs}) > 1:
            raise InvalidValueError(
                "`inputs` must be all real numbers or all tokens, but got "
                f"{', '.join(str(tensor.dtype) for tensor in inputs)}: tokens beside real numbers "
                "are not possible; give whole numbers that are no tokens, e.g. pixels, as floats."
            )
        joined = torch.cat([tensor.flatten(1) for tensor in inputs], 1)
        return joined[:, None] if joined.is_floating_point() else joined


def _is_shape(shape: object) -> bool:
    if not isinstance(shape, tuple):
        return False
    return all(isinstance(n, Integral) and not isinstance(n, bool) and int(n) > 0 for n in shape)


def told_of_inputs(model: nn.Module, rank: int = 0) -> str:
    """Say what to do with a network that needs tokens, or more than one tensor; else nothing.

    Args:
        model: a network that refused its input.
        rank: axes of the real numbers that it got, without the batch.
    """
    if rank == 1 and any(isinstance(module, nn.Embedding) for module in model.modules()):
        return (
            ". It takes tokens: give their vocabulary, as --classes 3,30000 or in Python as "
            'TensorSpec((T,), "tokens", 30000)'
        )
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return ""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p.name for p in parameters if p.kind in kinds and p.default is p.empty]
    if len(needed) < 2:
        return ""
    return (
        f". It takes {len(needed)} inputs ({', '.join(needed)}): give "
        f"hwnas.JoinedInputs(network, shape of each), and its `input` as the shape"
    )
