"""Studies whose objective is the user's own function: what they say, and their fronts."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

import optuna
import pytest
from torch import nn

from hwnas.errors import InvalidValueError
from hwnas.evaluation.evaluator import Evaluator
from hwnas.pareto import ObjectiveInfo, ParetoSet
from hwnas.spaces.functions import FunctionSpace
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.study.configuration import EvaluationSetup, make_constraints, make_objectives
from hwnas.tasks.task import image_task
from hwnas.typing import Direction
from hwnas_optuna import HardwareAwareObjective, HardwareAwareSampler

SPACE = NasBench201(channels=4, cells=1)
ACCURACY = ObjectiveInfo("accuracy", "%", "maximize")
BOTH: list[Direction] = ["maximize", "minimize"]


def objective_of(
    costs: tuple[str, ...] = ("count:macs",), bound: str = "params<=1e6", seed: int = 0
) -> HardwareAwareObjective[Cell]:
    setup = EvaluationSetup(SPACE, image_task(7, (3, 16, 16)), batch_size=4, seed=seed)
    objectives = make_objectives(setup, ["layers"], costs)
    return HardwareAwareObjective(
        Evaluator(SPACE, objectives, make_constraints(setup, [bound], objectives))
    )


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.mark.parametrize(
    ("directions", "said"),
    [
        (["minimize", "minimize"], "maximize, minimize of layers, macs, but has minimize, min"),
        (["maximize"], "maximize, minimize of layers, macs, but has maximize:"),
    ],
)
def test_a_study_of_other_directions_is_told_before_it_searches_the_wrong_way(
    directions: list[Direction], said: str
) -> None:
    study = optuna.create_study(directions=directions)
    with pytest.raises(InvalidValueError, match=said):
        objective_of().describe(study)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"costs": ("count:params",)}, "costs: .*macs.* there, .*params.* now; objectives: "),
        ({"bound": "params<=1e5"}, r"constraints: \[\"params<=1000000.0\"\] there, "),
        ({"seed": 1}, "seed: 0 there, 1 now: use that"),
    ],
)
def test_a_study_goes_on_with_what_its_trials_were_evaluated_by_alone(
    other: dict[str, Any], said: str, tmp_path: Path
) -> None:
    def opened() -> optuna.Study:
        return optuna.create_study(
            directions=BOTH, storage=f"sqlite:///{tmp_path / 's.db'}", study_name="s",
            load_if_exists=True,
        )  # fmt: skip

    objective_of(**other).describe(opened())  # nothing is lost as long as no trial is finished
    first = objective_of()
    first.describe(opened())
    opened().optimize(first, n_trials=1)
    first.describe(opened())
    with pytest.raises(InvalidValueError, match=said):
        objective_of(**other).describe(opened())
    names = [info.name for info in ParetoSet.from_study(opened()).objectives]
    assert names == opened().metric_names == ["layers", "macs"]


def test_a_function_around_the_objective_adds_values_of_its_own() -> None:
    hardware = objective_of()
    infos = [*hardware.objectives, ACCURACY]

    def objective(trial: optuna.Trial) -> tuple[float, float, float]:
        layers, macs = hardware(trial)
        return layers, macs, 100 * trial.suggest_float("rate", 0, 1)

    study = optuna.create_study(directions=[*BOTH, "maximize"])
    hardware.describe(study, infos)
    study.optimize(objective, n_trials=6)
    front = ParetoSet.from_study(study)
    assert front.objectives == tuple(infos)
    assert (front.space, front.provenance["dataset"]["num_classes"]) == (repr(SPACE), 7)
    trials = {trial.number: trial for trial in study.trials}
    for member in front.members:
        assert list(member.values) == trials[member.attributes["trial"]].values


def test_a_study_of_another_objective_gives_a_front_by_its_space() -> None:
    names = SPACE.parameters

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        cell = SPACE.decode({n: trial.suggest_categorical(n, c) for n, c in names.items()})
        rate = trial.suggest_float("rate", 0.1, 1.0)
        if cell.operations[0] == "none":
            raise optuna.TrialPruned
        return rate, float(cell.operations.count("none"))

    sampler = HardwareAwareSampler(SPACE, strategy="random-search")
    study = optuna.create_study(directions=BOTH, sampler=sampler)
    study.optimize(objective, n_trials=20)
    with pytest.raises(InvalidValueError, match="trial 0 has no architecture: give the `space`"):
        ParetoSet.from_study(study)
    front = ParetoSet.from_study(study, space=SPACE)
    pruned = [t for t in study.trials if t.state is optuna.trial.TrialState.PRUNED]
    assert (front.provenance["evaluated"], front.provenance["infeasible"]) == (20, len(pruned))
    assert front.space == repr(SPACE)
    for member in front.members:
        trial = study.trials[member.attributes["trial"]]
        assert SPACE.encode(SPACE.parse(member.arch)).items() <= trial.params.items()
        assert member.attributes["rate"] == trial.params["rate"] == member.values[0]


def build(trial: Any) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    before = 16
    for i in range(trial.suggest_int("depth", 1, 3)):
        width = trial.suggest_int(f"width_{i}", 4, 64, log=True)
        layers += [nn.Linear(before, width), nn.ReLU()]
        before = width
    if trial.suggest_categorical("drop", [False, True]):
        layers.append(nn.Dropout(trial.suggest_float("rate", 0.1, 0.5, step=0.1)))
    few = trial.suggest_int("few", 1, 4, log=True)
    return nn.Sequential(*layers, nn.Linear(before, few), nn.Linear(few, 3))


def test_a_function_that_is_given_optuna_s_trial_asks_for_numbers_in_its_own_way() -> None:
    space = FunctionSpace(build, (1, 4, 4), 3)
    built: dict[int, nn.Module] = {}

    def objective(trial: optuna.Trial) -> float:
        built[trial.number] = network = build(trial)
        return sum(p.numel() for p in network.parameters())

    sampler = HardwareAwareSampler(space, strategy="random-search")
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial({"depth": 2, "width_1": 64})
    study.optimize(objective, n_trials=12)
    first = study.trials[0].params
    assert (first["depth"], first["width_1"]) == (2, 64)
    archs = [space.decode(trial.params) for trial in study.trials]
    assert len({space.canonical_key(arch) for arch in archs}) == 12
    for trial, arch in zip(study.trials, archs, strict=True):
        assert str(space.build(arch)) == str(built[trial.number])
    front = ParetoSet.from_study(study, space=space)
    assert front.members[0].values == (study.best_value,)
    assert front.provenance["dataset"]["num_classes"] == 3


class Kind(Enum):
    FIRST = 1
    SECOND = 2


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution:UserWarning")
@pytest.mark.parametrize(
    ("choices", "queued"),
    [
        ((nn.ReLU, nn.GELU, nn.SiLU), nn.GELU),
        ((None, "batch", "layer"), None),
        ((Kind.FIRST, Kind.SECOND), Kind.SECOND),
        (((1, 2), (3, 4)), (3, 4)),
        ((False, True), True),
    ],
)
def test_a_function_that_is_given_optuna_s_trial_chooses_among_anything(
    choices: tuple[Any, ...], queued: Any
) -> None:
    def build(trial: Any) -> nn.Module:
        chosen = trial.suggest_categorical("chosen", choices)
        width = trial.suggest_int("width", 2, 4)
        deep = [nn.Linear(width, width)] * choices.index(chosen)
        return nn.Sequential(nn.Flatten(), nn.Linear(16, width), *deep, nn.Linear(width, 3))

    space = FunctionSpace(build, (1, 4, 4), 3)
    study = optuna.create_study(sampler=HardwareAwareSampler(space, strategy="random-search"))
    study.enqueue_trial({"chosen": queued, "width": 3})
    study.enqueue_trial({"chosen": queued})

    def size(trial: optuna.Trial) -> float:
        return sum(p.numel() for p in build(trial).parameters())

    study.optimize(size, n_trials=20)
    taken = [(trial.params["chosen"], trial.params["width"]) for trial in study.trials]
    assert taken[0] == (queued, 3)
    assert taken[1][0] == queued
    assert len(set(taken)) == len(taken) == 3 * len(choices)
    front = ParetoSet.from_study(study, space=space)
    assert front.provenance["evaluated"] == len(taken)


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution:UserWarning")
def test_a_function_that_asks_for_other_classes_than_its_space_is_told() -> None:
    asked = [nn.ReLU, nn.GELU]

    def build(trial: Any) -> nn.Module:
        return nn.Sequential(
            nn.Flatten(), nn.Linear(16, 3), trial.suggest_categorical("act", asked)()
        )

    space = FunctionSpace(build, (1, 4, 4), 3)
    sampler = HardwareAwareSampler(space)
    asked[:] = [nn.SiLU, nn.Tanh]
    study = optuna.create_study(sampler=sampler)
    with pytest.raises(InvalidValueError, match="`act` must have the same options each time"):
        study.optimize(lambda trial: float(len(list(build(trial).parameters()))), n_trials=1)


@pytest.mark.parametrize("sampler", [None, HardwareAwareSampler(SPACE)])
def test_a_queued_trial_of_no_architecture_says_why(
    sampler: HardwareAwareSampler[Cell] | None, caplog: pytest.LogCaptureFixture
) -> None:
    optuna.logging.set_verbosity(optuna.logging.INFO)
    optuna.logging.enable_propagation()
    objective = objective_of()
    study = optuna.create_study(directions=objective.directions, sampler=sampler)
    names = list(SPACE.parameters)
    study.enqueue_trial(dict.fromkeys(names, "wrong"))
    study.enqueue_trial({names[1]: "wrong"})
    study.optimize(objective, n_trials=2)
    assert [t.state for t in study.trials] == [optuna.trial.TrialState.PRUNED] * 2
    for name in names[:2]:
        assert f"`{name}` must be one of none, skip_connect" in caplog.text
    assert "the queued trial has 'wrong'" in caplog.text
    assert "nan" not in caplog.text


def test_a_trial_without_values_says_why(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(optuna.samplers.RandomSampler):
        def sample_independent(self, *arguments: Any) -> Any:
            raise RuntimeError(f"nothing for {arguments[2]} today")

    objective = objective_of()
    study = optuna.create_study(directions=objective.directions, sampler=Broken())
    study.optimize(objective, n_trials=1)
    assert study.trials[0].state is optuna.trial.TrialState.FAIL
    assert "Trial 0 has no architecture: RuntimeError: nothing for edge_0_1 today" in caplog.text
