"""Studies that a search does not go on with: each says why, and what to do."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import optuna
import pytest

from hwnas.errors import InvalidValueError, UnknownNameError
from hwnas.study.settings import LEARNED, SearchSettings
from hwnas.typing import Direction
from hwnas_optuna import HardwareAwareObjective, pareto_set_from_study
from hwnas_optuna.loop import run
from hwnas_optuna.search import REQUIREMENTS, SETTINGS, open_study
from tests.hwnas_optuna.toy import Toy, evaluator, study_of


def test_going_on_with_other_settings_is_refused(tmp_path: Path) -> None:
    made = evaluator(Toy())
    run(study_of(made, tmp_path / "s.db"), made, 20)
    with pytest.raises(InvalidValueError, match="seed: 0 there, 5 now"):
        study_of(made, tmp_path / "s.db", seed=5)


@pytest.mark.parametrize(
    ("score", "changed"), [("hwnas-agg", False), ("hwnas-any", True), (LEARNED, True)]
)
def test_a_study_of_a_score_that_has_changed_is_refused(
    score: str, changed: bool, tmp_path: Path
) -> None:
    settings = SearchSettings(objectives=(score,)).identity()
    former = {name: value for name, value in settings.items() if name != "scores"}
    if score == LEARNED:  # the model has changed after the score that it begins with
        former["scores"] = {"hwnas-any": 2}
    given: dict[str, Any] = {"storage": f"sqlite:///{tmp_path / 's.db'}", "name": "s"}
    given |= {"sampler": "nsga2", "seed": 0}
    made = evaluator(Toy())
    run(open_study(made, settings=former, **given), made, 1)
    refused = pytest.raises(InvalidValueError, match=r"scores: .* there, \{'hwnas-any': 2.*\} now")
    with refused if changed else nullcontext():
        open_study(made, settings=settings, **given)


@pytest.mark.parametrize("kept", [None, "raw"])
def test_raw_latencies_and_those_at_a_reference_s_speed_are_not_mixed(
    kept: str | None, tmp_path: Path
) -> None:
    made = evaluator(Toy())

    def opened(measured_as: str | None, requirements: bool = True) -> optuna.Study:
        cost = {"device": "cpu", "unit": "ms"} | (
            {"measured_as": measured_as} if measured_as else {}
        )
        said = json.dumps({"versions": {}, "costs": {"cost_ms": cost}})
        return open_study(
            made, storage=f"sqlite:///{tmp_path / 's.db'}", name="s", sampler="nsga2", seed=0,
            settings={}, attributes={REQUIREMENTS: said} if requirements else {},
        )  # fmt: skip

    # The first studies said nothing, or that of each cost but not how it was measured.
    opened(None, requirements=kept is not None)
    run(opened("at the speed of reference 1"), made, 1)
    opened("at the speed of reference 1")
    refused = r"cost_ms was measured at the speed of reference 1 there and is raw now"
    with pytest.raises(InvalidValueError, match=refused):
        opened("raw")
    study = opened("at the speed of reference 1")
    if kept is None:
        study._storage.set_study_user_attr(study._study_id, REQUIREMENTS, "{}")
    else:
        opened(None)
    refused = (
        r"cost_ms was measured raw there and is at the speed of reference 1 now, .*reference=off"
    )
    with pytest.raises(InvalidValueError, match=refused):
        opened("at the speed of reference 1")


def test_a_foreign_study_is_refused(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 's.db'}"
    foreign = optuna.create_study(storage=storage, study_name="s", directions=["maximize"] * 2)
    foreign.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 0.0), n_trials=1)
    with pytest.raises(InvalidValueError, match="not made by hwnas"):
        study_of(evaluator(Toy()), tmp_path / "s.db")
    with pytest.raises(InvalidValueError, match="HardwareAwareObjective"):
        pareto_set_from_study(foreign)


def test_unknown_samplers_and_storages_are_named(tmp_path: Path) -> None:
    made = evaluator(Toy())
    with pytest.raises(UnknownNameError, match="nsga2"):
        study_of(made, tmp_path / "s.db", sampler="nsga3")
    broken = tmp_path / "broken.db"
    broken.write_text("this is no data base, however long its text may be. " * 50)
    for storage in ("nonsense", "nosuchdb://localhost/x", f"sqlite:///{broken}"):
        with pytest.raises(InvalidValueError, match="storage"):
            open_study(made, storage=storage, name="s", sampler="tpe", seed=0, settings={})


def test_a_study_left_without_settings_is_refused_with_a_way_out(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 's.db'}"
    made = evaluator(Toy())
    objective = HardwareAwareObjective(made)
    cases: list[tuple[str, list[Direction], int]] = [
        ("other", ["minimize"], 0),
        ("finished", objective.directions, 1),
        ("begun", objective.directions, 0),
    ]
    for name, directions, n_trials in cases:
        left = optuna.create_study(storage=storage, study_name=name, directions=directions)
        if n_trials:
            left.optimize(objective, n_trials=n_trials)
        elif name == "begun":
            left.enqueue_trial({})
    for name, way_out in (("other", "name another `--study`"), ("finished", "hwnas pareto show")):
        with pytest.raises(InvalidValueError, match=way_out):
            open_study(made, storage=storage, name=name, sampler="random", seed=0, settings={})
    whole = open_study(made, storage=storage, name="begun", sampler="random", seed=0, settings={})
    assert SETTINGS in whole.user_attrs
