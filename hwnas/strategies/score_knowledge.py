"""Proxy scores of a space's networks, worked out beforehand, as cheap knowledge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hwnas.errors import DataNotFoundError, InvalidValueError, unknown_name
from hwnas.proxies import proxy_direction
from hwnas.ranking.recipes import RECIPES
from hwnas.strategies.problem import Knowledge, Measure
from hwnas.tables.shipped import shipped_scores
from hwnas.typing import Arch, FloatArray, SearchSpace

BEGIN_WITH = "hwnas-agg"
"""Ready-made score that chooses the first evaluations, where all of its proxies are there."""

CHEAP = ("jacob_cov", "params")
"""Proxies whose joint ranks do so elsewhere: one pass and one count."""

LEARN_FROM = (*RECIPES[BEGIN_WITH].proxies, "params")
"""Shipped proxies that a model learns from: few labels tell the use of six, not of forty."""


def shipped_knowledge(
    space: SearchSpace[Arch],
    dataset: str = "cifar10",
    known_losses: Mapping[int, Measure[Arch]] | None = None,
    images: str = "gaussian",
) -> Knowledge[Arch]:
    """Make knowledge of the proxy scores that come with hwnas: those of `LEARN_FROM`.

    Args:
        space: search space.
        dataset: data set whose classes and image size the networks were built for.
        known_losses: see `Knowledge`.
        images: what the proxies saw, see `hwnas.tables.shipped.shipped_scores`.

    Raises:
        DataNotFoundError: there are no scores of this space, data set and images.
    """
    shipped = shipped_scores(space.name, dataset, images)
    if shipped is None:
        raise DataNotFoundError(
            f"hwnas has no scores of `{space.name}` for `{dataset}` with images `{images}`: score "
            f"the networks with `hwnas score --out` and give them to `score_knowledge`."
        )
    columns = {name: shipped.table.columns[name] for name in LEARN_FROM}
    return score_knowledge(space, shipped.keys, columns, known_losses)


def score_knowledge(
    space: SearchSpace[Arch],
    keys: Sequence[str],
    columns: Mapping[str, npt.ArrayLike],
    known_losses: Mapping[int, Measure[Arch]] | None = None,
    begin_with: Sequence[str] | None = None,
) -> Knowledge[Arch]:
    """Make knowledge of a table of proxy scores, e.g. one that `hwnas score --out` wrote.

    Args:
        space: search space.
        keys: `(n,)` canonical keys of the rows; of several rows of a class the last one counts.
        columns: `(n,)` raw scores by the name of the proxy; NaN where there is none. All of them
            are inputs of the model, so a handful that differ is better than many that do not.
        known_losses: see `Knowledge`.
        begin_with: proxies and ready-made scores that choose the first evaluations, by the joint
            ranks within the table; None for `BEGIN_WITH`, or `CHEAP` where not all of its proxies
            are columns.

    Returns:
        The knowledge; an architecture that is in no row has NaN scores.

    Raises:
        UnknownNameError: `begin_with` names a proxy that is no column, or a ready-made score one
            of whose proxies is none.
        InvalidValueError: there is no column, or one has another length than `keys`.
    """
    if begin_with is None:
        begin_with = [BEGIN_WITH] if set(RECIPES[BEGIN_WITH].proxies) <= set(columns) else CHEAP
    for name in (p for n in begin_with for p in (RECIPES[n].proxies if n in RECIPES else (n,))):
        if name not in columns:
            raise unknown_name("begin_with", name, columns)
    lengths = {name: np.shape(column) for name, column in columns.items()}
    if not columns or set(lengths.values()) != {(len(keys),)}:
        raise InvalidValueError(
            f"`columns` must hold one score for each of the {len(keys)} keys and proxy, but got "
            f"the shapes {lengths}."
        )
    row = {key: i for i, key in enumerate(keys)}
    table = np.column_stack([np.asarray(columns[name], dtype=np.float64) for name in columns])
    table = np.vstack([table, np.full(table.shape[1], np.nan)])
    first = [_oriented(name, columns) for name in begin_with]
    begin = np.vstack([np.column_stack(first), np.full(len(first), np.nan)]) if first else table

    def features(archs: Sequence[Arch]) -> FloatArray:
        rows = [row.get(space.canonical_key(arch), len(keys)) for arch in archs]
        return np.asarray(table[rows], dtype=np.float64)

    def scores(archs: Sequence[Arch]) -> FloatArray:
        rows = [row.get(space.canonical_key(arch), len(keys)) for arch in archs]
        return np.asarray(begin[rows], dtype=np.float64)

    return Knowledge(features, scores, known_losses or {})


def _oriented(name: str, columns: Mapping[str, npt.ArrayLike]) -> FloatArray:
    """Give a proxy's `(n,)` scores, or a ready-made score of them; larger is better."""
    if (recipe := RECIPES.get(name)) is not None:
        return recipe.in_population(np.column_stack([columns[p] for p in recipe.proxies]))
    sign = 1.0 if proxy_direction(name) == "maximize" else -1.0
    return np.asarray(sign * np.asarray(columns[name], dtype=np.float64))
