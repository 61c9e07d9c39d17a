"""Examples in docstrings run, and every public formula has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = (ROOT, ROOT / "predictors", ROOT / "plugins")
FORMULAS = (
    "hwnas.pareto.metrics",
    "hwnas.proxies.derivatives.window_sums",
    "hwnas.ranking.aggregation",
    "hwnas.ranking.bias",
    "hwnas.ranking.bootstrap",
    "hwnas.ranking.metrics",
    "hwnas.strategies.improvement",
    "hwnas.strategies.selection",
    "hwnas_predictors.power_transform",
)


def _modules_with_examples() -> list[str]:
    packages = ("hwnas", "hwnas_predictors", "hwnas_optuna", "hwnas_nni")
    return [
        ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
        for folder in FOLDERS
        for package in packages
        for path in sorted((folder / package).rglob("*.py"))
        if ">>> " in path.read_text(encoding="utf-8")
    ]


@pytest.mark.parametrize("name", _modules_with_examples())
def test_examples_run(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize("name", FORMULAS)
def test_every_public_formula_has_an_example(name: str) -> None:
    module = importlib.import_module(name)
    functions = [
        (key, value)
        for key, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == name and not key.startswith("_")
    ]
    assert functions
    assert not [key for key, value in functions if ">>> " not in (value.__doc__ or "")]
