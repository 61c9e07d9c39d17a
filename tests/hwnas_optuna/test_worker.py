from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from hwnas.cli import main
from hwnas.errors import InvalidValueError
from hwnas.pareto import ParetoSet
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.study.worker import check_requirements
from hwnas_optuna.objective import KEY
from hwnas_optuna.participant import GRACE, OWNER, standing
from hwnas_optuna.search import REQUIREMENTS, TRIALS
from hwnas_optuna.storage import open_storage
from tests.programs import Program, Programs

CHEAP = ["--objective", "layers", "--cost", "count:macs"]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([*arguments])
    code = stopped.value.code
    assert isinstance(code, int)
    return code


def start_search(storage: str, folder: Path, trials: int, *arguments: str) -> int:
    command = ["search", *(arguments or CHEAP), "--trials", str(trials), "--storage", storage]
    return run(*command, "--out", str(folder / "out"))


def study_in(storage: str) -> optuna.Study:
    return optuna.load_study(storage=open_storage(storage), study_name="hwnas")


# Never tells what it found, so that it can be killed in the middle of a trial.
HANGING = """
import sys, time
import hwnas_optuna.loop
from hwnas.cli import main
hwnas_optuna.loop._tell = lambda *_: time.sleep(600)
main(sys.argv[1:])
"""


def test_workers_of_which_one_is_killed_neither_lose_nor_repeat_a_trial(
    postgresql: str, tmp_path: Path, programs: Programs
) -> None:
    assert start_search(postgresql, tmp_path, 2) == 0
    study = study_in(postgresql)
    study.set_user_attr(TRIALS, 20)
    study.set_user_attr(GRACE, 3.0)
    worker = ["worker", "--storage", postgresql]
    victim = programs.start("-c", HANGING, *worker)
    wait_until(lambda: bool(running(study) and running(study)[0].params), victim)
    others = [programs.start("-m", "hwnas", *worker) for _ in range(2)]
    wait_until(lambda: len(study.get_trials(deepcopy=False)) > 5, victim)
    victim.kill()
    codes = [process.wait(timeout=120) for process in (victim, *others)]
    assert codes == [-signal.SIGKILL, 0, 0]
    trials = study.trials
    lost = [t for t in trials if t not in standing(trials)]
    assert [(t.number, t.state) for t in lost] == [(2, TrialState.FAIL)]
    # Two workers that ask at the same moment may both see room for one more.
    assert len(standing(trials)) in (20, 21)
    assert {t.state for t in standing(trials)} <= {TrialState.COMPLETE, TrialState.PRUNED}
    keys = [t.user_attrs[KEY] for t in standing(trials)]
    assert len(set(keys)) == len(keys)
    assert [t.params for t in trials if t.system_attrs.get("failed_trial") == 2] == [lost[0].params]
    # The search takes over what the workers did.
    assert start_search(postgresql, tmp_path, 20) == 0
    assert len(study.trials) == len(trials)


def test_a_lost_trial_is_run_again_although_another_one_has_filled_its_place(
    tmp_path: Path,
) -> None:
    storage = f"journal:{tmp_path / 'study.log'}"
    assert start_search(storage, tmp_path, 3) == 0
    study = study_in(storage)
    # Of the 15,625 cells 341 join nothing, and an unseeded draw would be one of them now and then.
    study.sampler = optuna.samplers.RandomSampler(seed=0)
    lost = study.ask()
    arch = {name: lost.suggest_categorical(name, c) for name, c in NasBench201().parameters.items()}
    study.tell(lost, state=TrialState.FAIL)
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        hand_on = optuna.storages.RetryHeartbeatStaleTrialCallback()
    hand_on(study, study.trials[lost.number])
    assert len(standing(study.trials)) == 4
    assert run("worker", "--storage", storage) == 0
    *others, copy = study.trials
    assert (copy.state, copy.params) == (TrialState.COMPLETE, arch)
    assert len(others) == 4


