r"""A search of thousands of evaluations in a large space, killed in the middle, and its memory.

    python -m benchmarks.search.at_size --out at-size --trials 2000 -- --space mobilenetv2 \
        --input 3,32,32 --classes 1000 --constraint 'macs<=9.2M' --batch 2 \
        --objective hwnas-agg --cost count:any:flops --jobs 2

What stands behind ``--`` are options of `hwnas search`. The search runs in a process of its own, is
killed with SIGKILL at half of its evaluations, and the same command goes on. Every few seconds the
resident memory of the process, and with its workers, is written to ``memory.csv`` beside the number
of evaluations so far. In the end: the number of evaluations is exact, what was once seen finished
is as it was, no class of equal networks was evaluated twice, memory from the 200th evaluation of a
process to its last one (largest and smallest as shares of its median; what writing the report takes
is not in it), and `hwnas pareto export` writes every member of the front as an ONNX model that ONNX
Runtime runs.

The script may be interrupted itself: the same command goes on, and kills once in all.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import optuna
from optuna.trial import TrialState

from hwnas.pareto import ParetoSet
from hwnas_optuna.participant import standing
from hwnas_optuna.storage import open_storage

WARM = 200
"""Evaluations after which memory is expected to stay where it is."""
PAUSE = 5.0


def command(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a command of hwnas, with a cache and an output of this folder."""
    with (folder / "output.log").open("ab") as log:
        environment = {**os.environ, "HWNAS_CACHE": str(folder / "cache")}
        return subprocess.Popen(
            [sys.executable, "-m", "hwnas", *arguments],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def evaluated(folder: Path) -> int:
    """Count finished trials without loading the study; 0 where there is none yet."""
    file = folder / "results/study.db"
    try:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=60) as storage:
            query = "select count(*) from trials where state in ('COMPLETE', 'PRUNED')"
            return int(storage.execute(query).fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def finished(folder: Path) -> dict[int, Any]:
    """Give the finished trials by number: state, values and parameters."""
    url = f"sqlite:///{folder / 'results/study.db'}"
    study = optuna.load_study(storage=open_storage(url), study_name="hwnas")
    return {
        t.number: (t.state, t.values, t.params) for t in study.get_trials() if t.state.is_finished()
    }


def resident_mb(pid: int) -> float:
    """Read the resident memory of a process; NaN when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return float("nan")
    lines = [line.split() for line in status.splitlines() if line.startswith("VmRSS:")]
    return float(lines[0][1]) / 1024 if lines else float("nan")


def descendants(pid: int) -> list[int]:
    """List the processes that a process has begun, and those that these have."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, file.read_text().split())
    return [*found, *(below for child in found for below in descendants(child))]


def watch(process: subprocess.Popen[bytes], folder: Path) -> Iterator[int]:
    """Write memory beside evaluations until the process ends; give the evaluations each time."""
    while process.poll() is None:
        found, own = evaluated(folder), resident_mb(process.pid)
        workers = [mb for pid in descendants(process.pid) if (mb := resident_mb(pid)) == mb]
        with (folder / "memory.csv").open("a") as file:
            row = [
                process.pid,
                f"{time.time():.0f}",
                found,
                f"{own:.1f}",
                f"{own + sum(workers):.1f}",
            ]
            csv.writer(file).writerow(row)
        yield found
        time.sleep(PAUSE)


def search(folder: Path, options: list[str], trials: int) -> None:
    """Run the search to its end, with one kill at half of its trials."""
    killed = folder / "killed"
    while True:
        arguments = ["search", *options, "--trials", str(trials), "--out", str(folder / "results")]
        process = command(folder, *arguments)
        for found in watch(process, folder):
            if trials / 2 <= found < trials and not killed.exists():
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                killed.touch()
                before = finished(folder)
                print(f"killed at {len(before)} finished trials", flush=True)
                break
        else:
            break
    assert process.returncode == 0, (folder / "output.log").read_text()[-2000:]
    if killed.exists() and "before" in locals():
        now = finished(folder)
        changed = [number for number, was in before.items() if now.get(number) != was]
        assert not changed, f"trials {changed} are lost or changed"


def check_study(folder: Path, trials: int) -> None:
    """See that the study has exactly its trials, each class of equal networks once."""
    url = f"sqlite:///{folder / 'results/study.db'}"
    study = optuna.load_study(storage=open_storage(url), study_name="hwnas")
    there = standing(study.get_trials(deepcopy=False))
    states = Counter(trial.state for trial in there)
    print("trials:", {state.name: n for state, n in states.items()})
    assert len(there) == trials
    assert not states.keys() & {TrialState.RUNNING, TrialState.WAITING}
    keys = Counter(trial.user_attrs.get("hwnas:key") for trial in there)
    assert not [key for key, n in keys.items() if key and n > 1], "a class was evaluated twice"


def tell_memory(folder: Path, trials: int, settled: int) -> None:
    """Print the memory of each process from an evaluation on, by its number, to its last one."""
    rows: dict[tuple[str, str], list[tuple[int, float]]] = {}
    with (folder / "memory.csv").open() as file:
        for pid, _, found, own, together in csv.reader(file):
            rows.setdefault((pid, "search"), []).append((int(found), float(own)))
            rows.setdefault((pid, "with workers"), []).append((int(found), float(together)))
    print("process | evaluations | median MB | smallest | largest | last tenth against first")
    for (_, who), samples in rows.items():
        begun = samples[0][0]
        warm = [mb for found, mb in samples if begun + settled <= found < trials and mb == mb]
        if len(warm) < 10:
            continue
        middle, tenth = statistics.median(warm), max(len(warm) // 10, 1)
        drift = statistics.median(warm[-tenth:]) / statistics.median(warm[:tenth]) - 1
        shares = " | ".join(f"{edge(warm) / middle - 1:+.1%}" for edge in (min, max))
        span = f"{begun + settled} to {samples[-1][0]}"
        print(f"{who} | {span} | {middle:.0f} | {shares} | {drift:+.1%}")


def export(folder: Path) -> None:
    """Export the front, and run each of its models."""
    results = folder / "results"
    assert command(folder, "pareto", "export", str(results)).wait() == 0
    front, models = ParetoSet.load(results / "front.json"), sorted(results.glob("onnx/*.onnx"))
    assert len(models) == len(front), f"{len(models)} models of {len(front)} members"
    for model in models:
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        shape = session.get_inputs()[0].shape
        (output,) = session.run(None, {"input": np.zeros(shape, dtype=np.float32)})
        assert np.isfinite(output).all(), model
    print(f"front: {len(front)} members exported, all run")


def main() -> None:
    """Search, kill, go on, check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--warm", type=int, default=WARM, help="evaluations before memory counts")
    parser.add_argument("options", nargs="*", help="of `hwnas search`, behind --")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    search(given.out, given.options, given.trials)
    print(f"{time.monotonic() - start:.0f} s")
    check_study(given.out, given.trials)
    tell_memory(given.out, given.trials, given.warm)
    export(given.out)


if __name__ == "__main__":
    main()
