"""The rows of `hwnas rank`: a population's scores against accuracies, beside published figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwnas.rank_study.comparison import candidates, compare, learned
from hwnas.rank_study.population import Population
from hwnas.ranking.bias import operation_counts
from hwnas.ranking.metrics import seed_stability
from hwnas.ranking.published import published
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.typing import FloatArray

Row = dict[str, Any]
_PUBLISHED_LABELS = 1024


@dataclass(frozen=True)
class Truth:
    """What cells are ranked by.

    Attributes:
        dataset: name of the data set.
        split: which of its accuracies.
        accuracies: accuracy in percent by architecture string.
    """

    dataset: str
    split: str
    accuracies: Mapping[str, float]

    def of(self, population: Population[Cell]) -> FloatArray:
        """Give the (n,) accuracies of a population."""
        return np.array([self.accuracies[str(arch)] for arch in population.archs])

    def describe(self, population: Population[Cell]) -> Row:
        """Say what is ranked: data set, split, cells without dead operations, networks."""
        space = NasBench201()
        return {
            "dataset": self.dataset,
            "split": self.split,
            "live": sum(arch.is_live() for arch in population.archs),
            "networks": len({space.canonical_key(arch) for arch in population.archs}),
        }


def score_rows(
    population: Population[Cell], truth: Truth, *, p: int, resamples: int, seed: int
) -> list[Row]:
    """Give a row for each proxy and each ready-made score, see `compare`.

    Args:
        population: cells with their raw scores.
        truth: what they are ranked by.
        p: architectures that nDCG looks at.
        resamples: bootstrap resamples; 0 for none.
        seed: seed of the resamples.
    """
    known, about = truth.of(population), truth.describe(population)
    _, operations = operation_counts(NasBench201(), population.archs)
    first = {c.name: c.scores for c in candidates(population.first)}
    again = {c.name: c.scores for c in candidates(population.again)}
    rows = []
    for c in candidates(population.columns):
        row = about | compare(c, known, operations, p=p, resamples=resamples, seed=seed)
        if c.name in again:
            row["seed_stability"] = seed_stability(first[c.name], again[c.name])
        rows.append(row | _published(row))
    return rows


def learned_rows(
    population: Population[Cell], truth: Truth, labels: int, *, p: int, seed: int
) -> list[Row]:
    """Give a row for each learned ranking, on the cells that it did not learn from.

    Args:
        population: cells with their raw scores.
        truth: what they are ranked by.
        labels: cells that are learned from.
        p: architectures that nDCG looks at.
        seed: seed of the choice and of the regressors.
    """
    known, whole = truth.of(population), truth.describe(population)
    found, rest = learned(population, known, labels, seed)
    _, operations = operation_counts(NasBench201(), [population.archs[i] for i in rest])
    about = {"dataset": truth.dataset, "split": truth.split, "labels": labels}
    rows = []
    for c in found:
        row = about | compare(c, known[rest], operations, p=p)
        of_all = whole | {"score": c.name, "n": len(known)}
        figures = _published(of_all) if labels == _PUBLISHED_LABELS else {}
        rows.append(row | {"published_kendall": figures.get("published_kendall")})
    return rows


def _published(row: Mapping[str, Any]) -> dict[str, float | None]:
    """Give what papers report for the same population; nothing if it has a size of its own."""
    cells = {(9_445, 9_445): "live", (15_625, 9_445): "all"}.get((row["n"], row["live"]))
    if cells is None:
        return {}
    return {
        f"published_{metric}": figure.value if figure else None
        for metric in ("spearman", "kendall")
        for figure in [published(metric, row["score"], row["dataset"], cells)]
    }
