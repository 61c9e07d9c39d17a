"""Measurements for what a predicted cost leaves open, at the end of a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hwnas.errors import InvalidValueError
from hwnas.evaluation.cache import ResultCache
from hwnas.evaluation.evaluator import Evaluator, Report
from hwnas.evaluation.objectives import cost_objective
from hwnas.evaluation.origin import uncertain_costs
from hwnas.pareto import ParetoSet
from hwnas.pareto.routing import measured_share, route
from hwnas.pareto.same_device import check_same_device
from hwnas.study.configuration import EvaluationSetup
from hwnas.typing import CostModel, FloatArray, UncertainCostModel

if TYPE_CHECKING:
    from hwnas.study.settings import SearchSettings


@dataclass(frozen=True)
class Measuring:
    """What is measured, and with what.

    Attributes:
        name: objective that is predicted.
        predictor: what predicts it.
        model: what measures it.
        spec: the latter as the user wrote it.
        budget: most architectures to measure.
        remarks: what could not be told of the devices of both.
    """

    name: str
    predictor: UncertainCostModel[Any]
    model: CostModel[Any]
    spec: str
    budget: int
    remarks: Sequence[str]

    def apply(
        self, front: ParetoSet, evaluator: Evaluator[Any], cache: ResultCache, report: Report | None
    ) -> tuple[ParetoSet, list[str]]:
        """Measure what is open; give the front and what is to be told of it."""
        wanted = cost_objective(evaluator.space, self.model)
        measuring = Evaluator(
            evaluator.space, [wanted], cache=cache, require_valid=False, report=report
        )

        def measure(archs: Sequence[Any]) -> FloatArray:
            found = measuring.evaluate(archs)
            return np.array([e.values.get(wanted.name, np.nan) for e in found], dtype=np.float64)

        origin = {"cost": self.spec, "device": str(self.model.device)}
        found = route(
            front, self.name, evaluator.space, self.predictor, measure, self.budget, origin
        )
        members, every = measured_share(found.front, self.name)
        failed = f", {found.failed} of them without success" if found.failed else ""
        left = f"; the budget left {found.undecided} open" if found.undecided else ""
        line = (
            f"{self.name}: {found.measured} of {len(front.evaluated)} candidates were measured"
            f"{failed}; {members} of {every} members are, the others are predicted{left}."
        )
        return found.front, [*self.remarks, line]


def make_measuring(
    settings: SearchSettings, setup: EvaluationSetup[Any], evaluator: Evaluator[Any]
) -> Measuring | None:
    """Make what measures after a search, before the search is begun; None where nothing does.

    Raises:
        InvalidValueError: there is no budget, nothing of the metric and unit is predicted, what
            measures is a predictor itself, or it is of another device.
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
    model = setup.cost(spec)
    if hasattr(model, "predict_std"):
        raise InvalidValueError(f"`measure` must measure, but got the predictor {spec!r}.")
    predicted = {
        name: cost
        for name, cost in uncertain_costs(evaluator.objectives).items()
        if (cost.metric, cost.unit) == (model.metric, model.unit)
    }
    if len(predicted) != 1:
        raise InvalidValueError(
            f"`measure` must be of one predicted cost, but {spec!r} gives {model.metric} in "
            f"{model.unit} and {', '.join(predicted) or 'none'} is predicted: search with --cost "
            f"predictor:FILE of the same metric and unit."
        )
    [(name, predictor)] = predicted.items()
    remarks = check_same_device(predictor.device, model.device, "measure")
    return Measuring(name, predictor, model, spec, budget, remarks)
