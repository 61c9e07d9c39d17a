"""The command ``hwnas doctor``, run as a user runs it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
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


def test_rapl_counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_RAPL", tmp_path)
    assert doctor._rapl().startswith("not found: ")
    counter = tmp_path / "intel-rapl:0" / "energy_uj"
    counter.parent.mkdir()
    counter.write_text("1")
    assert doctor._rapl() == "found: 1 counter(s)"
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert doctor._rapl().startswith("not readable: ")


def test_jetson_power_monitor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_INA", tmp_path)
    assert doctor._jetson().startswith("not found: ")
    sensor = tmp_path / "ina3221" / "1-0040" / "hwmon" / "hwmon3"
    sensor.mkdir(parents=True)
    assert doctor._jetson() == f"found: {sensor}"


@pytest.mark.parametrize(
    ("gpus", "text"), [(2, "found: 2 NVIDIA GPU(s)"), (0, "not found: the driver lists no GPU")]
)
def test_nvml(gpus: int, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(
        NVMLError=OSError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: gpus,
    )
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.setattr(doctor, "find_spec", lambda _name: object())
    assert doctor._nvml() == text

    def no_driver() -> None:
        raise OSError("NVML Shared Library Not Found")

    module.nvmlInit = no_driver
    assert doctor._nvml() == "not found: NVML Shared Library Not Found"
    monkeypatch.setattr(doctor, "find_spec", lambda _name: None)
    assert "pip install 'hwnas[energy]'" in doctor._nvml()


def test_tables_show_every_section(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(app, []) == 0
    text = capsys.readouterr().out
    for part in ("onnxruntime", "nvml", "hw-nas-bench", "cache", "optuna"):
        assert part in text
