"""What is said of a finished search."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from torch import nn

from hwnas.costs.measured import RuntimeCost
from hwnas.evaluation.cache import ResultCache
from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.objectives import cost_objective
from hwnas.measure.measurement import Measurement
from hwnas.pareto import ObjectiveInfo, ParetoSet
from hwnas.runtimes.base import RunSettings
from hwnas.spaces.functions import FunctionSpace
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.study.remarks import agreements, failures, left_out

SPACE = NasBench201(channels=4, cells=1)


def said(monkeypatch: pytest.MonkeyPatch, precision: str, correlations: list[float]) -> list[str]:
    """Evaluate as many cells as there are correlations; give what is said of their front."""
    cost, left = RuntimeCost(SPACE, settings=RunSettings(precision=precision)), iter(correlations)

    def measure(self: RuntimeCost[Any], arch: Any) -> Measurement:
        del arch
        correlation = next(left)
        return Measurement(
            "latency", "ms", 1.0, 1.0, 0.0, 1.0, 1.0, "cpu", 1.0, 1.0, 9, True, 0.0, self.device,
            "a CPU", "here", 1.5 - correlation, correlation,
        )  # fmt: skip

    monkeypatch.setattr(RuntimeCost, "measure", measure)
    rng = np.random.default_rng(0)
    drawn = {SPACE.canonical_key(a): a for a in (SPACE.sample(rng) for _ in range(99))}
    objective = cost_objective(SPACE, cost)
    evaluator = Evaluator(SPACE, [objective], cache=ResultCache(None))
    found = evaluator.evaluate(list(drawn.values())[: len(correlations)])
    front = ParetoSet.from_values(
        [str(e.arch) for e in found], [e.key for e in found], [[1.0]] * len(found),
        [ObjectiveInfo(objective.name, "ms")], space=repr(SPACE),
    )  # fmt: skip
    assert len(front.members) == len(correlations)
    lines = agreements(front, evaluator)
    # Nothing is measured again, and what is not kept here is not counted.
    assert agreements(front, Evaluator(SPACE, [objective], cache=ResultCache(None))) == []
    return lines


def test_members_in_a_lower_precision_are_told_with_their_agreement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (line,) = said(monkeypatch, "int8", [0.9991, 0.9975, 1.0])
    assert line == (
        "cpu_int8_latency_ms: over 3 members the outputs in int8 correlate with those in float32 "
        "by 0.9975 at least, and differ by 50.2 % of the largest at most."
    )
    (poor,) = said(monkeypatch, "int8", [0.9991, 0.95, 0.5])
    assert poor.endswith("2 of them agree poorly, below 0.99: their accuracy is in doubt.")
    assert said(monkeypatch, "float32", [0.5]) == []


def picky(trial: Any) -> nn.Module:
    width = trial.suggest_int("width", 1, 6)
    if width > 3:
        raise ValueError("too wide" if width > 4 else "too even")
    return nn.Sequential(nn.Flatten(), nn.Linear(4, width), nn.Linear(width, 2))


def test_each_reason_that_choices_make_no_network_is_said_once() -> None:
    space = FunctionSpace(picky, input="1x4", classes=2)
    assert left_out(space) == []
    assert left_out(NasBench201()) == []
    assert len(space.members(10) or []) == 3
    lines = left_out(space)
    found = {line.rpartition(": ")[2]: line for line in lines}
    assert found["too even"].startswith("1 of the choices that ")
    assert found["too even"].endswith('for {"width": 4}, but raised ValueError: too even')
    assert found["too wide"].startswith("2 of the choices that ")


def test_reasons_of_failures_are_counted() -> None:
    why = [{"a": "it is not finite"}] * 3 + [{"a": "late", "b": "it is not finite"}, {}]
    values = [[np.nan]] * 4 + [[1.0]]
    front = ParetoSet.from_values(
        [*"uvwxy"], [*"uvwxy"], values, [ObjectiveInfo("a")], space="s",
        attributes=[{"errors": errors} for errors in why],
    )  # fmt: skip
    told = ["3 failed, a: it is not finite", "1 failed, a: late", "1 failed, b: it is not finite"]
    assert failures(front) == told
    many = replace(front, provenance={"failures": {f"a: {i}": 9 - i for i in range(8)}})
    assert failures(many)[4:] == [
        "5 failed, a: 4",
        "3 further reasons stand in the study's trials.",
    ]
    assert failures(replace(front, provenance={})) == []
