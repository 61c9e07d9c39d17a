"""What is installed: four packages with their types, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"hwnas", "hwnas_predictors", "hwnas_optuna", "hwnas_nni"}
# Code, types, the catalogue, and the parts of the report page.
KINDS = {".py", ".pyi", ".typed", ".json", ".html", ".js", ".css"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Build the wheel and list its files."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    done = subprocess.run([*command, str(ROOT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_top_level_is_the_four_packages(installed: list[str]) -> None:
    top = {name.partition("/")[0] for name in installed}
    assert {name for name in top if not name.endswith(".dist-info")} == PACKAGES
    assert len(top) == len(PACKAGES) + 1


def test_every_package_is_typed(installed: list[str]) -> None:
    for package in PACKAGES:
        assert f"{package}/py.typed" in installed


def test_catalogue_and_contract_tests_are_installed(installed: list[str]) -> None:
    assert "hwnas/data/catalogue.json" in installed
    assert "hwnas/testing/__init__.py" in installed


def test_no_data_and_no_tests_are_installed(installed: list[str]) -> None:
    code = [name for name in installed if ".dist-info/" not in name]
    # Scores and predictors are computed by hwnas itself; published data is never installed.
    scores = [name for name in code if name.endswith(".npz")]
    spaces = ("fbnet", "mobilenetv3", "nasbench201")
    assert sorted(scores) == [
        "hwnas/spaces/nasbench201/classes.npz",
        "hwnas/tables/shipped/nasbench-macro-cifar10-sizes.npz",
        "hwnas/tables/shipped/nasbench-macro-cifar10.npz",
        "hwnas/tables/shipped/nasbench201-cifar10-cifar10-sample.npz",
        "hwnas/tables/shipped/nasbench201-cifar10-counts.npz",
        "hwnas/tables/shipped/nasbench201-cifar10.npz",
        "hwnas/tables/shipped/transnasbench101-micro-class_object-sizes.npz",
        "hwnas/tables/shipped/transnasbench101-micro-class_object.npz",
        *(f"hwnas_predictors/shipped/{space}.npz" for space in spaces),
    ]
    assert not [n for n in code if n not in scores and Path(n).suffix not in KINDS]
    assert [name for name in code if name.endswith(".json")] == ["hwnas/data/catalogue.json"]
    assert not [name for name in code if "tests/" in name or Path(name).name.startswith("test_")]


def test_licence_is_installed(installed: list[str]) -> None:
    assert any(name.endswith("/LICENSE") for name in installed)
