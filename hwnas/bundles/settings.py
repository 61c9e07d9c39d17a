"""How the models of a bundle are run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from hwnas.bundles.manifest import PRECISIONS
from hwnas.errors import InvalidValueError, unknown_name
from hwnas.files.identity import LATER
from hwnas.runtimes.base import Activations, RunSettings

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
RUNTIMES: Mapping[str, tuple[str, ...]] = {
    "onnxruntime": PRECISIONS, "litert": ("float32", "int8"), "tensorrt": PRECISIONS,
}  # fmt: skip
"""What runs a bundle, and the precisions that it has."""
_OWN_PLACE = {"litert": "CPUExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
"""Where the runtimes without execution providers run, in ONNX Runtime's words."""


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
        runtime: onnxruntime, litert, or tensorrt by its program ``trtexec``; the latter two have no
            provider to choose.

    Raises:
        InvalidValueError: a number is out of range.
        UnknownNameError: there is no such provider, precision or runtime.
    """

    provider: str = "cpu"
    precision: str = "float32"
    batch: int = 1
    threads: int = 1
    seconds: float = 1.0
    seed: int = 0
    images: str = "gaussian"
    runtime: str = field(default="onnxruntime", metadata=LATER)

    def __post_init__(self) -> None:
        """Check them, and write provider and precision out."""
        run = RunSettings("cpu", self.threads, self.batch, self.precision)
        if self.runtime not in RUNTIMES:
            raise unknown_name("runtime of a bundle", self.runtime, RUNTIMES)
        if run.precision not in RUNTIMES[self.runtime]:
            raise unknown_name("precision", self.precision, RUNTIMES[self.runtime])
        provider = _PROVIDERS.get(self.provider, self.provider)
        own = _OWN_PLACE.get(self.runtime, provider)
        if provider not in (own, _PROVIDERS["cpu"]):
            raise InvalidValueError(
                f"`provider` must be left out with the runtime {self.runtime!r}, but got "
                f"{self.provider!r}."
            )
        provider = own
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

    @property
    def activations(self) -> Activations:
        """How int8 stores activations, as each runtime computes in it."""
        if self.runtime == "tensorrt":
            return "symmetric"
        on_cpu = self.runtime == "onnxruntime" and self.provider == _PROVIDERS["cpu"]
        return "unsigned" if on_cpu else "signed"
