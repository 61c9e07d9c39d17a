"""Kernel measurements in the JSON layout of nn-Meter's builder.

The builder writes ``{kernel: {id: {"config": {"HW": 14, …}, "latency": "42.0 +- 1.0"}}}``:
the configurations and the latencies in one file or in two with the same ids
(``<kernel>_<mark>.json`` and ``profiled_<kernel>.json``). Latencies are in ms.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.errors import DataFormatError, DataNotFoundError
from hwnas_predictors.kernels.features import features
from hwnas_predictors.kernels.kernel import Configuration
from hwnas_predictors.kernels.regression import Choice, choose

_ACTIVATIONS = {"relu6": "Clip", "relu": "Relu", "hswish": "HardSwish"}


def read_kernel_data(files: Sequence[Path]) -> dict[str, list[tuple[Configuration, float]]]:
    """Read measured kernels.

    Args:
        files: JSON files of the builder; entries with the same kernel and id are one.

    Returns:
        (configuration, latency in ms) pairs by nn-Meter's name of the kernel. Entries without a
        latency, which the builder leaves where a model failed, are left out.

    Raises:
        DataNotFoundError: a file is absent.
        DataFormatError: a file has another layout, or no kernel has both parts.
    """
    entries: dict[tuple[str, str], dict[str, Any]] = {}
    for file in files:
        for kernel, models in _read(file).items():
            for number, entry in models.items():
                entries.setdefault((kernel, number), {}).update(entry)
    found: dict[str, list[tuple[Configuration, float]]] = {}
    for (kernel, number), entry in entries.items():
        if "config" in entry and "latency" in entry:
            try:
                latency = float(str(entry["latency"]).partition("+-")[0])
                pair = (configuration(kernel, entry["config"]), latency)
            except (KeyError, TypeError, ValueError) as error:
                raise DataFormatError(
                    f"`config` and `latency` must be as nn-Meter's builder writes them, but those "
                    f"of {kernel} {number!r} are not: {error!r}."
                ) from error
            if latency > 0:
                found.setdefault(kernel, []).append(pair)
    if not found:
        raise DataFormatError(
            f"`files` must hold kernels with configuration and latency, but got none in "
            f"{', '.join(map(str, files))}: give the profiled results as well."
        )
    return found


def fit_kernel_data(
    data: Mapping[str, Sequence[tuple[Configuration, float]]], seed: int = 0
) -> dict[str, Choice]:
    """Fit a regressor of log latency for each of nn-Meter's kernels."""
    return {
        kernel: choose(features([c for c, _ in pairs]), np.log([ms for _, ms in pairs]), seed)
        for kernel, pairs in data.items()
    }


def configuration(kernel: str, config: Mapping[str, int]) -> Configuration:
    """Translate nn-Meter's configuration of a kernel; images are square, padding keeps sizes.

    Raises:
        KeyError: the configuration has neither CIN nor CIN1.
    """
    size = int(config.get("HW", 1))
    parts = [int(config[f"CIN{i}"]) for i in range(1, 5) if config.get(f"CIN{i}")]
    c_in = sum(parts) if parts else int(config["CIN"])
    c_out = int(config.get("COUT", c_in))
    window = int(config.get("KERNEL_SIZE", 1))
    stride = int(config.get("STRIDES", config.get("POOL_STRIDES", 1)))
    depthwise, convolution = kernel.startswith("dwconv"), "conv" in kernel
    out = 1 if kernel.startswith("global") else -(-size // stride)
    activation = next((a for name, a in _ACTIVATIONS.items() if kernel.endswith(name)), "")
    return Configuration(
        kind="gemm" if kernel.startswith("fc") else kernel,
        height=size,
        width=size,
        c_in=c_in,
        c_out=c_in if depthwise else c_out,
        out_height=out,
        out_width=out,
        kernel=(window, window),
        stride=(stride, stride),
        groups=c_in if depthwise else 1,
        activation=activation if convolution else "",
        operands=2 if kernel.startswith("add") else 1,
    )


def _read(file: Path) -> dict[str, dict[str, dict[str, Any]]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return {
            kernel: {number: dict(entry) for number, entry in models.items()}
            for kernel, models in content.items()
        }
    except FileNotFoundError:
        raise DataNotFoundError(
            f"`files` must name nn-Meter's results, but there is no {file}."
        ) from None
    except (ValueError, AttributeError, TypeError) as error:
        raise DataFormatError(
            f"`{file}` must be JSON of nn-Meter's builder, {{kernel: {{id: {{...}}}}}}, but "
            f"reading it failed: {error}"
        ) from error
