"""A look at a few networks before a study is made, so that one that cannot begin is not made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from hwnas.errors import HwnasError, InvalidArchitectureError, InvalidValueError
from hwnas.evaluation.cache import ResultCache
from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.objectives import ValueObjective
from hwnas.evaluation.sources import CostValues, Effort
from hwnas.measure.endless import ENDLESS, endless
from hwnas.measure.limits import EndlessError
from hwnas.seeding import derive_seed, torch_state_kept
from hwnas.spaces.assignments import Assignment
from hwnas.spaces.choices import made_by, members_of
from hwnas.spaces.choosers import Run, drawing
from hwnas.spaces.functions import FunctionSpace
from hwnas.spaces.networks import Networks
from hwnas.strategies.problem import LARGEST_LISTED
from hwnas.strategies.repair import Repair
from hwnas.study.bounds import Bounds
from hwnas.study.configuration import reference_sample
from hwnas.study.evaluated_problem import covered
from hwnas.tasks.batch import draw_batch
from hwnas.tasks.outputs import is_wanted, read_output
from hwnas.tasks.task import Task
from hwnas.typing import Arch

_PROBES = 8
_ENDED = 3
"""Networks that end their process, after which no other is tried."""
_DRAWS = 1000
_ALIKE = 64
"""Draws in a row that are refused for one reason, after which no other is expected."""


def insist_on_networks(space: FunctionSpace, task: Task, seed: int) -> None:
    """Insist that a function builds networks that map inputs of the task to its classes.

    The first one that does ends it.

    Args:
        space: the function's networks.
        task: what they are built for.
        seed: user seed.

    Raises:
        InvalidValueError: none of several networks does; the first reason is named.
    """
    reasons: list[str] = []
    ended = hung = 0
    for arch in _draw(space, seed):
        try:
            network = space, arch, task
            reason = space.elsewhere.call_for(network, _fault, space, arch, task, seed)
        except InvalidValueError as error:  # it ended or hung its process
            reason, ended = f"{arch}: {error}", ended + 1
            hung += isinstance(error, EndlessError)
        if reason is None:
            return
        reasons.append(reason)
        if ended == _ENDED or hung == ENDLESS:
            break
    raise InvalidValueError(
        f"`{space.name}` must build networks of {task}, but none of {len(reasons)} did: "
        f"{reasons[0]}{_transposed(task)}"
    )


def _transposed(task: Task) -> str:
    """Ask whether images have their channels last, where they look so."""
    shape = task.input.shape
    last = len(shape) == 3 and shape[2] in (1, 3, 4) and shape[0] > 4
    return f". Is {shape} (H, W, C)? Images are (C, H, W)." if last else ""


def _draw(space: FunctionSpace, seed: int) -> list[Assignment]:
    """Draw up to eight different architectures.

    Raises:
        InvalidValueError: the function raises for all that are drawn.
    """
    rng = np.random.default_rng(seed)
    found: dict[Assignment, None] = {}
    reasons: dict[str, str] = {}
    for drawn in range(1, _DRAWS + 1):
        try:
            found[made_by(Run(drawing(rng)), space.make)] = None
        except InvalidArchitectureError as error:
            text = str(error)
            reasons.setdefault(text.rpartition("}, but ")[2], text)
        if len(found) == _PROBES or (drawn >= _ALIKE and (found or len(reasons) == 1)):
            break
    if not found:
        raise InvalidValueError(
            f"`{space.name}` must build networks for some choices, but did for none of {drawn}: "
            f"{next(iter(reasons.values()))}"
        )
    return list(found)


def _fault(space: FunctionSpace, arch: Assignment, task: Task, seed: int) -> str | None:
    """Say why a network does not do what the task wants; None if it does."""
    import torch

    from hwnas.networks.answer import answer_for
    from hwnas.networks.usable import answering_network

    try:
        network = Networks(space, task).network(arch, seed)
        inputs = draw_batch(task, 2, seed).inputs
        wanted = answer_for(task.output)
        network = answering_network(network, lambda: inputs, wanted).eval()
        with torch_state_kept(), torch.no_grad():
            found, _ = read_output(network(inputs), len(inputs), task.input, task.output)
    except HwnasError as error:
        return f"{arch}: {error}"
    except Exception as error:  # whatever the user's network raises
        return f"{arch}: {type(error).__name__}: {' '.join(str(error).split())}"
    return None if is_wanted(found, task.output) else f"{arch}: it answers {found}"


def insist_on_evaluable(evaluator: Evaluator[Any], cache: ResultCache, seed: int) -> None:
    """Insist that the space builds a network for the task which proxies and counters can evaluate.

    The first network for which they have values ends it. Tables, which may know few architectures,
    and measurements, which take long, are not asked.

    Args:
        evaluator: of the study.
        cache: where values are kept.
        seed: user seed.

    Raises:
        InvalidValueError: none of several networks could be evaluated; the first reason is named.
    """
    space = evaluator.space
    objectives = {o.name: o for o in evaluator.objectives if _builds(o)}
    if not objectives:
        return
    narrow = Evaluator(
        space,
        list(objectives.values()),
        cache=cache,
        require_valid=False,
        limits=evaluator.limits,
        task=evaluator.task,
    )
    reasons: list[str] = []
    tried = hung = 0
    for arch in reference_sample(space, _PROBES, seed):
        errors = narrow(arch).errors
        if not errors:
            return
        reasons += [f"{name}: {reason}" for name, reason in errors.items()]
        tried += 1
        hung += endless(narrow.name(space.canonical_key(arch)), evaluator.limits) is not None
        if hung == ENDLESS:
            break
    if reasons:
        raise InvalidValueError(
            f"`space` must give networks that can be evaluated for this task, but none of "
            f"{tried} of {space.name} could be: {reasons[0]}"
        )


def insist_on_feasible(evaluator: Evaluator[Arch], seed: int) -> None:
    """Insist that some architecture keeps the constraints that are cheap to check.

    The first one that does ends it. A space that can be listed is looked through; in another one
    64 are drawn, and then one is led to the bounds (`hwnas.strategies.repair`). Where the first 64
    have no value at all, no other is expected to have one.

    Args:
        evaluator: of the study.
        seed: user seed.

    Raises:
        InvalidValueError: none does; says how near the nearest came.
    """
    bounds = Bounds(evaluator)
    if not bounds:
        return
    for arch in _looked_at(evaluator, bounds, seed):
        if bounds([arch])[0]:
            return
        if bounds.checked >= _ALIKE and not bounds.closest:
            break
    raise InvalidValueError(
        f"`constraint` must leave an architecture to search for, but of {bounds.checked} that were "
        f"looked at none keeps {bounds}: widen it."
    )


def _looked_at(evaluator: Evaluator[Arch], bounds: Bounds[Arch], seed: int) -> Iterator[Arch]:
    """Give what may be proposed, in random order: a sample, or all that can be listed."""
    space, members = evaluator.space, covered(evaluator)
    rng = np.random.default_rng(derive_seed(seed, repr(space), "feasible"))
    if members is None:
        yield from map(space.representative, (space.sample(rng) for _ in range(_ALIKE)))
        listed = members_of(space, LARGEST_LISTED)
        if listed is None:
            found = Repair(space, bounds.violations).draw(rng)
            yield from () if found is None else (found,)
            return
        members = list(map(space.representative, listed))
    yield from (members[i] for i in rng.permutation(len(members)))


def _builds(objective: ValueObjective[Any]) -> bool:
    source = objective.source
    counts = isinstance(source, CostValues) and getattr(source.cost, "builds_networks", False)
    return counts or source.effort is Effort.SCORE
