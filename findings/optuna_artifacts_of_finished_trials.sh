#!/usr/bin/env bash
# Optuna 5.0.0: `optuna.artifacts.upload_artifact` takes a FrozenTrial by its signature, its text and its
# error "storage is required for FrozenTrial", but raises UpdateFinishedTrialError for each finished
# trial, in memory, in SQLite and in a journal file, since it writes a system attribute of the trial.
# `get_all_artifact_meta` reads those of finished trials. A study takes artefacts at any time. The button
# of optuna-dashboard 0.21.0 writes the same attribute. Expected: that the best trials of a study can get
# a file when the study is over, as one writes the models of a Pareto front.
#
# The script fails if a finished trial takes a file, or if another error is raised.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check optuna==5.0.0
cat > "$folder/attached.py" <<'PYTHON'
import inspect
import pathlib
import sys
import tempfile

import optuna
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.storages import InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend


def main():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(f"Python {sys.version.split()[0]}, optuna {optuna.__version__}")
    print(inspect.signature(upload_artifact).parameters["study_or_trial"])
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "model.txt").write_text("model")
        store = FileSystemArtifactStore(base_path=name)
        storages = (
            InMemoryStorage(),
            RDBStorage(f"sqlite:///{name}/study.db"),
            JournalStorage(JournalFileBackend(f"{name}/study.log")),
        )
        for storage in storages:
            study = optuna.create_study(storage=storage)
            study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
            given = {"artifact_store": store, "file_path": str(folder / "model.txt")}
            upload_artifact(study_or_trial=study, **given)
            try:
                upload_artifact(study_or_trial=study.best_trial, storage=storage, **given)
            except optuna.exceptions.UpdateFinishedTrialError as error:
                print(f"{type(storage).__name__}: {error}")
            else:
                sys.exit("The behaviour has changed.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/attached.py"
