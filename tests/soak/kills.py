"""Kill searches and workers at random moments, go on, and see that nothing is lost.

    python tests/soak/kills.py --kills 300

A search and its workers are forked from this process, which has imported everything, and are
killed with SIGKILL again and again until their study is finished. Then: each trial that was once
seen finished is as it was; each class of equal networks was evaluated once; the number of trials is
exact (a few more where several ask at one moment); every value is what an undisturbed evaluation
gives; nothing runs or waits; and a search without workers has the trials of an undisturbed one.
"""

# ruff: noqa: E402 - threads are set before numpy is imported
from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.util
import itertools
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import optuna
from optuna.trial import FrozenTrial, TrialState

import hwnas.reports.folder  # noqa: F401 - forks have it
import hwnas_optuna.participant
import hwnas_optuna.search
from hwnas.cli import main
from hwnas.evaluation.evaluator import Evaluator
from hwnas.pareto import ParetoSet
from hwnas.spaces.space_text import read_space
from hwnas.study.search import make_evaluator
from hwnas.study.settings import SearchSettings
from hwnas_optuna.loop import run
from hwnas_optuna.objective import ARCH, KEY
from hwnas_optuna.participant import standing
from hwnas_optuna.storage import open_storage

STORAGES = ("sqlite", "journal", "postgresql")
WORKERS = (1, 2, 3, 4)
TRIALS = 60
GRACE_SECONDS = 3.0
KILLS_A_STUDY = 25
PATIENCE_SECONDS = 600.0
SETTINGS = SearchSettings(objectives=("layers",), costs=("count:macs",), trials=TRIALS)
_SEARCH = ["search", "--objective", "layers", "--cost", "count:macs", "--trials", str(TRIALS)]


@dataclass
class Scene:
    """One study and the processes that work on it.

    Attributes:
        folder: of results, cache and logs.
        storage: Optuna storage.
        workers: processes, the search included.
        dice: when and whom to kill.
        kills: so far.
        seen: what finished trials were when they were first seen, by number.
    """

    folder: Path
    storage: str
    workers: int
    dice: random.Random
    kills: int = 0
    seen: dict[int, Any] = field(default_factory=dict)

    def command(self, role: str) -> list[str]:
        """Give the command line of a role."""
        if role == "search":
            return [*_SEARCH, "--storage", self.storage, "--out", str(self.folder / "out")]
        return ["worker", "--storage", self.storage]

    def trials(self) -> list[FrozenTrial]:
        """Read the trials, none where there is no study yet."""
        file = Path(self.storage.partition(":")[2].removeprefix("///"))
        if not self.storage.startswith("postgresql") and not file.exists():
            return []
        with contextlib.suppress(KeyError):
            study = optuna.load_study(storage=open_storage(self.storage), study_name="hwnas")
            return study.get_trials(deepcopy=False)
        return []

    def look(self) -> None:
        """Compare what is finished with what it was."""
        for trial in self.trials():
            if trial.state.is_finished():
                now = (trial.state, trial.values, trial.params, trial.user_attrs.get(KEY))
                was = self.seen.setdefault(trial.number, now)
                assert now == was, f"trial {trial.number} was {was} and is {now}"
        missing = self.seen.keys() - {trial.number for trial in self.trials()}
        assert not missing, f"trials {missing} are lost"

    def run(self, most: int) -> None:
        """Run the study to its end, killing at most so often."""
        open_roles = {"search", *(f"worker {i}" for i in range(1, self.workers))}
        running: dict[str, int] = {}
        began = time.monotonic()
        while open_roles:
            assert time.monotonic() - began < PATIENCE_SECONDS, f"it hangs: {sorted(open_roles)}"
            for role in sorted(open_roles - running.keys()):
                if role == "search" or self.seen:
                    running[role] = start(self.command(role), self.folder, role)
            time.sleep(self.dice.random() * self.dice.choice((0.1, 1.0, 4.0)))
            self.look()
            for role, pid in list(running.items()):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    del running[role]
                    open_roles.discard(role)
                    assert status == 0, f"{role} ended with {status}: {self.log(role)}"
            if running and self.kills < most:
                role = self.dice.choice(sorted(running))
                os.kill(running[role], signal.SIGKILL)
                _, status = os.waitpid(running.pop(role), 0)
                if os.WIFSIGNALED(status):
                    self.kills += 1
                else:
                    assert status == 0, f"{role} ended with {status}: {self.log(role)}"
                    open_roles.discard(role)

    def log(self, role: str) -> str:
        """Give the end of what a role printed."""
        return (self.folder / f"{role}.log").read_text()[-2000:]

    def check(self, values: Callable[[str], Sequence[float]], alone: list[Any]) -> None:
        """See that nothing was lost, repeated or changed.

        Args:
            values: undisturbed values of an architecture.
            alone: trials of an undisturbed search without workers.
        """
        self.look()
        trials = self.trials()
        there = standing(trials)
        states = Counter(trial.state for trial in there)
        assert set(states) == {TrialState.COMPLETE}, f"states are {states}"
        # Workers that ask at one moment, also for the place of a lost trial, run one more each.
        most = TRIALS + (self.workers - 1) * (1 + len(trials) - len(there))
        assert TRIALS <= len(there) <= most, f"{len(there)} trials, not {TRIALS}"
        repeated = [key for key, n in Counter(t.user_attrs[KEY] for t in there).items() if n > 1]
        assert not repeated, f"repeated: {repeated}"
        for trial in there:
            expected = list(values(trial.user_attrs[ARCH]))
            assert trial.values == expected, f"trial {trial.number}: {trial.values}, {expected}"
        if self.workers == 1:
            found = [(trial.number, trial.params, trial.values) for trial in trials]
            assert found == alone, "the study is not that of an undisturbed search"
        front = ParetoSet.load(self.folder / "out" / "front.json")
        best = {t.number: t.values for t in there if not any(_beats(o, t) for o in there)}
        members = {m.attributes["trial"]: list(m.values) for m in front.members}
        assert sorted(members.values()) == sorted(map(list, {tuple(v) for v in best.values()})) or (
            members == best
        ), "the front is not that of the trials"


