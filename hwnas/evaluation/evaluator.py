"""The evaluator: objectives and constraints of many architectures, cached and in parallel.

Sources run from cheap to costly. Constraints are checked as soon as their values are known, and
neither an infeasible architecture nor one whose cheaper value is missing reaches a costlier
source. Every value is stored the moment it is finished, so an interrupted run loses only what was
in progress. A measurement holds its resource, e.g. this host's CPU, so that no other one runs on it
at the same time, in this or in another process.

Whatever a source raises is a failed result with type and text, and the next architecture is
evaluated; where what measures cannot be reached any more, the evaluation ends instead. Scores are
computed in child processes where there are limits or several jobs (`hwnas.measure.isolation`): what
ends a child, or takes too long, is a failed result, and what took too long is not tried again. Else
an architecture during whose evaluation a process died is evaluated in a child process; once such a
child has died, so is everything of that space (see `hwnas.evaluation.survival`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pickle import PicklingError
from typing import Any, Generic, Literal, TypedDict

import joblib
import numpy as np

from hwnas.errors import HwnasError, InvalidValueError
from hwnas.evaluation.backends import in_parallel, is_local
from hwnas.evaluation.cache import ResultCache
from hwnas.evaluation.objectives import ValueObjective
from hwnas.evaluation.sources import Effort, ValueSource
from hwnas.evaluation.survival import Marks
from hwnas.measure.endless import endless, network_name, once, remember, space_name
from hwnas.measure.in_child import text_of
from hwnas.measure.isolation import child_with, side_by_side
from hwnas.measure.limits import (
    UNLIMITED,
    CallError,
    ChildEndedError,
    EndlessError,
    Limits,
    NotSendableError,
    UnreachableError,
)
from hwnas.measure.resource_lock import hold
from hwnas.tables.result import Result
from hwnas.tasks.task import Task
from hwnas.typing import Arch, Constraint, FloatArray, SearchSpace

Status = Literal["complete", "infeasible", "failed"]
Report = Callable[[str, int, int], None]
"""Called with (label, finished, total) while a source runs."""


class EvaluatorOptions(TypedDict, total=False):
    """How an `Evaluator` works, as keyword arguments of those who hand them on to it.

    Attributes:
        cache: where results are kept.
        jobs: worker processes.
        limits: what the values of one architecture may take.
        report: called while a source runs.
        task: what the networks are built for; the space's own if None.
    """

    cache: ResultCache | None
    jobs: int
    limits: Limits | None
    report: Report | None
    task: Task | None


@dataclass
class Evaluation(Generic[Arch]):
    """What is known of one architecture.

    Attributes:
        arch: the architecture.
        key: its canonical key.
        results: results by column, of the sources that ran; of columns of one name, the costlier
            source's.
        by_source: the same by place of the source in its evaluator, then by column.
        values: objective values by name, of the sources that ran.
        violations: constraint violations by the constraint's text; feasible where <= 0.
        errors: why a value is missing, by objective name.
        valid: whether the architecture may be evaluated at all; `errors` says why not where its
            network does not run.
    """

    arch: Arch
    key: str
    results: dict[str, Result] = field(default_factory=dict)
    by_source: dict[int, dict[str, Result]] = field(default_factory=dict, repr=False)
    values: dict[str, float] = field(default_factory=dict)
    violations: dict[str, float] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    valid: bool = True

    @property
    def feasible(self) -> bool:
        """Tell whether the architecture is valid and violates no constraint known so far."""
        return self.valid and all(violation <= 0 for violation in self.violations.values())

    @property
    def status(self) -> Status:
        """Infeasible before failed: an infeasible one was not evaluated further."""
        if not self.feasible:
            return "infeasible"
        return "failed" if self.errors else "complete"


@dataclass(frozen=True)
class _Item(Generic[Arch]):
    """What a source computes at a time.

    Attributes:
        key: of the group of evaluations that share the results.
        arch: an architecture of the group.
        columns: what is missing.
        name: of the class of equal networks, for the task.
    """

    key: Any
    arch: Arch
    columns: tuple[str, ...]
    name: str


@dataclass(frozen=True)
class _Outcome:
    """What came of an item.

    Attributes:
        item: the item.
        results: by column.
        lasting: whether another attempt would give the same.
    """

    item: _Item[Any]
    results: dict[str, Result]
    lasting: bool = True


class Evaluator(Generic[Arch]):
    """Evaluate objectives under constraints.

    Args:
        space: search space.
        objectives: the objectives, at least one, with different names.
        constraints: bounds on objectives, which need not be among `objectives`.
        cache: where results are kept; in memory by default.
        jobs: worker processes for sources other than measurements, of the backend that is active
            (`hwnas.evaluation.backends.parallel_backend`): loky by default, else ray or dask.
        require_valid: architectures whose output does not depend on their input are infeasible.
        limits: what the values of one architecture may take, each time in a child process; None
            computes them in this process, without a limit. Measurements have limits of their own.
        report: called while a source runs, e.g. by a progress bar.
        task: what the networks are built for, and may be too slow for; the space's own if None.
    """

    def __init__(
        self,
        space: SearchSpace[Arch],
        objectives: Sequence[ValueObjective[Arch]],
        constraints: Sequence[Constraint[Arch]] = (),
        *,
        cache: ResultCache | None = None,
        jobs: int = 1,
        require_valid: bool = True,
        limits: Limits | None = None,
        report: Report | None = None,
        task: Task | None = None,
    ) -> None:
        names = [objective.name for objective in objectives]
        if not names or len(set(names)) < len(names):
            raise InvalidValueError(
                f"`objectives` must be at least one and have different names, but got {names}."
            )
        if jobs == 0:
            raise InvalidValueError("`jobs` must not be 0: use 1, or -1 for all cores.")
        self.space = space
        self.objectives = tuple(objectives)
        self.constraints = tuple(constraints)
        self.jobs = jobs
        self.require_valid = require_valid
        self.limits = limits
        self.task = task
        self._cache = cache if cache is not None else ResultCache(None)
        path = self._cache.path
        self._marks = Marks(None if path is None else path.with_name("begun"))
        self._doubted: set[str] = set()
        self._faults: dict[Arch, str | None] = {}
        self._report = report or _no_report
        self._used = [*map(_as_value_objective, self.constraints), *self.objectives]
        self._plan = _plan(self._used)
        self._number()

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._number()

    def _number(self) -> None:  # by where the sources lie in memory, which a copy's do elsewhere
        sources = [source for at in self._plan.values() for source in at]
        self._places = {id(o.source): sources.index(o.source) for o in self._used}

    def __call__(self, arch: Arch) -> Evaluation[Arch]:
        """Evaluate one architecture."""
        return self.evaluate([arch])[0]

    def evaluate(self, archs: Sequence[Arch]) -> list[Evaluation[Arch]]:
        """Evaluate architectures, in the given order; equal ones share their results."""
        evaluations = [Evaluation(a, self.space.canonical_key(a)) for a in archs]
        for stage in self.stages(evaluations):
            del stage
        return evaluations

    def stages(self, evaluations: Sequence[Evaluation[Arch]]) -> Iterator[Effort]:
        """Fill evaluations source by source, and yield after each level of effort."""
        for evaluation in evaluations:
            try:
                evaluation.valid = not self.require_valid or self.space.is_valid(evaluation.arch)
                if (reason := endless(self.name(evaluation.key), self.limits)) is not None:
                    evaluation.errors["architecture"] = reason
                elif self.require_valid and (fault := self.fault(evaluation.arch)) is not None:
                    evaluation.valid, evaluation.errors["architecture"] = False, fault
            except Exception as error:
                evaluation.errors["is_valid"] = text_of(error)
        for effort, sources in self._plan.items():
            for source, columns in sources.items():
                self._run(source, columns, [e for e in evaluations if e.feasible and not e.errors])
            self._conclude(evaluations)
            yield effort

    def losses(self, evaluations: Sequence[Evaluation[Arch]]) -> FloatArray:
        """Give `(n, m)` objective values with maximised ones negated; NaN where missing."""
        signs = [1.0 if o.direction == "minimize" else -1.0 for o in self.objectives]
        return np.array(
            [
                [
                    s * e.values.get(o.name, np.nan)
                    for s, o in zip(signs, self.objectives, strict=True)
                ]
                for e in evaluations
            ],
            dtype=np.float64,
        ).reshape(len(evaluations), len(self.objectives))

    def _run(
        self, source: ValueSource[Arch], columns: tuple[str, ...], todo: list[Evaluation[Arch]]
    ) -> None:
        prefixes = {column: source.cache_prefix(column) for column in columns}
        cached = all(prefix is not None for prefix in prefixes.values())
        # Cached sources work on the class; others (tables) know every architecture by itself.
        groups: dict[Any, list[Evaluation[Arch]]] = {}
        for evaluation in todo:
            groups.setdefault(evaluation.key if cached else evaluation.arch, []).append(evaluation)
        known = self._known(source, prefixes, list(groups)) if cached else {}
        work: list[_Item[Arch]] = []
        for key, members in groups.items():
            found = {c: known.get((c, key)) for c in columns}
            if cached:
                found |= {c: source.precomputed(c, key) for c in columns if found[c] is None}
            self._share(source, members, {c: r for c, r in found.items() if r is not None})
            missing = [c for c in columns if found[c] is None]
            if missing:
                member = members[0]
                work.append(_Item(key, member.arch, tuple(missing), self.name(member.key)))
        if not work:
            return
        total = len(work)
        self._report(source.label, 0, total)
        for finished, outcome in enumerate(self._compute(source, work), start=1):
            key, results = outcome.item.key, outcome.results
            if cached and outcome.lasting:
                self._cache.put({f"{prefixes[c]}|{key}": r for c, r in results.items()})
            self._share(source, groups[key], results)
            self._report(source.label, finished, total)

    def _known(
        self, source: ValueSource[Arch], prefixes: Mapping[str, str | None], keys: Sequence[str]
    ) -> dict[tuple[str, str], Result]:
        """Give what the cache holds by column and key, also under what columns were called once.

        An error that was mended since is not given.
        """
        former = getattr(source, "former_prefixes", None)
        mended = getattr(source, "is_mended", None)
        found: dict[tuple[str, str], Result] = {}
        names = {c: [prefix, *(former(c) if former else ())] for c, prefix in prefixes.items()}
        for age in range(max(map(len, names.values()))):  # today's name first
            wanted = {
                f"{texts[age]}|{key}": (column, key)
                for column, texts in names.items()
                if age < len(texts)
                for key in keys
                if (column, key) not in found
            }
            kept = {wanted[text]: result for text, result in self._cache.get(wanted).items()}
            found |= {
                (column, key): result
                for (column, key), result in kept.items()
                if not (mended and result.error and mended(column, result.error))
            }
        return found

    def kept(self, objective: ValueObjective[Arch], keys: Sequence[str]) -> dict[str, Result]:
        """Give what the cache holds of an objective of one column by canonical key.

        Nothing is computed: what another host measured is not there, and look-ups are not kept.
        """
        (column,) = objective.columns
        prefix = objective.source.cache_prefix(column)
        if prefix is None:
            return {}
        known = self._known(objective.source, {column: prefix}, keys)
        return {key: result for (_, key), result in known.items()}

    def _share(
        self,
        source: ValueSource[Arch],
        members: list[Evaluation[Arch]],
        results: Mapping[str, Result],
    ) -> None:
        place = self._places[id(source)]
        for member in members:
            member.results.update(results)
            member.by_source.setdefault(place, {}).update(results)

    def fault(self, arch: Arch) -> str | None:
        """Say why the network of an architecture does not run; None if it does.

        It is run, in a child process, in spaces that trace their networks, where that failed: it
        branches on values, or its layers do not fit. What ends the child or takes too long runs
        as far as is known here, and is a failed result of what needs it.
        """
        traces = getattr(self.space, "is_traced", None)
        if traces is None or traces(arch):
            return None
        if arch not in self._faults:
            try:
                limits = self.limits or UNLIMITED
                with once(self.name(self.space.canonical_key(arch)), limits):
                    self._faults[arch] = child_with(limits).call(_fault, self.space, arch)
            except HwnasError:
                self._faults[arch] = None
        return self._faults[arch]

    def doubt(self, arch: Arch) -> None:
        """Evaluate an architecture in a child process, since a process may have died of it."""
        self._doubted.add(self.name(self.space.canonical_key(arch)))

    def name(self, key: str) -> str:
        """Name a network by its canonical key, for marks and for those that do not end."""
        return network_name(self.space, key, self.task)

    def _compute(self, source: ValueSource[Arch], work: list[_Item[Arch]]) -> Iterator[_Outcome]:
        several = self.jobs != 1 and len(work) > 1
        scores = source.effort is Effort.SCORE
        limited = self.limits is not None and source.effort is not Effort.MEASURE
        if (limited or (scores and several)) and is_local():
            yield from self._in_children(source, work)
            return
        left = self._marks.left() | self._doubted
        doubtful = [item for item in work if item.name in left]
        yield from self._alone(source, doubtful)
        done = {item.name for item in doubtful}
        rest = [item for item in work if item.name not in done]
        if scores and several:
            yield from self._on_cluster(source, rest)
        elif self._marks.has_died(space_name(self.space)):
            # Others have died; this process must not.
            yield from self._alone(source, rest)
        else:
            yield from (_compute_one(self._marks, source, item) for item in rest)

    def _in_children(
        self, source: ValueSource[Arch], work: list[_Item[Arch]]
    ) -> Iterator[_Outcome]:
        """Compute in as many children as there are jobs; each death is one item's."""
        for item in work:
            if (reason := endless(item.name, self.limits)) is not None:
                yield _failure(item, reason)
        work = [item for item in work if endless(item.name, self.limits) is None]
        jobs = max(1, min(joblib.effective_n_jobs(self.jobs), len(work)))
        function = partial(_compute_one, Marks(None), source)
        calls = side_by_side(self.limits or UNLIMITED, jobs, function, [(i,) for i in work])
        for place, found in calls:
            if not isinstance(found, HwnasError):
                yield found
            elif not isinstance(found, NotSendableError):
                if isinstance(found, EndlessError):
                    remember(work[place].name, self.limits or UNLIMITED, found)
                yield _failure(work[place], str(found))
            elif jobs > 1:
                raise _not_sendable(self.jobs, found) from found
            else:
                yield _compute_one(self._marks, source, work[place])

    def _on_cluster(self, source: ValueSource[Arch], work: list[_Item[Arch]]) -> Iterator[_Outcome]:
        calls = [joblib.delayed(_compute_one)(self._marks, source, item) for item in work]
        try:
            yield from in_parallel(calls, self.jobs)
        except PicklingError as error:
            raise _not_sendable(self.jobs, error) from error

    def _alone(self, source: ValueSource[Arch], work: list[_Item[Arch]]) -> Iterator[_Outcome]:
        """Compute one after another in a child process, which may die."""
        function = partial(_compute_one, self._marks, source)
        for item in work:
            try:
                outcome = child_with(UNLIMITED).call(function, item)
                self._marks.acquit(item.name)
            except NotSendableError:
                outcome = function(item)
            except ChildEndedError as death:
                self._marks.condemn(item.name)
                outcome = _failure(item, str(death))
            self._doubted.discard(item.name)
            yield outcome

    def _conclude(self, evaluations: Sequence[Evaluation[Arch]]) -> None:
        """Turn results into objective values and constraint violations where they are complete."""
        for evaluation in evaluations:
            for objective in self.objectives:
                if (result := self._result(objective, evaluation)) is not None:
                    evaluation.values[objective.name] = result.value
                    if result.value != result.value:
                        evaluation.errors[objective.name] = result.error or "the value is NaN"
            for constraint in self.constraints:
                found = self._result(_as_value_objective(constraint), evaluation)
                if found is not None:
                    evaluation.violations[str(constraint)] = constraint.violation(found.value)

    def _result(
        self, objective: ValueObjective[Arch], evaluation: Evaluation[Arch]
    ) -> Result | None:
        """Make an objective's value of what its own source gave; None where that is incomplete."""
        results = evaluation.by_source.get(self._places[id(objective.source)], {})
        if not all(column in results for column in objective.columns):
            return None
        return objective.value(evaluation.arch, results)


