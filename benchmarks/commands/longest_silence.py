"""How long commands say nothing: each under a pseudo-terminal, at two widths.

    HWNAS_DATA=/where/tables/are python benchmarks/commands/longest_silence.py [--piped] [NAME ...]

Prints, a command and width: seconds in all, the longest time without a byte on the terminal, the
CPU seconds that the command used meanwhile (the rest went to other work on the machine, or was
waited), when it began, and the widest line. The commands run in a scratch folder with an empty
cache, in the order of the list, since some need what others write. Ends with 1 where a silence is
above 3 s; with `--piped`, without a terminal, above half a minute and 3 s.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import platform
import pty
import re
import select
import struct
import sys
import tempfile
import termios
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.cells import cell_len

LONGEST_SECONDS = 3.0
PIPED_SECONDS = 33.0
WIDTHS = (80, 140)
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
HWNAS = (sys.executable, "-m", "hwnas")
CHEAP = ("--objective", "naswot", "--batch", "8")
COMMANDS: dict[str, tuple[str, ...]] = {
    "help": (*HWNAS, "--help"),
    "spaces": (*HWNAS, "spaces"),
    "proxies": (*HWNAS, "proxies"),
    "costs": (*HWNAS, "costs", "--space", "nasbench201"),
    "samplers": (*HWNAS, "samplers"),
    "doctor": (*HWNAS, "doctor"),
    "data-list": (*HWNAS, "data", "list"),
    "data-verify": (*HWNAS, "data", "verify", "hw-nas-bench"),
    "search": (*HWNAS, "search", "--trials", "24", "--out", "found"),
    "search-counts": (*HWNAS, "search", *CHEAP, "--cost", "count:macs", "--out", "counted"),
    "search-az-nas": (
        *HWNAS, "search", "--objective", "az-nas", "--cost", "hw-nas-bench:edgegpu:energy",
        "--trials", "40", "--batch", "8", "--out", "edge",
    ),
    "worker": (*HWNAS, "worker", "--storage", "sqlite:///counted/study.db"),
    "score": (*HWNAS, "score", "--sample", "8"),
    "proxies-space": (*HWNAS, "proxies", "--space", "nasbench201", "--proxy", "naswot",
                      "--sample", "6"),
    "rank": (*HWNAS, "rank", "--bootstrap", "50"),
    "rank-plot": (*HWNAS, "rank", "--plot", "ranks.html"),
    "rank-sample": (*HWNAS, "rank", "--sample", "24", "--proxy", "naswot", "--proxy", "synflow"),
    "pareto-show": (*HWNAS, "pareto", "show", "found"),
    "pareto-export": (*HWNAS, "pareto", "export", "found"),
    "pareto-verify": (
        *HWNAS, "pareto", "verify", "found", "--cost", "onnxruntime:cpu:latency",
        "--objective", "cpu_latency_ms",
    ),
    "support": (*HWNAS, "predict", "support"),
    "predict-train": (
        *HWNAS, "predict", "train", "--method", "brp-nas", "--measurements", "costs.csv",
        "--out", "trained.npz",
    ),
    "predict-adapt": (
        *HWNAS, "predict", "adapt", "--measurements", "costs.csv", "--out", "adapted.npz",
    ),
    "predict-export": (*HWNAS, "predict", "export", "adapted.npz", "--json"),
    "predict-evaluate": (*HWNAS, "predict", "evaluate", "adapted.npz", "--measurements",
                         "costs.csv"),
    "predict-build": (
        *HWNAS, "predict", "build", "--networks", "2", "--held-out", "2", "--max-seconds", "20",
        "--out", "built.npz",
    ),
    "profile": (*HWNAS, "profile", "--arch", "|nor_conv_3x3~0|+|none~0|skip_connect~1|+"
                "|skip_connect~0|none~1|nor_conv_1x1~2|"),
    "profile-bundle": (*HWNAS, "profile", "bundle", "--sample", "3", "--out", "bundle"),
    "example-01": (sys.executable, str(EXAMPLES / "01_optuna_study.py")),
    "example-02": (sys.executable, str(EXAMPLES / "02_profile_torch_model.py")),
    "example-03": (sys.executable, str(EXAMPLES / "03_export_pareto_set.py")),
    "example-04": (sys.executable, str(EXAMPLES / "04_own_space.py")),
    "example-05": (sys.executable, "-W", "ignore", str(EXAMPLES / "05_nni_strategy.py")),
    "example-06": (sys.executable, "-W", "ignore", str(EXAMPLES / "06_nni_tuner/trial.py")),
    "example-07": (
        sys.executable, str(EXAMPLES / "07_train_the_front.py"), "digits", "6", "4", "1",
    ),
    "example-08": (sys.executable, str(EXAMPLES / "08_own_network.py"), "4"),
}  # fmt: skip


@dataclass(frozen=True)
class Heard:
    """What a command wrote.

    Attributes:
        seconds: how long it ran.
        silence: longest time without a byte, seconds.
        silence_cpu: CPU seconds of the command and its children in that time.
        since: when that began, seconds from the start.
        widest: columns of the widest line.
        code: exit code.
        text: everything.
    """

    seconds: float
    silence: float
    silence_cpu: float
    since: float
    widest: int
    code: int
    text: str


def listen(command: tuple[str, ...], columns: int, folder: Path) -> Heard:
    """Run a command under a pseudo-terminal, or without where it has 0 columns, and listen."""
    child, terminal = pty.fork() if columns else _piped()
    if child == 0:
        os.chdir(folder)
        # Written out: readline may have put sizes where Python's own `environ` does not see them.
        known = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        os.execvpe(command[0], command, known | {"TERM": "xterm-256color"})
    if columns:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    start = last = time.monotonic()
    silence, silence_cpu, since, read, used = 0.0, 0.0, 0.0, bytearray(), 0.0
    while True:
        select.select([terminal], [], [])
        try:
            found = os.read(terminal, 65536)
        except OSError:  # Linux tells the end of the other side so
            found = b""
        now, spent = time.monotonic(), _cpu_seconds(child) if found else _ended(child)
        if now - last > silence:
            silence, silence_cpu, since = now - last, max(spent - used, 0.0), last - start
        last, used = now, spent
        if not found:
            break
        read += found
    _, status = os.waitpid(child, 0)
    text = read.decode(errors="replace")
    code = os.waitstatus_to_exitcode(status)
    return Heard(
        last - start,
        silence,
        silence_cpu,
        since,
        max(map(cell_len, _lines(text)), default=0),
        code,
        text,
    )


def _piped() -> tuple[int, int]:
    """Fork with both outputs in one pipe, as `pty.fork` does with a terminal."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(theirs, 1)
        os.dup2(theirs, 2)
    os.close(theirs)
    return child, ours


