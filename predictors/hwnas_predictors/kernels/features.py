"""Configurations of kernels as numbers that a regressor of log latency can use."""

from __future__ import annotations

from collections.abc import Sequence
from math import log, prod

import numpy as np

from hwnas.typing import FloatArray
from hwnas_predictors.kernels.kernel import Configuration

ACTIVATIONS = (
    "Relu",
    "Clip",
    "LeakyRelu",
    "HardSwish",
    "HardSigmoid",
    "Sigmoid",
    "Tanh",
)
"""Activations with a column of their own; all others share one."""

NAMES = (
    "flops",
    "bytes",
    "intensity",
    "in_elements",
    "out_elements",
    "weights",
    "c_in",
    "c_out",
    "c_in_per_group",
    "height",
    "width",
    "out_height",
    "out_width",
    "window",
    "stride",
    "operands",
    "batch",
    "model_weights",
    "fused_add",
    *ACTIVATIONS,
    "other_activation",
)
"""Names of the columns; all but the last nine are logarithms."""


def features(configurations: Sequence[Configuration]) -> FloatArray:
    """Give `(n, f)` features of kernels, with f the length of `NAMES`.

    Sizes enter as logarithms, so that powers of them (FLOPs, bytes, their ratio) are linear.
    """
    rows = [_row(c) for c in configurations]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(NAMES))


def _row(c: Configuration) -> list[float]:
    sizes = (
        max(c.flops, 1),
        c.bytes,
        max(c.flops, 1) / c.bytes,
        c.in_elements,
        c.out_elements,
        1 + c.weights,
        c.c_in,
        c.c_out,
        c.c_in / c.groups,
        c.height,
        c.width,
        c.out_height,
        c.out_width,
        prod(c.kernel),
        prod(c.stride),
        c.operands,
        c.batch,
        1 + c.model_weights,
    )
    other = bool(c.activation) and c.activation not in ACTIVATIONS
    flags = (c.fused_add, *(c.activation == name for name in ACTIVATIONS), other)
    return [*(log(size) for size in sizes), *(float(flag) for flag in flags)]
