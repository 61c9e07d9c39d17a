from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest

from hwnas import __version__
from hwnas.measure import host as host_module
from hwnas.measure.host import host, host_fingerprint, package_versions


def test_linux_board_without_a_cpu_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, board = tmp_path / "cpuinfo", tmp_path / "model"
    cpu.write_text("processor\t: 0\nBogoMIPS\t: 108.00\n")
    board.write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    monkeypatch.setattr(host_module, "_CPU_INFO", cpu)
    monkeypatch.setattr(host_module, "_BOARD", board)
    monkeypatch.setattr("sys.platform", "linux")
    host_module._cpu_model.cache_clear()
    try:
        assert host().cpu == "Raspberry Pi 5 Model B Rev 1.0"
        cpu.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2.80GHz\nmodel name\t: Other\n")
        host_module._cpu_model.cache_clear()
        assert host().cpu == "Some CPU @ 2.80GHz"
        assert host_fingerprint().startswith("Some CPU @ 2.80GHz | ")
    finally:
        host_module._cpu_model.cache_clear()


def test_memory_is_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = tmp_path / "meminfo"
    monkeypatch.setattr(host_module, "_MEMORY_INFO", memory)
    assert host().memory_bytes is None
    memory.write_text("MemTotal:       2048 kB\nMemFree:        1 kB\n")
    assert host().memory_bytes == 2 * 1024 * 1024


def test_fingerprint_names_what_changes_a_latency() -> None:
    text = host_fingerprint()
    for part in (f"{host().cores} cores", f"onnxruntime {onnxruntime.__version__}", __version__):
        assert part in text
    assert text == host_fingerprint()


def test_versions_of_absent_packages_are_none() -> None:
    found = package_versions(["onnxruntime", "no-such-distribution"])
    assert found == {"onnxruntime": onnxruntime.__version__, "no-such-distribution": None}
