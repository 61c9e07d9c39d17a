"""Covariance of the channels of feature maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwnas.deferred import deferred

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = deferred("torch")

# Largest square of a mean, in variances, beside which a difference is as exact as centred numbers.
_MEAN = 4.0


def covariance(rows: Tensor) -> Tensor:
    """Give the (C, C) float64 covariance of the columns of (n, C); (n, n) where n < C.

    ``E x x^T - m m^T`` reads the rows once where means m are small beside the deviations, so that
    the difference loses no digits; otherwise they are centred first. Rows whose products overflow
    in float32, from about 1e19 on, are float64 first.
    """
    found = _of_products(rows)
    if bool(found.isfinite().all()):
        return found
    wide = rows.double()
    centred = wide - wide.mean(dim=0)
    return (centred @ centred.T if len(rows) < rows.shape[1] else centred.T @ centred) / len(rows)


def _of_products(rows: Tensor) -> Tensor:
    """Give the covariance by products of the rows' own type."""
    n = len(rows)
    if n < rows.shape[1]:
        centred = (rows - rows.mean(dim=0)).double()
        return centred @ centred.T / n
    mean = (rows.new_ones(1, n) @ rows / n)[0].double()
    found = (rows.T @ rows).double() / n - torch.outer(mean, mean)
    if not bool((mean.square() <= _MEAN * found.diagonal()).all()):
        centred = rows - mean.to(rows.dtype)
        found = (centred.T @ centred).double() / n
    return found
