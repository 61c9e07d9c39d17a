"""Priors and beliefs out of the arrays of predictor files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from hwnas.typing import DeadOperations
from hwnas_predictors.bayesian_linear import LogNormal, Posterior
from hwnas_predictors.beliefs import Belief
from hwnas_predictors.device_prior import DevicePrior, Scales

FIRST_FORMAT = [["executed", 0, 1.0]]
"""What the first format of files believed without a word."""


def prior_arrays(prior: DevicePrior) -> dict[str, npt.NDArray[Any]]:
    """Give the arrays of a file that `read_prior` reads."""
    return {
        "components": prior.components,
        "variances": np.stack([scales.variances for scales in prior.scales]),
        "noise": np.array([[s.noise.mean, s.noise.spread] for s in prior.scales]),
        "of_pruned": np.array([s.of_pruned for s in prior.scales]),
        **{f"mean_{i}": mean for i, mean in enumerate(prior.means)},
    }


def belief_arrays(
    beliefs: Sequence[Belief],
) -> tuple[dict[str, npt.NDArray[Any]], list[list[Any]]]:
    """Give the arrays of a file and what is believed, for `read_beliefs`."""
    arrays = {
        f"posterior_{i}_{name}": values
        for i, belief in enumerate(beliefs)
        for name, values in vars(belief.posterior).items()
    }
    return arrays, [[belief.view, belief.scales, belief.weight] for belief in beliefs]


def read_prior(arrays: Mapping[str, npt.NDArray[Any]]) -> DevicePrior:
    """Read the prior of a file; the first format had one set of scales, and no `of_pruned`.

    Raises:
        ValueError: an array has another shape.
    """
    variances, noises = np.atleast_2d(arrays["variances"]), np.atleast_2d(arrays["noise"])
    # The components have a variance and no mean.
    means = tuple(arrays[f"mean_{i}"] for i in range(variances.shape[-1] - 1))
    if any(mean.ndim != 1 for mean in means) or arrays["components"].ndim != 2:
        raise ValueError("its means and components have other shapes")
    if variances.ndim != 2 or not (variances >= 0).all():
        raise ValueError("its variances are none")
    if noises.shape != (len(variances), 2) or not (noises[:, 1] > 0).all():
        raise ValueError("its noise levels are no pairs of mean and spread")
    of_pruned = arrays.get("of_pruned", np.zeros(len(variances), dtype=np.bool_))
    if of_pruned.shape != (len(variances),) or of_pruned.dtype != np.bool_:
        raise ValueError("it does not say what devices that prune dead operations are like")
    if of_pruned[:1].any():
        raise ValueError("its variances that trust the pool are of pruned networks alone")
    scales = (
        Scales(row, LogNormal(*map(float, noise)), bool(flag))
        for row, noise, flag in zip(variances, noises, of_pruned, strict=True)
    )
    return DevicePrior(means, arrays["components"], tuple(scales))


def read_beliefs(
    arrays: Mapping[str, npt.NDArray[Any]], believed: list[list[Any]], scales: int
) -> tuple[Belief, ...]:
    """Read the beliefs of a file; the arrays of the first format have no number.

    Raises:
        ValueError: a belief is about no view or scales that there are, or is no probability.
    """
    found = []
    for i, (view, number, weight) in enumerate(believed):
        start = "posterior_" if believed is FIRST_FORMAT else f"posterior_{i}_"
        parts = {n.removeprefix(start): v for n, v in arrays.items() if n.startswith(start)}
        if view not in get_args(DeadOperations) or number not in range(scales):
            raise ValueError(f"it believes {view!r} and the scales {number!r}")
        found.append(Belief(view, number, Posterior(**parts), float(weight)))
        found[-1].posterior.check()
    if not np.isclose(sum(belief.weight for belief in found), 1.0):
        raise ValueError("its beliefs have no probabilities")
    return tuple(found)
