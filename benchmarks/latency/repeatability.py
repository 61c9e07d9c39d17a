"""How long a latency takes to measure, and how well it repeats in another process.

(a) CPU seconds of building, counting, exporting (directly and by `torch.onnx.export`), opening a
session and measuring, for random networks of NAS-Bench-201.
(b) The same networks measured in separate processes, one after another: Spearman correlation and
median relative difference between the processes, by wall clock and by the thread's CPU time. Both
clocks are read around the same runs.

    python benchmarks/latency/repeatability.py [--networks 10] [--processes 3] [--seed 0]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time

import numpy as np
from scipy import stats

from hwnas.costs.counters import count
from hwnas.measure.host import host_fingerprint, package_versions
from hwnas.measure.measuring import measure
from hwnas.onnx_export import export as onnx_export
from hwnas.onnx_export.export import export_onnx
from hwnas.runtimes.base import OnnxModel
from hwnas.runtimes.onnxruntime_runtime import OnnxRuntime
from hwnas.runtimes.onnxruntime_session import open_session
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.typing import FloatArray

IN_SHAPE = (3, 32, 32)


def networks(number: int, seed: int) -> list[Cell]:
    space, rng = NasBench201(), np.random.default_rng(seed)
    return [space.representative(space.sample(rng)) for _ in range(number)]


class Stopwatch:
    """CPU seconds between calls, by the name of the step that ended."""

    def __init__(self) -> None:
        """Start now."""
        self.steps: dict[str, float] = {}
        self._start = time.process_time()

    def stop(self, step: str) -> None:
        """End a step and start the next one."""
        now = time.process_time()
        self.steps[step] = now - self._start
        self._start = time.process_time()


def time_steps(
    cells: list[Cell], by_torch: int, max_seconds: float
) -> tuple[dict[str, list[float]], float]:
    """Give CPU seconds of each step for each network, and the share that converged.

    The first network is worked on twice, and the first time is not counted.
    """
    steps: dict[str, list[float]] = {}
    converged: list[bool] = []
    for i, cell in enumerate([cells[0], *cells]):
        watch = Stopwatch()
        model = NasBench201().build(cell)
        watch.stop("build")
        count(model, IN_SHAPE)
        watch.stop("count")
        content = export_onnx(model, IN_SHAPE).SerializeToString()
        watch.stop("export, direct")
        if i <= by_torch:
            onnx_export._export_by_torch(model, IN_SHAPE, 1, False)
            watch.stop("export, torch.onnx")
        open_session(content)
        watch.stop("session")
        measurement = measure(OnnxModel(content), OnnxRuntime(), max_seconds=max_seconds)
        watch.stop("measurement")
        if i:
            converged.append(measurement.converged)
            for step, seconds in watch.steps.items():
                steps.setdefault(step, []).append(seconds)
    return steps, float(np.mean(converged))


def measure_all(cells: list[Cell], max_seconds: float) -> dict[str, list[float]]:
    """Measure in this process; medians in ms by clock.

    Every measurement takes the whole time, so that neither clock decides when to stop.
    """
    space = NasBench201()
    found = [
        measure(
            OnnxModel(export_onnx(space.build(cell), IN_SHAPE)),
            OnnxRuntime(),
            max_seconds=max_seconds,
            target=1e-9,
        )
        for cell in cells
    ]
    return {"wall": [m.wall_ms for m in found], "cpu": [m.cpu_ms for m in found]}


def in_new_process(arguments: argparse.Namespace) -> dict[str, list[float]]:
    command = [sys.executable, __file__, "--child", "--networks", str(arguments.networks)]
    command += ["--seed", str(arguments.seed), "--max-seconds", str(arguments.max_seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


def relative_differences(times: FloatArray) -> FloatArray:
    """Give `(p, n)` relative differences of `(r, n)` times, one row a pair of processes."""
    pairs = itertools.combinations(times, 2)
    return np.array([2 * np.abs(a - b) / (a + b) for a, b in pairs])


def print_repeatability(runs: list[dict[str, list[float]]], seed: int) -> None:
    found: dict[str, FloatArray] = {}
    for clock in ("wall", "cpu"):
        times = np.array([run[clock] for run in runs])
        rho = [float(stats.spearmanr(a, b).statistic) for a, b in itertools.combinations(times, 2)]
        found[clock] = relative_differences(times)
        print(
            f"  {clock:>4}: Spearman {min(rho):.3f} to {max(rho):.3f}, relative difference median "
            f"{100 * np.median(found[clock]):.1f} %, largest {100 * np.max(found[clock]):.1f} %; "
            f"medians {times.min():.2f} to {times.max():.2f} ms"
        )
    # Networks are drawn anew, since the pairs of one network are not independent.
    gain = np.mean(found["wall"] - found["cpu"], axis=0)
    drawn = np.random.default_rng(seed).choice(gain, size=(10_000, len(gain))).mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    print(
        f"  wall minus cpu: mean {100 * gain.mean():.1f} points, 95 % bootstrap interval over "
        f"networks [{100 * low:.1f}, {100 * high:.1f}]"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", type=int, default=10)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument(
        "--by-torch", type=int, default=2, help="exports by torch.onnx (seconds each)"
    )
    parser.add_argument("--max-seconds", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    cells = networks(arguments.networks, arguments.seed)
    if arguments.child:
        print(json.dumps(measure_all(cells, arguments.max_seconds)))
        return
    print(f"machine: {host_fingerprint()}; load {os.getloadavg()[0]:.1f}")
    print(f"versions: {package_versions(('torch', 'onnx', 'onnxruntime', 'numpy'))}")
    print(f"population: {len(cells)} random NAS-Bench-201 cells, seed {arguments.seed}")
    print(
        f"(a) CPU seconds a network, median (largest), at most {arguments.max_seconds} s measured"
    )
    steps, converged = time_steps(cells, arguments.by_torch, arguments.max_seconds)
    for step, seconds in steps.items():
        print(f"  {step:>18}: {np.median(seconds):.3f} ({max(seconds):.3f}), n={len(seconds)}")
    print(f"  {100 * converged:.0f} % of the measurements converged to 2 % by the default clock")
    print(f"(b) {arguments.processes} processes, one after another")
    runs = [in_new_process(arguments) for _ in range(arguments.processes)]
    print_repeatability(runs, arguments.seed)
    print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
