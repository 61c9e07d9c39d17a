"""A search described in words: settings, the folder of its results, and the host that runs it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, cast

from filelock import FileLock, Timeout

from hwnas import registry
from hwnas.data.own_images import OwnImages
from hwnas.errors import DataFormatError, InvalidValueError
from hwnas.evaluation.cache import ResultCache
from hwnas.evaluation.evaluator import Evaluator, Report
from hwnas.evaluation.origin import cost_sources, describe_cost, origin, uncertain_costs
from hwnas.files.grammar import split_constraint
from hwnas.measure.host import package_versions
from hwnas.pareto import ParetoSet
from hwnas.pareto.baseline import findings
from hwnas.pareto.provenance import plain
from hwnas.pareto.standing import with_standing
from hwnas.pareto.uncertainty import notices, with_uncertainty
from hwnas.spaces.functions import FunctionSpace
from hwnas.spaces.space_text import named_space, read_space
from hwnas.study.baseline import PresentNetwork, evaluate_baseline
from hwnas.study.configuration import (
    EvaluationSetup,
    bounded,
    make_constraints,
    make_objectives,
    named_task,
)
from hwnas.study.measured_front import make_measuring
from hwnas.study.probe import insist_on_evaluable, insist_on_feasible, insist_on_networks
from hwnas.study.remarks import redundancies, refusals, shortage
from hwnas.study.stability import default_score
from hwnas.typing import SearchSpace

DEFAULT_SCORE = "jacob_cov+params"
DEFAULT_COST = "onnxruntime:cpu:latency"
STUDY_FILE, LOCK_FILE = "study.db", ".lock"
_FREE = ("trials", "measure", "measure_budget")
_DECISIVE = ("hwnas", "torch", "numpy", "optuna")


@dataclass(frozen=True)
class SearchSettings:
    """What is searched for; two searches with equal settings give equal fronts.

    Measured costs are the exception: their noise differs, unless both read one cache.

    Attributes:
        space: search space by name.
        dataset: classes, image size and published tables.
        objectives: proxies and ready-made scores by name; none for `default_score`.
        costs: ``SOURCE:DEVICE:METRIC``.
        constraints: ``NAME<=NUMBER`` or ``NAME>=NUMBER``.
        sampler: sampler of the host by name.
        trials: trials in the end.
        measure: what measures the candidates that a predicted cost leaves open, as a cost; empty
            for nothing.
        measure_budget: most candidates to measure.
        batch: images that the proxies see.
        images: which: ``gaussian``, ``cifar10-sample`` or the user's own, see `EvaluationSetup`;
            the user's own say classes and image size, whatever `dataset` is.
        seed: seed of everything random.
    """

    space: str = "nasbench201"
    dataset: str = "cifar10"
    objectives: tuple[str, ...] = (DEFAULT_SCORE,)
    costs: tuple[str, ...] = (DEFAULT_COST,)
    constraints: tuple[str, ...] = ()
    sampler: str = "hardware-aware"
    trials: int = 64
    batch: int = 32
    images: str = "gaussian"
    seed: int = 0
    measure: str = ""
    measure_budget: int = 0

    @classmethod
    def from_identity(cls, identity: Mapping[str, Any]) -> SearchSettings:
        """Read what `identity` gave; the number of trials is the default one.

        Raises:
            InvalidValueError: it is what another version of hwnas gave, or damaged.
        """
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in identity.items()
        }
        try:
            found = cls(**values)
        except TypeError:
            raise InvalidValueError(
                f"`settings` must be of this version of hwnas, but got {', '.join(identity)}."
            ) from None
        for name, value in vars(found).items():
            usual = getattr(cls, name)
            texts = not isinstance(value, tuple) or all(isinstance(v, str) for v in value)
            if type(value) is not type(usual) or not texts:
                kind = "a list of texts" if isinstance(usual, tuple) else type(usual).__name__
                raise InvalidValueError(
                    f"`settings` must have {kind} as {name}, but got {value!r}: the study is "
                    f"damaged."
                )
        return found

    def pinned(self, space: SearchSpace[Any]) -> SearchSettings:
        """Name the user's own images by place and checksum, and the data set by them.

        A function of the user's gets the fingerprint of its code.
        """
        pinned = replace(self, space=repr(space)) if isinstance(space, FunctionSpace) else self
        own = OwnImages.parse(self.images)
        if own is None:
            return pinned
        return replace(pinned, images=own.pinned(self.batch), dataset=own.name)

    def identity(self) -> dict[str, Any]:
        """Give what must stay the same when a study goes on.

        That is everything but the trials, and what is measured when they are done.
        """
        return {k: v for k, v in plain(asdict(self)).items() if k not in _FREE}


def read_stored(text: object, what: str) -> dict[str, Any]:
    """Read what a study keeps of its search as JSON text.

    Args:
        text: what the storage gave.
        what: what it is, for the error.

    Raises:
        DataFormatError: it is no text of a JSON object: the study is damaged.
    """
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise DataFormatError(
            f"`study` must keep its {what} as a JSON object, but has {str(text)[:60]!r}: it is "
            f"damaged."
        )
    return found


@dataclass(frozen=True)
class Folder:
    """Where a search keeps its study and its results.

    Attributes:
        path: folder; made if absent. None writes no results, and keeps a study without a storage
            in memory.
        storage: Optuna storage: an SQLAlchemy URL, ``journal:FILE`` or ``grpc://HOST:PORT``; an
            SQLite file in the folder if None.
        study: study name in the storage.
    """

    path: Path | None
    storage: str | None = None
    study: str = "hwnas"

    @property
    def url(self) -> str | None:
        """The storage, as text; None for memory."""
        if self.storage is None and self.path is not None:
            return f"sqlite:///{self.path / STUDY_FILE}"
        return self.storage

    def lock(self) -> AbstractContextManager[object]:
        """Make the folder and hold the lock that keeps a second search out of it.

        Raises:
            Timeout: another search holds it.
        """
        if self.path is None:
            return nullcontext()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / LOCK_FILE).touch()
        except OSError as error:
            raise InvalidValueError(
                f"`out` must be a folder that can be written, but got {str(self.path)!r} "
                f"({error.strerror})."
            ) from None
        return FileLock(self.path / LOCK_FILE).acquire(timeout=0)


class StoredStudy(Protocol):
    """A study of a host's `search` that workers may join."""

    @property
    def settings(self) -> dict[str, Any]:
        """`SearchSettings.identity` of the search."""

    @property
    def requirements(self) -> dict[str, Any]:
        """`requirements` of the search."""

    def work(
        self, evaluator: Evaluator[Any], name: str, batch: int, watch: Watch | None = None
    ) -> int:
        """Run trials until the study has enough of them; give how many were run."""


