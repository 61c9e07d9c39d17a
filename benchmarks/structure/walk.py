"""The walk from a search to its report: the files and functions that one run passes through.

Every call of a Python function in hwnas's packages is seen by `sys.setprofile`. A file is *entered
again* when a call comes into it from another file although a call of it is still open: control goes
down, comes back up and goes down again. A generator that goes on is no call, and templates have no
functions. Run it on two versions of the code to compare them::

    python -m benchmarks.structure.walk
    PYTHONPATH=OTHER:OTHER/predictors:OTHER/plugins python benchmarks/structure/walk.py

`--optuna` walks a study of Optuna alone, with SQLite and as many trials, through Optuna's files.
"""

from __future__ import annotations

import argparse
import inspect
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

OURS = ("hwnas", "hwnas_optuna", "hwnas_predictors", "hwnas_nni")


@dataclass
class Walk:
    """What was passed through.

    Attributes:
        packages: names of the packages whose files count.
        functions: calls by (file, line of the definition).
        again: entries into a file that a call is open in, by file.
    """

    packages: tuple[str, ...]
    functions: Counter[tuple[str, int]] = field(default_factory=Counter)
    again: Counter[str] = field(default_factory=Counter)
    _open: list[str] = field(default_factory=list)
    _begun: dict[int, FrameType] = field(default_factory=dict)
    _known: dict[CodeType, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        found = [find_spec(name) for name in self.packages]
        places = [
            place for spec in found if spec for place in spec.submodule_search_locations or ()
        ]
        self._folders = tuple(f"{place}/" for place in places)

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """Take one event of `sys.setprofile`."""
        del argument
        if event not in ("call", "return") or not self._counts(frame.f_code):
            return
        if event == "return":
            self._open.pop()
            return
        path = frame.f_code.co_filename
        if not self._goes_on(frame):
            self.functions[path, frame.f_code.co_firstlineno] += 1
            if path in self._open and self._open[-1] != path:
                self.again[path] += 1
        self._open.append(path)

    def _goes_on(self, frame: FrameType) -> bool:
        """Tell whether a generator has begun before; its frame is kept, so that it stays itself."""
        if not frame.f_code.co_flags & inspect.CO_GENERATOR or id(frame) in self._begun:
            return id(frame) in self._begun
        self._begun[id(frame)] = frame
        return False

    def _counts(self, code: CodeType) -> bool:
        """Tell functions: bodies of modules and classes, comprehensions and lambdas are none."""
        if code not in self._known:
            function = code.co_flags & inspect.CO_OPTIMIZED and not code.co_name.startswith("<")
            ours = code.co_filename.startswith(self._folders) and code.co_filename.endswith(".py")
            self._known[code] = bool(function and ours)
        return self._known[code]

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
        walk = Walk(("optuna",) if given.optuna else OURS).of(make(Path(name), given.trials))
    print(
        f"{len(walk.files)} files, {len(walk.functions)} functions, {walk.functions.total()} calls;"
        f" {len(walk.again)} files entered again, {walk.again.total()} times"
    )
    for path in sorted(walk.files) if given.files else ():
        functions = sum(1 for other, _ in walk.functions if other == path)
        print(f"{functions:4} functions, {walk.again[path]:6} times again  {path}")


if __name__ == "__main__":
    main()
