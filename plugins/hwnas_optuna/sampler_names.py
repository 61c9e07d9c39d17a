"""Samplers by name: the default, the strategies of hwnas, and stock samplers of Optuna."""

from __future__ import annotations

from typing import Any

from optuna.samplers import BaseSampler

from hwnas import registry
from hwnas.errors import unknown_name
from hwnas.evaluation.evaluator import Evaluator
from hwnas.study.evaluated_problem import problem_of
from hwnas_optuna.hardware_aware import HardwareAwareSampler
from hwnas_optuna.samplers import FACTORIES, ReproducibleSampler

DEFAULT = "hardware-aware"


def sampler_names() -> list[str]:
    """List the names, the default first."""
    return [DEFAULT, *registry.names("strategies"), *FACTORIES]


def make_sampler(name: str, evaluator: Evaluator[Any], seed: int) -> BaseSampler:
    """Make a sampler whose study can be killed and goes on exactly.

    Args:
        name: one of `sampler_names`.
        evaluator: what the study evaluates; its tables and bounds guide the samplers of hwnas.
        seed: user seed.

    Raises:
        UnknownNameError: no such sampler; suggests the closest name.
    """
    if name in FACTORIES:
        return ReproducibleSampler(FACTORIES[name], seed)
    if name not in sampler_names():
        raise unknown_name("sampler", name, sampler_names())
    problem = problem_of(evaluator)
    return HardwareAwareSampler(
        problem.space,
        strategy=None if name == DEFAULT else name,
        knowledge=problem.knowledge,
        feasible=problem.feasible,
        seed=seed,
    )