def running(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


def wait_until(condition: Callable[[], bool], process: Program) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, "the worker ended by itself"
        assert time.monotonic() < deadline, "nothing happened in two minutes"
        time.sleep(0.1)


def test_a_worker_goes_on_until_the_search_has_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = f"journal:{tmp_path / 'study.log'}"
    assert start_search(storage, tmp_path, 3) == 0
    study_in(storage).set_user_attr(TRIALS, 8)
    capsys.readouterr()
    assert run("worker", "--storage", storage) == 0
    assert "5 trials run here" in capsys.readouterr().err
    trials = study_in(storage).trials
    assert [t.user_attrs[OWNER].partition("-")[0] for t in trials] == ["search"] * 3 + [
        "worker"
    ] * 5
    assert run("worker", "--storage", storage) == 0
    assert "0 trials run here" in capsys.readouterr().err
    assert run("pareto", "show", storage) == 0
    assert "8 evaluated" in capsys.readouterr().err
    assert run("pareto", "export", storage, "--json-file", "--out", str(tmp_path / "front")) == 0
    assert ParetoSet.load(tmp_path / "front" / "front.json").provenance["evaluated"] == 8


def refused(
    capsys: pytest.CaptureFixture[str], storage: str, *arguments: str, study: str = "hwnas"
) -> str:
    capsys.readouterr()
    assert run("worker", "--storage", storage, "--study", study, *arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    return printed.err


def test_a_worker_refuses_what_it_cannot_join(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = f"journal:{tmp_path / 'study.log'}"
    assert "no file" in refused(capsys, storage)
    foreign = optuna.create_study(storage=open_storage(storage), study_name="foreign")
    assert "no study 'hwnas'" in refused(capsys, storage)
    assert "started by hwnas search" in refused(capsys, storage, study=foreign.study_name)
    assert start_search(storage, tmp_path, 2) == 0
    assert "`jobs`" in refused(capsys, storage, "--jobs", "0")


@pytest.mark.parametrize("package", ["hwnas", "torch"])
def test_a_worker_refuses_other_versions(
    package: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = f"journal:{tmp_path / 'study.log'}"
    assert start_search(storage, tmp_path, 2) == 0
    study = study_in(storage)
    needed = json.loads(study.user_attrs[REQUIREMENTS])
    here = needed["versions"][package]
    needed["versions"][package] = "0.0.1"
    study.set_user_attr(REQUIREMENTS, json.dumps(needed))
    message = refused(capsys, storage)
    assert f"version of {package}, but it is '0.0.1' there and '{here}' here" in message


def test_a_worker_refuses_absent_and_other_data(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = f"journal:{tmp_path / 'study.log'}"
    table = ["--objective", "layers", "--cost", "hw-nas-bench:edgegpu:energy"]
    assert start_search(storage, tmp_path, 2, *table) == 0
    (tmp_path / "empty").mkdir()
    assert "hwnas data get hw-nas-bench" in refused(
        capsys, storage, "--data", str(tmp_path / "empty")
    )
    study = study_in(storage)
    needed = json.loads(study.user_attrs[REQUIREMENTS])
    assert str(data_folder) not in study.user_attrs[REQUIREMENTS]
    needed["costs"]["edgegpu_energy_mj"]["provenance"]["sha256"] = "0" * 64
    study.set_user_attr(REQUIREMENTS, json.dumps(needed))
    assert "edgegpu_energy_mj, but its sha256 is '000" in refused(capsys, storage)


def test_a_worker_refuses_another_machine_where_latency_is_measured() -> None:
    cost = {"device": "cpu", "unit": "ms", "fingerprint": "Cortex-A76 | 4 cores"}
    there = {"versions": {}, "costs": {"cpu_latency_ms": cost}}
    here = {"versions": {}, "costs": {"cpu_latency_ms": {**cost, "fingerprint": "Xeon | 2 cores"}}}
    check_requirements(there, there)
    with pytest.raises(InvalidValueError, match="its fingerprint is 'Cortex-A76"):
        check_requirements(there, here)
    newer = {"versions": {}, "costs": {"cpu_latency_ms": {**cost, "measured_as": "raw"}}}
    with pytest.raises(InvalidValueError, match="its measured_as is None there and 'raw' here"):
        check_requirements(there, newer)
