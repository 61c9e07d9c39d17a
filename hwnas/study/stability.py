"""How much of a proxy's ranks in a space is the networks', and how much the draw's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Unpack

import numpy as np

from hwnas.evaluation.evaluator import Evaluator, EvaluatorOptions
from hwnas.evaluation.objectives import proxy_objective
from hwnas.evaluation.sources import ProxyValues
from hwnas.ranking.metrics import seed_stability
from hwnas.ranking.recipes import RECIPES
from hwnas.study.configuration import EvaluationSetup, reference_sample
from hwnas.tables.shipped.table import shipped_columns
from hwnas.typing import Arch, FloatArray

AGREEMENT_SIZE = 24
"""Networks that are scored with a second seed."""
STABLE = 0.9
"""Agreement of two seeds from which on a proxy's ranks count as the networks' own."""
DEFAULT_SCORES = ("jacob_cov+params", "expressivity+params", "naswot+params")
"""What a search maximises that names no score; the first that is stable in its space."""


def seed_agreement(
    source: ProxyValues[Arch],
    *,
    archs: Sequence[Arch] | None = None,
    size: int = AGREEMENT_SIZE,
    **options: Unpack[EvaluatorOptions],
) -> dict[str, float]:
    """Correlate the ranks that two seeds give the same networks of a space.

    The networks are the first ones of the space's reference sample, whose scores a calibrated
    score needs anyway; the second seed is the next one. Where hwnas ships scores of two seeds for
    just these settings, theirs are taken: 60 networks, no time. With 24 networks the standard error
    of a coefficient near 0 is .2, near .9 about .04.

    Args:
        source: the proxies, space, task, batch and first seed.
        archs: the networks; those of the reference sample if None.
        size: networks of the reference sample.
        options: how networks are scored.

    Returns:
        Spearman's coefficient by the name of the proxy; 1 where the seed does not matter, NaN where
        a seed ranks all networks alike, or has no value.
    """
    known = shipped_columns(source.space.name) if archs is None and not source.fresh else {}
    found: dict[str, float] = {}
    for name in source.columns:
        if (entry := known.get(source.cache_prefix(name))) is not None:
            scores, column = entry
            once = scores.table.values(column, scores.again.keys or ())
            found[name] = seed_stability(once, scores.again.columns[column])
    rest = tuple(proxy for proxy in source.proxies if proxy.name not in found)
    if rest:
        networks = reference_sample(source.space, size, source.seed) if archs is None else archs
        seeds = [replace(source, proxies=rest, seed=source.seed + more) for more in (0, 1)]
        first, second = (scores_of(seeded, networks, **options) for seeded in seeds)
        found |= {name: seed_stability(first[name], second[name]) for name in first}
    return {name: found[name] for name in source.columns}


def default_score(
    setup: EvaluationSetup[Arch], **options: Unpack[EvaluatorOptions]
) -> tuple[str, dict[str, float]]:
    """Choose the score of a search that names none: a cheap pair whose ranks repeat in the space.

    The first of `DEFAULT_SCORES` on whose proxies two seeds agree by `STABLE` at least, else the
    one whose less stable proxy is the most stable. Equal searches choose alike.

    Args:
        setup: space, task, batch and seed.
        options: how networks are scored.

    Returns:
        Name of the score, and the agreement of two seeds by proxy, of each that was tried.
    """
    least: dict[str, float] = {}
    known: dict[str, float] = {}
    for name in DEFAULT_SCORES:
        source = setup.proxies(RECIPES[name].make())
        found = seed_agreement(source, **options)
        known |= found
        least[name] = min(-1.0 if value != value else value for value in found.values())
        if least[name] >= STABLE:
            break
    return max(least, key=lambda name: least[name]), known


def scores_of(
    source: ProxyValues[Arch], archs: Sequence[Arch], **options: Unpack[EvaluatorOptions]
) -> dict[str, FloatArray]:
    """Score architectures, connected or not.

    Args:
        source: the proxies.
        archs: `(n,)` architectures.
        options: how they are scored.

    Returns:
        `(n,)` raw scores by the name of the proxy; NaN where there is none.
    """
    objectives = [proxy_objective(source, name) for name in source.columns]
    evaluator = Evaluator(source.space, objectives, require_valid=False, **options)
    rows = evaluator.evaluate(archs)
    return {name: np.array([row.results[name].value for row in rows]) for name in source.columns}
