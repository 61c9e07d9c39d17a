"""The command ``hwnas doctor``, run as a user runs it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
import typer

from hwnas.cli import _run, doctor
from hwnas.data.catalogue import catalogue

app = typer.Typer()
app.command("doctor")(doctor.doctor)


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert _run(app, ["--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_versions_and_host(report: dict[str, Any]) -> None:
    assert report["packages"]["torch"] == torch.__version__
    runtimes = report["runtimes"]
    assert runtimes[f"onnxruntime {onnxruntime.__version__}"][0] == "cpu"
    assert runtimes[f"torch {torch.__version__}"][0] == "cpu"
    assert report["host"]["torch_threads"] == torch.get_num_threads()
    assert report["folders"]["cache"].startswith(os.environ["HWNAS_CACHE"])


def test_absent_data_says_how_to_get_it(report: dict[str, Any]) -> None:
    assert set(report["data"]) == set(catalogue())
    assert report["data"]["nasbench201"].endswith("hwnas data get nasbench201")
    assert report["data"]["nasbench201"].startswith("0 of ")


def test_present_data_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWNAS_DATA", str(tmp_path))
    for file in catalogue()["hw-nas-bench"].files:
        path = tmp_path / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert doctor._data()["hw-nas-bench"] == "found"


def test_absent_packages_name_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "hwnas.measure.host.package_versions", lambda names: dict.fromkeys(names, None)
    )
    packages = doctor._packages()
    assert packages["ray"] == "not installed: pip install 'hwnas[ray]'"
    assert packages["onnx"] == "not installed: pip install onnx"


def test_meters_of_energy_say_what_they_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas.meters.rapl.POWERCAP", tmp_path)
    assert doctor._energy()["rapl"] == f"not found: no package-* zone is in {tmp_path}"
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    for name, text in {"name": "package-0", "energy_uj": "1", "max_energy_range_uj": "9"}.items():
        (zone / name).write_text(text)
    assert doctor._energy()["rapl"] == "found"
    assert set(doctor._energy()) == {"jetson", "nvml", "rapl", "apple"}


def test_tables_show_every_section(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(app, []) == 0
    text = capsys.readouterr().out
    for part in ("onnxruntime", "nvml", "hw-nas-bench", "cache", "optuna"):
        assert part in text


def test_packages_of_other_machines_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    package = "zeus-apple-silicon"
    monkeypatch.setattr("sys.platform", "linux")
    assert "pip install" not in doctor._how_to_install(package)
    monkeypatch.setattr("sys.platform", "darwin")
    assert doctor._how_to_install(package).endswith("pip install 'hwnas[energy]'")
