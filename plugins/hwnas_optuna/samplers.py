"""Samplers by name, and the wrapper that makes a stock sampler reproducible across restarts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hwnas.process_state import unwarned
from hwnas.seeding import derive_seed

POPULATION = 20
"""Population of NSGA-II, for budgets of tens to hundreds of trials."""


def nsga2(seed: int, population_size: int = POPULATION, **settings: Any) -> BaseSampler:
    """Optuna's NSGA-II with a small population."""
    return optuna.samplers.NSGAIISampler(seed=seed, population_size=population_size, **settings)


def tpe(seed: int, constant_liar: bool = True, **settings: Any) -> BaseSampler:
    """Optuna's TPE; trials in progress count as bad, so that a batch spreads out."""
    # `constant_liar` is experimental since Optuna 2.8 and unchanged.
    with unwarned(optuna.exceptions.ExperimentalWarning):
        return optuna.samplers.TPESampler(seed=seed, constant_liar=constant_liar, **settings)


def random(seed: int) -> BaseSampler:
    """Optuna's random sampler."""
    return optuna.samplers.RandomSampler(seed=seed)


class ReproducibleSampler(BaseSampler):
    """A sampler whose proposals depend on the seed, the trial's number and finished trials only.

    A stock sampler keeps a random state in memory, so a restarted process proposes other trials
    than one that ran through. Here every proposal has a stock sampler of its own, seeded from
    (seed, trial number), and for parameters that are sampled one by one also from their name:
    a study that was killed at any moment goes on exactly as if nothing had happened.

    Args:
        factory: makes the stock sampler from a seed; it must keep no state but its random one
            (true of Optuna's random, TPE and NSGA-II samplers, which read the study).
        seed: user seed.
    """

    def __init__(self, factory: Callable[[int], BaseSampler], seed: int) -> None:
        self._factory = factory
        self._seed = seed

    def _sampler(self, trial: FrozenTrial, purpose: str) -> BaseSampler:
        # Numpy's legacy generators, which stock samplers use, take 32 bits.
        return self._factory(derive_seed(self._seed, trial.number, purpose) % 2**32)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """See `optuna.samplers.BaseSampler`."""
        return self._sampler(trial, "relative").infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See `optuna.samplers.BaseSampler`."""
        return self._sampler(trial, "relative").sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """See `optuna.samplers.BaseSampler`."""
        sampler = self._sampler(trial, param_name)
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """See `optuna.samplers.BaseSampler`."""
        self._sampler(trial, "after").after_trial(study, trial, state, values)


FACTORIES: Mapping[str, Callable[[int], BaseSampler]] = {
    "nsga2": nsga2,
    "tpe": tpe,
    "random": random,
}
