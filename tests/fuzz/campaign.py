"""Tries mutated inputs on every reader and the command line, each reader in a process of its own.

    python -m tests.fuzz.campaign --examples 500             # minutes
    python -m tests.fuzz.campaign --examples 100000 scores   # hours, one reader

A refusal is a `HwnasError`. Any other exception, more than ten seconds of the process's own time or
a minute by the wall's clock for an input, more memory than the limit, a death, or a nonsense that
was accepted is a finding: its seed is printed, and ``--seed`` tries it alone.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

from hwnas.errors import HwnasError
from tests.fuzz.mutations import mutate
from tests.fuzz.targets import TARGETS, Target

SECONDS = 10
"""Of the process's own time, which does not pass while others have the cores."""
WALL_SECONDS = 60
MEMORY = 3 << 30
"""Bytes of address space beside what the libraries take."""


class TooLongError(BaseException):
    """An input takes too long; no reader may catch it as an error of its own."""


def try_one(target: Target, content: bytes, folder: Path, seconds: float = SECONDS) -> bool:
    """Give whether a content is accepted.

    Args:
        target: the reader.
        content: of the file.
        folder: for the file, and current while it is read.
        seconds: of the process's own time; and at least a minute by the wall's clock.

    Raises:
        BaseException: whatever else than a refusal happens.
    """
    path = folder / target.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    old = [signal.signal(number, _end) for number in (signal.SIGALRM, signal.SIGPROF)]
    signal.setitimer(signal.ITIMER_REAL, max(seconds, WALL_SECONDS))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    here = Path.cwd()
    os.chdir(folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(path)
        return True
    except HwnasError:
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        for number, handler in zip((signal.SIGALRM, signal.SIGPROF), old, strict=True):
            signal.signal(number, handler)
        os.chdir(here)


def _end(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise TooLongError


def limit_memory(extra: int = MEMORY) -> None:
    """Bound this process: what it has, and some more."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + extra, used + extra))


def _worker(name: str, seeds: Iterable[int], queue: multiprocessing.Queue[object]) -> None:
    target = TARGETS[name]
    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as own:
        for variable in ("HWNAS_CACHE", "HWNAS_DATA"):
            os.environ[variable] = str(Path(own) / variable)
        contents = target.contents(Path(made))
        for content in contents:
            # The first time imports torch and starts children, which is no input's fault.
            accepted = try_one(target, content, Path(own), seconds=10 * WALL_SECONDS)
            assert accepted or target.name == "text", "a right content is refused"
        limit_memory()
        for seed in seeds:
            queue.put(("begin", seed))
            content = mutate(random.Random(seed).choice(contents), seed)
            try:
                accepted = try_one(target, content, Path(own))
            except BaseException:
                queue.put(("finding", seed, traceback.format_exc(limit=-6)))
            else:
                queue.put(("accepted" if accepted else "refused", seed))
    queue.put(("end",))
    queue.close()
    queue.join_thread()
    # An ordinary end would wait for children of the reader's own, which live on between calls.
    os._exit(0)


def run(name: str, seeds: Iterable[int]) -> tuple[Counter[str], list[str]]:
    """Try seeds on a reader in a process of its own; give counts and findings."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_worker, args=(name, seeds, queue))
    process.start()
    counts: Counter[str] = Counter()
    findings: list[str] = []
    last: object = None
    while True:
        try:
            kind, *rest = queue.get(timeout=2 * WALL_SECONDS)
        except Exception:
            if process.is_alive() and last is None:
                continue
            findings.append(f"seed {last}: the process died or hung ({process.exitcode})")
            process.kill()
            break
        if kind == "end":
            break
        if kind == "begin":
            (last,) = rest
            continue
        counts[kind] += 1
        if kind == "finding":
            findings.append(f"seed {rest[0]}: {rest[1]}")
    process.join()
    return counts, findings


def main() -> int:
    """Run the campaign; the exit code says whether there are findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("readers", nargs="*", default=[])
    parser.add_argument("--examples", type=int, default=500, help="inputs a reader")
    parser.add_argument("--start", type=int, default=0, help="first seed")
    parser.add_argument("--seed", type=int, help="this one alone")
    given = parser.parse_args()
    seeds = range(given.start, given.start + given.examples)
    found = False
    for name in given.readers or TARGETS:
        counts, findings = run(
            name, seeds if given.seed is None else range(given.seed, given.seed + 1)
        )
        print(json.dumps({"reader": name, "tried": sum(counts.values()), **counts}), flush=True)
        for text in findings:
            found = True
            print(text, flush=True)
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
