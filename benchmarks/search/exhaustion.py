"""Propose a whole space: no class twice, and then the sampler says that nothing is left.

Random search over the 5,424 connected classes of NAS-Bench-201, by one worker in memory or by
several on one journal file; prints repetitions, classes and seconds a trial, and fails if any class
is missing or repeated::

    python -m benchmarks.search.exhaustion --workers 4
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

from hwnas.spaces.nasbench201 import NasBench201
from hwnas_optuna import HardwareAwareSampler

SPACE = NasBench201()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--strategy", default="random-search")
    parser.add_argument("--journal", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.journal:
        _work(JournalStorage(JournalFileBackend(arguments.journal)), arguments.strategy)
        return
    start = time.perf_counter()
    if arguments.workers == 1:
        trials = _work(InMemoryStorage(), arguments.strategy)
    else:
        trials = _share(arguments.workers, arguments.strategy)
    keys = [SPACE.canonical_key(SPACE.decode(t.params)) for t in trials if t.params]
    every = {SPACE.canonical_key(cell) for cell in SPACE if SPACE.is_valid(cell)}
    seconds = (time.perf_counter() - start) / len(keys)
    print(
        f"{arguments.workers} workers: {len(keys)} trials, {len(keys) - len(set(keys))} repeated, "
        f"{len(set(keys))} of {len(every)} classes, {seconds:.3f} s a trial"
    )
    sys.exit(set(keys) != every or len(keys) != len(every))


def _work(storage: BaseStorage, strategy: str) -> list[FrozenTrial]:
    """Run trials until the sampler stops the study."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        storage=storage,
        study_name="whole",
        sampler=HardwareAwareSampler(SPACE, strategy=strategy),
        load_if_exists=True,
    )
    study.optimize(_objective, n_trials=len(SPACE))
    return study.trials


def _share(workers: int, strategy: str) -> list[FrozenTrial]:
    with tempfile.TemporaryDirectory() as folder:
        journal = str(Path(folder) / "journal")
        command = [sys.executable, "-m", "benchmarks.search.exhaustion", "--strategy", strategy]
        running = [subprocess.Popen([*command, "--journal", journal]) for _ in range(workers)]
        codes = [worker.wait() for worker in running]
        assert not any(codes), codes
        storage = JournalStorage(JournalFileBackend(journal))
        return optuna.load_study(storage=storage, study_name="whole").trials


def _objective(trial: optuna.Trial) -> float:
    edges = [trial.suggest_categorical(n, c) for n, c in SPACE.parameters.items()]
    return float(sum(operation == "nor_conv_3x3" for operation in edges))


if __name__ == "__main__":
    main()
