"""What a device's measurements say about the pool: which variances to trust, and which view.

A hypothesis says what the device did with dead operations (its view of the architectures) and how
much each block of features matters (`Scales`). Each has a posterior in closed form, and the
marginal likelihood of the measurements is its probability: one that fits badly, or that could have
fitted everything, loses. Predictions are the mixture.

A measurement may also be wrong, e.g. taken while something else ran: published tables have some in
a hundred that are off by half. Hypotheses that a measurement says nothing of the device are weighed
in the same way (Box and Tiao, A Bayesian approach to some outlier problems, 1968).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from hwnas.errors import InvalidValueError
from hwnas.typing import DeadOperations, FloatArray
from hwnas_predictors.bayesian_linear import (
    LogNormal,
    NormalMixture,
    Posterior,
    evidence_without,
)
from hwnas_predictors.device_prior import ANY_NOISE, DevicePrior, broad_variances
from hwnas_predictors.power_transform import Powers, Targets, inverse, reexpressed

TRUST: Mapping[DeadOperations, float] = {"executed": 0.5, "pruned": 0.25}
"""Probability, before a measurement, that the variances that trust the pool are right, by view.

It bears on the view, too: among networks that are equal in both views, those that the pool explains
better than the other variances do speak for "executed", by up to 2 to 1. Chosen by
benchmarks/predictors/choose_transfer.py.
"""
WRONG = 0.03
"""Probability, before it is looked at, that a measurement is wrong.

