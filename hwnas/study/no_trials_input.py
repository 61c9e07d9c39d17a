"""What is refused where a front is made without trials: settings without a part, other results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hwnas.errors import HwnasError, InvalidValueError
from hwnas.pareto import ParetoSet
from hwnas.study.hosts import STUDY_FILE, Folder
from hwnas.study.settings import LEARNED, SearchSettings

_OF_TRIALS = (
    "labels", "transfer", "reduced", "batch", "seed", "sampler", "measure", "measure_budget",
)  # fmt: skip


def insist_on_no_trials(s: SearchSettings, folder: Folder, baseline: bool) -> None:
    """Refuse what has no part in shipped scores, and a folder that holds something else.

    Args:
        s: settings of the search.
        folder: where its results go.
        baseline: whether a present network is to be compared.

    Raises:
        InvalidValueError: something is given that would be ignored, or a study or its front would
            be overwritten.
    """
    given = [name for name in _OF_TRIALS if getattr(s, name) != getattr(SearchSettings, name)]
    also = {"baseline": baseline, "storage": folder.storage, LEARNED: LEARNED in s.objectives}
    if given := [*given, *(name for name, there in also.items() if there)]:
        raise InvalidValueError(
            f"`trials` must be at least 1 with {', '.join(given)}, which shipped scores know "
            f"nothing of, but got 0."
        )
    if folder.path is not None and _is_of_trials(folder.path):
        raise InvalidValueError(
            f"`out` must be a folder without a study where `trials` is 0, but "
            f"{str(folder.path)!r} has the results of one: name another folder."
        )


def _is_of_trials(folder: Path) -> bool:
    """Tell whether a folder has a study, or a front that is not of a search without trials."""
    from hwnas.reports.folder import FRONT

    if (folder / STUDY_FILE).exists():
        return True
    if not (folder / FRONT).exists():
        return False
    try:
        settings = ParetoSet.load(folder / FRONT).provenance.get("settings")
    except HwnasError:
        return True
    return not isinstance(settings, Mapping) or settings.get("trials") != 0
