"""Choices as Optuna's distributions, and a trial as the chooser of a space."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from hwnas.spaces.options import Choose, Options, V


def distribution_of(options: Options[Any]) -> BaseDistribution:
    """Give the distribution of a parameter.

    Ordered numbers at equal steps are integers or floats with that step. Everything else is a
    category, for which Optuna knows no order.
    """
    step = _step(options.values) if options.ordered else None
    low, high = options.values[0], options.values[-1]
    if step is None:
        return CategoricalDistribution(options.values)
    if isinstance(step, int):
        return IntDistribution(low, high, step=step)
    return FloatDistribution(low, high, step=step)


def _step(numbers: Sequence[float]) -> float | None:
    """Give the one difference between neighbours, as decimals; None if there are several."""
    decimals = [Decimal(repr(number)) for number in numbers]
    steps = {after - before for before, after in itertools.pairwise(decimals)}
    if len(steps) != 1:
        return None
    whole = all(isinstance(number, int) for number in numbers)
    return int(*steps) if whole else float(*steps)


def suggesting(trial: optuna.Trial) -> Choose:
    """Give a chooser that asks Optuna for what is asked for."""

    def choose(name: str, options: Options[V]) -> V:
        distribution = distribution_of(options)
        got: Any
        if isinstance(distribution, IntDistribution):
            low, high = distribution.low, distribution.high
            got = trial.suggest_int(name, low, high, step=distribution.step)
        elif isinstance(distribution, FloatDistribution):
            low_float, high_float = distribution.low, distribution.high
            got = trial.suggest_float(name, low_float, high_float, step=distribution.step)
        else:
            got = trial.suggest_categorical(name, options.values)
        return options.read(name, got)

    return choose
