"""Where the values of an evaluator come from: what a front must say to be exported and verified."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.objectives import ValueObjective
from hwnas.evaluation.sources import CostValues, ProxyValues
from hwnas.pareto.provenance import plain
from hwnas.tasks.catalogue import TASKS
from hwnas.tasks.task import Task
from hwnas.typing import Constraint, UncertainCostModel

_OF_HOSTS = ("provenance", "fingerprint", "device")
"""What a cost says that is no other kind of value on another host, or of a table elsewhere."""


def origin(evaluator: Evaluator[Any]) -> dict[str, Any]:
    """Say what values depend on, as JSON values; what is not known is left out.

    Returns:
        `dataset`, the task as `Task.as_dict`; `seed`; `costs`, each with device and unit; and
        `settings`: the constraints as `hwnas.files.grammar.split_constraint` reads them, and what
        proxies see.
    """
    objectives = [*evaluator.objectives, *(c.objective for c in evaluator.constraints)]
    scores = next((s for s in _sources(objectives) if isinstance(s, ProxyValues)), None)
    task = _task(objectives) if scores is None else scores.task
    settings: dict[str, Any] = {"constraints": [_text(c) for c in evaluator.constraints]}
    if scores is not None:
        images = "gaussian" if scores.batch is None else scores.batch.description
        settings |= {"batch": scores.batch_size, "images": images}
    return {
        **({} if task is None else {"dataset": plain(task.as_dict())}),
        **({} if scores is None else {"seed": scores.seed}),
        "costs": [describe_cost(source) for source in cost_sources(evaluator.objectives)],
        "settings": settings,
    }


def decisive(known: Mapping[str, Any]) -> dict[str, Any]:
    """Give what values must have in common to be compared, as JSON values.

    Args:
        known: what `origin` gave, and anything else that is decisive.

    Returns:
        The same with the settings one by one, without what another host says otherwise of the same
        costs, and `sha256`: checksums of the files of costs by objective.
    """
    parts = {
        **known,
        **known.get("settings", {}),
        "costs": [
            {key: value for key, value in cost.items() if key not in _OF_HOSTS}
            for cost in known.get("costs", [])
        ],
        "sha256": {
            cost["objective"]: cost["provenance"]["sha256"]
            for cost in known.get("costs", [])
            if "sha256" in cost.get("provenance", {})
        },
    }
    parts.pop("settings", None)
    found: dict[str, Any] = json.loads(json.dumps(parts))
    return found


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say in what two differ that are decisive; empty if in nothing."""
    old, new = decisive(before), decisive(now)
    # Earlier versions did not say the checksums of all files.
    both = old["sha256"].keys() & new["sha256"].keys()
    for known in (old, new):
        known["sha256"] = {name: text for name, text in known["sha256"].items() if name in both}
    return "; ".join(
        f"{key}: {json.dumps(old.get(key))} there, {json.dumps(new.get(key))} now"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    )


def cost_sources(objectives: Iterable[Any]) -> Iterator[CostValues[Any]]:
    """Give the costs among the sources of objectives."""
    return (source for source in _sources(objectives) if isinstance(source, CostValues))


def describe_cost(source: CostValues[Any]) -> dict[str, Any]:
    """Say what a cost is, as JSON values: objective, device, unit, and where its numbers are from.

    That is the checksum of a published table, or the fingerprint of a measuring host and how it
    measured.
    """
    cost = source.cost
    described = {"objective": source.name, "device": str(cost.device), "unit": cost.unit}
    for name in ("provenance", "fingerprint", "measured_as"):
        if hasattr(cost, name):
            described[name] = plain(getattr(cost, name))
    return described


def uncertain_costs(objectives: Iterable[Any]) -> dict[str, UncertainCostModel[Any]]:
    """Find the costs that know how sure they are, by name of their objective."""
    return {
        source.name: cast(UncertainCostModel[Any], source.cost)
        for source in cost_sources(objectives)
        if hasattr(source.cost, "predict_std")
    }


def _sources(objectives: Iterable[Any]) -> Iterator[Any]:
    return (o.source for o in objectives if isinstance(o, ValueObjective))


def _task(objectives: Iterable[Any]) -> Task | None:
    """Tell what the networks of costs are for: those that are built, or those of a table."""
    for source in cost_sources(objectives):
        cost: Any = source.cost
        if hasattr(cost, "task"):
            task: Task = cost.task or source.space.default_task
            return task
        if (known := TASKS.get(getattr(cost, "dataset", ""))) is not None:
            return known
    return None


def _text(constraint: Constraint[Any]) -> str:
    return f"{constraint.objective.name}{constraint.relation}{constraint.bound!r}"
