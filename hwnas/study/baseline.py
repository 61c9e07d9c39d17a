"""The network that a user has today, evaluated as a search evaluates architectures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from hwnas.errors import HwnasError, InvalidValueError
from hwnas.evaluation.cache import ResultCache
from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.objectives import ValueObjective
from hwnas.evaluation.sources import CostValues, ProxyValues
from hwnas.measure.isolation import child_with
from hwnas.measure.limits import Limits, within_memory
from hwnas.networks.importing import NamedModel
from hwnas.pareto.baseline import Baseline
from hwnas.spaces.one_network import OneNetwork
from hwnas.tasks.task import Task

if TYPE_CHECKING:
    from torch import nn


_BY_SCORES = "is what its scores alone say: choices of the space, which members have, it has not"


@dataclass(frozen=True)
class PresentNetwork:
    """A network that members are compared with.

    Attributes:
        name: how the user names it.
        make: gives it; weights that it draws are those of the seed.
        limits: what it may take, in a child process; None if it is made and run in this one.
    """

    name: str
    make: Callable[[], nn.Module]
    limits: Limits | None = None

    @classmethod
    def named(cls, spec: str, limit_seconds: float | None = None) -> PresentNetwork:
        """Take what ``module:callable`` names, as `hwnas.networks.importing.NamedModel` does.

        It is imported, made and run in child processes alone, within the memory that there is.

        Args:
            spec: names it.
            limit_seconds: longest time to make it, and for a value of it; None for the default.
                Importing its module is apart, as in `hwnas.measure.limits.Limits`.

        Raises:
            InvalidValueError: it cannot be imported, does not give a network, or takes longer.
        """
        limits = within_memory(Limits() if limit_seconds is None else Limits(limit_seconds))
        make = NamedModel(spec)
        child_with(limits).call(partial(_check, make))  # functions are received before the time
        return cls(spec, make, limits)

    def insist_on(self, task: Task) -> None:
        """Insist that it answers as networks for a task do, before anything long is begun.

        Raises:
            InvalidValueError: it does not.
        """
        check = partial(_check_answer, self.make, task)
        try:
            check() if self.limits is None else child_with(self.limits).call(check)
        except HwnasError as error:
            raise InvalidValueError(
                f"`baseline` must be a network for the task of the search, but {self.name} is "
                f"not: {error}"
            ) from None


def _check(make: NamedModel) -> None:
    make()


def _check_answer(make: Callable[[], nn.Module], task: Task) -> None:
    OneNetwork(make, task).build(OneNetwork.arch)


def evaluate_baseline(evaluator: Evaluator[Any], network: PresentNetwork, task: Task) -> Baseline:
    """Evaluate a network by the objectives of an evaluator.

    Proxies and ready-made scores are those of the search, against the same reference sample; what
    is counted, measured or predicted kernel by kernel is counted, measured or predicted of this
    network. A cost that knows architectures alone, e.g. a published table, has no value for it.
    An accuracy that is learned from labels is what the network's scores alone say of it: choices
    and paths are those of the space's networks.

    Args:
        evaluator: of the search.
        network: the network.
        task: what the search's networks are for.

    Raises:
        InvalidValueError: it has no value of any objective; the first reason is named.
    """
    space, cache = OneNetwork(network.make, task), ResultCache(None)
    values: dict[str, float] = {}
    reasons: dict[str, str] = {}
    for objective in evaluator.objectives:
        own = _of_network(objective, space)
        if own is None:
            reasons[objective.name] = "it is known of architectures alone"
            continue
        found = Evaluator(space, [own], cache=cache, require_valid=False, limits=network.limits)(
            space.arch
        )
        if objective.name in found.errors:
            reasons[objective.name] = found.errors[objective.name]
        else:
            values[objective.name] = found.values[objective.name]
    if not values:
        first = next(iter(reasons.items()))
        raise InvalidValueError(
            f"`baseline` must have a value of some objective, but {network.name} has none: "
            f"{first[0]}: {first[1]}"
        )
    learned = [o.name for o in evaluator.objectives if o.learned and o.name in values]
    return Baseline(
        network.name,
        tuple(values.get(o.name) for o in evaluator.objectives),
        reasons,
        dict.fromkeys(learned, _BY_SCORES),
    )


def _of_network(objective: ValueObjective[Any], space: OneNetwork) -> ValueObjective[Any] | None:
    """Give the same objective of the networks of another space; None where there is none."""
    source: Any = objective.source
    if isinstance(source, ProxyValues):
        learned = objective.learned and objective.learned.for_network(space, space.arch)
        return replace(objective, source=replace(source, space=space), learned=learned)
    cost = _cost_of_network(source.cost, space) if isinstance(source, CostValues) else None
    return None if cost is None else replace(objective, source=CostValues(space, cost))


def _cost_of_network(cost: Any, space: OneNetwork) -> Any:
    if hasattr(cost, "for_networks"):
        return cost.for_networks(space, space.default_task)
    names = {f.name for f in fields(cost)} if is_dataclass(cost) else set()
    if {"space", "task"} <= names:  # it builds what it counts or measures
        return replace(cost, space=space, task=space.default_task)
    return None
