from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

nni = pytest.importorskip("nni", reason="the extra nni is not installed")

from nni.mutable import Categorical  # noqa: E402
from nni.nas.evaluator import FunctionalEvaluator  # noqa: E402
from nni.nas.execution import SequentialExecutionEngine  # noqa: E402
from nni.nas.hub.pytorch import NasBench201 as HubNasBench201  # noqa: E402
from nni.nas.nn.pytorch import LayerChoice, ModelSpace, Repeat  # noqa: E402
from nni.nas.space import RawFormatModelSpace, SimplifiedModelSpace  # noqa: E402
from torch import nn  # noqa: E402

from hwnas.errors import DataFormatError, InvalidValueError  # noqa: E402
from hwnas.search import SearchSettings, make_evaluator  # noqa: E402
from hwnas.spaces.nasbench201 import NasBench201  # noqa: E402
from hwnas_nni import ObjectivesEvaluator, ParetoStrategy, report_metrics  # noqa: E402
from hwnas_optuna import HardwareAwareObjective, HardwareAwareSampler  # noqa: E402

DIRECTIONS: Any = {"gain": "maximize", "cost": "minimize"}


@nni.trace
class Small(ModelSpace):
    """Two layers to choose, a repetition, and a width of an evaluator: 54 architectures."""

    def __init__(self) -> None:
        super().__init__()
        self.first = LayerChoice([nn.Linear(4, 4), nn.Identity(), nn.ReLU()], label="first")
        self.body = Repeat(nn.Linear(4, 4), (1, 3), label="depth")
        self.last = LayerChoice([nn.Linear(4, 2), nn.Linear(4, 2, bias=False)], label="last")

    def forward(self, x: Any) -> Any:
        return self.last(self.body(self.first(x)))


def gain_and_cost(
    model: Any, width: int = 1, fails_on: int = -1, dies_at: list[int] | None = None
) -> None:
    """Report two conflicting numbers of a sample."""
    del model
    sample = nni.get_current_parameter().sample
    first, depth, last = int(sample["first"]), int(sample["depth"]), int(sample["last"])
    if dies_at is not None:
        dies_at[0] -= 1
        if dies_at[0] < 0:
            raise KeyboardInterrupt
    if first == fails_on:
        raise RuntimeError("no luck")
    report_metrics({"gain": depth * width + first, "cost": depth + width + last})


def experiment(
    strategy: ParetoStrategy,
    n: int,
    kind: Any = SimplifiedModelSpace,
    **arguments: Any,
) -> ParetoStrategy:
    evaluator = FunctionalEvaluator(
        gain_and_cost, **{"width": Categorical([1, 2, 4], label="width"), **arguments}
    )
    engine = SequentialExecutionEngine(max_model_count=n, continue_on_failure=True)
    strategy(kind.from_model(Small(), evaluator), engine)
    return strategy


def dominates(q: tuple[int, int], p: tuple[int, int]) -> bool:
    return q != p and q[0] >= p[0] and q[1] <= p[1]


def proposals(strategy: ParetoStrategy) -> list[str]:
    return [str(record.arch) for record in strategy._records]


@pytest.mark.parametrize("kind", [SimplifiedModelSpace, RawFormatModelSpace])
@pytest.mark.parametrize("name", ["pareto-evolution", "random-search", "pareto-local-search"])
def test_the_whole_space_is_searched_without_repetition(name: str, kind: type) -> None:
    strategy = experiment(ParetoStrategy(DIRECTIONS, strategy=name), 100, kind)
    found = proposals(strategy)
    assert len(found) == len(set(found)) == 3 * 3 * 2 * 3
    front = strategy.pareto_set()
    # Depth 1 to 3, width 1, 2, 4, first up to 2: worked out by hand.
    best = {(d * w + 2, d + w) for d in (1, 2, 3) for w in (1, 2, 4)}
    kept = {p for p in best if not any(dominates(q, p) for q in best)}
    assert {tuple(member.values) for member in front.members} == kept
    assert front.provenance["evaluated"] == 54


def test_equal_seeds_give_equal_proposals() -> None:
    one, two, other = (
        proposals(experiment(ParetoStrategy(DIRECTIONS, seed=s), 30)) for s in (1, 1, 2)
    )
    assert one == two != other


