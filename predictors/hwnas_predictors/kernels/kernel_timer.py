"""Latencies of kernels on this host, many at a time, by ONNX Runtime's profiler."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from hwnas.errors import InvalidValueError
from hwnas.evaluation.cache import ResultCache
from hwnas.measure.host import host_fingerprint
from hwnas.measure.resource_lock import hold
from hwnas.runtimes.base import THIS_CPU
from hwnas.runtimes.onnxruntime_session import open_session, random_feeds
from hwnas.tables.result import Result
from hwnas.typing import FloatArray
from hwnas_predictors.kernels.kernel import Kernel
from hwnas_predictors.kernels.kernel_model import kernel_model, packs, repeats

_VERSION = 2
_LEAST_RUNS, _MOST_RUNS = 12, 200
_WARMUP = 4
_LEAST_MS = 1e-4
_NODE = re.compile(r"(kernel|empty)(\d+)_kernel_time")


class KernelTimer:
    """Measures kernels on this host, each once: results are kept in a cache.

    Args:
        threads: threads inside an operator.
        max_seconds: time for one model, which holds up to 64 kernels.
        cache: where results are kept; an interrupted build goes on from it.
        seed: seed of weights and images.
    """

    def __init__(
        self,
        *,
        threads: int = 1,
        max_seconds: float = 1.0,
        cache: ResultCache | None = None,
        seed: int = 0,
    ) -> None:
        self.threads = threads
        self.max_seconds = max_seconds
        self._cache = cache if cache is not None else ResultCache(None)
        self._seed = seed

    def __call__(self, kernels: Sequence[Kernel]) -> FloatArray:
        """Give `(n,)` latencies in ms, measured or looked up; NaN where one cannot be run."""
        keys = [self._key(kernel) for kernel in kernels]
        found = {**self._cache.get(keys)}
        new = {k: kernel for k, kernel in zip(keys, kernels, strict=True) if k not in found}
        for pack in packs(new.values()):
            results = {self._key(k): r for k, r in zip(pack, self._measure(pack), strict=True)}
            self._cache.put(results)
            found |= results
        return np.array([found[key].value for key in keys])

    def _key(self, kernel: Kernel) -> str:
        return (
            f"kernel-latency {_VERSION}|{host_fingerprint()}|threads={self.threads}|"
            f"seed={self._seed}|max_seconds={self.max_seconds}|{kernel!r}"
        )

    def _measure(self, pack: Sequence[Kernel]) -> list[Result]:
        try:
            with hold(THIS_CPU):
                return [Result(float(latency)) for latency in self._profile(pack)]
        except InvalidValueError as error:
            if len(pack) == 1:
                return [Result(float("nan"), str(error))]
        # One kernel that cannot be run by itself must not take the others with it.
        half = len(pack) // 2
        return [*self._measure(pack[:half]), *self._measure(pack[half:])]

    def _profile(self, pack: Sequence[Kernel]) -> FloatArray:
        """Give the latency of each kernel: the mean of the middle half of its runs."""
        copies = repeats(pack)
        model = kernel_model([*pack] * copies, self._seed)
        kernels, empty = profile(model, self.threads, self.max_seconds, self._seed)
        middle = _middle_mean(kernels) - np.median(_middle_mean(empty))
        # Noise can make the shortest kernels seem to take no time.
        latencies: FloatArray = np.maximum(middle.reshape(copies, -1).mean(axis=0), _LEAST_MS)
        return latencies


def profile(
    model: onnx.ModelProto, threads: int, max_seconds: float, seed: int = 0
) -> tuple[FloatArray, FloatArray]:
    """Run a model of `kernel_model` again and again and time its nodes.

    Args:
        model: the model.
        threads: threads inside an operator.
        max_seconds: time; there are at least 12 counted runs.
        seed: seed of the images.

    Returns:
        `(r, k)` times in ms of the kernels, and of the nodes that do next to nothing.

    Raises:
        InvalidValueError: ONNX Runtime cannot load or run the model.
    """
    with tempfile.TemporaryDirectory() as folder:
        session = open_session(
            model.SerializeToString(),
            threads=threads,
            optimise=False,
            profile_prefix=str(Path(folder) / "profile"),
        )
        feeds = random_feeds(session, 1, None, seed)
        start = time.monotonic()
        for number in range(_MOST_RUNS):
            if number >= _WARMUP + _LEAST_RUNS and time.monotonic() - start > max_seconds:
                break
            _run(session, feeds)
        events = json.loads(Path(session.end_profiling()).read_text())
    return _times(events, "kernel"), _times(events, "empty")


def _run(session: Any, feeds: Any) -> None:
    try:
        session.run(None, feeds)
    except Exception as error:
        # ONNX Runtime's errors have no common class other than Exception.
        raise InvalidValueError(
            f"`kernels` must run by themselves, but ONNX Runtime says: {str(error).splitlines()[0]}"
        ) from error


def _times(events: Sequence[dict[str, Any]], kind: str) -> FloatArray:
    rows: dict[int, list[float]] = {}
    for event in events:
        named = _NODE.fullmatch(event.get("name", ""))
        if named is not None and named[1] == kind:
            rows.setdefault(int(named[2]), []).append(event["dur"] / 1e3)
    return np.array([rows[number] for number in sorted(rows)]).T[_WARMUP:]


def _middle_mean(times: FloatArray) -> FloatArray:
    """Average the middle half of each column: whole microseconds need more than a median."""
    ordered = np.sort(times, axis=0)
    quarter = len(ordered) // 4
    middle: FloatArray = ordered[quarter : len(ordered) - quarter].mean(axis=0)
    return middle
