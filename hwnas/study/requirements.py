"""What the values of a study depend on beside its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwnas.costs.source import RAW
from hwnas.errors import InvalidValueError
from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.origin import cost_sources, describe_cost
from hwnas.measure.host import package_versions
from hwnas.pareto.provenance import plain

_DECISIVE = ("hwnas", "torch", "numpy", "optuna")


def requirements(evaluator: Evaluator[Any]) -> dict[str, Any]:
    """Give what values depend on beside the settings, as JSON values.

    Returns:
        `versions` by package, and `costs` by objective: device, unit, and the fingerprint of a
        measuring host or the checksum of a published table.
    """
    bounded = [constraint.objective for constraint in evaluator.constraints]
    costs = {s.name: describe_cost(s) for s in cost_sources([*evaluator.objectives, *bounded])}
    for cost in costs.values():
        # Where a table lies is no property of it.
        cost.get("provenance", {}).pop("file", None)
    return {"versions": package_versions(_DECISIVE), "costs": plain(costs)}


def check_costs(study: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Insist that the costs of a study that goes on are of one kind, and of the same files.

    Args:
        study: its name.
        before: `requirements` of the search that began it; empty if it did not say them, which
            only searches before the reference network did.
        now: those of this one.

    Raises:
        InvalidValueError: raw times and times at the speed of a reference network would be mixed,
            or times of one precision that is written in two ways, or values of two tables or of two
            predictors.
    """
    known = before.get("costs")
    for name, cost in now["costs"].items():
        said = known.get(name) if isinstance(known, Mapping) else None
        files = [c.get("provenance", {}).get("sha256") for c in (said or {}, cost)]
        if None not in files and len(set(files)) > 1:
            raise InvalidValueError(
                f"Study {study!r} must be continued with values of one file, but that of {name} "
                f"has changed since (SHA-256 {files[0]:.12} there, {files[1]:.12} now): put it "
                f"back, or search in another folder."
            )
        if "measured_as" not in cost:
            continue
        there = said.get("measured_as", RAW) if isinstance(said, Mapping) else RAW
        if there != cost["measured_as"]:
            here = cost["measured_as"]
            # What is written otherwise than before stands behind a comma.
            speeds = {text.partition(",")[0] for text in (there, here)}
            also = ", with reference=off for raw times" if len(speeds) > 1 else ""
            raise InvalidValueError(
                f"Study {study!r} must be continued with values of one kind, but {name} was "
                f"measured {there} there and is {here} now, which cannot be compared: search in "
                f"another folder{also}."
            )