class Watch(Protocol):
    """Who is told how far a search is, e.g. a progress line."""

    def stage(self, what: str) -> None:
        """Take what is done now."""

    def trials(self, finished: int, total: int, facts: Sequence[str]) -> None:
        """Take how many trials the study has, and what was found, e.g. ``front 12``."""


class Host(Protocol):
    """What runs a search: Optuna, in this version."""

    def search(
        self,
        evaluator: Evaluator[Any],
        settings: SearchSettings,
        folder: Folder,
        provenance: dict[str, Any],
        watch: Watch | None = None,
        timeout: float | None = None,
    ) -> ParetoSet:
        """Run or go on with a study until it has the trials of the settings, or time is up."""

    def samplers(self) -> list[dict[str, str]]:
        """Say of each sampler what it is: `sampler`, `kind` and `description`."""

    def insist_on(self, settings: SearchSettings, folder: Folder) -> None:
        """Insist that sampler and storage are usable, before anything is done."""

    def join(self, storage: str, study: str) -> StoredStudy:
        """Join a study of `search`, to run some of its trials."""

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
        space: the search space; made of its text if None.
        limit_seconds: longest time for one network; None for the defaults.
        baseline: the user's present network, which the members are compared with; None without.
        watch: is told how far the search is.
        timeout: seconds after which no more trials are begun; None for as long as it takes.
        notices: lines for the user, filled by `run`.
        device: where proxies run their passes, e.g. ``cuda``; worker processes share it.
    """

    settings: SearchSettings
    folder: Folder
    data_folder: Path | None = None
    jobs: int = 1
    report: Report | None = None
    space: SearchSpace[Any] | None = None
    limit_seconds: float | None = None
    baseline: PresentNetwork | None = None
    watch: Watch | None = None
    timeout: float | None = None
    notices: list[str] = field(default_factory=list)
    device: str = "cpu"

    def run(self) -> ParetoSet:
        """Run the search, or go on with what an interrupted run of it left.

        Returns:
            The Pareto set, which is also written to the folder, where there is one: `front.json`,
            `front.csv` and `report.html`.

        Raises:
            HwnasError: a name, a value, the data or the folder is not usable.
        """
        try:
            with self.folder.lock(), ResultCache.default() as cache:
                return self._run(cache)
        except Timeout:
            raise InvalidValueError(
                f"`out` must not be in use by another search, but {str(self.folder.path)!r} is: "
                f"wait for it, or name another folder."
            ) from None

    def _run(self, cache: ResultCache) -> ParetoSet:
        from hwnas.reports.folder import write_results

        host = get_host("optuna")
        host.insist_on(self.settings, self.folder)
        self._stage("preparing the search space")
        # A module of the user's is imported for a search, not for a file.
        space = named_space(self.settings.space) if self.space is None else self.space
        s = self.settings.pinned(space)
        bounded(space, self.limit_seconds)
        if isinstance(space, FunctionSpace):
            insist_on_networks(space, named_task(s.dataset, s.images), s.seed)
        agreement: dict[str, float] = {}
        if not s.objectives:
            self._stage("choosing the score")
            name, agreement = self._default(s, space, cache)
            s = replace(s, objectives=(name,))
        evaluator = make_evaluator(
            s,
            space=space,
            data_folder=self.data_folder,
            cache=cache,
            jobs=self.jobs,
            report=self.report,
            limit_seconds=self.limit_seconds,
            device=self.device,
        )
        self._stage("trying the objectives")
        insist_on_evaluable(evaluator, cache, s.seed)
        self._stage("looking for architectures that keep the constraints")
        insist_on_feasible(evaluator, s.seed)
        task = named_task(s.dataset, s.images)
        setup = EvaluationSetup(
            space, task, data_folder=self.data_folder, limit_seconds=self.limit_seconds
        )
        measuring = make_measuring(s, setup, evaluator)
        # Before the study, which is not begun where the network is of no use.
        mine = self.baseline
        present = None if mine is None else evaluate_baseline(evaluator, mine, task)
        front = host.search(
            evaluator,
            s,
            self.folder,
            {
                "seed": s.seed,
                "settings": asdict(s),
                "dataset": task.as_dict(),
                "costs": origin(evaluator)["costs"],
                **({"seed_agreement": agreement} if agreement else {}),
            },
            self.watch,
            self.timeout,
        )
        self._stage("writing the results")
        front = with_uncertainty(front, evaluator.space, uncertain_costs(evaluator.objectives))
        if measuring is not None:
            self._stage("measuring what the predictions leave open")
            front, lines = measuring.apply(front, evaluator, cache, self.report)
            self.notices += lines
        references = {o.name: o.reference for o in evaluator.objectives if o.reference}
        front = replace(with_standing(front, references), baseline=present)
        self.notices += [
            *refusals(front),
            *shortage(front),
            *redundancies(front),
            *notices(front),
            *findings(front),
        ]
        if self.folder.path is not None:
            write_results(front, self.folder.path, evaluator.space)
        return front

    def _stage(self, what: str) -> None:
        if self.watch is not None:
            self.watch.stage(what)

    def _default(
        self, s: SearchSettings, space: SearchSpace[Any], cache: ResultCache
    ) -> tuple[str, dict[str, float]]:
        """Choose the score where the settings name none; tell how well two seeds agree."""
        task = named_task(s.dataset, s.images)
        limits = bounded(space, self.limit_seconds)
        setup = EvaluationSetup(
            space,
            task,
            s.batch,
            s.seed,
            self.data_folder,
            s.images,
            self.limit_seconds,
            self.device,
        )
        return default_score(setup, cache=cache, jobs=self.jobs, limits=limits, report=self.report)


def make_evaluator(
    settings: SearchSettings,
    *,
    space: SearchSpace[Any] | None = None,
    data_folder: Path | None = None,
    cache: ResultCache | None = None,
    jobs: int = 1,
    report: Report | None = None,
    limit_seconds: float | None = None,
    device: str = "cpu",
) -> Evaluator[Any]:
    """Make the evaluator that a search's settings describe.

    Args:
        settings: what is searched for.
        space: the search space; made of its text if None.
        data_folder: folder of published data; None for the default one.
        cache: where results are kept; in memory if None.
        jobs: worker processes for proxies; -1 for all cores.
        report: progress.
        limit_seconds: longest time for the values of one network, and for each measurement whose
            text does not say `limit_seconds` itself; None for the defaults, see `limits_of` and
            `hwnas.measure.limits.Limits`.
        device: where proxies run their passes.

    Raises:
        HwnasError: a name, a value or the data is not usable.
    """
    s = settings
    for text in s.constraints:
        split_constraint(text)  # a slip of the pen is told before anything is scored
    space = read_space(s.space) if space is None else space
    task, limits = named_task(s.dataset, s.images), bounded(space, limit_seconds)
    setup = EvaluationSetup(
        space, task, s.batch, s.seed, data_folder, s.images, limit_seconds, device
    )
    objectives = make_objectives(
        setup, s.objectives, s.costs, cache=cache, jobs=jobs, limits=limits, report=report
    )
    constraints = make_constraints(setup, s.constraints, objectives)
    return Evaluator(
        space, objectives, constraints, cache=cache, jobs=jobs, limits=limits, report=report
    )


def requirements(evaluator: Evaluator[Any]) -> dict[str, Any]:
    """Give what values depend on beside the settings, as JSON values.

    Returns:
        `versions` by package, and `costs` by objective: device, unit, and the fingerprint of a
        measuring host or the checksum of a published table.
    """
    bounded = [constraint.objective for constraint in evaluator.constraints]
    costs = {s.name: describe_cost(s) for s in cost_sources([*evaluator.objectives, *bounded])}
    for cost in costs.values():
        # Where a table lies is no property of it.
        cost.get("provenance", {}).pop("file", None)
    return {"versions": package_versions(_DECISIVE), "costs": plain(costs)}


def check_measured_as(study: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Insist that the latencies of a study that goes on are of one kind.

    Args:
        study: its name.
        before: `requirements` of the search that began it; empty if it did not say them, which
            only searches before the reference network did.
        now: those of this one.

    Raises:
        InvalidValueError: raw times and times at the speed of a reference network would be mixed.
    """
    known = before.get("costs")
    for name, cost in now["costs"].items():
        if "measured_as" not in cost:
            continue
        from hwnas.costs.measured import RAW  # which needs PyTorch

        said = known.get(name) if isinstance(known, Mapping) else None
        there = said.get("measured_as", RAW) if isinstance(said, Mapping) else RAW
        if there != cost["measured_as"]:
            raise InvalidValueError(
                f"Study {study!r} must be continued with values of one kind, but {name} was "
                f"measured {there} there and is {cost['measured_as']} now, which cannot be "
                f"compared: search in another folder, with reference=off for raw times."
            )


def get_host(name: str) -> Host:
    """Make a host by name."""
    return cast(Host, registry.load("hosts", name)())
