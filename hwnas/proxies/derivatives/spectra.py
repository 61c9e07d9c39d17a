"""Eigenvalues and entropies in float64, with missing values instead of exceptions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hwnas.deferred import deferred

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = deferred("torch")


def eigenvalues(matrix: Tensor) -> Tensor:
    """Give the `(..., n)` ascending eigenvalues of symmetric `(..., n, n)` matrices.

    Those of a matrix that is not finite are NaN.

    Example:
        >>> eigenvalues(torch.tensor([[2.0, 1.0], [1.0, 2.0]])).round(decimals=9).tolist()
        [1.0, 3.0]
    """
    return _of_finite(torch.linalg.eigvalsh, matrix)


def singular_values(matrix: Tensor) -> Tensor:
    """Give the descending singular values of `(..., n, m)` matrices; NaN if not finite.

    Example:
        >>> singular_values(torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.0, -4.0]])).tolist()
        [4.0, 3.0]
    """
    return _of_finite(torch.linalg.svdvals, matrix)


def largest_singular_value(matrix: Tensor) -> Tensor:
    """Give the `(...)` largest singular value of `(..., n, m)` matrices; NaN if not finite.

    It is the root of the largest eigenvalue of the smaller of A^T A and A A^T, as exact as that of
    `singular_values`, the small ones of which would be lost: up to twenty times as fast.

    Example:
        >>> float(largest_singular_value(torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.0, -4.0]])))
        4.0
    """
    return _of_finite(_root_of_largest, matrix)[..., 0]


def _root_of_largest(matrix: Tensor) -> Tensor:
    wide = matrix if matrix.shape[-2] <= matrix.shape[-1] else matrix.mT
    # Squares neither vanish nor overflow where the largest element is 1.
    size = wide.abs().amax(dim=(-2, -1), keepdim=True)
    wide = wide / torch.where(size == 0, 1.0, size)
    largest: Tensor = torch.linalg.eigvalsh(wide @ wide.mT)[..., -1:]
    return size[..., 0] * largest.clamp(min=0).sqrt()


def _of_finite(spectrum: Callable[[Tensor], Tensor], matrix: Tensor) -> Tensor:
    finite = matrix.isfinite().flatten(-2).all(dim=-1, keepdim=True)
    # Solvers raise for the whole stack where one matrix is not finite.
    values = spectrum(torch.where(finite[..., None], matrix, 0.0).double())
    return values.masked_fill(~finite, torch.nan)


def by_shape(spectrum: Callable[[Tensor], Tensor], matrices: Sequence[Tensor]) -> list[Tensor]:
    """Apply `spectrum`, which takes stacks of matrices, to matrices of several shapes.

    One call for all that have a shape takes a fraction of the time of a call for each.
    """
    places: dict[torch.Size, list[int]] = {}
    for place, matrix in enumerate(matrices):
        places.setdefault(matrix.shape, []).append(place)
    found: dict[int, Tensor] = {}
    for members in places.values():
        stack = spectrum(torch.stack([matrices[place] for place in members]))
        found.update(zip(members, stack, strict=True))
    return [found[place] for place in range(len(matrices))]


def entropy(weights: Tensor) -> float:
    """Give the entropy in nats of `(n,)` weights >= 0, scaled to sum 1; NaN if all are 0.

    Rounding may leave tiny negative eigenvalues: they count as 0, and 0 log 0 = 0.

    Example:
        >>> round(entropy(torch.tensor([5.0, 5.0, 0.0])), 4)
        0.6931
    """
    weights = weights.clamp(min=0)
    return float(torch.special.entr(weights / weights.sum()).sum())
