"""Feature maps as rows of channels, and their sums over positions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwnas.deferred import deferred

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = deferred("torch")


def position_rows(maps: Tensor) -> Tensor:
    """Turn (B, C, ...) into (B, positions, C): a view in the `channels_last` layout."""
    return maps.movedim(1, -1).flatten(1, -2)


def sum_positions(rows: Tensor) -> Tensor:
    """Sum (B, positions, C) over positions to (B, 1, C); a product is faster than a reduction."""
    ones = rows.new_ones(1, 1, rows.shape[1]).expand(len(rows), -1, -1)
    return torch.bmm(ones, rows)
