from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

nni = pytest.importorskip("nni", reason="the extra nni is not installed")

from nni.nas.evaluator import FunctionalEvaluator  # noqa: E402
from nni.nas.execution import SequentialExecutionEngine  # noqa: E402
from nni.nas.space import RawFormatModelSpace, SimplifiedModelSpace  # noqa: E402
from nni.nas.strategy import Random  # noqa: E402

from hwnas.costs.source import make_cost  # noqa: E402
from hwnas.errors import InvalidArchitectureError, InvalidValueError  # noqa: E402
from hwnas.spaces.space_text import named_space  # noqa: E402
from hwnas_nni import (  # noqa: E402
    CostFilter,
    CostProfiler,
    FunctionModelSpace,
    ObjectivesEvaluator,
    ParetoStrategy,
    ProxyEvaluator,
    codec_of,
)

SOURCE = """
from torch import nn


def build(trial):
    layers, before = [], 1
    for i in range(trial.suggest_int("depth", 1, 2)):
        width = trial.suggest_categorical(f"width_{i}", [4, 8])
        kernel = trial.suggest_categorical(f"kernel_{i}", [1, 3])
        if width == 8 and kernel == 1:
            raise ValueError("no such layer")
        layers += [nn.Conv2d(before, width, kernel, padding=kernel // 2), nn.ReLU()]
        before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 3))
"""
KEPT = 3 + 3 * 3
"""Three of four pairs of width and kernel are networks, at depths 1 and 2."""


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FunctionModelSpace:
    (tmp_path / "nets_for_nni.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "nets_for_nni", raising=False)
    monkeypatch.chdir(tmp_path)
    return FunctionModelSpace("nets_for_nni:build", input=(1, 8, 8), classes=3)


def run(strategy: Any, space: Any, evaluator: Any, n: int, kind: Any = SimplifiedModelSpace) -> Any:
    engine = SequentialExecutionEngine(max_model_count=n)
    strategy(kind.from_model(space, evaluator), engine)
    return engine


def test_every_choice_that_can_exist_is_a_label(space: FunctionModelSpace) -> None:
    assert {label: mutable.values for label, mutable in space.simplify().items()} == {
        "depth": [1, 2],
        **{f"width_{i}": [4, 8] for i in range(2)},
        **{f"kernel_{i}": [1, 3] for i in range(2)},
    }


@pytest.mark.parametrize("kind", [SimplifiedModelSpace, RawFormatModelSpace])
def test_what_the_function_builds_is_searched_once_and_nothing_else(
    space: FunctionModelSpace, kind: Any
) -> None:
    evaluator = ObjectivesEvaluator(["layers"], ["count:params"])
    strategy = ParetoStrategy(evaluator.objectives)
    run(strategy, space, evaluator, 100, kind)
    front = strategy.pareto_set()
    assert front.provenance["evaluated"] == len(front.evaluated) == KEPT
    text = "nets_for_nni:build:input=1x8x8,classes=3"
    counted = make_cost("count:params", named_space(text), named_space(text).default_task, None)
    for e in front.evaluated:
        assert e.values[1] == counted.predict([named_space(text).parse(e.arch)])[0]


def test_a_front_keeps_task_costs_and_constraints(space: FunctionModelSpace) -> None:
    evaluator = ObjectivesEvaluator(["layers"], ["count:macs"], ["params<=150"], batch=4)
    strategy = ParetoStrategy(evaluator.objectives)
    run(strategy, space, evaluator, 100)
    front = strategy.pareto_set()
    said = front.provenance
    assert said["dataset"] == {"name": "1x8x8:3", "num_classes": 3, "in_shape": [1, 8, 8]}
    assert [cost["objective"] for cost in said["costs"]] == ["macs"]
    assert said["settings"]["constraints"] == ["params<=150.0"]
    assert 0 < front.provenance["infeasible"] < KEPT


def test_strategies_of_nni_meet_what_the_function_refuses(space: FunctionModelSpace) -> None:
    evaluator = ObjectivesEvaluator(["layers"], ["count:params"])
    models = list(run(Random(seed=0), space, evaluator, 12).list_models())
    assert len(models) == 12
    codec = codec_of(space)

    def refused(sample: Any) -> bool:
        try:
            codec.from_sample(sample)
        except InvalidArchitectureError:
            return True
        return False

    told = [model.metric == 0.0 for model in models]  # no score is known of these
    assert told == [refused(model.sample) for model in models]
    assert len(set(told)) == 2


def test_proxies_and_profilers_take_the_networks(space: FunctionModelSpace) -> None:
    profiler = CostProfiler(space, "count:params")
    evaluator = ProxyEvaluator(["params"], (1, 8, 8), batch_size=2)
    strategy = ParetoStrategy(evaluator.objectives, filters=[CostFilter(profiler, upper=100)])
    run(strategy, space, evaluator, 100)
    codec = codec_of(space)
    assert 0 < len(strategy._records) < KEPT
    for record in strategy._records:
        assert profiler.profile(codec.to_sample(record.arch)) == record.metrics["params"] <= 100


def test_choices_of_an_evaluator_are_told(space: FunctionModelSpace) -> None:
    rate = nni.choice("rate", [0.1, 1.0])
    executable = SimplifiedModelSpace.from_model(space, FunctionalEvaluator(print, rate=rate))
    with pytest.raises(InvalidValueError, match="but has rate"):
        codec_of(executable)


@pytest.mark.parametrize("name", ["nasbench201", "nets_for_nni:missing"])
@pytest.mark.usefixtures("space")
def test_what_is_no_function_is_told(name: str) -> None:
    with pytest.raises(InvalidValueError, match=r"`(function|space)` must"):
        FunctionModelSpace(name, input=(1, 8, 8), classes=3)


def test_the_example_of_the_documentation_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = Path(__file__).parents[2] / "docs"
    guide, page = ((docs / f).read_text("utf-8") for f in ("own_network.md", "nni.md"))
    [nets] = re.findall(r"^```python\n# my_nets.py\n(.*?)^```", guide, re.DOTALL | re.MULTILINE)
    _, example = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "my_nets.py").write_text(nets)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    exec(compile(example.replace("max_trials=8", "max_trials=2"), "nni.md", "exec"), {})
    assert (tmp_path / "front.json").exists()
