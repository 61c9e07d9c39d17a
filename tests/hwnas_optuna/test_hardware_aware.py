from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.samplers import BaseSampler
from optuna.storages import JournalStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages.journal import JournalFileBackend
from optuna.testing.pytest_samplers import BasicSamplerTestCase, MultiObjectiveSamplerTestCase
from optuna.trial import TrialState

from hwnas.errors import InvalidArchitectureError, InvalidValueError, UnknownNameError
from hwnas.spaces.fbnet import FBNet
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.strategies import AskTell, Knowledge, Problem, make_proposer
from hwnas.strategies.ageing_evolution import AgeingEvolution
from hwnas.strategies.pareto_evolution import ParetoEvolution
from hwnas.strategies.predictor_guided import PredictorGuided
from hwnas.typing import Direction, FloatArray
from hwnas_optuna import HardwareAwareSampler, SpaceExhausted
from hwnas_optuna.trials import CLAIM, TrialReader
from tests.programs import Programs

SPACE = NasBench201()
EDGES: dict[str, optuna.distributions.BaseDistribution] = {
    name: optuna.distributions.CategoricalDistribution(choices)
    for name, choices in SPACE.parameters.items()
}
DIRECTIONS: list[Direction] = ["maximize", "minimize"]


def few(n: int) -> list[Cell]:
    """Give the first `n` representatives that are connected."""
    found: list[Cell] = []
    for cell in SPACE:
        if SPACE.is_valid(cell) and SPACE.representative(cell) == cell:
            found.append(cell)
        if len(found) == n:
            break
    return found


def values(cells: Sequence[Cell]) -> FloatArray:
    """Give `(n, 2)` gains and costs."""
    gains = {"nor_conv_3x3": 5.0, "nor_conv_1x1": 3.0, "avg_pool_3x3": 1.0, "skip_connect": 0.5}
    return np.array(
        [
            [
                sum((i + 3) * gains.get(o, 0.0) for i, o in enumerate(cell.operations)),
                sum(gains.get(o, 0.0) ** 2 for o in cell.operations),
            ]
            for cell in cells
        ]
    )


def costs(cells: Sequence[Cell]) -> FloatArray:
    return np.asarray(values(cells)[:, 1])


def suggest(trial: optuna.Trial) -> Cell:
    return SPACE.decode({n: trial.suggest_categorical(n, c) for n, c in SPACE.parameters.items()})


def objective(trial: optuna.Trial) -> tuple[float, ...]:
    return tuple(values([suggest(trial)])[0].tolist())


def study_of(sampler: BaseSampler, storage: Any = None) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(
        storage=storage,
        study_name="s",
        directions=DIRECTIONS,
        sampler=sampler,
        load_if_exists=True,
    )


def keys(study: optuna.Study) -> list[str]:
    return [SPACE.canonical_key(SPACE.decode(t.params)) for t in study.trials if t.params]


class _Sampler:
    @pytest.fixture(params=["predictor-guided", "pareto-evolution"])
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        cells = few(300)
        return lambda: HardwareAwareSampler(SPACE, strategy=request.param, candidates=cells)


class TestBasic(_Sampler, BasicSamplerTestCase):
    """Optuna's own contract of a sampler."""


class TestMultiObjective(_Sampler, MultiObjectiveSamplerTestCase):
    """Optuna's own contract of a sampler in multi-objective studies."""


@pytest.mark.parametrize("name", ["random-search", "pareto-evolution", "predictor-guided"])
def test_the_sampler_proposes_what_the_bare_strategy_proposes(name: str) -> None:
    knowledge = Knowledge[Cell](known_losses={1: lambda cells: values(cells)[:, 1]})
    study = study_of(HardwareAwareSampler(SPACE, strategy=name, knowledge=knowledge, seed=7))
    study.optimize(objective, n_trials=30)
    problem = Problem(SPACE, knowledge=knowledge)
    strategy = AskTell(make_proposer(name, problem), SPACE, seed=7)
    bare = []
    for _ in range(30):
        asked = strategy.ask(1)
        strategy.tell(asked, values(asked) * [-1, 1])
        bare += asked
    assert [SPACE.decode(t.params) for t in study.trials] == bare


