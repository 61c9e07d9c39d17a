"""Processes that share the trials of a function's study."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import optuna
import pytest
from optuna.trial import TrialState

import hwnas_optuna.loop
from hwnas.cli import main
from hwnas_optuna.objective import KEY
from hwnas_optuna.participant import OWNER
from hwnas_optuna.search import TRIALS
from hwnas_optuna.storage import open_storage

SOURCE = """
from torch import nn

def build(trial):
    width = trial.suggest_int("width", 4, 40)
    more = [nn.Identity()] * trial.suggest_int("nothing", 0, 3)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 7)]
    return nn.Sequential(nn.Conv2d(1, width, 3), nn.ReLU(), *more, *head)
"""
MODULE = "function_for_workers"
MODEL = ["--model", f"{MODULE}:build"]
TWO, SECONDS = 2, 120.0


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([*arguments])
    code = stopped.value.code
    assert isinstance(code, int)
    return code


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / f"{MODULE}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    # A child of each worker, which imports PyTorch anew, has no part in who runs which trial.
    # Nor could a fork talk to a child of this process.
    monkeypatch.setattr("hwnas.study.configuration.limits_of", lambda *_: None)
    for command in ("options", "worker"):
        monkeypatch.setattr(f"hwnas.cli.{command}.names_function", lambda *_: True)
    yield
    sys.modules.pop(MODULE, None)


def owners(study: optuna.Study) -> Counter[str]:
    trials = study.get_trials(deepcopy=False)
    names = [t.user_attrs.get(OWNER, "") for t in trials if t.state is not TrialState.WAITING]
    return Counter(name for name in names if name.startswith("worker"))


def fork_worker(storage: str) -> int:
    """Start a worker that tells nothing before both workers have a trial; give its process."""
    pid = os.fork()
    if pid:
        return pid
    code, loop = 1, cast(Any, hwnas_optuna.loop)
    tell = loop._tell
    deadline = time.monotonic() + SECONDS

    def tell_with_the_other(study: optuna.Study, *rest: Any) -> None:
        theirs = optuna.load_study(storage=open_storage(storage), study_name=study.study_name)
        while len(owners(theirs)) < TWO and time.monotonic() < deadline:
            time.sleep(0.1)
        tell(study, *rest)

    signal.alarm(int(SECONDS))
    try:
        loop._tell = tell_with_the_other
        main(["worker", "--storage", storage, *MODEL])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


@pytest.mark.parametrize("kind", ["sqlite:///study.db", "journal:study.log"])
def test_two_workers_share_the_trials_of_a_function(kind: str) -> None:
    sizes = ["--input", "1,8,8", "--classes", "7", "--objective", "layers", "--cost", "count:macs"]
    assert run("search", *MODEL, *sizes, "--storage", kind, "--trials", "2") == 0
    study = optuna.load_study(storage=open_storage(kind), study_name="hwnas")
    study.set_user_attr(TRIALS, 8)
    processes = [fork_worker(kind) for _ in range(TWO)]
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in processes] == [0, 0]
    shares = owners(study)
    assert len(shares) == TWO
    # Workers that ask at one moment may both see room for one more.
    assert shares.total() in (6, 7)
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE}
    keys = [trial.user_attrs[KEY] for trial in study.trials]
    assert len(set(keys)) == len(keys)
