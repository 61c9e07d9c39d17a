"""Clock and heat, read from trees as Linux writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwnas.measure import machine_state as module
from hwnas.measure.machine_state import MachineState, machine_state


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def test_clock_of_the_usable_cores_and_the_warmest_zone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_cores", lambda: {0, 2})
    cpu = "devices/system/cpu/cpu{}/cpufreq/{}"
    root = write(
        tmp_path,
        {
            cpu.format(0, "scaling_cur_freq"): "1800000",
            cpu.format(1, "scaling_cur_freq"): "600000",  # not ours
            cpu.format(2, "scaling_cur_freq"): "2400000",
            cpu.format(0, "scaling_governor"): "schedutil",
            cpu.format(2, "scaling_governor"): "performance",
            "class/thermal/thermal_zone0/temp": "41500",
            "class/thermal/thermal_zone1/temp": "63250",
            "class/thermal/thermal_zone2/temp": "unreadable",
        },
    )
    found = machine_state(root)
    assert found == MachineState(2100.0, 63.25, "performance+schedutil")
    assert found.facts("before") == {
        "clock_before_mhz": 2100.0,
        "temperature_before_c": 63.25,
        "governor_before": "performance+schedutil",
    }


def test_what_is_not_told_is_left_out(tmp_path: Path) -> None:
    found = machine_state(tmp_path)
    assert found == MachineState(None, None, "")
    assert found.facts("after") == {}
