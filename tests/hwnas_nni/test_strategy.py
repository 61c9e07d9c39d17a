from __future__ import annotations

import json
import logging
import math
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import optuna
import pytest

nni = pytest.importorskip("nni", reason="the extra nni is not installed")

from nni.mutable import Categorical  # noqa: E402
from nni.nas.evaluator import FunctionalEvaluator  # noqa: E402
from nni.nas.execution import SequentialExecutionEngine  # noqa: E402
from nni.nas.execution.event import FinalMetricEvent, TrainingEndEvent  # noqa: E402
from nni.nas.experiment import NasExperiment  # noqa: E402
from nni.nas.experiment.config import NasExperimentConfig  # noqa: E402
from nni.nas.hub.pytorch import NasBench201 as HubNasBench201  # noqa: E402
from nni.nas.nn.pytorch import LayerChoice, ModelSpace, Repeat  # noqa: E402
from nni.nas.space import (  # noqa: E402
    ModelStatus,
    RawFormatModelSpace,
    SimplifiedModelSpace,
)
from torch import nn  # noqa: E402

from hwnas import registry  # noqa: E402
from hwnas.costs.source import make_cost  # noqa: E402
from hwnas.data.nasbench201 import accuracies  # noqa: E402
from hwnas.errors import DataFormatError, InvalidValueError, UnknownNameError  # noqa: E402
from hwnas.spaces.nasbench201 import NasBench201  # noqa: E402
from hwnas.tasks.catalogue import get_task  # noqa: E402
from hwnas.typing import Direction  # noqa: E402
from hwnas_nni import (  # noqa: E402
    CostFilter,
    ParetoStrategy,
    ProxyEvaluator,
    codec_of,
    report_metrics,
    run_experiment,
)
from hwnas_optuna import HardwareAwareSampler  # noqa: E402

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


def test_a_checkpoint_is_continued_with_what_its_trials_were_evaluated_by_alone(
    tmp_path: Path,
) -> None:
    path = tmp_path / "search.json"

    def run(batch: int, trials: int, proxies: tuple[str, ...] = ("layers", "params")) -> None:
        evaluator = ProxyEvaluator(proxies, (3, 4, 4), batch_size=batch)
        strategy = ParetoStrategy(evaluator.objectives, max_trials=trials, checkpoint=path)
        space = SimplifiedModelSpace.from_model(Small(), evaluator)
        strategy(space, SequentialExecutionEngine())

    run(4, 3)
    run(4, 5)
    with pytest.raises(InvalidValueError, match=r"`checkpoint` must .* batch: 4 there, 8 now"):
        run(8, 7)
    with pytest.raises(
        InvalidValueError, match=r"objectives: .*params.* there, .*flops.* now: use"
    ):
        run(4, 7, ("layers", "flops"))
    state = json.loads(path.read_text())
    assert len(state["records"]) == 5
    del state["decisive"]  # as older versions wrote it
    path.write_text(json.dumps(state))
    run(4, 6)


# As many trials as it takes to leave the random ones behind; one objective for ageing evolution.
ALGORITHMS: dict[str, tuple[int, int]] = {
    "random-search": (2, 30),
    "pareto-evolution": (2, 60),
    "pareto-local-search": (2, 60),
    "rank-evolution": (2, 30),
    "predictor-guided": (2, 16),
    "ageing-evolution": (1, 80),
}


def test_every_algorithm_is_compared_with_optuna() -> None:
    assert set(ALGORITHMS) == set(registry.names("strategies"))


@cache
def published(folder: Path) -> tuple[Any, Any]:
    """Read accuracies and energies, once for all algorithms."""
    energy = make_cost("hw-nas-bench:edgegpu:energy", NasBench201(), get_task("cifar10"), folder)
    return accuracies("cifar10", folder=folder), energy


@pytest.mark.parametrize("name", ALGORITHMS)
def test_nni_and_optuna_propose_the_same_in_the_same_order(name: str, data_folder: Path) -> None:
    m, n = ALGORITHMS[name]
    space = NasBench201()
    accuracy, energy = published(data_folder)
    directions: dict[str, Direction] = {"accuracy": "maximize", "energy_mj": "minimize"}
    directions = dict(list(directions.items())[:m])

    def measure(cell: Any) -> dict[str, float]:
        values = {"accuracy": accuracy[str(cell)], "energy_mj": float(energy.predict([cell])[0])}
        return {name: values[name] for name in directions}

    def evaluate(model: Any) -> None:
        del model
        report_metrics(measure(codec.from_sample(nni.get_current_parameter().sample)))

    # NNI builds each network, which nothing here runs: one cell a stage has the same choices.
    small = HubNasBench201(num_modules_per_stack=1)
    model_space = SimplifiedModelSpace.from_model(small, FunctionalEvaluator(evaluate))
    codec = codec_of(model_space)
    strategy = ParetoStrategy(directions, strategy=name, seed=3, max_trials=n)
    strategy(model_space, SequentialExecutionEngine())

    study = optuna.create_study(
        directions=list(directions.values()),
        sampler=HardwareAwareSampler(space, strategy=name, seed=3),
    )
    cells = []

    def objective(trial: optuna.Trial) -> list[float]:
        chosen = {p: trial.suggest_categorical(p, c) for p, c in space.parameters.items()}
        cells.append(space.decode(chosen))
        return list(measure(cells[-1]).values())

    study.optimize(objective, n_trials=n)
    assert proposals(strategy) == [str(cell) for cell in cells]
    assert len(set(map(space.canonical_key, cells))) == n
    values = [list(measure(space.parse(cell)).values()) for cell in proposals(strategy)]
    assert values == [trial.values for trial in study.trials]