def _beats(one: FrozenTrial, other: FrozenTrial) -> bool:
    """Tell whether `one` has more layers or fewer MACs, and no less of the other."""
    (layers, macs), (less, more) = one.values, other.values
    return layers >= less and macs <= more and (layers, macs) != (less, more)


def start(command: list[str], folder: Path, role: str) -> int:
    """Fork a process that runs a command of hwnas."""
    gc.collect()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        log = os.open(folder / f"{role}.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ["HWNAS_CACHE"] = str(folder / "cache")
        main(command)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


@contextlib.contextmanager
def storages(folder: Path) -> Iterator[Callable[[str], str]]:
    """Give what makes an empty storage of a kind."""
    path = Path(__file__).parents[1] / "hwnas_optuna" / "conftest.py"
    spec = importlib.util.spec_from_file_location("servers", path)
    assert spec is not None
    assert spec.loader is not None
    servers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(servers)
    number = itertools.count()
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(servers.running_server())
        except FileNotFoundError:
            server = None

        def make(kind: str) -> str:
            if kind == "postgresql":
                return servers.new_data_base(server) if server else ""
            name = folder / f"study{next(number)}"
            return {"sqlite": f"sqlite:///{name}.db", "journal": f"journal:{name}.log"}[kind]

        yield make


def soak(kills: int, seed: int, kinds: Sequence[str] = STORAGES) -> dict[tuple[str, int], int]:
    """Kill until there were so many kills over all kinds of storage and numbers of workers.

    Returns:
        Kills by storage and workers.
    """
    # Read by each participant when it begins.
    hwnas_optuna.participant.GRACE_SECONDS = GRACE_SECONDS
    dice = random.Random(seed)
    made: Counter[tuple[str, int]] = Counter()
    space = read_space(SETTINGS.space)
    evaluator = make_evaluator(SETTINGS)
    # What takes longest is kept by the process, and each fork has it.
    alone = _alone(evaluator)

    def values(arch: str) -> list[float]:
        found = evaluator(space.parse(arch)).values
        return [found[o.name] for o in evaluator.objectives]

    with tempfile.TemporaryDirectory(prefix="hwnas-soak-") as folder, storages(Path(folder)) as new:
        for kind, workers in itertools.cycle(itertools.product(kinds, WORKERS)):
            left = kills - made.total()
            storage = new(kind)
            if left <= 0:
                break
            if not storage:
                continue
            scene = Scene(Path(tempfile.mkdtemp(dir=folder)), storage, workers, dice)
            try:
                scene.run(min(left, KILLS_A_STUDY))
                scene.check(values, alone)
            except AssertionError:
                kept = tempfile.mkdtemp(prefix="hwnas-soak-failed-")
                shutil.copytree(folder, kept, dirs_exist_ok=True)
                print(f"FAILED {kind}, {workers} workers, kept in {kept}", flush=True)
                raise
            made[kind, workers] += scene.kills
            print(f"{kind}, {workers} workers: {scene.kills} kills; {made.total()}", flush=True)
    return dict(made)


def _alone(evaluator: Evaluator[Any]) -> list[Any]:
    study = hwnas_optuna.search.open_study(
        evaluator,
        storage=None,
        name="hwnas",
        sampler=SETTINGS.sampler,
        seed=SETTINGS.seed,
        settings=SETTINGS.identity(),
    )
    run(study, evaluator, TRIALS)
    return [(trial.number, trial.params, trial.values) for trial in study.trials]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--storage", choices=STORAGES, action="append")
    given = parser.parse_args()
    for (kind, workers), n in sorted(
        soak(given.kills, given.seed, given.storage or STORAGES).items()
    ):
        print(f"{kind:12} {workers} workers {n:5} kills")
