"""Files of a front's members at their trials, where Optuna's dashboard shows them."""

from __future__ import annotations

import json
import mimetypes
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import optuna
from optuna.artifacts import FileSystemArtifactStore
from optuna.trial import FrozenTrial, TrialState

from hwnas_optuna.objective import KEY

_PREFIX = "dashboard:artifacts"
"""Optuna's own `upload_artifact` writes to the trial, which no storage allows once it is finished.
The dashboard reads what stands at the study under this name, trial and artefact, as well."""


def attach(study: optuna.Study, files: Mapping[str | int, Sequence[Path]], folder: Path) -> int:
    """Attach files to the finished trials of architectures; copies of them go to a folder.

    A trial that has a file of that name keeps it, so that nothing is attached twice.

    Args:
        study: with trials of `HardwareAwareObjective`, or of another objective.
        files: by canonical key of the architecture, and by number of the trial for those of another
            objective, which have no key.
        folder: for the store; made if absent. ``optuna-dashboard --artifact-dir`` takes it.

    Returns:
        How many trials have files now.
    """
    folder.mkdir(parents=True, exist_ok=True)
    store, found = FileSystemArtifactStore(str(folder)), 0
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        if (paths := files.get(trial.user_attrs.get(KEY, trial.number))) is None:
            continue
        found += 1
        there = _names(study, trial)
        for path in paths:
            if path.name not in there:
                _upload(study, trial, store, path)
    return found


def _names(study: optuna.Study, trial: FrozenTrial) -> set[str]:
    known = study._storage.get_study_system_attrs(study._study_id)
    own = [json.loads(v) for k, v in known.items() if k.startswith(f"{_PREFIX}:{trial._trial_id}:")]
    return {meta["filename"] for meta in own if meta is not None}  # None once it was deleted


def _upload(
    study: optuna.Study, trial: FrozenTrial, store: FileSystemArtifactStore, path: Path
) -> None:
    name, (kind, encoding) = str(uuid.uuid4()), mimetypes.guess_type(path.name)
    meta = {
        "artifact_id": name,
        "filename": path.name,
        "mimetype": kind or "application/octet-stream",
        "encoding": encoding,
    }
    with path.open("rb") as file:
        store.write(name, file)
    study._storage.set_study_system_attr(
        study._study_id, f"{_PREFIX}:{trial._trial_id}:{name}", json.dumps(meta)
    )