benchmarks/predictors/choose_transfer.py compares others.
"""
_WRONG_DENSITY = 0.3
"""Density of a wrong target: anywhere in a range of about three mean costs."""
_MEASUREMENTS_A_WRONG_ONE, _MOST_WRONG = 4, 5
"""Measurements for each that may be wrong, and how many may be at all."""
_LEAST_RIGHT, _MANY = 2, 200
_NEGLIGIBLE = 0.01
_DECIDED = 0.95
_DRAWN = 150
_ANY_NOISE = LogNormal(*ANY_NOISE)

Views = Mapping[DeadOperations, Sequence[FloatArray]]
"""The blocks of features by view."""


@dataclass(frozen=True)
class Belief:
    """A hypothesis, what follows from it, and its probability.

    Attributes:
        view: what the device did with dead operations.
        scales: number of the variances among those of the prior.
        posterior: weights of the features.
        weight: probability.
        wrong: numbers of the measurements that are wrong; not kept in files.
    """

    view: DeadOperations
    scales: int
    posterior: Posterior
    weight: float
    wrong: tuple[int, ...] = ()


def view_probability(view: DeadOperations, seen: Sequence[DeadOperations]) -> float:
    """Give the probability of a view before a measurement, from the `(d,)` views of a pool.

    (k + 1/2) / (d + 1) of a view that k of d devices had (Krichevsky and Trofimov, 1981): a pool
    of few devices, or of both kinds, leaves it open.
    """
    return (sum(own == view for own in seen) + 0.5) / (len(seen) + 1)


def weigh(
    prior: DevicePrior, views: Views, targets: Targets, seen: Sequence[DeadOperations] = ()
) -> tuple[Belief, ...]:
    """Learn from `(s,)` targets under every hypothesis; the most probable comes first.

    A view that is as good as certain is the only one: its equal networks then have equal costs.

    Args:
        prior: what the pool says.
        views: `(s, p_b)` features of each block by view.
        targets: `(s,)` targets.
        seen: `(d,)` views of the pool's devices, see `view_probability`.
    """
    found: list[Belief] = []
    wrong: tuple[int, ...] = ()
    while True:
        log_odds = len(wrong) * _log_odds_wrong()
        now = _hypotheses(prior, views, targets, seen, wrong, log_odds)
        found += now
        if len(wrong) == _most_wrong(len(targets)):
            break
        suspect, gain = _suspect(prior, views, targets, now)
        if gain + _log_odds_wrong() < np.log(_NEGLIGIBLE):
            break
        wrong = (*wrong, suspect)
    most = max(belief.weight for belief in found)  # logarithms still
    return _normalised(_decided([replace(b, weight=float(np.exp(b.weight - most))) for b in found]))


def _log_odds_wrong() -> float:
    """Give what a wrong measurement adds to the log probability of a hypothesis."""
    # `Posterior.weighed` leaves out log sqrt(2 pi) of each target that it explains.
    return float(np.log(WRONG / (1 - WRONG) * _WRONG_DENSITY * np.sqrt(2 * np.pi)))


def _most_wrong(measurements: int) -> int:
    """Give how many may be wrong: few say nothing of one another, and many outvote a wrong one."""
    if measurements > _MANY:
        return 0
    return min(max(measurements - _LEAST_RIGHT, 0) // _MEASUREMENTS_A_WRONG_ONE, _MOST_WRONG)


def _hypotheses(
    prior: DevicePrior,
    views: Views,
    targets: Targets,
    seen: Sequence[DeadOperations],
    wrong: tuple[int, ...],
    log_odds: float,
) -> list[Belief]:
    """Give a belief with its log probability, up to a constant, for every view and variances."""
    found = []
    for view, number, scaled in _scaled(prior, views):
        right, rest = np.delete(scaled, wrong, axis=0), targets.without(view, wrong)
        posterior, evidence = Posterior.weighed(right, rest, prior.scales[number].noise)
        log = evidence + targets.log_slope(view) + log_odds
        log += _log_before(prior, view, number, seen)
        found.append(Belief(view, number, posterior, log, wrong))
    return found


def _suspect(
    prior: DevicePrior, views: Views, targets: Targets, now: Sequence[Belief]
) -> tuple[int, float]:
    """Find the measurement without which the others are the most probable, and the log ratio.

    Args:
        prior: what the pool says.
        views: `(s, p_b)` features of each block by view.
        targets: `(s,)` targets.
        now: every hypothesis with its log probability, the same measurements wrong in each.
    """
    right = np.delete(np.arange(len(targets)), now[0].wrong)
    without = []
    for belief, (view, number, scaled) in zip(now, _scaled(prior, views), strict=True):
        own, noise = targets.by_view[view][right], prior.scales[number].noise
        evidence, of_others = evidence_without(scaled[right], own, noise)
        without.append(belief.weight + of_others - evidence)
    ratios = logsumexp(without, axis=0) - logsumexp([belief.weight for belief in now])
    best = int(np.argmax(ratios))
    return int(right[best]), float(ratios[best])


def _scaled(prior: DevicePrior, views: Views) -> Iterator[tuple[DeadOperations, int, FloatArray]]:
    """Give the features of every hypothesis."""
    for view, blocks in views.items():
        for number, scales in enumerate(prior.scales):
            if scales.fits(view):
                yield view, number, prior.scale(blocks, scales)


def _log_before(
    prior: DevicePrior, view: DeadOperations, number: int, seen: Sequence[DeadOperations]
) -> float:
    """Give the log probability of a hypothesis before a measurement.

    Those of a view add up to the view's: where one set of variances fits, it has all of it.
    """
    others = sum(scales.fits(view) for scales in prior.scales) - 1
    trust = TRUST[view] if others else 1.0
    share = (1 - trust) / others if number else trust
    return float(np.log(share * view_probability(view, seen)))


def observe(
    prior: DevicePrior, beliefs: Sequence[Belief], views: Views, targets: Targets
) -> tuple[Belief, ...]:
    """Learn from `(s,)` further targets of the same device under each hypothesis that is left.

    Args:
        prior: what the pool says.
        beliefs: what was believed before.
        views: `(s, p_b)` features of each block, of the views that are believed.
        targets: `(s,)` targets.
    """
    found = []
    for belief in beliefs:
        scaled = prior.scale(views[belief.view], prior.scales[belief.scales])
        own = targets.by_view[belief.view]
        posterior, evidence = belief.posterior.observed(scaled, own)
        evidence += targets.log_slope(belief.view)
        found.append((belief, posterior, np.log(belief.weight) + evidence))
    most = max(log for *_, log in found)
    return _normalised(
        [
            replace(belief, posterior=posterior, weight=float(np.exp(log - most)))
            for belief, posterior, log in found
        ]
    )


def pool_views(
    views: Views,
    targets: FloatArray,
    dead: npt.NDArray[np.bool_],
    given: Sequence[DeadOperations | None],
    seed: int,
) -> tuple[DeadOperations, ...]:
    """Give what each device of a pool did, by `likely_view` where it is not `given`.

    Raises:
        InvalidValueError: not one entry a device is given.
    """
    if len(given) != len(targets):
        raise InvalidValueError(
            f"`dead_operations` must have one entry a device, {len(targets)}, but got {len(given)}."
        )
    rng = np.random.default_rng(seed)
    rows = zip(given, targets, strict=True)
    return tuple(own or likely_view(views, row, dead, rng) for own, row in rows)


def likely_view(
    views: Views, targets: FloatArray, dead: npt.NDArray[np.bool_], rng: np.random.Generator
) -> DeadOperations:
    """Decide what a device of a pool did with dead operations.

    Broad variances explain the targets of drawn architectures with the features of each view, and
    the larger marginal likelihood wins. A block that one of the views lacks is left out, since the
    other view could explain more by it. Where no block or no dead operation tells the views apart,
    e.g. of a single target, they were pruned.

    Args:
        views: `(n, p_b)` features of each block by view.
        targets: `(n,)` targets of the device, NaN where there is no value.
        dead: `(n,)` whether an architecture has dead operations.
        rng: what draws the architectures.
    """
    known = np.flatnonzero(np.isfinite(targets))
    rows = rng.choice(known, min(_DRAWN, len(known)), replace=False)
    if len(views) == 1 or not dead[rows].any():
        return list(views)[-1]
    centre = targets[rows] - targets[rows].mean()
    evidence = {}
    centred = {v: [block[rows] - block[rows].mean(axis=0) for block in views[v]] for v in views}
    both = [i for i, own in enumerate(zip(*centred.values(), strict=True)) if all(map(np.any, own))]
    if not both:
        return list(views)[-1]
    for view, blocks in centred.items():
        parts = [blocks[i] for i in both]
        variances = broad_variances({view: parts})
        scaled = [np.sqrt(v) * part for v, part in zip(variances, parts, strict=True)]
        evidence[view] = Posterior.weighed(np.concatenate(scaled, axis=1), centre, _ANY_NOISE)[1]
    return max(evidence, key=lambda view: evidence[view])


def _decided(beliefs: Sequence[Belief]) -> Sequence[Belief]:
    """Keep the beliefs of one view if the others are improbable."""
    total = sum(belief.weight for belief in beliefs)
    for view in dict.fromkeys(belief.view for belief in beliefs):
        own = [belief for belief in beliefs if belief.view == view]
        if sum(belief.weight for belief in own) > _DECIDED * total:
            return own
    return beliefs


def _normalised(beliefs: Sequence[Belief]) -> tuple[Belief, ...]:
    """Drop what is negligible; the sum of the weights becomes 1."""
    least = _NEGLIGIBLE * sum(belief.weight for belief in beliefs)
    kept = sorted((b for b in beliefs if b.weight > least), key=lambda b: -b.weight)
    total = sum(belief.weight for belief in kept)
    return tuple(replace(belief, weight=belief.weight / total) for belief in kept)


def decided_view(beliefs: Sequence[Belief]) -> DeadOperations | None:
    """Give the view that all beliefs have, None if they differ."""
    views = {belief.view for belief in beliefs}
    return next(iter(views)) if len(views) == 1 else None


def mixture(
    prior: DevicePrior, beliefs: Sequence[Belief], views: Views, powers: Powers, power: float
) -> NormalMixture:
    """Give the distribution of the targets of architectures, by their blocks in each view.

    It is of targets of one power; what is believed of a view of another one is normal in the
    targets of that, and is taken as normal in these.
    """
    parts = []
    for belief in beliefs:
        part = belief.posterior.predict(
            prior.scale(views[belief.view], prior.scales[belief.scales])
        )
        if (own := powers[belief.view]) != power:
            part = NormalMixture(part.weights, *reexpressed(part.means, part.stds, own, power))
        parts.append(part)
    return NormalMixture.of(parts, np.array([belief.weight for belief in beliefs]))


def left_out(
    prior: DevicePrior, beliefs: Sequence[Belief], views: Views, targets: Targets, powers: Powers
) -> FloatArray:
    """Give the `(s,)` ratios whose targets were learned from as the others say, in closed form.

    The probabilities of the hypotheses are those of all targets. It is a mean over the views that
    are believed of what the mean target of each stands for.
    """
    found: dict[DeadOperations, tuple[float, FloatArray]] = {}
    for belief in beliefs:
        own = targets.by_view[belief.view]
        scaled = prior.scale(views[belief.view], prior.scales[belief.scales])
        right = np.delete(np.arange(len(targets)), belief.wrong)
        values = belief.posterior.predict(scaled).mean  # of what was not learned from
        values[right] = belief.posterior.left_out(scaled[right], own[right])
        weight, total = found.get(belief.view, (0.0, np.zeros(len(targets))))
        found[belief.view] = weight + belief.weight, total + belief.weight * values
    ratios = [w * inverse(total / w, powers[view]) for view, (w, total) in found.items()]
    return np.asarray(np.sum(ratios, axis=0), dtype=np.float64)


def wrong_probability(beliefs: Sequence[Belief], measurements: int) -> FloatArray:
    """Give the `(s,)` probabilities that the measurements are wrong."""
    found = np.zeros(measurements)
    for belief in beliefs:
        found[list(belief.wrong)] += belief.weight
    return found