def _cpu_seconds(pid: int) -> float:
    """Add what a process and all that it started have used; nothing of what is gone meanwhile."""
    total = 0.0
    try:
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            times = process.cpu_times()
            total += times.user + times.system
        times = parent.cpu_times()
        return float(total + times.children_user + times.children_system)
    except psutil.NoSuchProcess:
        return total


def _ended(pid: int) -> float:
    """Wait for a process's end without taking its status, and give what it has used."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return _cpu_seconds(pid)


def _lines(text: str) -> list[str]:
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    return [part for line in plain.split("\n") for part in line.split("\r")]


def _write_costs(folder: Path) -> None:
    """Write costs of 64 cells, as a user would have measured them."""
    import numpy as np

    from hwnas.costs.counters import CounterCost
    from hwnas.spaces.nasbench201 import NasBench201

    space, rng = NasBench201(), np.random.default_rng(0)
    cells = list(dict.fromkeys(space.sample(rng) for _ in range(64)))
    macs = CounterCost(space, "macs").predict(cells)
    rows = [f'"{cell}",{1 + value / 1e8}' for cell, value in zip(cells, macs, strict=True)]
    (folder / "costs.csv").write_text("\n".join(["architecture,latency_ms", *rows]) + "\n")


def main() -> None:
    """Run the commands and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*COMMANDS, []], help="commands, or all")
    parser.add_argument("--show", action="store_true", help="print what they wrote")
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--piped", action="store_true", help="without a terminal")
    arguments = parser.parse_args()
    widths = (0,) if arguments.piped else arguments.widths
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores")
    print("command          columns  seconds  longest silence  its CPU  since  widest  exit  load")
    worst = 0.0
    for columns in widths:
        with tempfile.TemporaryDirectory() as scratch:
            os.environ["HWNAS_CACHE"] = f"{scratch}/cache"
            _write_costs(Path(scratch))
            for name in arguments.names or COMMANDS:
                heard = listen(COMMANDS[name], columns, Path(scratch))
                worst = max(worst, heard.silence)
                print(
                    f"{name:16} {columns:7} {heard.seconds:8.1f} {heard.silence:16.2f} "
                    f"{heard.silence_cpu:8.2f} "
                    f"{heard.since:6.1f} {heard.widest:7} {heard.code:5} {os.getloadavg()[0]:5.1f}",
                    flush=True,
                )
                if arguments.show:
                    print(heard.text.replace("\r\n", "\n").replace("\r\x1b[2K", "\n~ "))
    sys.exit(worst > (PIPED_SECONDS if arguments.piped else LONGEST_SECONDS))


if __name__ == "__main__":
    main()
