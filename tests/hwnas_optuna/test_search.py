from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage, RDBStorage
from optuna.trial import TrialState

from hwnas.errors import InvalidValueError
from hwnas.evaluation.cache import ResultCache
from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.objectives import ValueObjective, proxy_objective
from hwnas.evaluation.sources import ProxyValues
from hwnas.proxies import make_proxies
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.study.hosts import Folder
from hwnas.study.probe import insist_on_evaluable
from hwnas.study.settings import SearchSettings
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Task
from hwnas.typing import Constraint
from hwnas_optuna import HardwareAwareObjective, loop, pareto_set_from_study
from hwnas_optuna.describing import OBJECTIVES
from hwnas_optuna.loop import run
from hwnas_optuna.objective import ERRORS
from hwnas_optuna.participant import GRACE, Participant, waiting_copies
from hwnas_optuna.samplers import FACTORIES, POPULATION
from hwnas_optuna.search import SETTINGS, TRIALS, OptunaHost, load_study, open_study
from tests.hwnas_optuna.toy import SPACE, Killed, Toy, evaluator, study_of


def trials(study: optuna.Study) -> list[Any]:
    return [(t.number, t.state, t.params, t.values) for t in study.trials]


@pytest.mark.parametrize("patience", [0, 7, 40])
def test_a_study_that_was_killed_anywhere_ends_like_one_that_was_not(
    patience: int, tmp_path: Path
) -> None:
    killed_and_resumed_ends_like_one_run("nsga2", f"sqlite:///{tmp_path / 's.db'}", patience)


@pytest.mark.parametrize("sampler", sorted(FACTORIES))
def test_every_sampler_resumes_exactly(sampler: str, tmp_path: Path) -> None:
    killed_and_resumed_ends_like_one_run(sampler, f"journal:{tmp_path / 's.log'}", 23)


def test_a_killed_study_resumes_exactly_in_every_storage(storage: str) -> None:
    killed_and_resumed_ends_like_one_run("hardware-aware", storage, 23, 30)


def killed_and_resumed_ends_like_one_run(
    sampler: str, storage: str, patience: int, n_trials: int = 50
) -> None:
    broken = evaluator(Toy(patience))
    with pytest.raises(Killed):
        run(study_of(broken, storage, sampler), broken, n_trials)
    fresh = evaluator(Toy())
    study = study_of(fresh, storage, sampler)
    run(study, fresh, n_trials)
    assert trials(study) == uninterrupted(sampler, n_trials)


@functools.cache
def uninterrupted(sampler: str, n_trials: int) -> list[Any]:
    whole = evaluator(Toy())
    reference = study_of(whole, None, sampler)
    run(reference, whole, n_trials)
    return trials(reference)


def test_a_study_killed_while_asking_goes_on_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evaluator(Toy())
    reference = study_of(whole, None)
    run(reference, whole, 2 * POPULATION)
    suggest = optuna.Trial.suggest_categorical
    calls = 0

    def dying(self: optuna.Trial, name: str, choices: Sequence[Any]) -> Any:
        nonlocal calls
        calls += 1
        # In the middle of the 27th trial's six parameters.
        if calls == 26 * 6 + 3:
            raise Killed
        return suggest(self, name, choices)

    path = tmp_path / "s.db"
    first = evaluator(Toy())
    with monkeypatch.context() as patched:
        patched.setattr(optuna.Trial, "suggest_categorical", dying)
        with pytest.raises(Killed):
            run(study_of(first, path), first, 2 * POPULATION)
    second = evaluator(Toy())
    study = study_of(second, path)
    run(study, second, 2 * POPULATION)
    assert trials(study) == trials(reference)


def test_another_seed_is_another_study() -> None:
    made = evaluator(Toy())
    one, two = study_of(made, None, seed=0), study_of(made, None, seed=1)
    run(one, made, 30)
    run(two, made, 30)
    assert trials(one) != trials(two)


def test_constraints_prune_and_failures_fail() -> None:
    toy = Toy(fails_on="nor_conv_1x1")
    made = evaluator(toy, bound=12.0)
    study = study_of(made, None)
    run(study, made, 40)
    front = pareto_set_from_study(study)
    assert len(front) > 0
    assert all(member.values[1] <= 12.0 for member in front.members)
    assert not any("nor_conv_1x1" in member.arch for member in front.members)
    states = {t.state for t in study.trials}
    assert states == {TrialState.COMPLETE, TrialState.PRUNED}
    nothing = str(Cell(("none",) * 6))
    assert nothing not in [member.arch for member in front.members]
    assert front.provenance["infeasible"] == sum(t.state is TrialState.PRUNED for t in study.trials)


