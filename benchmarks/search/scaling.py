"""How many trials a second a storage takes from several workers, and what many would wait for.

    python -m benchmarks.search.scaling --trials 96 --workers 1 2 4 8
    python -m benchmarks.search.scaling --simulate

The first runs searches among known values (NAS-Bench-201, shipped scores, no measurements), so that
nothing but proposals and the storage takes time: on SQLite, a journal file, Optuna's gRPC proxy
before SQLite, and PostgreSQL where ``--postgresql URL`` names a server's data base ``{name}``.
Workers are forked from one process, so that imports are not counted.

The second simulates workers that ask, evaluate and tell; the storage serves one at a time. A worker
reads the study, proposes, and claims its proposal; if another one has claimed since it read, the
proposal may be the same (``--alike``), and it proposes again after a random pause, as the sampler
does. Printed are the share of the time
that workers neither evaluate nor propose, proposals thrown away, and how busy the storage is.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna

import hwnas
from hwnas.cli.output import note, print_table
from hwnas.study.worker import Worker
from hwnas_optuna import hardware_aware
from hwnas_optuna.storage import open_storage

COST = "count:any:flops"
WORKERS = (1, 10, 100, 1000)
EVALUATIONS = {"proxies, 0.5 s": 0.5, "latency, 2 s": 2.0, "training, 10 min": 600.0}
"""Median seconds of an evaluation; each is drawn with a deviation of 40 %, as training has."""
STORAGES = {"journal": 1.0, "SQLite": 5.0, "PostgreSQL": 8.0, "gRPC proxy": 60.0}
"""Milliseconds in which the storage serves a trial: CPU time of one worker above that in memory,
with that of the proxy; a data base server's own time is not in it."""


def search(storage: str | None, trials: int) -> None:
    hwnas.search(
        costs=COST, storage=storage, trials=trials, data_folder=Path(), note=lambda _: None
    )


def join(storage: str) -> None:
    with contextlib.suppress(hwnas.errors.HwnasError):  # the study was finished before
        Worker(storage).run()


def seconds_a_trial(storage: str | None, trials: int, workers: int) -> float:
    """Run a search with workers, and give the wall seconds a trial from first to last."""
    if storage is None:
        search(None, 2)
        start = time.perf_counter()
        search(None, trials)
        return (time.perf_counter() - start) / trials
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=search, args=(storage, trials))]
    processes[0].start()
    if workers > 1:
        wait_for_study(storage)
    processes += [context.Process(target=join, args=(storage,)) for _ in range(workers - 1)]
    for process in processes[1:]:
        process.start()
    for process in processes:
        process.join()
    found = optuna.load_study(study_name="hwnas", storage=open_storage(storage)).get_trials()
    starts = [t.datetime_start.timestamp() for t in found if t.datetime_start]
    ends = [t.datetime_complete.timestamp() for t in found if t.datetime_complete]
    return (max(ends) - min(starts)) / len(ends)


