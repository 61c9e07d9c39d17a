"""An Optuna objective over any space, proxies and costs."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, Generic

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError

from hwnas.errors import HwnasError, InvalidArchitectureError
from hwnas.evaluation.evaluator import Evaluation, Evaluator
from hwnas.evaluation.origin import uncertain_costs
from hwnas.pareto import ObjectiveInfo
from hwnas.pareto.spread import measured_spread
from hwnas.spaces.choices import decide, options_of
from hwnas.spaces.choosers import Run, reading
from hwnas.typing import Arch, Direction, SearchSpace
from hwnas_optuna.describing import describe
from hwnas_optuna.suggesting import distribution_of, suggesting

_LOG = logging.getLogger(__name__)

ARCH, KEY, RESULTS, ERRORS = "hwnas:arch", "hwnas:key", "hwnas:results", "hwnas:errors"
"""User attributes of a trial: architecture, canonical key, raw values, reasons of failures."""


class HardwareAwareObjective(Generic[Arch]):
    """The objective of a multi-objective study, for `study.optimize` and stock samplers.

    Constraints that are known from cheap sources are reported through `trial.set_constraint`, and
    an infeasible trial is pruned before costlier objectives run; so is a network whose output does
    not depend on its input. A missing value fails the trial
    with the reason in its user attributes.

    Args:
        evaluator: objectives, constraints, cache.

    Example:
        >>> from hwnas.costs.counters import CounterCost
        >>> from hwnas.evaluation.objectives import cost_objective
        >>> from hwnas.spaces.nasbench201 import NasBench201
        >>> space = NasBench201()
        >>> costs = [CounterCost(space, metric) for metric in ("params", "layers")]
        >>> evaluator = Evaluator(space, [cost_objective(space, cost) for cost in costs])
        >>> objective = HardwareAwareObjective(evaluator)
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> study = optuna.create_study(directions=objective.directions)
        >>> objective.describe(study)
        >>> study.optimize(objective, n_trials=3)
        >>> len(study.trials)
        3
    """

    def __init__(self, evaluator: Evaluator[Arch]) -> None:
        self.evaluator = evaluator
        self._uncertain = uncertain_costs(evaluator.objectives)

    @property
    def directions(self) -> list[Direction]:
        """Directions for `optuna.create_study`, in the order of the values."""
        return [objective.direction for objective in self.evaluator.objectives]

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """All parameters that can exist, for `study.ask`."""
        options = options_of(self.evaluator.space)
        return {name: distribution_of(o) for name, o in options.items()}

    @property
    def objectives(self) -> list[ObjectiveInfo]:
        """Name, unit and direction of each value, in their order."""
        return [ObjectiveInfo(o.name, o.unit, o.direction) for o in self.evaluator.objectives]

    def describe(
        self, study: optuna.Study, objectives: Sequence[ObjectiveInfo] | None = None
    ) -> None:
        """Name the study's metrics, and say what they depend on.

        A front made of the study has names and units, and is exported and verified without being
        told what the networks were built for.

        Args:
            study: the study, a new one or one that goes on.
            objectives: what the values of the study are, where a function of the user's own calls
                this objective and gives others, e.g.
                ``[*objective.objectives, ObjectiveInfo("accuracy", "%", "maximize")]``.

        Raises:
            InvalidValueError: the study has other directions, or finished trials that were
                evaluated otherwise.
        """
        describe(study, self.evaluator, self.objectives if objectives is None else objectives)

    def arch(self, trial: optuna.Trial) -> Arch:
        """Suggest the parameters that exist and give the representative of the architecture.

        The representative is the architecture without dead operations: a table knows it by its
        own entry, and everything else is equal for the whole class.

        Raises:
            InvalidArchitectureError: the space makes no architecture of what was suggested, or
                raises whatever it may; says why.
        """
        space = self.evaluator.space
        if not _answers_all(space, {**getattr(trial, "_fixed_params", {}), **trial.params}):
            # The sampler chooses once, before the space asks, which then reads what was chosen.
            getattr(trial, "relative_params", None)
        arch = decide(space, suggesting(trial))
        try:
            member = space.representative(arch)
            space.canonical_key(member)
        except Exception as error:
            raise InvalidArchitectureError(
                f"{space.name!r} must give the class of {arch}, but raised "
                f"{type(error).__name__}: {error}"
            ) from error
        return member

    def refuse(self, trial: optuna.Trial, error: InvalidArchitectureError) -> None:
        """Note why a trial has no architecture."""
        trial.set_user_attr(ERRORS, {"architecture": str(error)})

    def __call__(self, trial: optuna.Trial) -> tuple[float, ...]:
        """Evaluate one trial, from cheap to costly.

        Raises:
            optuna.TrialPruned: there is no architecture, a constraint is violated, or the network
                ignores its input.
        """
        try:
            arch = self.arch(trial)
        except InvalidArchitectureError as error:
            self.refuse(trial, error)
            raise optuna.TrialPruned(str(error)) from error
        except (optuna.TrialPruned, UpdateFinishedTrialError, StorageInternalError):
            raise
        except Exception as error:
            trial.set_user_attr(ERRORS, {"architecture": reason(error)})
            _LOG.warning("Trial %d has no architecture: %s", trial.number, reason(error))
            return (math.nan,) * len(self.evaluator.objectives)
        evaluation = Evaluation(arch, self.evaluator.space.canonical_key(arch))
        for _ in self.evaluator.stages([evaluation]):
            if not evaluation.feasible:
                break
        return self.record(trial, evaluation)

    def record(self, trial: optuna.Trial, evaluation: Evaluation[Arch]) -> tuple[float, ...]:
        """Write an evaluation to its trial and give the values to tell.

        Raises:
            optuna.TrialPruned: a constraint is violated, or the network ignores its input or does
                not run.
        """
        trial.set_user_attr(ARCH, str(evaluation.arch))
        trial.set_user_attr(KEY, evaluation.key)
        known = _plain(evaluation) | self._deviations(evaluation) | self._spreads(evaluation)
        trial.set_user_attr(RESULTS, known)
        if evaluation.errors:
            trial.set_user_attr(ERRORS, evaluation.errors)
        for text, violation in evaluation.violations.items():
            if text not in trial.constraints:
                trial.set_constraint(text, violation)
        if not evaluation.feasible:
            broken = [text for text, violation in evaluation.violations.items() if violation > 0]
            dead = evaluation.errors.get("architecture", "the output does not depend on the input")
            raise optuna.TrialPruned("; ".join(broken) or dead)
        # A costlier value is absent where a cheaper one is missing: the trial fails either way.
        names = [objective.name for objective in self.evaluator.objectives]
        return tuple(evaluation.values.get(name, math.nan) for name in names)

    def _spreads(self, evaluation: Evaluation[Arch]) -> dict[str, float]:
        """Give interval and 95th percentile of what was measured."""
        names = {objective.name for objective in self.evaluator.objectives}
        found: dict[str, float] = {}
        for name in names & evaluation.results.keys():
            found |= measured_spread(name, evaluation.results[name].detail)
        return found

    def _deviations(self, evaluation: Evaluation[Arch]) -> dict[str, float]:
        """Give ``NAME_std`` of the predicted costs that have a value, in their units."""
        return {
            f"{name}_std": float(cost.predict_std([evaluation.arch])[0])
            for name, cost in self._uncertain.items()
            if math.isfinite(evaluation.values.get(name, math.nan))
        }


def _answers_all(space: SearchSpace[Any], known: Mapping[str, Any]) -> bool:
    """Tell whether known parameters answer all that a space asks for, even where it refuses them.

    Those of a trial that a user queued or that goes on leave a sampler nothing to choose.
    """
    if not known:
        return False
    run = Run(reading(known))
    with contextlib.suppress(Exception):  # it is asked again, and raises again
        decide(space, run)
    return run.foreign is None


def reason(error: Exception) -> str:
    """Say why there is no architecture: the text of an error of ours, type and text of others."""
    return str(error) if isinstance(error, HwnasError) else f"{type(error).__name__}: {error}"


def _plain(evaluation: Evaluation[Any]) -> dict[str, float | None]:
    """Give raw values as JSON: missing ones are None."""
    return {
        column: result.value if math.isfinite(result.value) else None
        for column, result in evaluation.results.items()
    }
