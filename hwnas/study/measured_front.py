"""Measurements for what a predicted cost leaves open, at the end of a search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hwnas.errors import InvalidValueError
from hwnas.evaluation.cache import ResultCache
from hwnas.evaluation.evaluator import Evaluator, Report
from hwnas.evaluation.objectives import cost_objective
from hwnas.evaluation.origin import uncertain_costs
from hwnas.pareto import ParetoSet, routing
from hwnas.pareto.same_device import check_same_device
from hwnas.spaces.networks import Networks
from hwnas.study import measured_elsewhere
from hwnas.study.configuration import EvaluationSetup
from hwnas.study.measured_elsewhere import Answers, Rounds, bundle_settings
from hwnas.typing import CostModel, FloatArray, UncertainCostModel

if TYPE_CHECKING:
    from hwnas.study.settings import SearchSettings

Measure = Callable[[Sequence[Any]], FloatArray | None]
"""Gives `(k,)` costs of architectures, NaN where a measurement failed; None if they come later."""


class Way(Protocol):
    """How candidates are measured."""

    @property
    def rounds(self) -> int:
        """In how many parts the budget is spent."""

    @property
    def known(self) -> Mapping[str, float]:
        """What was measured before, by canonical key."""

    @property
    def waiting(self) -> int:
        """How many have been given to be measured, and have no value yet."""

    @property
    def device(self) -> str:
        """What the values belong to."""

    def open(self, evaluator: Evaluator[Any], cache: ResultCache, report: Report | None) -> Measure:
        """Give what measures architectures."""

    def told(self) -> Sequence[str]:
        """Say what is to be done, a line each, once candidates were measured."""


@dataclass(frozen=True)
class Now:
    """Candidates are measured by a cost model while the search waits.

    Attributes:
        model: what measures.
    """

    model: CostModel[Any]
    known: Mapping[str, float] = field(default_factory=dict)
    rounds: int = routing.ROUNDS
    waiting: int = 0

    @property
    def device(self) -> str:
        """What the values belong to."""
        return str(self.model.device)

    def open(self, evaluator: Evaluator[Any], cache: ResultCache, report: Report | None) -> Measure:
        """Give what measures architectures, through the cache."""
        wanted = cost_objective(evaluator.space, self.model)
        measuring = Evaluator(
            evaluator.space, [wanted], cache=cache, require_valid=False, report=report
        )

        def measure(archs: Sequence[Any]) -> FloatArray:
            found = measuring.evaluate(archs)
            return np.array([e.values.get(wanted.name, np.nan) for e in found], dtype=np.float64)

        return measure

    def told(self) -> Sequence[str]:
        """Say nothing: all is done."""
        return ()


@dataclass
class Later:
    """Candidates are measured elsewhere, and the same search goes on with what came back.

    Attributes:
        place: where rounds are asked for.
        answers: what came back.
    """

    place: Rounds
    answers: Answers
    rounds: int = measured_elsewhere.ROUNDS
    _asked: int = 0

    @property
    def known(self) -> Mapping[str, float]:
        """What came back, by canonical key."""
        return self.answers.known

    @property
    def waiting(self) -> int:
        """How many networks of the last round have no answer yet."""
        return self.answers.waiting

    @property
    def device(self) -> str:
        """What the values belong to."""
        return str(self.place.predictor.device)

    def open(self, evaluator: Evaluator[Any], cache: ResultCache, report: Report | None) -> Measure:
        """Give what writes the next round; nobody asks for it while the last one waits."""
        del evaluator, cache, report

        def ask(archs: Sequence[Any]) -> None:
            self.place.ask(archs, self.answers.rounds + 1)
            self._asked = len(archs)  # which ends the measuring of this run

        return ask

    def told(self) -> Sequence[str]:
        """Say what is to be done with the round that has no answer yet."""
        last = self.answers.rounds
        if self.waiting:
            return [self.place.next_step(last, self.waiting)]
        return [self.place.next_step(last + 1, self._asked)] if self._asked else []


@dataclass(frozen=True)
class Measuring:
    """What is measured, and how.

    Attributes:
        name: objective that is predicted.
        predictor: what predicts it.
        way: how it is measured.
        spec: the latter as the user wrote it.
        budget: most architectures to measure.
        remarks: what could not be told of the devices of both.
    """

    name: str
    predictor: UncertainCostModel[Any]
    way: Way
    spec: str
    budget: int
    remarks: Sequence[str]

    def apply(
        self, front: ParetoSet, evaluator: Evaluator[Any], cache: ResultCache, report: Report | None
    ) -> tuple[ParetoSet, list[str]]:
        """Measure what is open; give the front and what is to be told of it."""
        way = self.way
        found = routing.route(
            front, self.name, evaluator.space, self.predictor,
            way.open(evaluator, cache, report), self.budget,
            {"cost": self.spec, "device": way.device}, known=way.known, rounds=way.rounds,
            waiting=way.waiting,
        )  # fmt: skip
        members, every = routing.measured_share(found.front, self.name)
        failed = f", {found.failed} of them without success" if found.failed else ""
        open_ = "" if found.postponed else f"; the budget left {found.undecided} open"
        line = (
            f"{self.name}: {found.measured} of {len(front.evaluated)} candidates were measured"
            f"{failed}; {members} of {every} members are, the others are predicted"
            f"{open_ if found.undecided else ''}."
        )
        return found.front, [*self.remarks, line, *way.told()]


def make_measuring(
    settings: SearchSettings, setup: EvaluationSetup[Any], evaluator: Evaluator[Any]
) -> Measuring | None:
    """Make what measures after a search, before the search is begun; None where nothing does.

    Raises:
        InvalidValueError: there is no budget, nothing of the metric and unit is predicted, what
            measures is a predictor itself, or it is of another device.
        HwnasError: what came back from elsewhere cannot be read.
    """
    spec, budget = settings.measure, settings.measure_budget
    if not spec and not budget:
        return None
    if not spec or budget < 1:
        raise InvalidValueError(
            f"`measure` and `measure_budget` must be given together, the budget at least 1, but "
            f"got {spec or 'nothing'!r} and {budget}: e.g. --measure onnxruntime:cpu:latency "
            f"--measure-budget 20."
        )
    if measured_elsewhere.is_elsewhere(spec):
        return _elsewhere(spec, budget, setup, evaluator)
    model = setup.cost(spec)
    if hasattr(model, "predict_std"):
        raise InvalidValueError(f"`measure` must measure, but got the predictor {spec!r}.")
    name, predictor = _predicted(spec, evaluator, (model.metric, model.unit))
    remarks = check_same_device(predictor.device, model.device, "measure")
    return Measuring(name, predictor, Now(model), spec, budget, remarks)


def _elsewhere(
    spec: str, budget: int, setup: EvaluationSetup[Any], evaluator: Evaluator[Any]
) -> Measuring:
    kind, folder, given = measured_elsewhere.split_elsewhere(spec)
    bundle = kind == measured_elsewhere.BUNDLE
    name, predictor = _predicted(spec, evaluator, ("latency", "ms") if bundle else None)
    run = bundle_settings(given, predictor.device) if bundle else None
    place = Rounds(folder, Networks(setup.space, setup.task), predictor, run)
    answers = place.answers()
    return Measuring(name, predictor, Later(place, answers), spec, budget, answers.remarks)


def _predicted(
    spec: str, evaluator: Evaluator[Any], wanted: tuple[str, str] | None
) -> tuple[str, UncertainCostModel[Any]]:
    """Find the objective that is predicted, of a metric and unit; of any if None."""
    predicted = {
        name: cost
        for name, cost in uncertain_costs(evaluator.objectives).items()
        if wanted in (None, (cost.metric, cost.unit))
    }
    if len(predicted) != 1:
        gives = "any of them" if wanted is None else f"{wanted[0]} in {wanted[1]}"
        raise InvalidValueError(
            f"`measure` must be of one predicted cost, but {spec!r} gives {gives} and "
            f"{', '.join(predicted) or 'none'} is predicted: search with --cost predictor:FILE of "
            f"the same metric and unit."
        )
    [(name, predictor)] = predicted.items()
    return name, predictor
