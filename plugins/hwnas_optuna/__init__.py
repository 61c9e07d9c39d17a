"""hwnas inside Optuna: objectives, samplers and the way from a study to a Pareto set."""

from hwnas_optuna.hardware_aware import HardwareAwareSampler, SpaceExhausted
from hwnas_optuna.objective import HardwareAwareObjective
from hwnas_optuna.pareto import pareto_set_from_study
from hwnas_optuna.samplers import ReproducibleSampler

__all__ = [
    "HardwareAwareObjective",
    "HardwareAwareSampler",
    "ReproducibleSampler",
    "SpaceExhausted",
    "pareto_set_from_study",
]
