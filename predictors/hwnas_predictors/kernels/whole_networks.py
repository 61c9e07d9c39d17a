"""Latencies of whole networks on this host, beside the reference network, each measured once."""

from __future__ import annotations

import hashlib

import onnx

from hwnas.evaluation.cache import ResultCache
from hwnas.measure.resource_lock import hold
from hwnas.tables.result import Result
from hwnas_predictors.kernels.far_target import AnyTarget

_VERSION = 3


class WholeTimer:
    """Measures networks on this host, each once: results are kept in a cache.

    Args:
        target: what runs them.
        max_seconds: time for one network.
        cache: where results are kept.
    """

    def __init__(self, target: AnyTarget, max_seconds: float, cache: ResultCache) -> None:
        self._target, self._cache = target, cache
        self._seconds = max_seconds
        self._about = f"network-latency {_VERSION}|{measured_as(target, max_seconds)}"

    def knows(self, model: onnx.ModelProto) -> bool:
        """Tell whether a network was measured before."""
        key = self._key(model.SerializeToString())
        return key in self._cache.get([key])

    def __call__(self, model: onnx.ModelProto) -> float:
        """Give a latency in ms at the reference's nominal speed, measured or looked up.

        Raises:
            InvalidValueError: the runtime cannot run the network.
        """
        content = model.SerializeToString()
        key = self._key(content)
        known = self._cache.get([key]).get(key)
        if known is None:
            with hold(self._target.resource):
                known = Result(self._target.network_ms(model, self._seconds))
            self._cache.put({key: known})
        return known.value

    def insist_that_it_runs(self, model: onnx.ModelProto) -> None:
        """Make a network ready to run in a child process, unless it was measured before.

        Raises:
            HwnasError: the runtime cannot run the network.
        """
        if not self.knows(model):
            self._target.insist_that_it_runs(model)

    def _key(self, content: bytes) -> str:
        return self._about + hashlib.sha256(content).hexdigest()


def measured_as(target: AnyTarget, max_seconds: float) -> str:
    """Name where and how networks are measured and written, in keys of the cache."""
    how = f"{target.fingerprint}|{target!r}|max_seconds={max_seconds}"
    return f"{how}|{target.identity}"
