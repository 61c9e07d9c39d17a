"""Operations that PyTorch's exporter writes as something else, for it to write as they are.

`findings/torch_onnx_exporter_leaves_options_out.sh` and
`findings/torch_onnx_exporter_logarithms_overflow.sh` show them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from onnxscript import opset18

op: Any = opset18
"""Operators; their own types do not fit those of what other operators give."""
_REDUCTIONS = {"sum": "add", "mean": "add", "prod": "mul", "amin": "min", "amax": "max"}
_NEUTRAL = {"sum": 0.0, "mean": 0.0, "prod": 1.0}


def _scatter_reduce(
    self: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool = True
) -> Any:
    """Write `torch.scatter_reduce`; the exporter's mean keeps the last value alone."""

    def scatter(into: Any, values: Any, reduction: str = "none") -> Any:
        return op.ScatterElements(into, index, values, axis=dim, reduction=reduction)

    def filled(like: Any, value: float) -> Any:
        return op.Expand(op.CastLike(op.Constant(value_float=value), like), op.Shape(like))

    places = op.Slice(src, [0] * len(src.shape), op.Shape(index))  # src may be larger than index
    # The smallest and the largest of numbers, whole ones too, are those of one of them beside all.
    first = filled(places, _NEUTRAL[reduce]) if reduce in _NEUTRAL else places
    total = scatter(self if include_self else scatter(self, first), places, _REDUCTIONS[reduce])
    if reduce != "mean":
        return total
    # Each place is divided by what was added there, and by 1 where nothing was.
    ones = filled(self, 1.0)
    counted = ones if include_self else scatter(ones, filled(places, 0.0))
    return op.Div(total, scatter(counted, filled(places, 1.0), "add"))


def _smoothed(mode: str, cubic: float) -> Callable[..., Any]:
    """Write an antialiased resize by its factors, of which the exporter keeps the size alone."""

    def write(
        self: Any,
        output_size: Sequence[int],
        align_corners: bool,
        scales_h: float | None = None,
        scales_w: float | None = None,
    ) -> Any:
        if align_corners:
            raise NotImplementedError("ONNX has no antialiased resize with aligned corners")
        target: list[Any] = [None, None]  # factors, sizes
        if scales_h is not None and scales_w is not None:
            target[0] = op.Constant(value_floats=[1.0, 1.0, scales_h, scales_w])
        else:
            sides = op.Constant(value_ints=output_size)
            target[1] = op.Concat(op.Shape(self, start=0, end=2), sides, axis=0)
        return op.Resize(
            self,
            None,
            *target,
            mode=mode,
            antialias=1,
            exclude_outside=1,
            coordinate_transformation_mode="half_pixel",
            cubic_coeff_a=cubic,
        )

    return write


def _log_sigmoid(self: Any) -> Any:
    """Write -log(1 + exp(-x)); the exporter's log(sigmoid(x)) is -inf below -88."""
    return op.Neg(op.Softplus(op.Neg(self)))


def _log_sum(base: float) -> Callable[..., Any]:
    """Write log(b^x + b^y), of which the exporter's powers are infinite or 0 beyond a hundred."""
    rate = math.log(base)

    def write(self: Any, other: Any) -> Any:
        rated = op.CastLike(op.Constant(value_float=rate), self)
        apart = op.Neg(op.Mul(op.Abs(op.Sub(self, other)), rated))
        # log(1 + exp(d)) is Softplus, which ONNX has.
        return op.Add(op.Max(self, other), op.Div(op.Softplus(apart), rated))

    return write


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.aten.scatter_reduce.two: _scatter_reduce,
    torch.ops.aten.log_sigmoid.default: _log_sigmoid,
    torch.ops.aten.logaddexp.default: _log_sum(math.e),
    torch.ops.aten.logaddexp2.default: _log_sum(2.0),
    torch.ops.aten._upsample_bilinear2d_aa.default: _smoothed("linear", -0.75),
    torch.ops.aten._upsample_bicubic2d_aa.default: _smoothed("cubic", -0.5),
}
"""What `torch.onnx.export` takes as its `custom_translation_table`."""