def test_optuna_counts_no_trial_that_breaks_a_constraint_in_importances_and_summaries() -> None:
    # Optuna leaves complete trials out in neither: findings/optuna_infeasible_trials_counted.sh.
    gain, cost = evaluator(Toy()).objectives
    made = Evaluator(SPACE, [gain], [Constraint(cost, "<=", 12.0)])
    objective = HardwareAwareObjective(made)
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(
        directions=objective.directions, storage=storage, sampler=FACTORIES["random"](0)
    )
    study.optimize(objective, n_trials=60)
    broken = [t for t in study.trials if any(value > 0 for value in t.constraints.values())]
    assert broken
    kept = optuna.create_study(directions=objective.directions)
    kept.add_trials([t for t in study.trials if t not in broken])
    (summary,) = optuna.get_all_study_summaries(storage)
    assert summary.best_trial is not None
    assert summary.best_trial.number == study.best_trial.number
    every, feasible = map(optuna.importance.get_param_importances, (study, kept))
    assert every == feasible


def test_a_failure_without_constraints_fails_the_trial_with_its_reason() -> None:
    made = evaluator(Toy(fails_on="nor_conv_1x1"))
    study = study_of(made, None)
    run(study, made, 20)
    failed = [t for t in study.trials if t.state is TrialState.FAIL]
    assert failed
    assert all("no luck" in str(t.user_attrs["hwnas:errors"]) for t in failed)
    assert pareto_set_from_study(study).provenance["failed"] == len(failed)


@pytest.mark.parametrize("sampler", sorted(FACTORIES))
@pytest.mark.parametrize("bound", [None, 14.0])
def test_stock_samplers_run_the_objective(sampler: str, bound: float | None) -> None:
    objective = HardwareAwareObjective(evaluator(Toy(), bound))
    study = optuna.create_study(directions=objective.directions, sampler=FACTORIES[sampler](0))
    objective.describe(study)
    study.optimize(objective, n_trials=45)
    front = pareto_set_from_study(study)
    assert front.provenance["evaluated"] == 45
    assert [str(o) for o in front.objectives] == ["gain ↑", "cost_ms (ms) ↓"]
    assert study.metric_names == ["gain", "cost_ms"]
    # Nothing that was evaluated beats a member.
    found = [t.values for t in study.trials if t.state is TrialState.COMPLETE]
    for gain, cost in front.values():
        assert not any(g >= gain and c <= cost and (g > gain or c < cost) for g, c in found)


