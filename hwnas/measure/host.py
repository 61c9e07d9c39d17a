"""What this machine is: measurements of different machines must never be mixed up."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hwnas import __version__

_CPU_INFO = Path("/proc/cpuinfo")
_MEMORY_INFO = Path("/proc/meminfo")
_BOARD = Path("/proc/device-tree/model")


@dataclass(frozen=True)
class Host:
    """Hardware and operating system.

    Attributes:
        cpu: model of the CPU, or of the board where the CPU does not name itself.
        cores: logical cores that this process may use.
        memory_bytes: installed memory, or None where the system does not tell.
        system: operating system and architecture, e.g. ``Linux x86_64``.
        python: version of Python.
    """

    cpu: str
    cores: int
    memory_bytes: int | None
    system: str
    python: str


def host() -> Host:
    """Describe this machine."""
    return Host(
        cpu=_cpu_model(),
        cores=_usable_cores(),
        memory_bytes=_memory_bytes(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
    )


def host_fingerprint(
    packages: Sequence[str] = ("onnxruntime", "onnxruntime-gpu"), hardware: str = ""
) -> str:
    """Give a text that changes whenever what is measured here is no longer comparable.

    Args:
        packages: distributions of the runtime; those that are not installed are left out.
        hardware: name of the device, where it is not the CPU.

    Returns:
        CPU, cores, device, system and the versions of runtime and hwnas, e.g. for a cache key. The
        host's name is left out: equal machines share their measurements.
    """
    machine = host()
    found = [f"{name} {number}" for name, number in package_versions(packages).items() if number]
    runtime = ", ".join(found) or f"no {packages[0]}"
    device = [hardware] if hardware else []
    parts = [machine.cpu, f"{machine.cores} cores", *device, machine.system, runtime]
    return " | ".join([*parts, f"hwnas {__version__}"])


def package_versions(names: Iterable[str]) -> dict[str, str | None]:
    """Give the installed version of each distribution, None where it is not installed."""
    return {name: _version(name) for name in names}


@cache
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@lru_cache(maxsize=1)
def _cpu_model() -> str:
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    else:
        # Boards such as the Raspberry Pi and the Jetson name themselves, not their CPU.
        found = _field(_CPU_INFO, "model name") or _text(_BOARD).strip("\0 \n")
    return found or platform.processor() or f"unknown {platform.machine()}"


def _memory_bytes() -> int | None:
    kilobytes = _field(_MEMORY_INFO, "MemTotal").removesuffix(" kB")
    return int(kilobytes) * 1024 if kilobytes.isdigit() else None


def _field(path: Path, name: str) -> str:
    """Give the value of the first `name : value` line; empty if there is none."""
    for line in _text(path).splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
