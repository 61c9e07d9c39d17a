"""A search described in words: settings, the folder of its results, and the host that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from filelock import FileLock, Timeout

from hwnas import registry
from hwnas.cache import ResultCache
from hwnas.configuration import Task, make_constraints, make_objectives, make_space
from hwnas.data.datasets import get_dataset
from hwnas.errors import InvalidValueError
from hwnas.evaluation import Evaluator, Report
from hwnas.objectives import ValueObjective
from hwnas.pareto import ParetoSet
from hwnas.pareto.provenance import plain
from hwnas.sources import CostValues

DEFAULT_SCORE = "jacob_cov+params"
DEFAULT_COST = "onnxruntime:cpu:latency"
STUDY_FILE, LOCK_FILE = "study.db", ".lock"


@dataclass(frozen=True)
class SearchSettings:
    """What is searched for; two searches with equal settings give equal fronts.

    Measured costs are the exception: their noise differs, unless both read one cache.

    Attributes:
        space: search space by name.
        dataset: classes, image size and published tables.
        objectives: proxies and ready-made scores by name.
        costs: ``SOURCE:DEVICE:METRIC``.
        constraints: ``NAME<=NUMBER`` or ``NAME>=NUMBER``.
        sampler: sampler of the host by name.
        trials: trials in the end.
        batch: images of the proxies' synthetic input.
        seed: seed of everything random.
    """

    space: str = "nasbench201"
    dataset: str = "cifar10"
    objectives: tuple[str, ...] = (DEFAULT_SCORE,)
    costs: tuple[str, ...] = (DEFAULT_COST,)
    constraints: tuple[str, ...] = ()
    sampler: str = "hardware-aware"
    trials: int = 64
    batch: int = 16
    seed: int = 0

    def identity(self) -> dict[str, Any]:
        """Give what must stay the same when a study goes on: everything but the trials."""
        return {k: v for k, v in plain(asdict(self)).items() if k != "trials"}


@dataclass(frozen=True)
class Folder:
    """Where a search keeps its study and its results.

    Attributes:
        path: folder; made if absent.
        storage: Optuna storage URL; a file in the folder if None.
        study: study name in the storage.
    """

    path: Path
    storage: str | None = None
    study: str = "hwnas"

    @property
    def url(self) -> str:
        """The storage's URL."""
        return self.storage or f"sqlite:///{self.path / STUDY_FILE}"

    def lock(self) -> FileLock:
        """Make the folder and give the lock that keeps a second search out of it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / LOCK_FILE).touch()
        except OSError as error:
            raise InvalidValueError(
                f"`out` must be a folder that can be written, but got {str(self.path)!r} "
                f"({error.strerror})."
            ) from None
        return FileLock(self.path / LOCK_FILE)


class Host(Protocol):
    """What runs a search: Optuna, in this version."""

    def search(
        self,
        evaluator: Evaluator[Any],
        settings: SearchSettings,
        folder: Folder,
        provenance: dict[str, Any],
    ) -> ParetoSet:
        """Run or go on with a study until it has the trials of the settings."""

    def from_study(self, study: Any, provenance: Mapping[str, Any] | None = None) -> ParetoSet:
        """Make the Pareto set of the host's study object."""

    def load(self, storage: str, study: str) -> ParetoSet:
        """Make the Pareto set of a stored study."""


@dataclass
class Search:
    """A search that is ready to run.

    Attributes:
        settings: what is searched for.
        folder: where study and results are kept.
        data_folder: folder of published data; None for the default one.
        jobs: worker processes for proxies; -1 for all cores.
        report: called with (label, finished, total), e.g. by a progress bar.
        notices: lines for the user, filled by `run`.
    """

    settings: SearchSettings
    folder: Folder
    data_folder: Path | None = None
    jobs: int = 1
    report: Report | None = None
    notices: list[str] = field(default_factory=list)

    def run(self) -> ParetoSet:
        """Run the search, or go on with what an interrupted run of it left.

        Returns:
            The Pareto set, which is also written to the folder: `front.json`, `front.csv` and
            `report.html`.

        Raises:
            HwnasError: a name, a value, the data or the folder is not usable.
        """
        try:
            with self.folder.lock().acquire(timeout=0), ResultCache.default() as cache:
                return self._run(cache)
        except Timeout:
            raise InvalidValueError(
                f"`out` must not be in use by another search, but {str(self.folder.path)!r} is: "
                f"wait for it, or name another folder."
            ) from None

    def _run(self, cache: ResultCache) -> ParetoSet:
        from hwnas.export.folder import write_results

        s = self.settings
        task = Task(make_space(s.space), get_dataset(s.dataset), s.batch, s.seed, self.data_folder)
        objectives = make_objectives(
            task, s.objectives, s.costs, cache=cache, jobs=self.jobs, report=self.report
        )
        evaluator = Evaluator(
            task.space,
            objectives,
            make_constraints(task, s.constraints, objectives),
            cache=cache,
            jobs=self.jobs,
            report=self.report,
        )
        front = get_host("optuna").search(
            evaluator,
            s,
            self.folder,
            {
                "seed": s.seed,
                "settings": asdict(s),
                "dataset": asdict(task.dataset),
                "costs": [_describe(o) for o in objectives if isinstance(o.source, CostValues)],
            },
        )
        self.notices += redundancies(front)
        write_results(front, self.folder.path, task.space)
        return front


def get_host(name: str) -> Host:
    """Make a host by name."""
    return cast(Host, registry.load("hosts", name)())


def redundancies(front: ParetoSet) -> list[str]:
    """Say which objectives rank the evaluated architectures the same way."""
    import numpy as np

    from hwnas.objectives import redundant_pairs

    names = [objective.name for objective in front.objectives]
    # One row a class: repeated architectures would pretend agreement.
    rows = {e.key: e.values for e in front.evaluated if e.status == "complete"}
    values = np.array(list(rows.values()), dtype=np.float64).reshape(-1, len(names))
    return [
        f"{a} and {b} are redundant objectives: Spearman {rho:.3f} over {len(values)} "
        f"architectures."
        for a, b, rho in redundant_pairs(names, values)
    ]


def _describe(objective: ValueObjective[Any]) -> dict[str, Any]:
    assert isinstance(objective.source, CostValues)
    cost = objective.source.cost
    described = {"objective": objective.name, "device": str(cost.device), "unit": cost.unit}
    for name in ("provenance", "fingerprint"):
        if hasattr(cost, name):
            described[name] = plain(getattr(cost, name))
    return described