def test_a_lost_trial_s_copy_that_another_worker_takes_first_adds_no_trial(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = evaluator(Toy())
    study = study_of(made, None)
    study.set_user_attr(GRACE, 0.2)
    with Participant(study, "dead") as dead:
        dead.claim()
    faster = Participant(study, "faster")
    while not waiting_copies(study.trials):
        faster.hand_on_lost_trials()

    def late(trials: list[optuna.trial.FrozenTrial]) -> int:
        copies = waiting_copies(trials)
        if copies:
            study.tell(faster.claim(), [1.0, 1.0])
        return copies

    monkeypatch.setattr(loop, "waiting_copies", late)
    assert loop.work(study, made, lambda: 0, name="slower") == 0
    assert len(study.trials) == 2


@pytest.mark.parametrize("kind", ["sqlite", "journal", "postgresql"])
def test_a_study_is_whole_however_far_its_making_came(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = request.getfixturevalue("postgresql") if kind == "postgresql" else ""
    made = evaluator(Toy())
    steps = 0
    stops_at = 0
    writes = ("create_new_study", "set_study_user_attr", "set_study_system_attr")
    for owner, step in [*itertools.product((RDBStorage, JournalStorage), writes), (os, "link")]:
        original = getattr(owner, step)

        def stopping(*args: Any, original: Any = original, **kwargs: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == stops_at:
                raise Killed
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, step, stopping)
    names = []
    for stops_at in range(1, 100):
        steps, name = 0, f"s{stops_at}"
        storage = {
            "sqlite": f"sqlite:///{tmp_path / name}.db",
            "journal": f"journal:{tmp_path / name}.log",
        }.get(kind, server)

        def opened(storage: str = storage, name: str = name) -> optuna.Study:
            return open_study(
                made,
                storage=storage,
                name=name,
                sampler="random",
                seed=0,
                settings={"toy": 1},
                attributes={TRIALS: 2},
            )

        try:
            opened()
        except Killed:
            path = Path(storage.partition(":")[2].removeprefix("///"))
            if kind != "postgresql" and path.exists():
                loaded = load_study(storage, name)
                assert {SETTINGS, TRIALS, OBJECTIVES} <= set(loaded.user_attrs)
        else:
            break
        steps = -1000
        study = opened()
        assert {SETTINGS, TRIALS, OBJECTIVES} <= set(study.user_attrs)
        assert study.metric_names == ["gain", "cost_ms"]
        run(study, made, 2)
        assert [t.state for t in load_study(storage, name).trials] == [TrialState.COMPLETE] * 2
        names.append(name)
    assert len(names) > 5


@pytest.mark.parametrize("moment", ["evaluate", "set_user_attr", "tell"])
def test_a_trial_that_was_handed_on_is_dropped(
    moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = evaluator(Toy())
    study = study_of(made, None)
    owners = {"evaluate": Evaluator, "set_user_attr": optuna.Trial, "tell": optuna.Study}
    owner: Any = owners[moment]
    original = getattr(owner, moment)

    def late(self: Any, *args: Any, **kwargs: Any) -> Any:
        lost = study.trials[2:3]
        if lost and lost[0].state is TrialState.RUNNING and (moment != "tell" or lost[0].params):
            study._storage.set_trial_user_attr(lost[0]._trial_id, ERRORS, {"by": "another"})
            study._storage.set_trial_state_values(lost[0]._trial_id, TrialState.FAIL)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(owner, moment, late)
    run(study, made, 6)
    states = [t.state for t in study.trials]
    assert states == [TrialState.COMPLETE] * 2 + [TrialState.FAIL] + [TrialState.COMPLETE] * 3


class Moody(NasBench201):
    """A space that raises for some of its own architectures, or for all."""

    def __init__(self, always: bool = False) -> None:
        super().__init__()
        self.always = always

    def representative(self, arch: Cell) -> Cell:
        if self.always or arch.operations[0] == "none":
            raise KeyError("no such edge")
        return super().representative(arch)


def test_a_space_that_raises_ends_trials_with_the_reason() -> None:
    gain = ValueObjective("gain", "", "maximize", Toy(), ("gain",))
    made = Evaluator(Moody(), [gain], require_valid=False)
    study = study_of(made, None, "random")
    run(study, made, 40)
    asked = optuna.create_study(direction="maximize", sampler=FACTORIES["random"](0))
    asked.optimize(HardwareAwareObjective(made), n_trials=40)
    for found in (study.trials, asked.trials):
        refused = [t for t in found if t.params["edge_0_1"] == "none"]
        assert 0 < len(refused) < len(found) == 40
        assert all("KeyError: 'no such edge'" in str(t.user_attrs[ERRORS]) for t in refused)
        assert {t.state for t in refused} == {TrialState.PRUNED}
        assert {t.state for t in found if t not in refused} == {TrialState.COMPLETE}


def test_a_space_that_cannot_be_listed_is_one_line() -> None:
    gain = ValueObjective("gain", "", "maximize", Toy(), ("gain",))
    with pytest.raises(InvalidValueError, match="KeyError: 'no such edge'"):
        study_of(Evaluator(Moody(), [gain]), None, "random-search")


def test_a_search_whose_trials_all_fail_says_why(tmp_path: Path) -> None:
    made = Evaluator(Moody(always=True), [ValueObjective("gain", "", "maximize", Toy(), ("gain",))])
    settings = SearchSettings(sampler="random", trials=5)
    with pytest.raises(InvalidValueError, match=r"all 5 trials failed, .*no such edge"):
        OptunaHost().search(made, settings, Folder(tmp_path), {})


class Unbuildable(NasBench201):
    """A space whose builder raises for as many architectures as are said."""

    def __init__(self, broken: int) -> None:
        super().__init__()
        self.broken = broken

    def build(self, arch: Cell, task: Task | None = None) -> Any:
        if self.broken > 0:
            self.broken -= 1
            raise RuntimeError("no layer for this")
        return super().build(arch, task)


def test_a_builder_that_always_raises_is_found_before_the_study_begins() -> None:
    def looked_at(space: NasBench201) -> None:
        task = get_task("cifar10")
        source = ProxyValues(space, tuple(make_proxies(["layers"])), task, 2)
        made = Evaluator(space, [proxy_objective(source, "layers")])
        insist_on_evaluable(made, ResultCache(None), 0)

    looked_at(Unbuildable(7))
    with pytest.raises(InvalidValueError, match=r"none of 8 .*: RuntimeError: no layer for this"):
        looked_at(Unbuildable(100))
