"""Hypotheses about a device are weighed by what they say of its measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from scipy import stats

from hwnas.typing import DeadOperations, FloatArray
from hwnas_predictors.bayesian_linear import NOISE_GRID, LogNormal, Posterior
from hwnas_predictors.beliefs import (
    TRUST,
    WRONG,
    Belief,
    Views,
    _log_before,
    decided_view,
    left_out,
    likely_view,
    mixture,
    view_probability,
    weigh,
    wrong_probability,
)
from hwnas_predictors.device_prior import OFFSET_VARIANCE, DevicePrior, Scales
from hwnas_predictors.power_transform import Powers, Targets, inverse

NOISE = LogNormal(-2.0, 0.8)
OTHER = LogNormal(-3.0, 0.5)


@pytest.fixture
def prior() -> DevicePrior:
    rng = np.random.default_rng(0)
    scales = (
        Scales(np.array([0.5, 0.1, 0.01]), NOISE),
        Scales(np.array([0.0, 0.4, 0.02]), OTHER),
    )
    return DevicePrior((np.zeros(2), np.zeros(5)), rng.normal(size=(5, 2)), scales)


@pytest.fixture
def views() -> Mapping[DeadOperations, list[FloatArray]]:
    rng = np.random.default_rng(1)
    return {
        view: [rng.normal(size=(8, 2)), rng.normal(size=(8, 5))] for view in ("executed", "pruned")
    }


def kernel(prior: DevicePrior, blocks: list[FloatArray], scales: Scales) -> FloatArray:
    """Add up the kernels of the blocks, by hand."""
    parts = [blocks[-1] @ prior.components, *blocks]
    total = np.full((len(blocks[0]), len(blocks[0])), OFFSET_VARIANCE)
    for variance, part in zip(scales.variances, parts, strict=True):
        total += variance * part @ part.T
    return total


def evidence(
    prior: DevicePrior, blocks: list[FloatArray], scales: Scales, targets: FloatArray
) -> float:
    """Add up the densities of the targets over all noise levels, by hand."""
    covariance, noise = kernel(prior, blocks, scales), scales.noise
    return sum(
        float(stats.multivariate_normal(cov=covariance + s**2 * np.eye(len(targets))).pdf(targets))
        * float(stats.norm(noise.mean, noise.spread).pdf(np.log(s)))
        for s in NOISE_GRID
    )


POWERS: Powers = {"executed": 1.0, "pruned": 1.0}


def alike(targets: FloatArray) -> Targets:
    """Give targets that are the same in both views."""
    return Targets({"executed": targets, "pruned": targets})


def test_a_belief_is_as_strong_as_its_marginal_likelihood(
    prior: DevicePrior, views: Mapping[DeadOperations, list[FloatArray]]
) -> None:
    targets = 0.3 * np.random.default_rng(2).normal(size=8)
    beliefs = weigh(prior, views, alike(targets))
    wanted: dict[tuple[str, int, tuple[int, ...]], float] = {}
    for wrong in {(), *(belief.wrong for belief in beliefs)}:
        right = np.delete(np.arange(8), np.array(wrong, dtype=int))
        for view, blocks in views.items():
            for number, scales in enumerate(prior.scales):
                own = [block[right] for block in blocks]
                # A wrong target may be anywhere in a range of 1 / 0.3.
                trusted = 1 - TRUST[view] if number else TRUST[view]
                before = trusted * (0.3 * WRONG / (1 - WRONG)) ** len(wrong)
                wanted[view, number, wrong] = before * evidence(prior, own, scales, targets[right])
    found = {(b.view, b.scales, b.wrong): b.weight for b in beliefs}
    kept = sum(wanted[hypothesis] for hypothesis in found)
    assert len(found) > 1
    for hypothesis, weight in found.items():
        assert weight == pytest.approx(wanted[hypothesis] / kept, rel=1e-6)
    # Each belief below a hundredth is left out; there are twice as many where one may be wrong.
    dropped = [w for hypothesis, w in wanted.items() if hypothesis not in found]
    assert max(dropped, default=0.0) < 0.01 * sum(wanted.values())
    assert sum(dropped) < 0.06 * sum(wanted.values())


def test_a_wrong_measurement_is_found_and_left_alone(prior: DevicePrior) -> None:
    rng = np.random.default_rng(5)
    blocks = [rng.normal(size=(12, 2)), rng.normal(size=(12, 5))]
    targets = blocks[0] @ np.array([0.8, -0.6]) + 0.01 * rng.normal(size=12)
    clean = weigh(prior, {"pruned": blocks}, alike(targets))
    assert wrong_probability(clean, 12).max() < 0.3
    spoilt = targets.copy()
    spoilt[7] += 0.9
    found = weigh(prior, {"pruned": blocks}, alike(spoilt))
    assert wrong_probability(found, 12)[7] > 0.9
    others = np.delete(np.arange(12), 7)
    only = weigh(prior, {"pruned": [block[others] for block in blocks]}, alike(targets[others]))
    every: Views = {"pruned": blocks}
    wanted = mixture(prior, only, every, POWERS, 1.0).mean
    np.testing.assert_allclose(mixture(prior, found, every, POWERS, 1.0).mean, wanted, atol=0.02)
    values = left_out(prior, found, every, alike(spoilt), POWERS)
    assert values[7] == pytest.approx(1 + targets[7], abs=0.05)  # the ratio is 1 more at power 1


@pytest.mark.parametrize("measurements", [2, 5, 201])
def test_few_measurements_cannot_tell_which_is_wrong_and_many_need_not(
    prior: DevicePrior, measurements: int
) -> None:
    rng = np.random.default_rng(6)
    blocks = [rng.normal(size=(measurements, 2)), rng.normal(size=(measurements, 5))]
    targets = np.zeros(measurements)
    targets[0] = 5.0
    assert not any(b.wrong for b in weigh(prior, {"pruned": blocks}, alike(targets)))


def executed(beliefs: Sequence[Belief]) -> float:
    """Give the probability that dead operations were executed."""
    return sum(belief.weight for belief in beliefs if belief.view == "executed")


@pytest.mark.parametrize("fitting", [1, 2, 5])
def test_hypotheses_of_a_view_share_its_probability(prior: DevicePrior, fitting: int) -> None:
    heavy, free = prior.scales
    common = (heavy, *[free] * (fitting - 1))
    pool: list[DeadOperations] = ["executed", "executed", "pruned"]
    for scales in (common, (*common, replace(free, of_pruned=True))):
        some = replace(prior, scales=scales)
        for view in get_args(DeadOperations):
            fit = [number for number, own in enumerate(scales) if own.fits(view)]
            total = sum(np.exp(_log_before(some, view, number, pool)) for number in fit)
            assert total == pytest.approx(view_probability(view, pool))


def test_what_the_pool_ran_counts_before_the_measurements(
    prior: DevicePrior, views: Mapping[DeadOperations, list[FloatArray]]
) -> None:
    assert view_probability("executed", ()) == view_probability("pruned", ()) == 0.5
    pool: list[DeadOperations] = ["executed"] * 9
    assert view_probability("executed", pool) == pytest.approx(0.95)  # (9 + 1/2) / (9 + 1)
    assert view_probability("pruned", [*pool, "pruned"]) == pytest.approx(1.5 / 11)
    # Where one set of variances fits, the same in both views says nothing: the pool decides.
    one = replace(prior, scales=prior.scales[:1])
    same: dict[DeadOperations, list[FloatArray]] = dict.fromkeys(views, views["executed"])
    targets = 0.3 * np.random.default_rng(2).normal(size=8)
    beliefs = weigh(one, same, alike(targets), pool[:2])
    assert executed(beliefs) == pytest.approx(2.5 / 3, abs=0.02)  # what is negligible is dropped


@pytest.mark.parametrize("trusted", [0, 1])
def test_what_the_pool_explains_tells_of_the_view_even_where_networks_are_equal(
    prior: DevicePrior, views: Mapping[DeadOperations, list[FloatArray]], trusted: int
) -> None:
    """Targets as one of the sets of variances says, which the views trust differently."""
    blocks = [block[:5] for block in views["executed"]]  # of five none may be wrong
    covariance = kernel(prior, blocks, prior.scales[trusted]) - OFFSET_VARIANCE
    draw = stats.multivariate_normal(cov=covariance + 1e-2 * np.eye(5))
    targets = np.asarray(draw.rvs(random_state=3))
    heavy, free = (evidence(prior, blocks, scales, targets) for scales in prior.scales)
    assert (heavy > 3 * free, free > 3 * heavy)[trusted]
    pool: list[DeadOperations] = ["executed"]
    both = {
        view: view_probability(view, pool) * (trust * heavy + (1 - trust) * free)
        for view, trust in TRUST.items()
    }
    found = executed(weigh(prior, dict.fromkeys(views, blocks), alike(targets), pool))
    wanted = both["executed"] / sum(both.values())
    assert found == pytest.approx(wanted, abs=0.02)  # what is negligible is dropped
    # .75, the pool's probability, if the views trusted it alike
    assert (found > 0.78, found < 0.72)[trusted]


def test_targets_of_one_view_decide_for_it(
    prior: DevicePrior, views: Mapping[DeadOperations, list[FloatArray]]
) -> None:
    targets = views["pruned"][0] @ np.array([0.8, -0.6])
    beliefs = weigh(prior, views, alike(targets))
    assert decided_view(beliefs) == "pruned"
    assert sum(belief.weight for belief in beliefs) == pytest.approx(1.0)
    assert decided_view([*beliefs, Belief("executed", 0, beliefs[0].posterior, 0.1)]) is None


def test_a_mixture_is_made_of_the_beliefs(
    prior: DevicePrior, views: Mapping[DeadOperations, list[FloatArray]]
) -> None:
    targets = 0.3 * np.random.default_rng(2).normal(size=8)
    beliefs = weigh(prior, views, alike(targets))
    mean = sum(
        b.weight * b.posterior.predict(prior.scale(views[b.view], prior.scales[b.scales])).mean
        for b in beliefs
    )
    np.testing.assert_allclose(mixture(prior, beliefs, views, POWERS, 1.0).mean, mean)


def test_a_view_of_another_power_is_told_in_the_one_that_is_asked_for(
    prior: DevicePrior, views: Mapping[DeadOperations, list[FloatArray]]
) -> None:
    targets = 0.05 * np.random.default_rng(2).normal(size=8)
    beliefs = weigh(prior, {"pruned": views["pruned"]}, alike(targets))
    powers: Powers = {"executed": 0.75, "pruned": 1.0}
    own = mixture(prior, beliefs, views, powers, 1.0)
    other = mixture(prior, beliefs, views, powers, 0.75)
    # Between those of a power the transform is all but a line here.
    np.testing.assert_allclose(inverse(other.mean, 0.75), inverse(own.mean, 1.0), rtol=2e-3)
    for level in (0.2, 0.8):
        wanted = inverse(own.quantile(level), 1.0)
        np.testing.assert_allclose(inverse(other.quantile(level), 0.75), wanted, rtol=0.02)


def test_views_of_different_powers_are_compared_by_the_costs(
    prior: DevicePrior, views: Mapping[DeadOperations, list[FloatArray]]
) -> None:
    """A density of targets times the slope of the transform is one of costs."""
    ratios = np.random.default_rng(3).lognormal(-0.5, 0.5, size=5)  # of five none may be wrong
    blocks = [block[:5] for block in views["executed"]]
    one = replace(prior, scales=prior.scales[:1])
    powers: Powers = {"executed": 0.5, "pruned": 1.0}
    wanted = {
        view: evidence(one, blocks, one.scales[0], (ratios**power - 1) / power)
        * float(np.prod(ratios ** (power - 1)))
        for view, power in powers.items()
    }
    found = weigh(one, dict.fromkeys(views, blocks), Targets.of(ratios, powers))
    share = wanted["executed"] / sum(wanted.values())
    assert 0.05 < share < 0.9
    assert executed(found) == pytest.approx(share, rel=1e-6)


def test_leaving_one_out_is_learning_from_the_others() -> None:
    rng = np.random.default_rng(3)
    features, targets = rng.normal(size=(7, 10)), rng.normal(size=7)
    sure = LogNormal(float(np.log(NOISE_GRID[6])), 1e-3)  # one noise level, so that weights are 1
    found = Posterior.of(features, targets, sure).left_out(features, targets)
    for i in range(7):
        others = np.delete(np.arange(7), i)
        alone = Posterior.of(features[others], targets[others], sure)
        assert found[i] == pytest.approx(alone.predict(features[[i]]).mean[0])


def test_leaving_one_out_of_one_belief(
    prior: DevicePrior, views: Mapping[DeadOperations, list[FloatArray]]
) -> None:
    targets = 0.3 * np.random.default_rng(2).normal(size=8)
    best = weigh(prior, views, alike(targets))[0]
    only = (Belief(best.view, best.scales, best.posterior, 1.0),)
    scaled = prior.scale(views[best.view], prior.scales[best.scales])
    found = left_out(prior, only, views, alike(targets), POWERS)
    np.testing.assert_allclose(found, 1 + best.posterior.left_out(scaled, targets))


@pytest.mark.parametrize("true", ["executed", "pruned"])
def test_a_pool_device_shows_what_it_ran(true: DeadOperations) -> None:
    rng = np.random.default_rng(4)
    dead = rng.random(200) < 0.4
    exact = rng.normal(size=(200, 4))
    live = exact * np.where(dead, rng.integers(0, 2, 200), 1)[:, None]
    views: dict[DeadOperations, list[FloatArray]] = {"executed": [exact], "pruned": [live]}
    targets = views[true][0] @ np.array([0.3, 0.2, 0.4, 0.1]) + 0.05 * rng.normal(size=200)
    assert likely_view(views, targets, dead, np.random.default_rng(0)) == true
    nothing = np.zeros(200, dtype=bool)
    assert likely_view(views, targets, nothing, np.random.default_rng(0)) == "pruned"


def test_what_one_view_alone_has_says_nothing_of_a_pool_device() -> None:
    rng = np.random.default_rng(5)
    for _ in range(10):
        exact, own = rng.normal(size=(200, 4)), rng.normal(size=(200, 6))
        dead = rng.random(200) < 0.1
        live = np.where(dead[:, None], 0.0, exact)
        targets = live @ np.array([0.3, 0.2, 0.4, 0.1]) + 0.4 * rng.normal(size=200)
        views: Views = {"executed": [exact], "pruned": [live]}
        more: Views = {"executed": [np.zeros((200, 6)), exact], "pruned": [own, live]}
        found = [likely_view(v, targets, dead, np.random.default_rng(0)) for v in (views, more)]
        assert found[0] == found[1]


@pytest.mark.parametrize("known", [1, 200])
def test_views_that_no_block_tells_apart_leave_a_pool_device_pruned(known: int) -> None:
    own = np.random.default_rng(6).normal(size=(200, 6))
    dead, targets = np.ones(200, dtype=bool), np.full(200, np.nan)
    targets[:known] = own[:known, 0]
    views: Views = {"executed": [np.zeros((200, 6)), own], "pruned": [own, np.zeros((200, 6))]}
    assert likely_view(views, targets, dead, np.random.default_rng(0)) == "pruned"


def test_what_is_left_to_run_alone_is_a_hypothesis_about_pruning(
    prior: DevicePrior, views: Mapping[DeadOperations, list[FloatArray]]
) -> None:
    left = replace(prior.scales[1], of_pruned=True)
    narrowed = replace(prior, scales=(prior.scales[0], left))
    found = {(b.view, b.scales) for b in weigh(narrowed, views, alike(0.01 * np.arange(8.0)))}
    assert ("executed", 1) not in found
    assert ("pruned", 1) in found
