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

from nni.experiment import Experiment

OBJECTIVES: Any = {"naswot": "maximize", "params": "minimize"}
ROOT = Path(__file__).parents[2]
STARTS = 5
SECONDS = 300


@pytest.fixture
def home(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Give an environment whose experiments are this test's own, and stop what is left of them."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": path, "PYTHONWARNINGS": "ignore"}
    paths = [*os.environ["PYTHONPATH"].split(os.pathsep), *sys.path]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    yield environment
    if still_there(tmp_path):
        nnictl(environment, "stop", "--all")
    for pid in still_there(tmp_path):
        _kill(pid)


def still_there(folder: Path) -> list[int]:
    """Give the managers of experiments that nobody has stopped."""
    manifests = [json.loads(path.read_text() or "{}") for path in folder.rglob(".experiment")]
    experiments = [one for manifest in manifests for one in manifest.values()]
    running = [one["pid"] for one in experiments if one.get("status") != "STOPPED"]
    return [pid for pid in running if isinstance(pid, int)]


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


def start(home: dict[str, str], *arguments: str) -> int:
    """Create or resume an experiment.

    NNI gives up if its manager is not up after four seconds, or the tuner after ten: try again.
    """
    for _ in range(STARTS):
        port = free_port()
        done = nnictl(home, *arguments, "--port", str(port))
        if done.returncode == 0 and makes_progress(port):
            return port
        nnictl(home, "stop", "--all")
    raise AssertionError(done.stdout + done.stderr)


def makes_progress(port: int) -> bool:
    """Wait for the first trial that succeeds from now on."""
    before, deadline = succeeded(port), time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if ask(port, "check-status")["status"] == "ERROR":
            return False
        if succeeded(port) > before:
            return True
        time.sleep(0.5)
    return False


def succeeded(port: int) -> int:
    return sum(trial["status"] == "SUCCEEDED" for trial in ask(port, "trial-jobs"))


def ask(port: int, what: str) -> Any:
    with urllib.request.urlopen(f"http://localhost:{port}/api/v1/nni/{what}", timeout=10) as answer:
        return json.load(answer)


def test_the_tuner_example_is_killed_and_resumed_under_nnictl(
    home: dict[str, str], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(ROOT / "examples/06_nni_tuner", tmp_path / "tuner"))
    config = folder / "config.yml"
    config.write_text(config.read_text().replace("maxTrialNumber: 24", "maxTrialNumber: 5"))
    port = start(home, "create", "--config", str(config))
    experiment = ask(port, "experiment")["id"]
    deadline = time.monotonic() + SECONDS
    while succeeded(port) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    manifest = json.loads((tmp_path / "nni-experiments" / ".experiment").read_text())
    _kill(manifest[experiment]["pid"])
    port = start(home, "resume", experiment)
    while (status := ask(port, "check-status"))["status"] not in ("DONE", "ERROR"):
        assert time.monotonic() < deadline, status
        time.sleep(1)
    assert status == {"status": "DONE", "errors": []}
    trials = ask(port, "trial-jobs")
    assert {trial["status"] for trial in trials} == {"SUCCEEDED"}
    parameters = [json.loads(trial["hyperParameters"][0])["parameters"] for trial in trials]
    assert len({str(p) for p in parameters}) == len(trials) == 5
    reported = [json.loads(json.loads(t["finalMetricData"][-1]["data"])) for t in trials]
    connected = ParetoSet.from_nni(Experiment.connect(port), OBJECTIVES)
    nnictl(home, "stop", experiment)
    with pytest.raises(OSError, match="refused"):
        ask(port, "check-status")
    front = ParetoSet.from_nni(tmp_path / "nni-experiments" / experiment, OBJECTIVES)
    assert connected.members == front.members
    assert front.provenance["evaluated"] == 5
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


def told_by_trials(folder: Path) -> str:
    """Give what trials of experiments wrote beside their results."""
    written = [path for path in folder.rglob("local-env/trials/*/*") if path.is_file()]
    return "\n".join(f"{path}: {path.read_text(errors='replace')}" for path in written)


STRATEGY = """
import sys
from nni.nas.experiment import NasExperiment
from nni.nas.experiment.config import NasExperimentConfig
from nni.nas.hub.pytorch import NasBench201
from hwnas.pareto import ParetoSet
from hwnas_nni import ObjectivesEvaluator, ParetoStrategy, run_experiment

engine, folder, checkpoint, front = sys.argv[1:]


def make():
    evaluator = ObjectivesEvaluator(objectives=["layers"], costs=["count:macs"])
    config = NasExperimentConfig(engine, "simplified", "local")
    if engine == "ts":
        config.trial_concurrency = 2
        config.training_service.use_active_gpu = False
    config.experiment_working_directory = folder
    strategy = ParetoStrategy(
        evaluator.objectives, strategy="random-search", max_trials=5, checkpoint=checkpoint
    )
    return NasExperiment(NasBench201(), evaluator, strategy, config)


experiment = run_experiment(make)
try:
    ParetoSet.from_nni(experiment).save(front)
finally:
    experiment.stop()
"""


def test_a_search_on_the_training_service_is_killed_and_ends_with_the_same_front(
    home: dict[str, str], tmp_path: Path
) -> None:
    """The architectures of a random search do not depend on which of two trials ends first."""

    def command(engine: str, name: str) -> list[str]:
        paths = [str(tmp_path / f"{name}{kind}") for kind in ("-experiments", ".search", ".json")]
        return [sys.executable, "-c", STRATEGY, engine, *paths]

    done = run(home, command("sequential", "whole"))
    assert done.returncode == 0, done.stderr
    killed = subprocess.Popen(
        command("ts", "killed"),
        env=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    path, deadline = tmp_path / "killed.search", time.monotonic() + SECONDS
    while not path.exists() or len(json.loads(path.read_text())["records"]) < 2:
        assert killed.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    killed.kill()
    killed.wait()
    nnictl(home, "stop", "--all")
    again = run(home, command("ts", "killed"))
    assert again.returncode == 0, again.stdout + again.stderr
    whole, after = (ParetoSet.load(tmp_path / f"{name}.json") for name in ("whole", "killed"))
    assert after.provenance["evaluated"] == whole.provenance["evaluated"] == 5
    assert after.provenance["failed"] == 0, again.stderr + told_by_trials(tmp_path)
    assert {e.arch for e in after.evaluated} == {e.arch for e in whole.evaluated}
    assert {(m.arch, m.values) for m in after.members} == {
        (m.arch, m.values) for m in whole.members
    }
    folders = [p for p in (tmp_path / "killed-experiments").iterdir() if p.name != "_latest"]
    read = [ParetoSet.from_nni(f, {"layers": "maximize", "macs": "minimize"}) for f in folders]
    assert {e.arch for one in read for e in one.evaluated} == {e.arch for e in whole.evaluated}


FUNCTION = """
from torch import nn

def build(trial):
    width = trial.suggest_categorical("width", [4, 8, 12])
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 3))
"""


def test_a_function_is_searched_on_the_training_service_and_a_script_that_fails_frees_its_port(
    home: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "nets_for_ts.py").write_text(FUNCTION)
    home["PYTHONPATH"] += os.pathsep + str(tmp_path)
    space = 'FunctionModelSpace("nets_for_ts:build", input=(1, 8, 8), classes=3)'
    script = STRATEGY.replace("NasBench201()", space).replace("max_trials=5", "max_trials=2")
    script = script.replace("import Objectives", "import FunctionModelSpace, Objectives")
    script = script.replace("save(front)", "save(front)\n    1 / 0")
    paths = [str(tmp_path / name) for name in ("experiments", "search", "front.json")]
    done = run(home, [sys.executable, "-c", script, "ts", *paths])
    assert "ZeroDivisionError" in done.stderr
    ports = {int(p) for p in re.findall(r"http://127.0.0.1:(\d+)", done.stdout + done.stderr)}
    assert ports
    for port in ports:
        with pytest.raises(OSError, match="refused"):
            ask(port, "check-status")
    front = ParetoSet.load(tmp_path / "front.json")
    assert (front.provenance["evaluated"], front.provenance["failed"]) == (2, 0)
    [folder] = [p for p in (tmp_path / "experiments").iterdir() if p.name != "_latest"]
    read = ParetoSet.from_nni(folder, {"layers": "maximize", "macs": "minimize"})
    assert read.provenance["dataset"] == front.provenance["dataset"]
    assert {(e.arch, e.values) for e in read.evaluated} == {
        (e.arch, e.values) for e in front.evaluated
    }


RESUME = """
import sys
from nni.nas.experiment import NasExperiment
from nni.nas.experiment.config import NasExperimentConfig
from nni.nas.hub.pytorch import NasBench201
from hwnas_nni import ObjectivesEvaluator, ParetoStrategy, run_experiment

engine, folder = sys.argv[1:]
evaluator = ObjectivesEvaluator(objectives=["layers"], costs=["count:macs"])
config = NasExperimentConfig(engine, "simplified", "local")
config.experiment_working_directory = folder
if engine == "ts":
    config.trial_concurrency = 1
    config.training_service.use_active_gpu = False


def make(n):
    strategy = ParetoStrategy(evaluator.objectives, max_trials=n)
    return NasExperiment(NasBench201(), evaluator, strategy, config, id="mine")


run_experiment(lambda: make(1)).stop()
resumed = make(3)
resumed.resume(int(sys.argv[2].rsplit("-", 1)[1]))
print("EVALUATED", resumed.strategy.pareto_set().provenance["evaluated"])
"""


@pytest.mark.parametrize("engine", ["sequential", "ts"])
def test_the_resumption_of_nni(engine: str, home: dict[str, str], tmp_path: Path) -> None:
    """It works in this process; on a training service NNI 3.0 would wait for ever."""
    folder = tmp_path / f"experiments-{free_port()}"
    done = run(home, [sys.executable, "-c", RESUME, engine, str(folder)])
    if engine == "sequential":
        assert done.returncode == 0, done.stderr
        assert "EVALUATED 3" in done.stdout
    else:
        assert done.returncode == 1
        assert "`resume` must not be used on a training service" in done.stderr
