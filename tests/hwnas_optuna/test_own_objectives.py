"""Studies whose objective is the user's own function: what they say, and their fronts."""

from __future__ import annotations

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
