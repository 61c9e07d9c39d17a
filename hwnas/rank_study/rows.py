"""The rows of `hwnas rank`: a population's scores against accuracies, beside published figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np

from hwnas.errors import unknown_name
from hwnas.evaluation.evaluator import Report
from hwnas.rank_study.comparison import candidates, compare, learned
from hwnas.rank_study.fronts import front_of_score
from hwnas.ranking.bias import operation_counts
from hwnas.spaces.facets import Equivalence, RankFigures, facet
from hwnas.study.sample import Labelled
from hwnas.tables.accuracy_file import COLUMN, LOSS
from hwnas.tables.table import Table
from hwnas.typing import Arch, FloatArray, SearchSpace

Row = dict[str, Any]
BEST = "best_accuracy"


@dataclass(frozen=True)
class KnownAccuracies(Generic[Arch]):
    """What architectures are ranked by.

    Attributes:
        space: their search space.
        dataset: name of the data set.
        split: which of its accuracies.
        accuracies: accuracy in percent by the text of the exact architecture, or negative loss.
        column: which of the two, ``accuracy`` or ``loss``.
    """

    space: SearchSpace[Arch]
    dataset: str
    split: str
    accuracies: Mapping[str, float]
    column: str = COLUMN

    def of(self, population: Table[Arch]) -> FloatArray:
        """Give the (n,) accuracies of a population, all of which must be known."""
        return np.array([self.accuracies[str(arch)] for arch in population.archs])

    def describe(self, population: Table[Arch]) -> Row:
        """Say what is ranked: data set, split, live architectures if that is known, networks."""
        about = self.origin
        if (known := facet(self.space, Equivalence)) is not None:
            about["live"] = sum(known.is_live(arch) for arch in population.archs)
        return about | {"networks": len({self.space.canonical_key(a) for a in population.archs})}

    @property
    def origin(self) -> Row:
        """Data set, split and column."""
        return {"dataset": self.dataset, "split": self.split, "column": self.column}

    def named(self, metrics: Row) -> Row:
        """Give the metrics; of losses the best one is a loss, not a negative accuracy."""
        if self.column != LOSS:
            return metrics
        return {k: v for k, v in metrics.items() if k != BEST} | {"best_loss": -metrics[BEST]}


def score_rows(
    population: Table[Arch],
    truth: KnownAccuracies[Arch],
    *,
    p: int,
    resamples: int,
    seed: int,
    stability: Mapping[str, float],
    against: str | None = None,
    costs: FloatArray | None = None,
    report: Report | None = None,
) -> list[Row]:
    """Give a row for each proxy and each ready-made score, see `compare`.

    Args:
        population: architectures with their raw scores.
        truth: what they are ranked by.
        p: architectures that nDCG looks at.
        resamples: bootstrap resamples; 0 for none.
        seed: seed of the resamples.
        stability: how alike two seeds rank, by the name of the score, where that is known.
        against: name of the score that the others are compared with, see `compare`.
        costs: (n,) known costs, whose fronts with each score are rated, see `front_of_score`.
        report: progress of the resamples, which take long.

    Raises:
        UnknownNameError: there is no score of that name.
    """
    known, about = truth.of(population), truth.describe(population)
    figures = facet(truth.space, RankFigures)
    _, operations = operation_counts(truth.space, population.archs)
    rows, shown = [], {c.name: c for c in candidates(population.columns, stability or None)}
    if against is not None and against not in shown:
        raise unknown_name("score to compare with", against, shown)
    other = None if against is None else shown[against]
    for done, c in enumerate(shown.values()):
        if report is not None and resamples:
            report(f"intervals for {truth.dataset}", done, len(shown))
        found = compare(c, known, operations, p=p, resamples=resamples, seed=seed, against=other)
        row = about | truth.named(found)
        if costs is not None:
            row |= front_of_score(c.scores, known, costs)
        if c.name in stability:
            row["seed_stability"] = stability[c.name]
        rows.append(row if figures is None else row | dict(figures.published(row, None)))
    return rows


def learned_rows(
    population: Table[Arch],
    truth: KnownAccuracies[Arch],
    labels: int,
    *,
    p: int,
    seed: int,
    stability: Mapping[str, float],
    elsewhere: Sequence[Labelled[Any]] = (),
) -> list[Row]:
    """Give a row for each learned ranking, on the architectures that it did not learn from.

    Args:
        population: architectures with their raw scores.
        truth: what they are ranked by.
        labels: architectures that are learned from.
        p: architectures that nDCG looks at.
        seed: seed of the choice and of the regressors.
        stability: how alike two seeds rank, by the name of the score, where that is known.
        elsewhere: networks trained for other data sets or of other spaces, for those that use them.
    """
    known, whole = truth.of(population), truth.describe(population)
    figures = facet(truth.space, RankFigures)
    found, rest = learned(
        truth.space, population, known, labels, seed, stability or None, elsewhere
    )
    _, operations = operation_counts(truth.space, [population.archs[i] for i in rest])
    about = truth.origin | {"labels": labels}
    rows = []
    for c in found:
        row = about | truth.named(compare(c, known[rest], operations, p=p))
        of_all = whole | {"score": c.name, "n": len(known), "ndcg_p": p}
        if figures is not None:
            row |= {"published_kendall": None, **figures.published(of_all, labels)}
        rows.append(row)
    return rows
