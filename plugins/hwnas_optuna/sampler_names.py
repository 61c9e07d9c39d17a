"""Samplers by name: the default, the strategies of hwnas, and stock samplers of Optuna."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from optuna.samplers import BaseSampler

from hwnas import registry
from hwnas.errors import HwnasError, InvalidValueError, unknown_name
from hwnas.evaluation.evaluator import Evaluator
from hwnas.files.grammar import Component, read_component
from hwnas.study.evaluated_problem import problem_of
from hwnas_optuna.hardware_aware import HardwareAwareSampler
from hwnas_optuna.samplers import FACTORIES, ReproducibleSampler

DEFAULT = "hardware-aware"


def sampler_names() -> list[str]:
    """List the names, the default first."""
    return [DEFAULT, *registry.names("strategies"), *FACTORIES]


def sampler_table() -> list[dict[str, str]]:
    """Say of each sampler what it is: `sampler`, `kind` and `description`."""
    described = {DEFAULT: ("hwnas", HardwareAwareSampler.__doc__)}
    described |= {
        name: ("hwnas", registry.load("strategies", name).__doc__)
        for name in registry.names("strategies")
    }
    described |= {name: ("Optuna", made.__doc__) for name, made in FACTORIES.items()}
    return [
        {"sampler": name, "kind": kind, "description": (text or "").strip().partition("\n")[0]}
        for name, (kind, text) in described.items()
    ]


def insist_on_sampler(name: str) -> Component:
    """Read the text of a sampler.

    Raises:
        UnknownNameError: no such sampler; suggests the closest name.
    """
    component = read_component(name, "sampler")
    if component.name not in sampler_names():
        raise unknown_name("sampler", component.name, sampler_names())
    return component


def make_sampler(name: str, evaluator: Evaluator[Any], seed: int) -> BaseSampler:
    """Make a sampler whose study can be killed and goes on exactly.

    Args:
        name: one of `sampler_names`, with settings of its own after a colon, e.g.
            ``ageing-evolution:warm_up=64`` or ``nsga2:population_size=50``.
        evaluator: what the study evaluates; its tables and bounds guide the samplers of hwnas.
        seed: user seed.

    Raises:
        UnknownNameError: no such sampler; suggests the closest name.
        InvalidValueError: the sampler has no such setting, or the space raises something.
    """
    component = insist_on_sampler(name)
    if component.name in FACTORIES:
        return ReproducibleSampler(_stock(component), seed)
    if component.name == DEFAULT and component.settings:
        raise InvalidValueError(
            f"`sampler` {DEFAULT!r} chooses its strategy and has no settings, but got {name!r}: "
            f"name the strategy, one of {', '.join(registry.names('strategies'))}."
        )
    problem = problem_of(evaluator)
    try:
        return HardwareAwareSampler(
            problem.space,
            strategy=None if component.name == DEFAULT else name,
            knowledge=problem.knowledge,
            feasible=problem.feasible,
            candidates=problem.candidates,
            violation=problem.violation,
            seed=seed,
        )
    except HwnasError:
        raise
    except Exception as error:
        raise InvalidValueError(
            f"`space` must give its architectures to the sampler {name!r}, but "
            f"{problem.space.name} raised {type(error).__name__}: {error}"
        ) from error


def _stock(component: Component) -> Callable[[int], BaseSampler]:
    """Give the factory of a stock sampler with settings, tried once."""
    factory = partial(FACTORIES[component.name], **component.settings)
    try:
        factory(0)
    except (TypeError, ValueError) as error:
        raise InvalidValueError(
            f"`settings` of sampler {component.name!r} must be those of Optuna, but got "
            f"{dict(component.settings)}: {error}"
        ) from error
    return factory
