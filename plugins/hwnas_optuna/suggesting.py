"""Choices as Optuna's distributions, and a trial as the chooser of a space."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from hwnas.errors import InvalidArchitectureError
from hwnas.spaces.choosers import other_options
from hwnas.spaces.options import Choose, Options, V, text_of
from hwnas.spaces.trial import texts_of


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


def no_choice(name: str, options: Options[Any], queued: Any) -> InvalidArchitectureError:
    """Build the error for a queued parameter that is none of its choices."""
    choices = ", ".join(map(text_of, options.values))
    return InvalidArchitectureError(
        f"`{name}` must be one of {choices}, but the queued trial has {queued!r}."
    )


def _step(numbers: Sequence[float]) -> float | None:
    """Give the one difference between neighbours, as decimals; None if there are several."""
    decimals = [Decimal(repr(number)) for number in numbers]
    steps = {after - before for before, after in itertools.pairwise(decimals)}
    if len(steps) != 1:
        return None
    whole = all(isinstance(number, int) for number in numbers)
    return int(*steps) if whole else float(*steps)


def as_choice(distribution: BaseDistribution | None, value: Any) -> Any:
    """Give a parameter as a space of a function knows it: a category that is no scalar as a text.

    Args:
        distribution: of the parameter; None where it is not known, as of queued ones.
        value: classes, functions, tuples and None as the function gives them to Optuna.
    """
    if isinstance(value, str | int | float):
        return value
    if isinstance(distribution, CategoricalDistribution):
        place = distribution.to_internal_repr(value)
        return texts_of(distribution.choices)[int(place)]
    return texts_of([value])[0]


def as_asked(name: str, distribution: BaseDistribution, choice: Any) -> Any:
    """Give a choice of a space as Optuna is asked for it, the inverse of `as_choice`.

    Raises:
        DeclarationError: it is none of what is asked for.
    """
    if not isinstance(distribution, CategoricalDistribution):
        return choice
    texts = texts_of(distribution.choices)
    if choice not in texts:
        raise other_options(name)
    return distribution.choices[texts.index(choice)]


def suggesting(trial: optuna.Trial) -> Choose:
    """Give a chooser that asks Optuna for what is asked for.

    It raises `InvalidArchitectureError` where the trial was queued with what is no choice.
    """
    queued: Mapping[str, Any] = getattr(trial, "_fixed_params", {})

    def choose(name: str, options: Options[V]) -> V:
        if name in queued and options.position(queued[name]) is None:
            raise no_choice(name, options, queued[name])
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
