"""What Optuna's dashboard shows of a study, by its API."""

from __future__ import annotations

import json
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from hwnas_optuna.loop import run
from tests.hwnas_optuna.test_search import Toy, evaluator, study_of

dashboard = pytest.importorskip("optuna_dashboard", reason="the extra dashboard is not installed")


def asked(application: Any, path: str) -> dict[str, Any]:
    """Ask a WSGI application as a browser would."""
    environ: dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": "after=0"}
    setup_testing_defaults(environ)
    statuses: list[str] = []
    body = b"".join(application(environ, lambda status, *_: statuses.append(status)))
    assert statuses == ["200 OK"]
    answer: dict[str, Any] = json.loads(body)
    return answer


@pytest.mark.filterwarnings("default")  # its own warnings are not ours
def test_metrics_have_names_and_no_infeasible_trial_is_among_the_best() -> None:
    made = evaluator(Toy(), bound=12.0)
    study = study_of(made, None, "random")
    run(study, made, 40)
    storage = study._storage
    assert isinstance(storage, InMemoryStorage) or storage is not None
    shown = asked(dashboard.wsgi(storage), f"/api/studies/{study._study_id}")
    assert shown["metric_names"] == ["gain", "cost_ms"]
    assert shown["directions"] == ["maximize", "minimize"]
    infeasible = {t.number for t in study.trials if any(v > 0 for v in t.constraints.values())}
    best = {trial["number"] for trial in shown["best_trials"]}
    assert infeasible
    assert best
    assert not best & infeasible
    assert {t.state for t in study.trials if t.number in infeasible} == {TrialState.PRUNED}
