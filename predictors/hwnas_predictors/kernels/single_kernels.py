"""Each kernel as a model by itself, in any runtime and precision, beside the reference network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx

from hwnas.errors import HwnasError
from hwnas.measure.beside_reference import measure_together
from hwnas.measure.isolation import child_with
from hwnas.measure.limits import Limits
from hwnas.measure.measurement import Measurement
from hwnas.measure.rounds import Length
from hwnas.meters import AUTO
from hwnas.runtimes.base import OnnxModel, RunSettings, Runtime
from hwnas.typing import FloatArray
from hwnas_predictors.kernels.kernel import Kernel
from hwnas_predictors.kernels.plain_model import needs_pool, plain_model, pool_before
from hwnas_predictors.kernels.target import Target

LEAST_MS = 1e-4
_SHARE = 0.25
_ONE = (1, 8, 1, 1)
EMPTY = Kernel("Conv", "", (_ONE, (8, 8, 1, 1)), _ONE, (("kernel_shape", (1, 1)),), (1,))
"""What does next to nothing, in any precision: its latency is that of a call."""


class OneByOne:
    """Times kernels in turn, each in a model of its own.

    The latency of a call, measured among them, is taken off; of a kernel that stands behind a pool,
    see `needs_pool`, that of the pool alone. A kernel that a runtime does not have in a lower
    precision is timed in float32, as the runtime computes it in a network.

    Args:
        target: what runs them.
        max_seconds: time for four of them.
        seed: seed of weights and images.
    """

    def __init__(self, target: Target, max_seconds: float, seed: int) -> None:
        self._target, self._seed = target, seed
        self._length = Length(_SHARE * max_seconds)

    def __call__(self, kernels: Sequence[Kernel]) -> FloatArray:
        """Give `(n,)` latencies in ms at the reference's nominal speed.

        Raises:
            HwnasError: the runtime cannot run one of them.
        """
        runtime, settings = self._target.made(), self._target.settings
        pooled = [self._target.batchless and needs_pool(kernel) for kernel in kernels]
        models = [plain_model(EMPTY, self._seed)]
        models += [
            plain_model(kernel, self._seed, behind_pool=behind)
            for kernel, behind in zip(kernels, pooled, strict=True)
        ]
        pools = [k for k, behind in zip(kernels, pooled, strict=True) if behind]
        models += [plain_model(pool_before(kernel)) for kernel in pools]
        try:
            found = _together(models, runtime, settings, self._length)
        except HwnasError:
            if len(kernels) > 1 or settings.precision == "float32":
                raise
            found = _together(models, runtime, replace(settings, precision="float32"), self._length)
        values = np.array([measurement.value for measurement in found])
        own, beside = values[1 : 1 + len(kernels)], np.full(len(kernels), values[0])
        beside[pooled] = values[1 + len(kernels) :]
        latencies: FloatArray = np.maximum(own - beside, LEAST_MS)
        return latencies


def _together(
    models: Sequence[onnx.ModelProto], runtime: Runtime, settings: RunSettings, length: Length
) -> list[Measurement]:
    """Measure in a child process, which keeps the reference network, and may be ended."""
    networks = [OnnxModel(model.SerializeToString(), part=True) for model in models]
    child = child_with(Limits())
    return child.call(measure_together, networks, runtime, settings, AUTO, length)
