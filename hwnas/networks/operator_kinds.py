"""What an executed operator is to hardware: its kind of work and the shape of its window."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from torch import Tensor

VIEW = "view"
"""Kind of operators that move nothing: another shape of the same memory."""
_CONVOLUTIONS = ("convolution", "conv")
_KINDS = {
    "product": ("mm", "linear", "matmul", "mv", "dot", "addr", "einsum", "trilinear"),
    "attention": ("attention",),
    "recurrent": ("lstm", "gru", "rnn"),
    "norm": ("norm",),
    "pool": ("pool", "mean", "amax"),
    "softmax": ("softmax",),
    "resize": ("upsample", "interpolate", "grid_sampler"),
    "move": ("cat", "clone", "copy", "pad", "index", "gather", "embedding", "stack", "roll"),
}


def kind_of(func: Any, args: Sequence[Any]) -> str:
    """Name the kind of an operator, e.g. ``conv 3x3``, ``depthwise 5x5``, ``product`` or ``norm``.

    >>> import torch
    >>> image, weight = torch.empty(1, 8, 4, 4), torch.empty(8, 1, 3, 3)
    >>> rest = (None, [1, 1], [1, 1], [1, 1], False, [0, 0], 8)
    >>> kind_of(torch.ops.aten.convolution.default, (image, weight, *rest))
    'depthwise 3x3'

    Args:
        func: the overload.
        args: its positional arguments; tensors need no data.

    Returns:
        Convolutions by window and groups, others by family; ``elementwise`` is all that is left.
    """
    weight = args[1] if len(args) > 1 else None
    name = _name(func)
    if any(part in name for part in _CONVOLUTIONS) and isinstance(weight, Tensor):
        return _convolution(args, weight)
    return _family(func)


def _convolution(args: Sequence[Any], weight: Tensor) -> str:
    window = "x".join(str(size) for size in weight.shape[2:])
    if len(args) > 6 and args[6] is True:
        return f"transposed {window}"
    groups = args[8] if len(args) > 8 and isinstance(args[8], int) else 1
    if groups == 1:
        return f"conv {window}"
    return f"{'depthwise' if weight.shape[1] == 1 else 'grouped'} {window}"


@cache
def _family(func: Any) -> str:
    if getattr(func, "is_view", False):
        return VIEW
    name = _name(func)
    found = (kind for kind, parts in _KINDS.items() if any(part in name for part in parts))
    return next(found, "elementwise")


def _name(func: Any) -> str:
    name = func._schema.name if hasattr(func, "_schema") else str(func)
    return str(name).rpartition("::")[2]
