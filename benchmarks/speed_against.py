"""What commands cost against an older build: CPU and wall seconds of both, side by side.

    HWNAS_DATA=... python -m benchmarks.speed_against COMMIT --rounds 3

The older build is checked out into a worktree that is removed in the end. It runs with this
environment's packages, or in one of its own by `--venv`, made with its own `constraints.txt`. Each
command runs as a process of its own, the older build's and this one's in turn, on one thread;
medians are printed. A search that is fresh has an empty cache and an empty folder.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COST = "hw-nas-bench:edgegpu:energy"
COMMANDS = {
    "search": ["search", "--cost", COST, "--trials", "{trials}", "--out", "{out}"],
    "search again": ["search", "--cost", COST, "--trials", "{trials}", "--out", "{out}"],
    "rank": ["rank"],
    "predict export": ["predict", "export", "{predictor}", "--json"],
    "pareto show": ["pareto", "show", "{out}"],
    "pareto export": ["pareto", "export", "{out}", "--out", "{onnx}"],
    "help": ["--help"],
    "spaces": ["spaces"],
}
"""Commands by name; those that need a finished search come after `search`."""


@dataclass(frozen=True)
class Build:
    """One build of hwnas and its files.

    Attributes:
        name: as it is printed.
        root: its checkout.
        python: interpreter with its packages.
        folder: for what it writes.
    """

    name: str
    root: Path
    python: Path
    folder: Path

    def run(self, command: Sequence[str], trials: int) -> tuple[float, float, float]:
        """Run a command and give CPU seconds, wall seconds and peak memory in MB.

        Raises:
            RuntimeError: it failed; says what it printed.
        """
        places = {"out": self.folder / "out", "onnx": self.folder / "onnx", "trials": trials}
        places["predictor"] = self.folder / "predictor.npz"
        arguments = [part.format(**places) for part in command]
        parts = [self.root, self.root / "predictors", self.root / "plugins"]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, parts)),
            "HWNAS_CACHE": str(self.folder / "cache"),
            "OMP_NUM_THREADS": "1",
        }
        with tempfile.TemporaryFile() as output:
            began = time.perf_counter()
            process = subprocess.Popen(
                [self.python, "-m", "hwnas", *arguments],
                env=environment,
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                output.seek(0)
                text = output.read().decode(errors="replace")[-1000:]
                raise RuntimeError(f"{self.name}: hwnas {' '.join(arguments)} failed: {text}")
        return usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024

    def forget(self) -> None:
        """Remove what a search would go on with."""
        for name in ("out", "cache"):
            shutil.rmtree(self.folder / name, ignore_errors=True)


@contextmanager
def older(commit: str, folder: Path, own_venv: bool) -> Iterator[Build]:
    """Check an older build out."""
    root = folder / "older"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(root), commit], check=True)
    try:
        python = Path(sys.executable)
        if own_venv:
            subprocess.run([python, "-m", "venv", str(folder / "venv")], check=True)
            python = folder / "venv" / "bin" / "python"
            install = [str(python), "-m", "pip", "install", "--quiet", "--constraint"]
            subprocess.run([*install, str(root / "constraints.txt"), str(root)], check=True)
        (folder / "old").mkdir()
        yield Build(commit, root, python, folder / "old")
    finally:
        subprocess.run([*git, "remove", "--force", str(root)], check=True)


def make_predictor(build: Build) -> None:
    """Make a predictor from ten costs that a formula gives, to export."""
    table = build.folder / "measured.csv"
    program = (
        "import sys, numpy as np\n"
        "from hwnas.spaces.nasbench201 import NasBench201\n"
        "space, rng = NasBench201(), np.random.default_rng(0)\n"
        "print('arch,latency_ms')\n"
        "for cell in dict.fromkeys(space.sample(rng) for _ in range(10)):\n"
        "    print(f'{cell},{1 + str(cell).count(chr(51)) + rng.random():.4f}')\n"
    )
    parts = [build.root, build.root / "predictors", build.root / "plugins"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, parts))}
    with table.open("w") as file:
        subprocess.run([build.python, "-c", program], env=environment, stdout=file, check=True)
    adapt = ["predict", "adapt", "--space", "nasbench201", "--measurements", str(table)]
    build.run([*adapt, "--out", "{predictor}"], 0)


def measure(
    builds: Sequence[Build], names: Sequence[str], trials: int, rounds: int
) -> dict[tuple[str, str], list[tuple[float, float, float]]]:
    """Run commands in turn; give CPU seconds, wall seconds and MB by command and build."""
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for _ in range(rounds):
        for name in names:
            for build in builds:
                if name == "search":
                    build.forget()
                if name == "pareto export":
                    shutil.rmtree(build.folder / "onnx", ignore_errors=True)
                found.setdefault((name, build.name), []).append(build.run(COMMANDS[name], trials))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--command", choices=COMMANDS, action="append")
    parser.add_argument("--venv", action="store_true", help="an environment of its own")
    given = parser.parse_args()
    names = given.command or list(COMMANDS)
    if given.command and any("{out}" in part for n in names for part in COMMANDS[n]):
        names = ["search", *(name for name in names if name != "search")]
    with tempfile.TemporaryDirectory(prefix="hwnas-speed-") as folder:
        (Path(folder) / "new").mkdir()
        new = Build("now", ROOT, Path(sys.executable), Path(folder) / "new")
        with older(given.commit, Path(folder), given.venv) as old:
            if "predict export" in names:
                make_predictor(old)
                make_predictor(new)
            found = measure([old, new], names, given.trials, given.rounds)
    print(f"{platform.machine()}, Python {platform.python_version()}, {os.cpu_count()} cores, ")
    print(f"load {os.getloadavg()[0]:.1f}, {given.rounds} rounds, {given.trials} trials, medians")
    print(f"{'':16}{'CPU s':>18}{'ratio':>8}{'wall s':>18}{'ratio':>8}{'MB':>16}")
    for name in names:
        print(name.ljust(16) + _row(found[name, old.name], found[name, new.name]))


def _row(old: Sequence[tuple[float, ...]], new: Sequence[tuple[float, ...]]) -> str:
    """Give old → new and new / old of CPU and wall seconds, and old → new megabytes."""
    before, after = ([statistics.median(c) for c in zip(*rows, strict=True)] for rows in (old, new))
    pairs = [
        f"{a:.2f} → {b:.2f}".rjust(18) + f"{b / a:8.2f}" for a, b in zip(before, after, strict=True)
    ]
    return pairs[0] + pairs[1] + f"{before[2]:.0f} → {after[2]:.0f}".rjust(16)


if __name__ == "__main__":
    main()