def _no_report(label: str, finished: int, total: int) -> None:
    """Take the place of a progress bar where nobody looks."""
    del label, finished, total


def _as_value_objective(constraint: Constraint[Arch]) -> ValueObjective[Arch]:
    objective = constraint.objective
    if not isinstance(objective, ValueObjective):
        raise InvalidValueError(
            f"`constraints` must bound a ValueObjective, but got {type(objective).__name__}."
        )
    return objective


def _plan(
    objectives: Sequence[ValueObjective[Arch]],
) -> dict[Effort, dict[ValueSource[Arch], tuple[str, ...]]]:
    """Group the needed columns by effort and source, cheap first."""
    plan: dict[Effort, dict[ValueSource[Arch], tuple[str, ...]]] = {}
    for objective in sorted(objectives, key=lambda o: o.source.effort):
        sources = plan.setdefault(objective.source.effort, {})
        columns = (*sources.get(objective.source, ()), *objective.columns)
        sources[objective.source] = tuple(dict.fromkeys(columns))
    return plan


def _fault(space: Any, arch: Any) -> str | None:
    found: str | None = space.fault(arch)
    return found


def _compute_one(marks: Marks, source: ValueSource[Any], item: _Item[Any]) -> _Outcome:
    alone = hold(source.resource) if source.resource else nullcontext()
    try:
        with alone, marks.begun(item.name):
            return _Outcome(item, source.compute(item.arch, item.columns))
    except UnreachableError:  # what is left waits for another run
        raise
    except CallError as error:  # e.g. in a child of the source's own, under its limits
        return _failure(item, str(error))
    except HwnasError as error:
        return _failure(item, str(error), lasting=True)
    except Exception as error:
        return _failure(item, text_of(error))


def _failure(item: _Item[Any], reason: str, lasting: bool = False) -> _Outcome:
    return _Outcome(item, {c: Result(float("nan"), reason) for c in item.columns}, lasting)


def _not_sendable(jobs: int, error: Exception) -> InvalidValueError:
    return InvalidValueError(
        f"`jobs` must be 1 for what cannot be sent to worker processes, but got {jobs}: "
        f"{str(error).partition(chr(10))[0]}"
    )
