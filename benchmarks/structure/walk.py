"""The walk from a search to its report: the files and functions that one run passes through.

Every call of a Python function in hwnas's packages is seen by `sys.setprofile`. A file is *entered
again* when a call comes into it from another file although a call of it is still open: control goes
down, comes back up and goes down again. A generator that goes on is no call. Run it on two versions
of the code to compare them::

    python -m benchmarks.structure.walk
    PYTHONPATH=OTHER:OTHER/predictors:OTHER/plugins python benchmarks/structure/walk.py

`--optuna` walks a study of Optuna alone, with SQLite and as many trials, through Optuna's files.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

OURS = re.compile(r"/(hwnas|hwnas_optuna|hwnas_predictors|hwnas_nni)/")
OPTUNA = re.compile(r"/optuna/")


@dataclass
class Walk:
    """What was passed through.

    Attributes:
        pattern: tells the paths of the files that count.
        functions: calls by (file, line of the definition).
        again: entries into a file that a call is open in, by file.
        generators: frames that have begun; kept, so that their identities stay theirs.
    """

    pattern: re.Pattern[str]
    functions: Counter[tuple[str, int]] = field(default_factory=Counter)
    again: Counter[str] = field(default_factory=Counter)
    generators: dict[int, FrameType] = field(default_factory=dict)

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """Take one event of `sys.setprofile`."""
        del argument
        if event != "call" or not self._counts(frame):
            return
        if frame.f_code.co_flags & inspect.CO_GENERATOR:
            begun = id(frame) in self.generators
            self.generators[id(frame)] = frame
            if begun:
                return
        path = frame.f_code.co_filename
        self.functions[path, frame.f_code.co_firstlineno] += 1
        callers = [open_.f_code.co_filename for open_ in self._callers(frame)]
        if path in callers and callers[0] != path:
            self.again[path] += 1

    def _counts(self, frame: FrameType) -> bool:
        """Tell functions: bodies of modules and classes, comprehensions and lambdas are none."""
        code = frame.f_code
        function = code.co_flags & inspect.CO_OPTIMIZED and not code.co_name.startswith("<")
        return bool(function and self.pattern.search(code.co_filename))

    def _callers(self, frame: FrameType) -> Iterator[FrameType]:
        """Give the functions that are open, the nearest first."""
        caller = frame.f_back
        while caller is not None:
            if self._counts(caller):
                yield caller
            caller = caller.f_back

    def of(self, run: Callable[[], object]) -> Walk:
        """Walk through a call."""
        sys.setprofile(self)
        try:
            run()
        finally:
            sys.setprofile(None)
        return self

    @property
    def files(self) -> set[str]:
        """The files that some call went into."""
        return {path for path, _ in self.functions}


def search(folder: Path, trials: int) -> Callable[[], object]:
    """Give the call of ``hwnas search`` with counts and shipped scores, on one process."""
    from hwnas.cli import main as hwnas

    costs = ["--objective", "naswot", "--cost", "count:params", "--trials", str(trials)]

    def run() -> None:
        try:
            hwnas(["search", *costs, "--out", str(folder / "results")])
        except SystemExit as end:
            if end.code:
                raise

    return run


def optuna_study(folder: Path, trials: int) -> Callable[[], object]:
    """Give the call of a study of six categorical parameters and two objectives."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        values = [trial.suggest_categorical(f"edge_{i}", list("abcde")) for i in range(6)]
        return float(values.count("a")), float(values.count("b"))

    def run() -> None:
        study = optuna.create_study(
            storage=f"sqlite:///{folder / 'study.db'}", directions=["maximize", "minimize"]
        )
        study.optimize(objective, n_trials=trials)
        assert study.best_trials

    return run


def main() -> None:
    """Walk and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--optuna", action="store_true")
    parser.add_argument("--files", action="store_true", help="print each file, and its entries")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        make = optuna_study if given.optuna else search
        walk = Walk(OPTUNA if given.optuna else OURS).of(make(Path(name), given.trials))
    print(
        f"{len(walk.files)} files, {len(walk.functions)} functions, {walk.functions.total()} calls;"
        f" {len(walk.again)} files entered again, {walk.again.total()} times"
    )
    for path in sorted(walk.files) if given.files else ():
        functions = sum(1 for other, _ in walk.functions if other == path)
        print(f"{functions:4} functions, {walk.again[path]:6} times again  {path}")


if __name__ == "__main__":
    main()
