"""Who runs a search, where it is kept, and who is told how far it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from filelock import FileLock

from hwnas import registry
from hwnas.errors import InvalidValueError

if TYPE_CHECKING:
    from hwnas.evaluation.evaluator import Evaluator
    from hwnas.pareto import ParetoSet
    from hwnas.study.settings import SearchSettings
    from hwnas.typing import SearchSpace

STUDY_FILE, LOCK_FILE = "study.db", ".lock"


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

    def from_study(
        self,
        study: Any,
        provenance: Mapping[str, Any] | None = None,
        space: SearchSpace[Any] | None = None,
    ) -> ParetoSet:
        """Make the Pareto set of the host's study object."""

    def load(
        self, storage: str, study: str, space: Callable[[], SearchSpace[Any]] | None = None
    ) -> ParetoSet:
        """Make the Pareto set of a stored study; `space` gives that of a user's own objective."""

    def attach(
        self, storage: str, study: str, files: Mapping[str | int, Sequence[Path]], folder: Path
    ) -> int:
        """Attach files to trials by their architectures' keys, or else numbers; count them."""


def get_host(name: str) -> Host:
    """Make a host by name."""
    return cast(Host, registry.load("hosts", name)())
