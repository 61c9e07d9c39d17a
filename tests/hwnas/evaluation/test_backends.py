from __future__ import annotations

import os
import subprocess
import sys

import joblib
import pytest

from hwnas.errors import InvalidValueError, MissingDependencyError, UnknownNameError
from hwnas.evaluation.backends import parallel_backend

# A process of its own: clusters start threads and processes and leave warnings behind.
SAME_VALUES = """
import os
import sys

from hwnas.evaluation.backends import parallel_backend
from hwnas.spaces.space_text import read_space
from hwnas.study.configuration import EvaluationSetup, make_objectives, reference_sample
from hwnas.tasks.catalogue import get_task
from hwnas.evaluation.evaluator import Evaluator


def main(backend: str) -> None:
    space = read_space("nasbench201:channels=4,cells=1")
    task = EvaluationSetup(space, get_task("cifar10"), 4, 0)
    objectives = make_objectives(task, ["naswot"], ["count:macs"])
    archs = reference_sample(space, 20, 0)
    here = Evaluator(space, objectives).evaluate(archs)
    with parallel_backend(backend, 2):
        seen = []
        evaluator = Evaluator(space, objectives, jobs=2, report=lambda *a: seen.append(a))
        there = evaluator.evaluate(archs)
    assert [e.values for e in there] == [e.values for e in here]
    assert not any(e.errors for e in there)
    assert ("proxy scores", 20, 20) in seen


if __name__ == "__main__":
    main(sys.argv[1])
    print("same values")
"""


@pytest.mark.parametrize(
    ("backend", "package"), [("loky", "joblib"), ("dask", "distributed"), ("ray", "ray")]
)
def test_every_backend_gives_the_same_values(
    backend: str, package: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pytest.importorskip(package, reason=f"the extra {backend} is not installed")
    script = tmp_path_factory.mktemp("script") / "same_values.py"
    script.write_text(SAME_VALUES)
    done = subprocess.run(
        [sys.executable, str(script), backend],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "RAY_DISABLE_IMPORT_WARNING": "1"},
    )
    assert done.stdout == "same values\n", done.stderr
    assert done.returncode == 0


def test_bad_settings_are_refused() -> None:
    for name, jobs, cluster, message in (
        ("loky", 0, None, "`jobs` must not be 0"),
        ("dask", 1, None, "`jobs` must be more than 1 with the backend dask"),
        ("loky", 2, "tcp://host:1", "`cluster` must be left out"),
    ):
        with pytest.raises(InvalidValueError, match=message), parallel_backend(name, jobs, cluster):
            pass
    with pytest.raises(UnknownNameError, match="Did you mean 'dask'"), parallel_backend("dusk", 2):
        pass


@pytest.mark.parametrize(("backend", "module"), [("ray", "ray"), ("dask", "distributed")])
def test_an_absent_package_names_the_extra(
    backend: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with (
        pytest.raises(MissingDependencyError, match=rf"hwnas\[{backend}\]"),
        parallel_backend(backend, 2),
    ):
        pass


def test_an_unreachable_ray_cluster_is_refused_at_once() -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    with (
        pytest.raises(InvalidValueError, match="address of a running ray cluster"),
        parallel_backend("ray", 2, "127.0.0.1:1"),
    ):
        pass


def test_the_backend_ends_with_its_context() -> None:
    before = type(joblib.parallel.get_active_backend()[0])
    with parallel_backend("loky", 2):
        pass
    assert type(joblib.parallel.get_active_backend()[0]) is before
