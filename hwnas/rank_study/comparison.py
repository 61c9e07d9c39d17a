"""Proxies and ready-made scores side by side: every rank metric, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.errors import InvalidValueError
from hwnas.proxies import proxy_direction, proxy_names
from hwnas.rank_study.model_recipes import MODEL_RECIPES
from hwnas.ranking.bias import operation_bias
from hwnas.ranking.bootstrap import bootstrap_interval
from hwnas.ranking.metrics import (
    DEFAULT_P,
    are_percentages,
    kendall,
    ndcg,
    rank_metrics,
    seed_stability,
    spearman,
)
from hwnas.ranking.recipes import RECIPES
from hwnas.study.sample import Labelled
from hwnas.tables.table import Table
from hwnas.typing import Arch, FloatArray, SearchSpace


@dataclass(frozen=True)
class Candidate:
    """A score to be compared.

    Attributes:
        name: name of the proxy or the ready-made score.
        kind: ``proxy``, ``ready-made``, ``own`` for a score that hwnas does not know, or the number
            of labels that it has learned from.
        scores: (n,) scores, larger is better.
        failed: architectures without a value; a ready-made score misses one where a proxy does, a
            learned one has none and counts the inputs with missing values.
    """

    name: str
    kind: str
    scores: FloatArray
    failed: int


def candidates(
    columns: Mapping[str, npt.ArrayLike], agreement: Mapping[str, float] | None = None
) -> list[Candidate]:
    """Orient the scores of proxies and add each ready-made score whose proxies are all there.

    Args:
        columns: (n,) raw scores by the name of the proxy, NaN where missing; other scores, of which
            more is better, by any other name. The ranks of a ready-made score are taken within
            these n architectures.
        agreement: how alike two seeds rank by the name of the proxy, which sets the weights of
            reliable scores; None where it is not known.

    Returns:
        The proxies in the order given, then the ready-made scores.
    """
    raw = {name: np.asarray(values, dtype=np.float64) for name, values in columns.items()}
    known, found = proxy_names(), []
    for name, values in raw.items():
        is_proxy = name.partition(".")[0] in known
        sign = -1 if is_proxy and proxy_direction(name) == "minimize" else 1
        kind = "proxy" if is_proxy else "own"
        found.append(Candidate(name, kind, sign * values, int(np.isnan(values).sum())))
    for recipe in RECIPES.values():
        if set(recipe.proxies) <= set(raw):
            weighed = recipe if agreement is None else recipe.weighed_by(agreement)
            table = np.column_stack([raw[name] for name in weighed.proxies])
            failed = int(np.isnan(table).any(axis=1).sum())
            scores = weighed.in_population(table)
            found.append(Candidate(recipe.name, "ready-made", scores, failed))
    return found


def stability(
    first: Mapping[str, npt.ArrayLike], again: Mapping[str, npt.ArrayLike]
) -> dict[str, float]:
    """Compare how two seeds rank the same networks, by the name of the score.

    Args:
        first: (m,) raw scores of one seed by the name of the proxy.
        again: (m,) raw scores of another seed, of the same proxies or of none.
    """
    before = {c.name: c.scores for c in candidates(first)}
    alike = {
        c.name: seed_stability(before[c.name], c.scores)
        for c in candidates(again)
        if c.kind == "proxy"
    }
    before = {c.name: c.scores for c in candidates(first, alike)}
    return {c.name: seed_stability(before[c.name], c.scores) for c in candidates(again, alike)}


def learned(
    space: SearchSpace[Arch],
    population: Table[Arch],
    accuracies: npt.ArrayLike,
    labels: int,
    seed: int,
    agreement: Mapping[str, float] | None = None,
    elsewhere: Sequence[Labelled[Any]] = (),
) -> tuple[list[Candidate], npt.NDArray[np.intp]]:
    """Learn each ranking of `MODEL_RECIPES` whose inputs are there from random architectures.

    Args:
        space: search space.
        population: architectures with their raw scores.
        accuracies: (n,) accuracies.
        labels: architectures to learn from, fewer than there are.
        seed: seed of the choice and of the regressors.
        agreement: how alike two seeds rank by the name of the proxy, where that is known.
        elsewhere: networks trained for other data sets or of other spaces.

    Returns:
        The rankings of the others, and the (n - labels,) indices of these.

    Raises:
        InvalidValueError: no architecture would be left.
    """
    truth = np.asarray(accuracies, dtype=np.float64)
    if labels >= len(truth):
        raise InvalidValueError(
            f"`labels` must be below the {len(truth)} architectures, but got {labels}: the rest "
            "is what is ranked."
        )
    order = np.random.default_rng(seed).permutation(len(truth))
    chosen, rest = order[:labels], np.sort(order[labels:])
    found = []
    for recipe in MODEL_RECIPES.values():
        names = recipe.columns(list(population.columns))
        if names is not None and recipe.fits(space):
            columns = {name: population.columns[name] for name in names}
            scores = recipe.predict(
                space, columns, population.archs, chosen, truth[chosen], seed, agreement, elsewhere
            )
            failed = sum(bool(np.isnan(values[rest]).any()) for values in columns.values())
            found.append(Candidate(recipe.name, f"{labels:,} labels", scores[rest], failed))
    return found, rest


def compare(
    candidate: Candidate,
    accuracies: npt.ArrayLike,
    operations: npt.ArrayLike,
    *,
    p: int = DEFAULT_P,
    resamples: int = 0,
    seed: int = 0,
    against: Candidate | None = None,
) -> dict[str, Any]:
    """Compute every rank metric of one score.

    Args:
        candidate: the score; a missing value ranks worst and stays in the population.
        accuracies: (n,) accuracies in percent, or other numbers of which larger ones are better,
            which have no nDCG.
        operations: (n, o) operations of each architecture, see `operation_counts`.
        p: architectures that nDCG looks at.
        resamples: bootstrap resamples for the intervals of Spearman, Kendall and nDCG; 0 for none.
        seed: seed of the resamples.
        against: another score of the same architectures, which this one is compared with.

    Returns:
        Name, kind, number of architectures and of failures, `p` and the metrics; an interval is
        ``[low, high]`` under ``<metric>_95``. ``kendall_gain`` is Kendall's tau less that of
        `against`; the resamples of its interval are paired, both scores seeing the same
        architectures, so that it is far narrower than those of both.
    """
    scores, truth = candidate.scores, np.asarray(accuracies, dtype=np.float64)
    row: dict[str, Any] = {
        "score": candidate.name,
        "kind": candidate.kind,
        "n": len(scores),
        "failed": candidate.failed,
        "ndcg_p": p,
        **rank_metrics(scores, truth, p),
        "operation_bias": operation_bias(scores, truth, operations),
    }
    if resamples:
        metrics: dict[str, Any] = {"spearman": spearman, "kendall": kendall}
        if are_percentages(truth):
            metrics["ndcg"] = partial(ndcg, p=p)
        for name, metric in metrics.items():

            def of_drawn(drawn: npt.NDArray[np.intp], metric: Any = metric) -> float:
                return float(metric(scores[drawn], truth[drawn]))

            interval = bootstrap_interval(of_drawn, len(scores), resamples, seed=seed)
            row[f"{name}_95"] = list(interval)
    if against is not None and against.name != candidate.name:
        row |= _gain(scores, against.scores, truth, resamples, seed)
    return row


def _gain(
    scores: FloatArray, others: FloatArray, truth: FloatArray, resamples: int, seed: int
) -> dict[str, Any]:
    """Give the difference of two scores' tau, with the interval of paired resamples."""
    found: dict[str, Any] = {"kendall_gain": kendall(scores, truth) - kendall(others, truth)}
    if resamples:

        def of_drawn(drawn: npt.NDArray[np.intp]) -> float:
            mine, theirs, known = scores[drawn], others[drawn], truth[drawn]
            return kendall(mine, known) - kendall(theirs, known)

        interval = bootstrap_interval(of_drawn, len(truth), resamples, seed=seed)
        found["kendall_gain_95"] = list(interval)
    return found
