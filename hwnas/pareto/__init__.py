"""Pareto sets: the architectures no other one beats in every objective, and how good they are."""

from hwnas.pareto.baseline import Baseline
from hwnas.pareto.metrics import (
    FrontQuality,
    front_quality,
    hypervolume,
    igd,
    igd_plus,
    is_non_dominated,
    normalise,
    recall,
    to_losses,
)
from hwnas.pareto.pareto_set import Evaluated, Member, ObjectiveInfo, ParetoSet, Status
from hwnas.pareto.provenance import describe_environment

__all__ = [
    "Baseline",
    "Evaluated",
    "FrontQuality",
    "Member",
    "ObjectiveInfo",
    "ParetoSet",
    "Status",
    "describe_environment",
    "front_quality",
    "hypervolume",
    "igd",
    "igd_plus",
    "is_non_dominated",
    "normalise",
    "recall",
    "to_losses",
]
