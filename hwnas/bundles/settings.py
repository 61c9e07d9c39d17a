"""How the models of a bundle are run."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hwnas.bundles.manifest import PRECISIONS
from hwnas.errors import InvalidValueError, unknown_name
from hwnas.runtimes.base import RunSettings

_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
    "qnn": "QNNExecutionProvider",
    "dml": "DmlExecutionProvider",
}
_LONGEST_SECONDS = 3600.0


@dataclass(frozen=True)
class BundleSettings:
    """How the models of a bundle are run.

    Attributes:
        provider: ONNX Runtime's execution provider: ``cpu``, ``cuda`` and so on, or its own name.
        precision: float32, float16 or int8.
        batch: inputs a run.
        threads: CPU threads inside an operator.
        seconds: time to measure a network, without its warm-up and the reference network.
        seed: seed of weights and inputs.
        images: what int8 is calibrated with, see `hwnas.runtimes.base.RunSettings`.

    Raises:
        InvalidValueError: a number is out of range.
        UnknownNameError: there is no such provider or precision.
    """

    provider: str = "cpu"
    precision: str = "float32"
    batch: int = 1
    threads: int = 1
    seconds: float = 1.0
    seed: int = 0
    images: str = "gaussian"

    def __post_init__(self) -> None:
        """Check them, and write provider and precision out."""
        run = RunSettings("cpu", self.threads, self.batch, self.precision)
        if run.precision not in PRECISIONS:
            raise unknown_name("precision", self.precision, PRECISIONS)
        provider = _PROVIDERS.get(self.provider, self.provider)
        if not re.fullmatch(r"[A-Za-z]{1,40}ExecutionProvider", provider):
            raise unknown_name("provider", self.provider, _PROVIDERS)
        if not 0 < self.seconds <= _LONGEST_SECONDS:
            raise InvalidValueError(
                f"`seconds` must be in 0 to {_LONGEST_SECONDS:g}, but got {self.seconds}."
            )
        if not 0 <= self.seed < 1 << 32:
            raise InvalidValueError(f"`seed` must be in 0 to 2**32 - 1, but got {self.seed}.")
        object.__setattr__(self, "precision", run.precision)
        object.__setattr__(self, "provider", provider)
