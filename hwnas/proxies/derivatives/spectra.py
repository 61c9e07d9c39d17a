"""Eigenvalues and entropies in float64, with missing values instead of exceptions."""

from __future__ import annotations

import torch
from torch import Tensor


def eigenvalues(matrix: Tensor) -> Tensor:
    """Give the `(n,)` ascending eigenvalues of a symmetric `(n, n)` matrix; NaN if not finite."""
    if not matrix.isfinite().all():
        return torch.full(matrix.shape[:1], torch.nan, dtype=torch.float64)
    values: Tensor = torch.linalg.eigvalsh(matrix.double())
    return values


def singular_values(matrix: Tensor) -> Tensor:
    """Give the descending singular values of an `(n, m)` matrix; NaN if it is not finite."""
    if not matrix.isfinite().all():
        return torch.full((min(matrix.shape),), torch.nan, dtype=torch.float64)
    values: Tensor = torch.linalg.svdvals(matrix.double())
    return values


def entropy(weights: Tensor) -> float:
    """Give the entropy in nats of `(n,)` weights >= 0, scaled to sum 1; NaN if all are 0.

    Rounding may leave tiny negative eigenvalues: they count as 0, and 0 log 0 = 0.
    """
    weights = weights.clamp(min=0)
    return float(torch.special.entr(weights / weights.sum()).sum())
