"""Latencies of whole networks on this host, beside the reference network, each measured once."""

from __future__ import annotations

import hashlib
from functools import partial

import onnx

from hwnas.evaluation.cache import ResultCache
from hwnas.measure.host import host_fingerprint
from hwnas.measure.isolation import child_with
from hwnas.measure.limits import Limits
from hwnas.measure.measuring import measure
from hwnas.measure.resource_lock import hold
from hwnas.runtimes.base import THIS_CPU, OnnxModel, RunSettings, Runtime, written
from hwnas.tables.result import Result
from hwnas_predictors.kernels.target import Target

_VERSION = 3


class WholeTimer:
    """Measures networks on this host, each once: results are kept in a cache.

    Args:
        target: what runs them.
        max_seconds: time for one network.
        cache: where results are kept.
    """

    def __init__(self, target: Target, max_seconds: float, cache: ResultCache) -> None:
        self._target, self._cache = target, cache
        runtime = target.made()
        self._about = (
            f"network-latency {_VERSION}|{host_fingerprint(runtime.packages)}|{target!r}|"
            f"max_seconds={max_seconds}|{written(runtime, target.settings)}{target.quantised}"
        )
        # A child keeps the reference network from one to the next.
        self._measure = partial(measure, max_seconds=max_seconds, reference=True, isolate=False)

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
            with hold(THIS_CPU):
                network = OnnxModel(self._target.lowered(model))
                measured = child_with(Limits()).call(
                    self._measure, network, self._target.made(), self._target.settings
                )
            known = Result(measured.value)
            self._cache.put({key: known})
        return known.value

    def insist_that_it_runs(self, model: onnx.ModelProto) -> None:
        """Make a network ready to run in a child process, unless it was measured before.

        Raises:
            HwnasError: the runtime cannot run the network.
        """
        if not self.knows(model):
            network = OnnxModel(self._target.lowered(model))
            child_with(Limits()).call(_prepare, network, self._target.made(), self._target.settings)

    def _key(self, content: bytes) -> str:
        return self._about + hashlib.sha256(content).hexdigest()


def _prepare(network: OnnxModel, runtime: Runtime, settings: RunSettings) -> None:
    with runtime.prepare(network, settings):
        pass
