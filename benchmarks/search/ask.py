"""What a whole `Study.ask` with its suggestions costs where a study has many trials, by storage.

CPU milliseconds of `ask` with the space's suggestions and of `tell`, medians, for the default
sampler of NAS-Bench-201 with its shipped proxies, after trials of random losses::

    python -m benchmarks.search.ask --trials 1000
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution

from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.strategies.score_knowledge import shipped_knowledge
from hwnas_optuna import HardwareAwareSampler
from hwnas_optuna.storage import open_storage

SPACE = NasBench201()
REPEATS = 30


def filled(storage: str | None, trials: int) -> optuna.Study:
    """Make a study with finished trials of different networks."""
    study = optuna.create_study(
        storage=None if storage is None else open_storage(storage),
        directions=["minimize", "minimize"],
        sampler=HardwareAwareSampler(SPACE, knowledge=shipped_knowledge(SPACE)),
    )
    rng = np.random.default_rng(0)
    cells: dict[str, Cell] = {}
    while len(cells) < trials:
        cell = SPACE.sample(rng)
        if SPACE.is_valid(cell):
            cells.setdefault(SPACE.canonical_key(cell), cell)
    choices: dict[str, BaseDistribution] = {
        n: CategoricalDistribution(c) for n, c in SPACE.parameters.items()
    }
    study.add_trials(
        [
            optuna.trial.create_trial(
                params=SPACE.encode(cell), distributions=choices, values=losses.tolist()
            )
            for cell, losses in zip(cells.values(), rng.random((trials, 2)), strict=True)
        ]
    )
    return study


def cost(study: optuna.Study) -> tuple[float, float]:
    """Give the milliseconds of `ask` and of `tell`."""
    asking, telling = [], []
    rng = np.random.default_rng(1)
    for _ in range(REPEATS):
        start = time.process_time()
        trial = study.ask()
        for name, choices in SPACE.parameters.items():
            trial.suggest_categorical(name, choices)
        asked = time.process_time()
        study.tell(trial, rng.random(2).tolist())
        asking.append(asked - start)
        telling.append(time.process_time() - asked)
    return 1e3 * float(np.median(asking[1:])), 1e3 * float(np.median(telling[1:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        storages = {
            "memory": None,
            "journal": f"journal:{Path(folder, 'study.log')}",
            "SQLite": f"sqlite:///{Path(folder, 'study.db')}",
        }
        print("| storage | ask | tell |\n| --- | --- | --- |")
        for name, storage in storages.items():
            asking, telling = cost(filled(storage, arguments.trials))
            print(f"| {name} | {asking:.0f} | {telling:.0f} |", flush=True)


if __name__ == "__main__":
    main()