def test_a_misspelt_metric_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    wrong: Any = {"gian": "maximize", "cost": "minimize"}
    # Set up by NNI so that nothing reaches the handler of pytest.
    logging.getLogger("hwnas_nni").propagate = True
    with caplog.at_level(logging.WARNING, logger="hwnas_nni"):
        strategy = experiment(ParetoStrategy(wrong), 5)
    (warning,) = [r.getMessage() for r in caplog.records if r.name == "hwnas_nni.strategy"]
    assert "gian is missing" in warning
    assert "Did you mean 'gain'?" in warning
    assert strategy.pareto_set().provenance["failed"] == 5


def without_default(model: Any) -> None:
    del model
    nni.report_final_result({"gain": 1.0, "cost": 2.0})


def nan_and_none(model: Any) -> None:
    del model
    nni.report_final_result({"default": math.nan, "gain": math.nan, "cost": None})


@pytest.mark.parametrize(("function", "failed"), [(without_default, 0), (nan_and_none, 3)])
def test_what_trials_report_themselves_is_borne(function: Any, failed: int) -> None:
    strategy = ParetoStrategy(DIRECTIONS, max_trials=3)
    space = SimplifiedModelSpace.from_model(Small(), FunctionalEvaluator(function))
    strategy(space, SequentialExecutionEngine())
    front = strategy.pareto_set()
    assert (front.provenance["evaluated"], front.provenance["failed"]) == (3, failed)


def reports_then_fails(model: Any) -> None:
    gain_and_cost(model)
    raise RuntimeError("no luck")


def test_a_trial_that_reports_and_then_fails_has_failed() -> None:
    strategy = ParetoStrategy(DIRECTIONS, max_trials=4)
    space = SimplifiedModelSpace.from_model(Small(), FunctionalEvaluator(reports_then_fails))
    strategy(space, SequentialExecutionEngine(continue_on_failure=True))
    assert strategy.pareto_set().provenance["failed"] == 4
    assert not strategy._reported


class Swapping(SequentialExecutionEngine):
    """Runs two models as NNI's training service may: each trial runs the other's."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Any] = []

    def submit_models(self, *models: Any) -> None:
        self.waiting.extend(models)
        if len(self.waiting) == 2:
            first, second = self.waiting
            self.waiting = []
            for ran, told in ((second, first), (first, second)):
                number = float(ran.sample["depth"])
                metrics = {"default": number, "gain": number, "cost": number}
                self.dispatch_model_event(FinalMetricEvent(ran, metrics))
                self.dispatch_model_event(TrainingEndEvent(told, ModelStatus.Trained))


def test_trials_that_run_each_others_models_have_not_failed() -> None:
    strategy = ParetoStrategy(DIRECTIONS, max_trials=4)
    evaluator = FunctionalEvaluator(gain_and_cost)
    strategy(SimplifiedModelSpace.from_model(Small(), evaluator), Swapping())
    front = strategy.pareto_set()
    assert (front.provenance["evaluated"], front.provenance["failed"]) == (4, 0)
    for record in strategy._records:
        assert record.metrics["gain"] == int(json.loads(str(record.arch))["depth"])


def test_thresholds_that_nothing_keeps_are_told() -> None:
    nothing = ParetoStrategy(DIRECTIONS, filters=[Nothing()])
    with pytest.raises(InvalidValueError, match="`filters` must leave a model"):
        experiment(nothing, 2)


class Nothing(CostFilter):
    def __init__(self) -> None:
        super().__init__(None, upper=0.0)

    def accepts(self, sample: Any) -> bool:
        del sample
        return False


def test_an_unknown_algorithm_is_refused_at_once() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'pareto-evolution'"):
        ParetoStrategy(DIRECTIONS, strategy="pareto-evolutoin")


def test_a_users_key_is_searched_once() -> None:
    def key(sample: Any) -> str:
        return str((sample["depth"], sample["width"]))

    found = proposals(experiment(ParetoStrategy(DIRECTIONS, key=key), 100))
    assert len(found) == 3 * 3


class EvaluatorError(Exception):
    pass


def raises(model: Any) -> None:
    del model
    raise EvaluatorError


def test_an_error_of_the_evaluator_is_not_taken_for_a_slow_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nni.tools.nnictl.config_utils.NNI_HOME_DIR", str(tmp_path))
    made = []

    def make() -> Any:
        config = NasExperimentConfig("sequential", "simplified", "local")
        config.experiment_working_directory = str(tmp_path)
        made.append(0)
        return NasExperiment(
            Small(), FunctionalEvaluator(raises), ParetoStrategy(DIRECTIONS), config
        )

    with pytest.raises(EvaluatorError):
        run_experiment(make)
    assert len(made) == 1
