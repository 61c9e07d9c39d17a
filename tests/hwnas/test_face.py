"""`import hwnas` gives everything that is public, when it is used and not before."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import hwnas

STUB = Path(hwnas.__file__).with_suffix(".pyi")
HEAVY = ("torch", "scipy", "optuna", "onnxruntime", "pandas", "plotly", "moocore", "numpy")


def test_importing_it_imports_nothing_heavy() -> None:
    code = f"import hwnas, sys; dir(hwnas); print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_stub_for_type_checkers_has_the_same_names_from_the_same_modules() -> None:
    body = ast.parse(STUB.read_text()).body
    stated = {
        alias.name: node.module
        for node in body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert stated == vars(hwnas)["_HOME"]
    assert isinstance(body[-1], ast.Assign)
    assert sorted(hwnas.__all__) == ast.literal_eval(body[-1].value)


@pytest.mark.parametrize("name", [n for n in hwnas.__all__ if n != "__version__"])
def test_every_name_is_there_and_documented(name: str) -> None:
    found = getattr(hwnas, name)
    assert inspect.getdoc(found)
    assert name in dir(hwnas)


def test_functions_have_an_example_that_runs_with_the_other_docstrings() -> None:
    functions = [getattr(hwnas, n) for n in hwnas.__all__ if inspect.isfunction(getattr(hwnas, n))]
    own = [f for f in functions if f.__module__.startswith("hwnas.functions.")]
    assert own
    assert not [f.__name__ for f in own if ">>> " not in (f.__doc__ or "")]


def test_other_names_are_no_attributes_and_modules_stay_modules() -> None:
    with pytest.raises(AttributeError, match="no attribute 'scor'"):
        getattr(hwnas, "scor")  # noqa: B009
    assert importlib.import_module("hwnas.pareto").ParetoSet is hwnas.ParetoSet
