"""Latencies of kernels on this host, beside the reference network, each measured once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from hwnas.errors import HwnasError
from hwnas.evaluation.cache import ResultCache
from hwnas.measure.limits import UnreachableError
from hwnas.measure.resource_lock import hold
from hwnas.tables.result import Result
from hwnas.typing import FloatArray
from hwnas_predictors.kernels.far_target import AnyTarget
from hwnas_predictors.kernels.kernel import Kernel
from hwnas_predictors.kernels.single_kernels import OneByOne

_VERSION = 7
_TOGETHER = 8
_HOPELESS = 3
"""Kernels of a type that cannot be run, with none that can, after which no more are tried."""
Timing = Callable[[Sequence[Kernel]], FloatArray]
"""Gives `(n,)` latencies in ms of kernels that are measured together; an error for all of them."""


class KernelTimer:
    """Measures kernels on this host, each once: results are kept in a cache.

    Each kernel is a model by itself, and a few are measured in turn.

    Args:
        target: what runs the kernels.
        max_seconds: time for four kernels.
        cache: where results are kept; an interrupted build goes on from it.
        seed: seed of weights and images.
    """

    def __init__(
        self,
        target: AnyTarget,
        *,
        max_seconds: float = 1.0,
        cache: ResultCache | None = None,
        seed: int = 0,
    ) -> None:
        self.target = target
        self.max_seconds = max_seconds
        self.reasons: dict[str, str] = {}
        """Why the last kernel of a type that could not be run could not be."""
        self._failed, self._ran = defaultdict[str, set[str]](set), set[str]()
        self._cache = cache if cache is not None else ResultCache(None)
        self._seed = seed
        self._timing: Timing = OneByOne(self.target, max_seconds, seed)

    def __call__(self, kernels: Sequence[Kernel]) -> FloatArray:
        """Give `(n,)` latencies in ms, measured or looked up; NaN where one cannot be run."""
        keys = [self._key(kernel) for kernel in kernels]
        found = {**self._cache.get(keys)}
        for key, kernel in zip(keys, kernels, strict=True):
            if key in found:
                self._note(kernel, found[key])
        new = {k: kernel for k, kernel in zip(keys, kernels, strict=True) if k not in found}
        for pack in _few(list(new.values())):
            pack = [kernel for kernel in pack if self._may_run(kernel)]
            results = {self._key(k): r for k, r in zip(pack, self._measure(pack), strict=True)}
            self._cache.put(results)
            found |= results
            for kernel in pack:
                self._note(kernel, results[self._key(kernel)])
        return np.array([found[key].value if key in found else np.nan for key in keys])

    def _may_run(self, kernel: Kernel) -> bool:
        return kernel.kind in self._ran or len(self._failed[kernel.kind]) < _HOPELESS

    def _note(self, kernel: Kernel, result: Result) -> None:
        if result.error:
            self.reasons[kernel.kind] = result.error
            self._failed[kernel.kind].add(repr(kernel))
        else:
            self._ran.add(kernel.kind)

    def _key(self, kernel: Kernel) -> str:
        return (
            f"kernel-latency {_VERSION}|{self.target.fingerprint}|{self.target!r}|"
            f"seed={self._seed}|max_seconds={self.max_seconds}|{kernel!r}"
        )

    def _measure(self, pack: Sequence[Kernel]) -> list[Result]:
        if not pack:
            return []
        try:
            with hold(self.target.resource):
                return [Result(float(latency)) for latency in self._timing(pack)]
        except UnreachableError:
            raise
        except HwnasError as error:
            if len(pack) == 1:
                return [Result(float("nan"), str(error))]
        # One kernel that cannot be run by itself must not take the others with it.
        half = len(pack) // 2
        return [*self._measure(pack[:half]), *self._measure(pack[half:])]


def _few(kernels: Sequence[Kernel]) -> list[list[Kernel]]:
    return [list(kernels[i : i + _TOGETHER]) for i in range(0, len(kernels), _TOGETHER)]
