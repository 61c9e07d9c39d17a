"""Kill the search of the guide's own network, go on, export its front and compare all of it.

    python tests/soak/own_network.py --trials 300 --kills 12

`hwnas search` runs on the MobileNet-like function of docs/own_network.md (96 × 96 × 1, 7 classes),
is killed with SIGKILL at random moments and started again until it has its trials. Then: the number
of trials is exact, none runs or waits, no class of equal networks was evaluated twice, and what was
once seen finished is as it was. `hwnas pareto export` writes the front, and for each member the
ONNX file in ONNX Runtime answers as `code/…/network.py` with `weights.pt` does in PyTorch, within
1e-4, on images that no part of hwnas has drawn.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import optuna
import torch
from optuna.trial import TrialState

from hwnas.pareto import ParetoSet
from hwnas_optuna.participant import standing
from hwnas_optuna.storage import open_storage

GUIDE = Path(__file__).parents[2] / "docs/own_network.md"
TOLERANCE = 1e-4


def write_function(folder: Path) -> None:
    """Write the guide's `my_nets.py`."""
    text = GUIDE.read_text(encoding="utf-8")
    [code] = re.findall(r"^```python\n(# my_nets\.py\n.*?)^```", text, re.DOTALL | re.MULTILINE)
    (folder / "my_nets.py").write_text(code)


def hwnas(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a command in the folder, in a group of processes of its own."""
    with (folder / "output.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "hwnas", *arguments],
            cwd=folder,
            env={**os.environ, "HWNAS_CACHE": str(folder / "cache")},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def finished(folder: Path) -> dict[int, Any]:
    """Give the finished trials by number: state, values and parameters."""
    return {
        t.number: (t.state, t.values, t.params) for t in trials_of(folder) if t.state.is_finished()
    }


def trials_of(folder: Path) -> list[optuna.trial.FrozenTrial]:
    """Read the study; none where there is none yet."""
    file = folder / "hwnas-results/study.db"
    if not file.exists():
        return []
    study = optuna.load_study(storage=open_storage(f"sqlite:///{file}"), study_name="hwnas")
    return study.get_trials(deepcopy=False)


def search(folder: Path, command: list[str], kills: int, longest: float, seed: int) -> int:
    """Run the search to its end; give how often it was killed."""
    dice, killed, seen = random.Random(seed), 0, dict[int, Any]()
    while True:
        process = hwnas(folder, *command)
        with_kill = killed < kills
        try:
            code = process.wait(timeout=dice.uniform(2, longest) if with_kill else None)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
            killed += 1
        now = finished(folder)
        changed = [number for number, was in seen.items() if now.get(number) != was]
        assert not changed, f"trials {changed} are lost or changed"
        seen = now
        print(f"{killed} kills, {len(seen)} trials finished", flush=True)
        if code == 0:
            return killed
        assert code == -signal.SIGKILL, (folder / "output.log").read_text()[-2000:]


def check_study(folder: Path, trials: int) -> None:
    """See that the study has exactly its trials, each class of equal networks once."""
    there = standing(trials_of(folder))
    states = Counter(trial.state for trial in there)
    print({state.name: n for state, n in states.items()})
    assert len(there) == trials
    assert not states.keys() & {TrialState.RUNNING, TrialState.WAITING}
    keys = Counter(trial.user_attrs.get("hwnas:key") for trial in there)
    assert not [key for key, n in keys.items() if key and n > 1]


def largest_difference(folder: Path, number: int) -> float:
    """Give the largest |difference| of a member's outputs, ONNX Runtime against PyTorch."""
    results = folder / "hwnas-results"
    [code] = results.glob(f"code/{number:03}-*")
    [onnx] = results.glob(f"onnx/{number:03}-*.onnx")
    spec = importlib.util.spec_from_file_location(f"member{number}", code / "network.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.build()
    network.load_state_dict(torch.load(code / "weights.pt", weights_only=True))
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    images = np.random.default_rng(number).normal(size=(1, 1, 96, 96)).astype(np.float32)
    [found] = session.run(None, {session.get_inputs()[0].name: images})
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(images)).numpy()
    assert "import hwnas" not in (code / "network.py").read_text(), code
    assert expected.shape == (1, 7)
    return float(np.abs(found - expected).max())


def soak(trials: int, kills: int, longest: float, cost: str, seed: int) -> None:
    """Do all of it in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="hwnas-own-") as name:
        folder = Path(name)
        write_function(folder)
        sizes = ["--model", "my_nets:build", "--input", "1,96,96", "--classes", "7"]
        limits = ["--objective", "naswot", "--cost", cost, "--constraint", "params<=1e6"]
        began = time.monotonic()
        command = ["search", *sizes, *limits, "--trials", str(trials), "--seed", str(seed)]
        killed = search(folder, command, kills, longest, seed)
        print(f"search: {killed} kills, {time.monotonic() - began:.0f} s")
        check_study(folder, trials)
        export = ["pareto", "export", "hwnas-results", "--model", "my_nets:build"]
        assert hwnas(folder, *export).wait() == 0, (folder / "output.log").read_text()[-2000:]
        members = ParetoSet.load(folder / "hwnas-results/front.json").members
        apart = [largest_difference(folder, n) for n in range(1, len(members) + 1)]
        print(f"{len(members)} members, largest difference to PyTorch {max(apart):.2g}")
        assert max(apart) <= TOLERANCE


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--longest", type=float, default=120.0, help="Seconds until a kill.")
    parser.add_argument("--cost", default="onnxruntime:cpu:latency")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    soak(given.trials, given.kills, given.longest, given.cost, given.seed)
