"""What Optuna's dashboard shows of a study, by its API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from optuna.artifacts import FileSystemArtifactStore
from optuna.trial import TrialState

from hwnas.cli import main
from hwnas_optuna.artifacts import attach
from hwnas_optuna.loop import run
from hwnas_optuna.objective import KEY
from hwnas_optuna.search import load_study
from tests.hwnas_optuna.toy import Toy, evaluator, study_of

# It warns of its own use of Optuna's experimental parts.
pytestmark = pytest.mark.filterwarnings("default")


def asked(application: Any, path: str) -> dict[str, Any]:
    """Ask a WSGI application as a browser would."""
    environ: dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": "after=0"}
    setup_testing_defaults(environ)
    statuses: list[str] = []
    body = b"".join(application(environ, lambda status, *_: statuses.append(status)))
    assert statuses == ["200 OK"]
    answer: dict[str, Any] = json.loads(body)
    return answer


def shown(study: Any, folder: Path | None = None) -> dict[str, Any]:
    """Give what the dashboard knows of a study."""
    dashboard = pytest.importorskip("optuna_dashboard", reason="the extra dashboard is missing")
    store = None if folder is None else FileSystemArtifactStore(str(folder))
    application = dashboard.wsgi(study._storage, artifact_store=store)
    return asked(application, f"/api/studies/{study._study_id}")


def test_metrics_have_names_and_no_infeasible_trial_is_among_the_best() -> None:
    made = evaluator(Toy(), bound=12.0)
    study = study_of(made, None, "random")
    run(study, made, 40)
    seen = shown(study)
    assert seen["objective_names"] == ["gain", "cost_ms"]  # the unit is part of the name
    assert seen["directions"] == ["maximize", "minimize"]
    infeasible = {t.number for t in study.trials if any(v > 0 for v in t.constraints.values())}
    best = {trial["number"] for trial in seen["best_trials"]}
    assert infeasible
    assert best == {trial.number for trial in study.best_trials}
    assert not best & infeasible
    assert {t.state for t in study.trials if t.number in infeasible} == {TrialState.PRUNED}
    # What the constraint is about can be read at the trial, since its own attribute is not shown.
    attributes = {
        trial["number"]: {a["key"]: a["value"] for a in trial["user_attrs"]}
        for trial in seen["trials"]
    }
    assert all('"cost": ' in attributes[number]["hwnas:results"] for number in infeasible)


def test_files_are_attached_to_trials_once(tmp_path: Path) -> None:
    made = evaluator(Toy(), bound=12.0)
    study = study_of(made, None, "random")
    run(study, made, 10)
    trial = next(t for t in study.trials if t.state is TrialState.COMPLETE)
    drawing = tmp_path / "member-1.svg"
    drawing.write_text("<svg/>")
    for _ in range(2):
        files = {trial.user_attrs[KEY]: [drawing], "unknown": [drawing]}
        assert attach(study, files, tmp_path / "artifacts") >= 1
    kept = [path.read_text() for path in (tmp_path / "artifacts").iterdir()]
    same = [t for t in study.trials if t.user_attrs.get(KEY) == trial.user_attrs[KEY]]
    assert kept == ["<svg/>"] * len([t for t in same if t.state is TrialState.COMPLETE])
    seen = {t["number"]: t for t in shown(study, tmp_path / "artifacts")["trials"]}
    [artifact] = seen[trial.number]["artifacts"]
    assert (artifact["filename"], artifact["mimetype"]) == ("member-1.svg", "image/svg+xml")


def test_an_export_attaches_drawing_and_onnx_of_each_member(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "found")
    search = ["search", "--objective", "naswot", "--cost", "count:macs", "--trials", "3"]
    for words in (
        [*search, "--batch", "2", "--out", out],
        ["pareto", "export", out, "--artifacts"],
    ):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code == 0, capsys.readouterr().err
    assert f"--artifact-dir {out}/artifacts" in "".join(capsys.readouterr().err.split("\n"))
    study = load_study(f"sqlite:///{out}/study.db", "hwnas")
    seen = shown(study, tmp_path / "found/artifacts")
    for trial in seen["best_trials"]:
        kinds = sorted(Path(a["filename"]).suffix for a in trial["artifacts"])
        assert kinds == [".onnx", ".svg"]
