"""Proposals and trials a second of hwnas's sampler beside Optuna's, by storage and size of study.

A study of NATS-Bench's size space (five parameters of eight widths) is filled with trials of
random losses; then each sampler asks for all parameters and is told random losses. Proposals a
second are those of `ask` with the suggestions, trials a second with `tell` as well, by CPU time::

    python -m benchmarks.search.peers --trials 500 10000

A sampler stops after ``--proposals`` of them or ``--seconds`` of CPU time.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from hwnas.cli.output import note, print_table
from hwnas.spaces.choices import options_of
from hwnas.spaces.natsbench_size import NatsBenchSize, SizeArch
from hwnas_optuna import HardwareAwareSampler
from hwnas_optuna.storage import open_storage
from hwnas_optuna.suggesting import distribution_of
from hwnas_optuna.tables import TablesWriter

SPACE = NatsBenchSize()
STORAGES = {"memory": None, "journal": "journal:{}/study.log", "SQLite": "sqlite:///{}/study.db"}
GENERATION = NSGAIISampler._get_generation_key()
POPULATION = 50
SAMPLERS: Mapping[str, Callable[[], BaseSampler]] = {
    "HardwareAwareSampler": lambda: HardwareAwareSampler(SPACE),
    "NSGA-II": lambda: NSGAIISampler(seed=0, population_size=POPULATION),
    "TPE": lambda: TPESampler(seed=0),
}


def finished_trials(count: int) -> list[FrozenTrial]:
    """Make finished trials of different architectures, in generations as NSGA-II has them."""
    rng = np.random.default_rng(0)
    archs: dict[str, SizeArch] = {}
    while len(archs) < count:
        arch = SPACE.sample(rng)
        archs[str(arch)] = arch
    return [
        optuna.trial.create_trial(
            params=SPACE.encode(arch),
            distributions=distributions(),
            values=rng.random(2).tolist(),
            system_attrs={GENERATION: number // POPULATION},
        )
        for number, arch in enumerate(archs.values())
    ]


def distributions() -> dict[str, BaseDistribution]:
    """Give the distribution of each parameter."""
    return {name: distribution_of(options) for name, options in options_of(SPACE).items()}


def filled(text: str | None, trials: Sequence[FrozenTrial]) -> optuna.Study:
    """Make a study with these trials."""
    storage = open_storage(text)
    study = optuna.create_study(
        storage=storage, study_name="peers", directions=["minimize", "minimize"]
    )
    backend = getattr(storage, "_backend", storage)
    if isinstance(backend, RDBStorage):  # a transaction for all, not one for each
        TablesWriter(backend).create(study._study_id, trials)
    else:
        study.add_trials(trials)
    return study


def rates(study: optuna.Study, proposals: int, seconds: float) -> tuple[float, float, int]:
    """Give proposals and trials a second, and how many were made."""
    rng = np.random.default_rng(1)
    asking = telling = 0.0
    wanted = distributions()
    for count in range(-1, proposals):
        start = time.process_time()
        trial = study.ask(wanted)
        asked = time.process_time()
        study.tell(trial, rng.random(2).tolist())
        if count < 0:
            continue  # the first reads the study
        asking += asked - start
        telling += time.process_time() - asked
        if asking + telling > seconds and count >= 2:
            break
    return (count + 1) / asking, (count + 1) / (asking + telling), count + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[500, 10_000])
    parser.add_argument("--proposals", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--storage", choices=STORAGES, nargs="+", default=list(STORAGES))
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    rows = []
    for trials in given.trials:
        known = finished_trials(trials)
        for storage in given.storage:
            for name, make in SAMPLERS.items():
                text = STORAGES[storage]
                with tempfile.TemporaryDirectory() as folder:
                    study = filled(None if text is None else text.format(folder), known)
                    study.sampler = make()
                    proposed, told, count = rates(study, given.proposals, given.seconds)
                rows.append((trials, storage, name, proposed, told, count))
                note(" ".join(map(str, rows[-1])))
    print_table(
        ["trials", "storage", "sampler", "proposals a second", "trials a second", "of"],
        rows,
        f"CPU time, {platform.processor() or platform.machine()}, Python "
        f"{platform.python_version()}, Optuna {optuna.__version__}",
    )


if __name__ == "__main__":
    main()
