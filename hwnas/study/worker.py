"""A worker: a process that joins a stored search, here or on another machine."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib

from hwnas.errors import DataFormatError, InvalidValueError
from hwnas.evaluation.cache import ResultCache
from hwnas.evaluation.evaluator import Report
from hwnas.measure.endless import forget
from hwnas.study.hosts import Watch, get_host
from hwnas.study.requirements import requirements
from hwnas.study.search import make_evaluator
from hwnas.study.settings import SearchSettings


@dataclass(frozen=True)
class Worker:
    """A worker that is ready to run.

    Space, objectives, constraints, sampler and seed are those of the search that made the study.

    Attributes:
        storage: Optuna storage of the study.
        study: study name in the storage.
        data_folder: folder of published data; None for the default one.
        jobs: worker processes for proxies, and trials asked for at a time; -1 for all cores.
        report: called with (label, finished, total), e.g. by a progress bar.
        limit_seconds: longest time for one network; None for the defaults.
        watch: is told how far the study is.
        plan: is told the settings of the study before any trial is run.
        device: where proxies run their passes, e.g. ``cuda``.
    """

    storage: str
    study: str = "hwnas"
    data_folder: Path | None = None
    jobs: int = 1
    report: Report | None = None
    limit_seconds: float | None = None
    watch: Watch | None = None
    plan: Callable[[SearchSettings], None] | None = None
    device: str = "cpu"

    def run(self) -> int:
        """Run trials until the study has as many as its search asks for.

        Returns:
            How many trials this worker ran.

        Raises:
            InvalidValueError: there is no such study, or this machine's versions, data or devices
                are not those of the search.
            HwnasError: a name is not known here, or published data is absent.
        """
        forget()
        joined = get_host("optuna").join(self.storage, self.study)
        settings = SearchSettings.from_identity(joined.settings)
        settings.insist_on_scores_of(joined.settings)
        with ResultCache.default() as cache:
            evaluator = make_evaluator(
                settings,
                data_folder=self.data_folder,
                cache=cache,
                jobs=self.jobs,
                report=self.report,
                limit_seconds=self.limit_seconds,
                device=self.device,
            )
            check_requirements(joined.requirements, requirements(evaluator))
            if self.plan is not None:
                self.plan(settings)
            name = f"worker-{uuid.uuid4().hex[:8]}"
            return joined.work(evaluator, name, joblib.effective_n_jobs(self.jobs), self.watch)


def check_requirements(there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Insist that values computed here and by the search are the same.

    Args:
        there: `hwnas.study.requirements.requirements` of the search.
        here: the same of this process.

    Raises:
        InvalidValueError: they differ; the first difference is named.
        DataFormatError: the search's are damaged.
    """
    for kind, what in (("versions", "the search's version of"), ("costs", "the search's")):
        if not isinstance(said := there.get(kind), Mapping):
            raise DataFormatError(
                f"`study` must say {kind} in its requirements, but has {str(said)[:60]!r}: it is "
                f"damaged."
            )
        for name, needed in said.items():
            found = here[kind].get(name)
            if _public(found) != _public(needed):
                raise InvalidValueError(
                    f"`worker` must have {what} {name}, but {_difference(needed, found)}: values "
                    f"of the two are not comparable."
                )


def _public(value: Any) -> Any:
    """Leave out a version's local part: `2.13.0+cpu` computes what `2.13.0` computes."""
    return value.partition("+")[0] if isinstance(value, str) else value


def _difference(there: Any, here: Any) -> str:
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        key = next(k for k in {**there, **here} if there.get(k) != here.get(k))
        if isinstance(there.get(key), Mapping):
            return _difference(there[key], here.get(key))
        return f"its {key} is {there.get(key)!r} there and {here.get(key)!r} here"
    return f"it is {there!r} there and {here!r} here"
