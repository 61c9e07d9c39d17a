"""Fixtures of all tests: isolated folders, one thread, and published data where it is present."""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any

# Before numpy and torch are imported: tests must not fight for cores.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import pytest  # noqa: E402

pytest.register_assert_rewrite("hwnas.testing")

_DATA = os.environ.get("HWNAS_DATA")


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test away from the user's cache and from published data it does not ask for."""
    folder = tmp_path_factory.mktemp("user")
    monkeypatch.setenv("HWNAS_CACHE", str(folder / "cache"))
    monkeypatch.setenv("HWNAS_DATA", str(folder / "data"))
    # Tables are as wide as a terminal says, and some runners of tests say one.
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def data_folder(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of published data, and make it the default one; skip where it is absent."""
    if not _DATA:
        pytest.skip("HWNAS_DATA names no folder of published benchmark data")
    folder = Path(_DATA).absolute()
    if not folder.is_dir():
        pytest.fail(f"HWNAS_DATA names {folder}, which is no folder")
    monkeypatch.setenv("HWNAS_DATA", str(folder))
    return folder


@pytest.fixture
def conditional_space() -> Any:
    """Give the space of the example: nested conditions, ordered integers and floats."""
    example = Path(__file__).parents[1] / "examples/04_own_space.py"
    return runpy.run_path(str(example))["SmallNets"]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the slowest files, NNI's experiments: test processes end at about one time."""
    items.sort(key=lambda item: "hwnas_nni" not in item.path.parts)
