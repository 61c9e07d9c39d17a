"""Experiments with NNI's own manager on this machine, offline, in processes of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hwnas.pareto import ParetoSet
from hwnas_nni.launch import free_port

pytest.importorskip("nni", reason="the extra nni is not installed")

ROOT = Path(__file__).parents[2]
STARTS = 5
SECONDS = 300


@pytest.fixture
def home(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Give an environment whose experiments are this test's own, and stop what is left of them."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": path, "PYTHONWARNINGS": "ignore"}
    environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    yield environment
    nnictl(environment, "stop", "--all")
    for manifest in tmp_path.rglob(".experiment"):
        for experiment in json.loads(manifest.read_text() or "{}").values():
            if isinstance(experiment.get("pid"), int) and experiment.get("status") != "STOPPED":
                _kill(experiment["pid"])


def _kill(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def nnictl(home: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(home, [sys.executable, "-m", "nni.tools.nnictl.nnictl", *arguments])


def run(home: dict[str, str], command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command without a terminal, whose signals would stop NNI's manager."""
    return subprocess.run(
        command,
        env=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        start_new_session=True,
    )


def create(home: dict[str, str], config: Path) -> tuple[str, int]:
    """Create an experiment; NNI gives up after four seconds, so try again."""
    for _ in range(STARTS):
        port = free_port()
        done = nnictl(home, "create", "--config", str(config), "--port", str(port))
        found = re.search(r"nnictl stop (\w+)", done.stdout + done.stderr)
        if done.returncode == 0 and found:
            return found[1], port
    raise AssertionError(done.stdout + done.stderr)


def ask(port: int, what: str) -> Any:
    with urllib.request.urlopen(f"http://localhost:{port}/api/v1/nni/{what}", timeout=10) as answer:
        return json.load(answer)


def test_the_tuner_example_runs_under_nnictl(home: dict[str, str], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(ROOT / "examples/06_nni_tuner", tmp_path / "tuner"))
    config = folder / "config.yml"
    config.write_text(config.read_text().replace("maxTrialNumber: 24", "maxTrialNumber: 8"))
    experiment, port = create(home, config)
    deadline = time.monotonic() + SECONDS
    while (status := ask(port, "check-status"))["status"] not in ("DONE", "ERROR"):
        assert time.monotonic() < deadline, status
        time.sleep(1)
    assert status == {"status": "DONE", "errors": []}
    trials = ask(port, "trial-jobs")
    assert {trial["status"] for trial in trials} == {"SUCCEEDED"}
    parameters = [json.loads(trial["hyperParameters"][0])["parameters"] for trial in trials]
    assert len({str(p) for p in parameters}) == len(trials) == 8
    reported = [json.loads(json.loads(t["finalMetricData"][0]["data"])) for t in trials]
    nnictl(home, "stop", experiment)
    with pytest.raises(OSError, match="refused"):
        ask(port, "check-status")
    front = ParetoSet.from_nni(
        tmp_path / "nni-experiments" / experiment, {"naswot": "maximize", "params": "minimize"}
    )
    assert front.provenance["evaluated"] == 8
    values = {(row["naswot"], row["params"]) for row in reported}
    assert {tuple(m.values) for m in front.members} == {
        (g, c)
        for g, c in values
        if not any(a >= g and b <= c and (a, b) != (g, c) for a, b in values)
    }


def test_the_tuner_can_be_registered(home: dict[str, str]) -> None:
    meta = ROOT / "examples/06_nni_tuner/algorithm.yml"
    try:
        nnictl(home, "algo", "register", "--meta_path", str(meta))
        assert "hwnas_nni.tuner" in nnictl(home, "algo", "list").stdout
    finally:
        nnictl(home, "algo", "unregister", "HwnasTuner")
    assert "HwnasTuner" not in nnictl(home, "algo", "list").stdout


STRATEGY = """
import sys
from nni.nas.experiment import NasExperiment
from nni.nas.experiment.config import NasExperimentConfig
from nni.nas.hub.pytorch import NasBench201
from hwnas.pareto import ParetoSet
from hwnas_nni import ObjectivesEvaluator, ParetoStrategy, run_experiment


def make():
    evaluator = ObjectivesEvaluator(objectives=["layers"], costs=["count:macs"])
    config = NasExperimentConfig("ts", "simplified", "local")
    config.trial_concurrency = 2
    config.max_trial_number = 3
    config.experiment_working_directory = sys.argv[1]
    config.training_service.use_active_gpu = False
    strategy = ParetoStrategy(evaluator.objectives, seed=0)
    return NasExperiment(NasBench201(), evaluator, strategy, config)


experiment = run_experiment(make)
try:
    ParetoSet.from_nni(experiment).save(sys.argv[2])
finally:
    experiment.stop()
"""


def test_the_strategy_runs_through_the_training_service(
    home: dict[str, str], tmp_path: Path
) -> None:
    front = tmp_path / "front.json"
    command = [sys.executable, "-c", STRATEGY, str(tmp_path / "experiments"), str(front)]
    done = run(home, command)
    assert done.returncode == 0, done.stdout + done.stderr
    during = ParetoSet.load(front)
    assert during.provenance["evaluated"] == 3
    assert during.provenance["failed"] == 0
    (folder,) = (p for p in (tmp_path / "experiments").iterdir() if p.name != "_latest")
    after = ParetoSet.from_nni(folder, {"layers": "maximize", "macs": "minimize"})
    assert after.provenance["evaluated"] == 3
    assert {(m.arch, m.values) for m in after.members} == {
        (m.arch, m.values) for m in during.members
    }