def test_a_restarted_study_goes_on_as_one_that_was_not(tmp_path: Path) -> None:
    def sampler() -> BaseSampler:
        return HardwareAwareSampler(SPACE, candidates=few(200), seed=1)

    whole = study_of(sampler())
    whole.optimize(objective, n_trials=24)
    url = f"sqlite:///{tmp_path / 's.db'}"
    for n in (3, 9, 12):
        study_of(sampler(), url).optimize(objective, n_trials=n)
    assert [t.params for t in study_of(sampler(), url).trials] == [t.params for t in whole.trials]


def test_a_killed_trial_keeps_its_architecture(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    study = study_of(HardwareAwareSampler(SPACE, candidates=few(50)), url)
    trial = study.ask()
    first = trial.suggest_categorical("edge_0_1", SPACE.parameters["edge_0_1"])
    # Another process goes on with the trial, of which one parameter is written.
    again = study_of(HardwareAwareSampler(SPACE, candidates=few(50)), url)
    resumed = optuna.Trial(again, trial._trial_id)
    cell = suggest(resumed)
    assert cell.operations[0] == first
    assert cell == suggest(trial)


def test_optimize_stops_when_every_class_was_proposed_once() -> None:
    cells = few(23)
    study = study_of(HardwareAwareSampler(SPACE, strategy="random-search", candidates=cells))
    study.optimize(objective, n_trials=100)
    assert sorted(keys(study)) == sorted(map(SPACE.canonical_key, cells))


def test_those_who_ask_and_tell_are_told_that_the_space_is_exhausted() -> None:
    study = study_of(HardwareAwareSampler(SPACE, candidates=few(12)))
    for _ in range(12):
        study.tell(study.ask(EDGES), [1.0, 1.0])
    with pytest.raises(SpaceExhausted, match="every one of the 12 that were proposed is taken"):
        study.ask(EDGES)
    assert len(set(keys(study))) == 12
    # Nobody could tell the trial of which `ask` gave nothing.
    assert study.trials[-1].state is TrialState.PRUNED
    # Those who have a trial tell it themselves.
    trial = study.ask()
    with pytest.raises(SpaceExhausted):
        suggest(trial)
    study.tell(trial, state=TrialState.PRUNED)
    study.enqueue_trial({"edge_2_3": "nope"})
    with pytest.raises(InvalidArchitectureError, match="nope"):
        study.ask(EDGES)
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.COMPLETE] * 12 + [TrialState.PRUNED] * 2 + [TrialState.FAIL]


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_optimize_leaves_nothing_running_when_the_space_is_exhausted(n_jobs: int) -> None:
    study = study_of(HardwareAwareSampler(SPACE, candidates=few(9)))
    study.optimize(objective, n_trials=40, n_jobs=n_jobs)
    assert {t.state for t in study.trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert sorted(set(keys(study))) == sorted(map(SPACE.canonical_key, few(9)))


def test_failed_and_pruned_trials_are_not_proposed_again() -> None:
    cells = few(15)

    def failing(trial: optuna.Trial) -> tuple[float, ...]:
        cell = suggest(trial)
        if trial.number % 3 == 0:
            raise RuntimeError("no luck")
        if trial.number % 3 == 1:
            raise optuna.TrialPruned
        return tuple(values([cell])[0].tolist())

    study = study_of(HardwareAwareSampler(SPACE, candidates=cells))
    study.optimize(failing, n_trials=60, catch=RuntimeError)
    assert sorted(keys(study)) == sorted(map(SPACE.canonical_key, cells))
    assert {t.state for t in study.trials} == {
        TrialState.COMPLETE,
        TrialState.FAIL,
        TrialState.PRUNED,
    }


def test_queued_trials_are_run_as_they_are_and_not_proposed_again() -> None:
    cells = few(10)
    study = study_of(HardwareAwareSampler(SPACE, strategy="random-search", candidates=cells))
    study.enqueue_trial(SPACE.encode(cells[4]))
    waiting = study.ask()
    study.enqueue_trial(SPACE.encode(cells[7]))
    assert suggest(waiting) == cells[4]
    study.tell(waiting, [1.0, 1.0])
    study.optimize(objective, n_trials=50)
    assert sorted(keys(study)) == sorted(map(SPACE.canonical_key, cells))
    assert SPACE.decode(study.trials[1].params) == cells[7]


def test_queued_parameters_are_completed_to_a_new_class() -> None:
    study = study_of(HardwareAwareSampler(SPACE))
    for _ in range(8):
        study.enqueue_trial({"edge_0_1": "nor_conv_3x3", "edge_2_3": "avg_pool_3x3"})
    study.optimize(objective, n_trials=8)
    assert all(t.params["edge_0_1"] == "nor_conv_3x3" for t in study.trials)
    assert all(t.params["edge_2_3"] == "avg_pool_3x3" for t in study.trials)
    assert len(set(keys(study))) == 8


@pytest.mark.filterwarnings("ignore:RetryHeartbeatStaleTrialCallback is experimental")
def test_a_retried_trial_keeps_its_class() -> None:
    study = study_of(HardwareAwareSampler(SPACE, candidates=few(6)))
    retry = RetryHeartbeatStaleTrialCallback()
    full, part = study.ask(), study.ask()
    cells = [suggest(full)]
    part.suggest_categorical("edge_0_1", SPACE.parameters["edge_0_1"])
    for trial in (full, part):
        study.tell(trial, state=TrialState.FAIL)
        retry(study, study.trials[trial.number])
    study.optimize(objective, n_trials=20)
    # Two retries and the four others.
    assert len(study.trials) == 2 + 6
    retried = [SPACE.decode(t.params) for t in study.trials[2:4]]
    assert retried[0] == cells[0]
    assert retried[1].operations[0] == study.trials[1].params["edge_0_1"]
    done = [t.params for t in study.trials if t.state is TrialState.COMPLETE]
    assert len({SPACE.canonical_key(SPACE.decode(p)) for p in done}) == 6


def test_other_parameters_are_sampled_by_a_stock_sampler() -> None:
    def joint(trial: optuna.Trial) -> tuple[float, ...]:
        gain, cost = values([suggest(trial)])[0].tolist()
        rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
        if trial.suggest_categorical("optimiser", ["sgd", "adam"]) == "sgd":
            gain += trial.suggest_float("momentum", 0, 1)
        return gain - rate, cost

    def run() -> list[Any]:
        study = study_of(HardwareAwareSampler(SPACE, candidates=few(100), seed=3))
        study.optimize(joint, n_trials=20)
        assert len(set(keys(study))) == 20
        return [t.params for t in study.trials]

    first = run()
    assert run() == first
    assert len({p["rate"] for p in first}) == 20
    assert any("momentum" in p for p in first)
    assert any("momentum" not in p for p in first)


def test_infeasible_architectures_are_never_proposed() -> None:
    def feasible(cells: Sequence[Cell]) -> Any:
        return np.array(["none" not in cell.operations for cell in cells])

    study = study_of(HardwareAwareSampler(SPACE, feasible=feasible))
    study.optimize(objective, n_trials=20)
    assert all("none" not in t.params.values() for t in study.trials)


def test_a_collision_is_seen_and_avoided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between reading and writing, another worker takes the same class."""
    study = study_of(HardwareAwareSampler(SPACE, strategy="random-search", seed=5))
    rival = study_of(HardwareAwareSampler(SPACE, strategy="random-search", seed=5))
    wanted = SPACE.encode(suggest(rival.ask()))
    write = study._storage.set_trial_system_attr
    calls = 0

    def write_after_the_rival(trial_id: int, name: str, value: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            study.add_trial(
                optuna.create_trial(state=TrialState.RUNNING, params=wanted, distributions=EDGES)
            )
        write(trial_id, name, value)

    monkeypatch.setattr(study._storage, "set_trial_system_attr", write_after_the_rival)
    cell = suggest(study.ask())
    assert SPACE.canonical_key(cell) != SPACE.canonical_key(SPACE.decode(wanted))
    assert calls == 3


WORKER = """
import sys
sys.path.insert(0, {folder!r})
from test_hardware_aware import *
from hwnas_optuna import HardwareAwareSampler
storage = JournalStorage(JournalFileBackend(sys.argv[1]))
sampler = HardwareAwareSampler(SPACE, strategy="random-search", candidates=few(40))
study_of(sampler, storage).optimize(objective, n_trials=200)
"""


def test_workers_propose_every_class_once_between_them(tmp_path: Path, programs: Programs) -> None:
    journal = str(tmp_path / "journal")
    storage = JournalStorage(JournalFileBackend(journal))
    study = study_of(HardwareAwareSampler(SPACE, candidates=few(40)), storage)
    code = WORKER.format(folder=str(Path(__file__).parent))
    workers = [programs.start("-c", code, journal) for _ in range(4)]
    assert [worker.wait(timeout=120) for worker in workers] == [0] * 4
    assert sorted(keys(study)) == sorted(map(SPACE.canonical_key, few(40)))


def test_misspelt_strategies_are_corrected() -> None:
    with pytest.raises(UnknownNameError, match="random-search"):
        HardwareAwareSampler(SPACE, strategy="random-serch")


def test_threads_of_one_study_share_a_model() -> None:
    knowledge = Knowledge[Cell](features=values, known_losses={1: costs})
    sampler = HardwareAwareSampler(SPACE, knowledge=knowledge, candidates=few(300))
    study = study_of(sampler)
    study.optimize(objective, n_trials=40, n_jobs=4)
    assert len(set(keys(study))) == len(study.trials) == 40
    pickle.loads(pickle.dumps(sampler))


def test_a_trial_that_suggests_no_architecture_takes_none() -> None:
    sampler = HardwareAwareSampler(SPACE, candidates=few(12))
    study = study_of(sampler)

    def sometimes(trial: optuna.Trial) -> tuple[float, ...]:
        trial.suggest_float("x", 0.0, 1.0)  # the first parameter has an architecture proposed
        if trial.number % 2:
            return objective(trial)
        return 1e6, -1e6

    study.optimize(sometimes, n_trials=100)
    evaluated = [t for t in study.trials if "edge_0_1" in t.params]
    # All twelve are evaluated, whatever the other trials asked for.
    assert {str(SPACE.decode(t.params)) for t in evaluated} == {str(cell) for cell in few(12)}
    history = TrialReader(SPACE).history(study, study.trials[0], 0)
    assert np.abs(history.losses).max() < 1e6


def test_queued_parameters_keep_bounds_and_candidates() -> None:
    cells = few(200)
    known = cells[50:]

    def feasible(archs: Sequence[Cell]) -> Any:
        return values(archs)[:, 1] <= 30

    study = study_of(HardwareAwareSampler(SPACE, candidates=known, feasible=feasible))
    matching = [c for c in known if c.operations[5] == "avg_pool_3x3" and feasible([c])[0]]
    assert len(matching) > 3
    for _ in range(len(matching)):
        study.enqueue_trial({"edge_2_3": "avg_pool_3x3"})
    study.optimize(objective, n_trials=len(matching))
    assert sorted(str(SPACE.decode(t.params)) for t in study.trials) == sorted(map(str, matching))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("nasbench201", r"the text 'nasbench201': make it by .*named_space\('nasbench201'\)"),
        (NasBench201, "the class NasBench201: call it"),
    ],
)
def test_what_stands_for_a_space_is_refused(given: Any, text: str) -> None:
    with pytest.raises(InvalidValueError, match=f"`space` must be a search space, but got {text}"):
        HardwareAwareSampler(given)


def test_queued_parameters_of_no_architecture_are_refused() -> None:
    study = study_of(HardwareAwareSampler(SPACE))
    study.enqueue_trial(dict.fromkeys(("edge_0_3", "edge_1_3", "edge_2_3"), "none"))
    with pytest.raises(InvalidArchitectureError, match="valid and feasible"):
        suggest(study.ask())
    study.enqueue_trial({"edge_2_3": "nope"})
    with pytest.raises(InvalidArchitectureError, match=r"`edge_2_3` must be one of none.*'nope'"):
        suggest(study.ask())


def test_a_strategy_is_made_with_settings() -> None:
    knowledge = Knowledge[Cell](scores=lambda cells: values(cells)[:, :1])
    make = partial(AgeingEvolution, warm_up=5)
    sampler = HardwareAwareSampler(SPACE, strategy=make, knowledge=knowledge, candidates=few(50))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(lambda trial: float(values([suggest(trial)])[0, 0]), n_trials=5)
    best = sorted((v[0] for v in values(few(50)).tolist()), reverse=True)[:5]
    assert sorted((t.values[0] for t in study.trials), reverse=True) == best


def test_knowledge_of_a_large_space_guides_the_search() -> None:
    space = FBNet()
    asked: list[int] = []

    def scores(archs: Sequence[Any]) -> FloatArray:
        asked.append(len(archs))
        return np.arange(len(archs), dtype=np.float64)

    study = optuna.create_study(
        sampler=HardwareAwareSampler(space, knowledge=Knowledge(scores=scores))
    )
    trial = study.ask()
    for name, choices in space.parameters.items():
        trial.suggest_categorical(name, choices)
    assert asked
    assert space.parse(study.trials[0].system_attrs[CLAIM])


def test_a_large_space_of_which_nothing_is_known_is_searched_by_evolution() -> None:
    nothing = HardwareAwareSampler(FBNet(), knowledge=Knowledge())
    assert isinstance(nothing._proposer, ParetoEvolution)
    losses: Knowledge[Any] = Knowledge(known_losses={0: lambda archs: np.zeros(len(archs))})
    something = HardwareAwareSampler(FBNet(), knowledge=losses)
    assert isinstance(something._proposer, PredictorGuided)


def test_queued_parameters_check_no_more_bounds_than_needed() -> None:
    checked: list[Cell] = []

    def feasible(cells: Sequence[Cell]) -> Any:
        checked.extend(cells)
        return np.ones(len(cells), dtype=np.bool_)

    study = study_of(HardwareAwareSampler(SPACE, feasible=feasible))
    study.enqueue_trial({"edge_0_1": "skip_connect"})
    suggest(study.ask())
    assert len(checked) == 1


def test_finished_trials_are_read_once_and_those_of_two_studies_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader: TrialReader[Cell] = TrialReader(SPACE)
    studies = [study_of(HardwareAwareSampler(SPACE, candidates=few(30), seed=s)) for s in (0, 1)]
    for study in studies:
        study.optimize(objective, n_trials=6)
        running = study.ask()
        for name, choices in SPACE.parameters.items():
            running.suggest_categorical(name, choices)
    last = [study.ask()._trial_id for study in studies]
    trials = [s._storage.get_trial(t) for s, t in zip(studies, last, strict=True)]
    for study, trial in [*zip(studies, trials, strict=True)] * 2:
        found, fresh = (r.history(study, trial, 0) for r in (reader, TrialReader(SPACE)))
        assert found.archs == fresh.archs
        assert found.pending == fresh.pending
        assert len(found.pending) == 1
        np.testing.assert_array_equal(found.losses, fresh.losses)
    read: list[int] = []
    arch = TrialReader.arch

    def counted(self: TrialReader[Cell], trial: optuna.trial.FrozenTrial) -> Cell | None:
        read.append(trial.number)
        return arch(self, trial)

    monkeypatch.setattr(TrialReader, "arch", counted)
    reader.history(studies[1], trials[1], 0)
    assert read == [6]
    # The running one finishes, and is read as such.
    studies[1].tell(6, (1.0, 2.0))
    assert len(reader.history(studies[1], trials[1], 0).archs) == 7


def test_a_sampler_travels_without_the_trials_that_it_read() -> None:
    study = study_of(HardwareAwareSampler(SPACE, candidates=few(30)))

    def attached(trial: optuna.Trial) -> tuple[float, ...]:
        trial.set_user_attr("cannot be pickled", lambda: 1)
        return objective(trial)

    study.optimize(attached, n_trials=4)
    again = pickle.loads(pickle.dumps(study.sampler))
    study.sampler = again
    study.optimize(objective, n_trials=4)
    cells = {str(SPACE.decode(trial.params)) for trial in study.trials}
    assert len(cells) == 8
