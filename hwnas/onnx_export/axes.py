"""Operations on the axes of tensors in ONNX: slices, parts, transpositions, expansions, padding.

Where the batch is free it stays the first axis: what would move, cut or join it is not written.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from hwnas.onnx_export.graph_writer import GraphWriter, Value, require

Shape = tuple[int, ...]
_END = 2**63 - 1
"""What ONNX takes for the end of an axis."""


def getitem(w: GraphWriter, out: Value, input: Any, index: Any) -> str:
    """Write ``input[index]``: numbers, slices and None; or integer indices of the first axis."""
    del out
    require(isinstance(input, Value), "an item of something else than a tensor")
    if isinstance(index, Value):
        require(not w.dynamic_batch, "indices of the batch")
        return w.add("Gather", input.name, index.name, axis=0)
    parts = _without_ellipsis(index if isinstance(index, tuple) else (index,), len(input.shape))
    axes = [part for part in parts if part is not None]
    require(not w.dynamic_batch or axes[:1] in ([], [slice(None)]), "a part of the batch")
    require(all(type(part) in (int, slice) for part in axes), "an index of another kind")
    name = _sliced(w, input, axes)
    for axis in reversed(range(len(axes))):
        if isinstance(axes[axis], int):
            name = w.add("Gather", name, w.integer(axes[axis]), axis=axis)
    kept = [part for part in parts if not isinstance(part, int)]
    new = [axis for axis, part in enumerate(kept) if part is None]
    require(not (w.dynamic_batch and 0 in new), "an axis before the batch")
    return w.add("Unsqueeze", name, w.constant(*new)) if new else name


def _without_ellipsis(parts: tuple[Any, ...], rank: int) -> list[Any]:
    if Ellipsis not in parts:
        return list(parts)
    place = parts.index(Ellipsis)
    missing = rank - sum(part is not None for part in parts) + 1
    return [*parts[:place], *[slice(None)] * missing, *parts[place + 1 :]]


def _sliced(w: GraphWriter, input: Value, axes: Sequence[Any]) -> str:
    slices = [part for part in axes if isinstance(part, slice)]
    bounds = [bound for s in slices for bound in (s.start, s.stop, s.step)]
    require(all(b is None or type(b) is int for b in bounds), "a bound that is computed")
    # What takes a whole axis leaves no node: some runtimes know no slices.
    cut = {
        axis: part
        for axis, (part, size) in enumerate(zip(axes, input.shape, strict=False))
        if isinstance(part, slice) and part.indices(size) != (0, size, 1)
    }
    if not cut:
        return input.name
    return w.add(
        "Slice",
        input.name,
        w.constant(*(s.start or 0 for s in cut.values())),
        w.constant(*(_END if s.stop is None else s.stop for s in cut.values())),
        w.constant(*cut),
        w.constant(*(s.step or 1 for s in cut.values())),
    )


def permute(w: GraphWriter, out: Value, input: Value, *dims: Any) -> str:
    """Write ``input.permute(...)``, whose axes are numbers or one sequence of them."""
    del out
    order = dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims
    return _transposed(w, input, [dim % len(input.shape) for dim in order])


def transpose(w: GraphWriter, out: Value, input: Value, dim0: int, dim1: int) -> str:
    """Write ``input.transpose(dim0, dim1)``."""
    del out
    order = list(range(len(input.shape)))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return _transposed(w, input, order)


def _transposed(w: GraphWriter, input: Value, order: list[int]) -> str:
    require(not w.dynamic_batch or order[:1] == [0], "a batch that moves")
    return w.add("Transpose", input.name, perm=order)


def expand(w: GraphWriter, out: Value, input: Value, *sizes: Any) -> str:
    """Write ``input.expand(...)``."""
    del sizes
    return w.add("Expand", input.name, w.shape(out))


def zero_pad(w: GraphWriter, out: Value, input: Value, padding: Sequence[int]) -> str:
    """Write zeros around the last two axes: left, right, top and bottom of them."""
    del out
    left, right, top, bottom = padding
    require(len(input.shape) == 4 and min(padding) >= 0, "padding that cuts, or without a batch")
    return w.add("Pad", input.name, w.constant(0, 0, top, left, 0, 0, bottom, right))


def unbind(w: GraphWriter, shapes: Sequence[Shape], input: Value, dim: int = 0) -> list[str]:
    """Write ``input.unbind(dim)``: one tensor an index."""
    axis = _cut_axis(w, input, dim)
    return [w.add("Gather", input.name, w.integer(i), axis=axis) for i in range(len(shapes))]


def split(
    w: GraphWriter, shapes: Sequence[Shape], input: Value, sizes: object, dim: int = 0
) -> list[str]:
    """Write ``input.split(sizes, dim)`` or ``input.chunk(sizes, dim)``: what each part has."""
    del sizes
    axis = _cut_axis(w, input, dim)
    ends = list(itertools.accumulate(shape[axis] for shape in shapes))
    bounds = zip([0, *ends], ends, strict=False)
    ones = w.constant(1)
    return [
        w.add("Slice", input.name, w.constant(a), w.constant(b), w.constant(axis), ones)
        for a, b in bounds
    ]


def stack(w: GraphWriter, out: Value, tensors: Sequence[Value], dim: int = 0) -> str:
    """Write ``torch.stack(tensors, dim)``."""
    axis = dim % len(out.shape)
    require(not (w.dynamic_batch and axis == 0), "an axis before the batch")
    rows = [w.add("Unsqueeze", tensor.name, w.constant(axis)) for tensor in tensors]
    return w.add("Concat", *rows, axis=axis)


def _cut_axis(w: GraphWriter, input: Value, dim: int) -> int:
    axis = dim % len(input.shape)
    require(not (w.dynamic_batch and axis == 0), "a part of the batch")
    return axis
