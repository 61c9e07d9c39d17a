"""Scores of every network of a search space, computed by hwnas and shipped with it."""

from hwnas.tables.shipped.table import (
    ShippedColumn,
    ShippedScores,
    shipped_columns,
    shipped_name,
    shipped_result,
    shipped_scores,
    shipped_values,
)

__all__ = [
    "ShippedColumn",
    "ShippedScores",
    "shipped_columns",
    "shipped_name",
    "shipped_result",
    "shipped_scores",
    "shipped_values",
]