def test_failed_trials_are_counted_and_not_repeated() -> None:
    strategy = experiment(ParetoStrategy(DIRECTIONS), 100, fails_on=1)
    assert len(set(proposals(strategy))) == 54
    front = strategy.pareto_set()
    assert front.provenance["failed"] == 18
    assert not any('"first": "1"' in member.arch for member in front.members)


@pytest.mark.parametrize("after", [0, 1, 23])
def test_an_interrupted_experiment_goes_on_exactly(after: int, tmp_path: Path) -> None:
    whole = experiment(ParetoStrategy(DIRECTIONS, max_trials=40), 100)
    path = tmp_path / "search.json"
    broken = ParetoStrategy(DIRECTIONS, max_trials=40, checkpoint=path)
    with pytest.raises(KeyboardInterrupt):
        experiment(broken, 100, dies_at=[after])
    again = experiment(ParetoStrategy(DIRECTIONS, max_trials=40, checkpoint=path), 100)
    assert proposals(again) == proposals(whole)
    assert again.pareto_set().members == whole.pareto_set().members


def test_a_killed_experiment_ends_with_the_same_front(tmp_path: Path) -> None:
    whole = experiment(ParetoStrategy(DIRECTIONS, max_trials=40), 100)
    path = tmp_path / "search.json"
    script = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_strategy as t
from hwnas_nni import ParetoStrategy
class Fuse(list):
    def __setitem__(self, i, left):
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        super().__setitem__(i, left)
strategy = ParetoStrategy(t.DIRECTIONS, max_trials=40, checkpoint={str(path)!r})
t.experiment(strategy, 100, dies_at=Fuse([17]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(json.loads(path.read_text())["records"]) == 17
    again = experiment(ParetoStrategy(DIRECTIONS, max_trials=40, checkpoint=path), 100)
    assert proposals(again) == proposals(whole)
    assert again.pareto_set().members == whole.pareto_set().members


def test_a_state_dict_restores_a_search() -> None:
    whole = experiment(ParetoStrategy(DIRECTIONS, max_trials=40), 100)
    half = experiment(ParetoStrategy(DIRECTIONS, max_trials=25), 100)
    state = json.loads(json.dumps(half.state_dict()))
    rest = ParetoStrategy(DIRECTIONS, max_trials=40)
    space = SimplifiedModelSpace.from_model(
        Small(), FunctionalEvaluator(gain_and_cost, width=Categorical([1, 2, 4], label="width"))
    )
    rest.initialize(space, SequentialExecutionEngine())
    rest.load_state_dict(state)
    rest.run()
    assert proposals(rest) == proposals(whole)


def test_bad_settings_and_checkpoints_are_refused(tmp_path: Path) -> None:
    wrong: Any = {"gain": "max"}
    with pytest.raises(InvalidValueError, match="minimize or maximize"):
        ParetoStrategy(wrong)
    with pytest.raises(InvalidValueError, match="directions"):
        ParetoStrategy({})
    path = tmp_path / "search.json"
    for text in ("nothing", "[]", "{}"):
        path.write_text(text)
        with pytest.raises(DataFormatError, match="checkpoint"):
            experiment(ParetoStrategy(DIRECTIONS, checkpoint=path), 2)


@pytest.mark.parametrize("name", ["pareto-evolution", "random-search"])
def test_nni_and_optuna_propose_the_same_in_the_same_order(name: str, data_folder: Path) -> None:
    settings = SearchSettings(
        objectives=("layers",), costs=("hw-nas-bench:edgegpu:energy",), dataset="cifar10"
    )
    evaluator = ObjectivesEvaluator(
        objectives=settings.objectives, costs=settings.costs, data_folder=str(data_folder)
    )
    strategy = ParetoStrategy(evaluator.objectives, strategy=name, seed=3)
    space = SimplifiedModelSpace.from_model(HubNasBench201(), evaluator)
    strategy(space, SequentialExecutionEngine(max_model_count=40))
    ours = make_evaluator(settings, data_folder=data_folder)
    objective = HardwareAwareObjective(ours)
    study = optuna.create_study(
        directions=objective.directions,
        sampler=HardwareAwareSampler(NasBench201(), strategy=name, seed=3),
    )
    study.optimize(objective, n_trials=40)
    assert proposals(strategy) == [t.user_attrs["hwnas:arch"] for t in study.trials]
    values = [
        [record.metrics[name] for name in evaluator.objectives] for record in strategy._records
    ]
    assert values == [t.values for t in study.trials]