def cpu() -> float:
    """Give the CPU seconds of this process and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def wait_for_study(storage: str) -> None:
    while True:
        with contextlib.suppress(Exception):  # it is being made
            if "hwnas" in optuna.get_all_study_names(open_storage(storage)):
                return
        time.sleep(0.2)


@contextlib.contextmanager
def grpc_proxy(folder: Path) -> Iterator[str]:
    """Serve an SQLite storage, as `optuna.storages.run_grpc_proxy_server` does."""
    context, ready = multiprocessing.get_context("fork"), 13000 + int(time.time()) % 1000
    server = context.Process(target=serve, args=(f"sqlite:///{folder / 'behind.db'}", ready))
    server.start()
    time.sleep(3)
    try:
        yield f"grpc://localhost:{ready}"
    finally:
        server.terminate()
        server.join()


def serve(storage: str, port: int) -> None:
    optuna.storages.run_grpc_proxy_server(open_storage(storage), host="localhost", port=port)


def measure(trials: int, workers: Sequence[int], postgresql: str | None) -> None:
    """Print trials a second by storage and number of workers."""
    rows: list[list[Any]] = []
    note(f"in memory, 1 worker: {1 / seconds_a_trial(None, trials, 1):.1f} trials a second")
    start = cpu()
    search(None, trials)
    note(f"in memory: {1e3 * (cpu() - start) / trials:.1f} ms of CPU a trial, start included")
    makers: dict[str, Callable[[Path, int], Any]] = {
        "SQLite": lambda folder, _: contextlib.nullcontext(f"sqlite:///{folder / 'study.db'}"),
        "journal": lambda folder, _: contextlib.nullcontext(f"journal:{folder / 'study.log'}"),
        "gRPC proxy": lambda folder, _: grpc_proxy(folder),
    }
    if postgresql is not None:
        makers["PostgreSQL"] = lambda _, n: contextlib.nullcontext(postgresql.format(name=f"w{n}"))
    for name, make in makers.items():
        found, start = [], cpu()
        with tempfile.TemporaryDirectory() as folder, make(Path(folder), 0) as storage:
            search(storage, trials)  # by one worker, the proxy's own time included
        note(f"{name}: {1e3 * (cpu() - start) / trials:.1f} ms of CPU a trial, start included")
        for n in workers:
            with tempfile.TemporaryDirectory() as folder, make(Path(folder), n) as storage:
                found.append(seconds_a_trial(storage, trials, n))
            note(f"{name}, {n} workers: {1 / found[-1]:.1f} trials a second")
        rows.append([name, *(round(1 / s, 1) for s in found)])
    columns = ["storage", *(f"{n} workers" for n in workers)]
    print_table(columns, rows, f"trials a second among known values, {trials} trials")


FIRST_PAUSE_S, LONGEST_S = hardware_aware._FIRST_PAUSE_S, hardware_aware._LONGEST_PAUSE_S


@dataclass(frozen=True)
class Simulated:
    """What workers did.

    Attributes:
        idle: share of their time in which they neither evaluated nor proposed.
        repeated: proposals that another worker had claimed, a trial.
        load: share of the time in which the storage served.
        per_second: finished trials a second.
    """

    idle: float
    repeated: float
    load: float
    per_second: float


def simulate(
    workers: int,
    evaluation: float,
    service: float,
    propose: float,
    alike: float,
    rng: np.random.Generator,
    most_trials: int = 4000,
) -> Simulated:
    """Let workers ask, evaluate and tell until 20 trials a worker are told, or enough.

    Args:
        workers: how many.
        evaluation: median seconds of an evaluation.
        service: seconds in which the storage serves a trial; a third each to read, claim and tell.
        propose: seconds of a proposal.
        alike: probability that two proposals from one state of the study are the same.
        rng: of evaluation times and equal proposals.
        most_trials: trials that are enough, unless a worker would tell fewer than two.
    """
    part, free, claims = service / 3, 0.0, 0
    told = repeated = 0
    busy = working = 0.0
    # (time, tie breaker, what it does next, claims that it has seen, collisions of this trial)
    events = [(float(rng.uniform(0, evaluation)), w, "read", 0, 0) for w in range(workers)]
    heapq.heapify(events)
    order, now, start = workers, 0.0, 0.0
    total = min(20 * workers, max(most_trials, 2 * workers))
    while told < total:
        now, _, step, seen, collisions = heapq.heappop(events)
        free = max(free, now) + part  # the storage serves one after another
        busy += part
        after, then = free, "read"
        if step == "read":
            after, then, seen = free + propose, "claim", claims
            working += propose
        elif step == "claim":
            others = claims - seen
            if others and rng.random() < 1 - (1 - alike) ** others:
                repeated += 1
                after = free + float(rng.random()) * min(FIRST_PAUSE_S * 2**collisions, LONGEST_S)
                collisions += 1
            else:
                claims += 1
                spent = evaluation * float(np.exp(0.4 * rng.standard_normal()))
                working += spent
                after, then = free + spent, "tell"
        else:
            told += 1
            collisions = 0
        order += 1
        heapq.heappush(events, (after, order, then, seen, collisions))
    elapsed = max(now - start, 1e-9)
    idle = max(0.0, 1 - working / (workers * elapsed))
    return Simulated(idle, repeated / told, min(1.0, busy / elapsed), told / elapsed)


def simulations(propose_ms: float, alike: float, seed: int) -> None:
    """Print what workers wait for, by storage and time of an evaluation."""
    rows: list[list[Any]] = []
    for name, service in STORAGES.items():
        for label, evaluation in EVALUATIONS.items():
            for n in WORKERS:
                rng = np.random.default_rng(seed)
                found = simulate(n, evaluation, service / 1e3, propose_ms / 1e3, alike, rng)
                shares = [f"{100 * share:.1f} %" for share in (found.idle, found.load)]
                rate = float(f"{found.per_second:.3g}")
                rows.append([name, label, n, shares[0], shares[1], round(found.repeated, 3), rate])
    columns = ["storage", "evaluation", "workers", "idle", "storage busy", "thrown away a trial"]
    print_table([*columns, "trials a second"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=96)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    names = "with {name} for the data bases w0, w1, w2, …, one a run"
    parser.add_argument("--postgresql", metavar="URL", help=names)
    parser.add_argument("--simulate", action="store_true")
    parser.add_argument("--propose-ms", type=float, default=12.0)
    parser.add_argument("--alike", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if args.simulate:
        simulations(args.propose_ms, args.alike, args.seed)
    else:
        measure(args.trials, args.workers, args.postgresql)


if __name__ == "__main__":
    main()
