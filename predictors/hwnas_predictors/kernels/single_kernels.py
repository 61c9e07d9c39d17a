"""Each kernel as a model by itself, in any runtime and precision, beside the reference network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwnas.errors import HwnasError
from hwnas.measure.limits import UnreachableError
from hwnas.typing import FloatArray
from hwnas_predictors.kernels.far_target import AnyTarget
from hwnas_predictors.kernels.kernel import Kernel
from hwnas_predictors.kernels.plain_model import needs_pool, plain_model, pool_before

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

    def __init__(self, target: AnyTarget, max_seconds: float, seed: int) -> None:
        self._target, self._seed = target, seed
        self._seconds = _SHARE * max_seconds

    def __call__(self, kernels: Sequence[Kernel]) -> FloatArray:
        """Give `(n,)` latencies in ms at the reference's nominal speed.

        Raises:
            HwnasError: the runtime cannot run one of them.
        """
        target = self._target
        pooled = [target.batchless and needs_pool(kernel) for kernel in kernels]
        models = [plain_model(EMPTY, self._seed)]
        models += [
            plain_model(kernel, self._seed, behind_pool=behind)
            for kernel, behind in zip(kernels, pooled, strict=True)
        ]
        pools = [k for k, behind in zip(kernels, pooled, strict=True) if behind]
        models += [plain_model(pool_before(kernel)) for kernel in pools]
        try:
            values = target.together_ms(models, target.precision, self._seconds)
        except UnreachableError:
            raise
        except HwnasError:
            if len(kernels) > 1 or target.precision == "float32":
                raise
            values = target.together_ms(models, "float32", self._seconds)
        own, beside = values[1 : 1 + len(kernels)], np.full(len(kernels), values[0])
        beside[pooled] = values[1 + len(kernels) :]
        latencies: FloatArray = np.maximum(own - beside, LEAST_MS)
        return latencies
