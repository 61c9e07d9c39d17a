"""The kernels of whole networks, each timed where it stands by the runtime's profiler.

A kernel that is timed among others than its network's finds other things in the caches, and the
profiler of ONNX Runtime adds about three microseconds to each, which it counts as theirs: sums over
kernels that were timed in models of 64 of them were 5 to 26 % longer than networks. In its own
network a kernel has its own neighbours, and what profiling adds is known: the network runs without
it as well. OpenVINO tells the mean of all runs alone, in whole microseconds and with the turns of
other processes, which fall into kernels by their lengths: these times are scaled to the network's.
"""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from time import perf_counter, thread_time

import numpy as np
import onnx

from hwnas.evaluation.cache import ResultCache
from hwnas.measure.beside_reference import beside_reference
from hwnas.measure.resource_lock import hold
from hwnas.measure.rounds import Length, Rounds, take_turns
from hwnas.meters import AUTO
from hwnas.tables.result import Result
from hwnas.typing import FloatArray
from hwnas_predictors.kernels.profilers import Profiled
from hwnas_predictors.kernels.target import Target
from hwnas_predictors.kernels.whole_networks import WholeTimer, measured_as

_VERSION = 2
_LEAST_RUNS = 12
_LONGER = 2.0
"""How much longer than its runs a measurement is: warm-up and reference take their share."""
_WARMUP = 4
_LEAST_SHARE = 0.1
"""Of a kernel's time: whatever profiling added, it takes that much."""
_LEAST_MS = 1e-4
"""Of a kernel: one of less than a whole microsecond has a time of 0, which has no logarithm."""


class NetworkTimer:
    """Measures the kernels of networks in a runtime that times them, each network once.

    Args:
        target: what runs them.
        whole: times networks without the profiler.
        max_seconds: time for one network with the profiler.
        cache: where results are kept; an interrupted build goes on from it.
    """

    def __init__(
        self, target: Target, whole: WholeTimer, max_seconds: float, cache: ResultCache
    ) -> None:
        self._target, self._whole = target, whole
        self._max_seconds, self._cache = max_seconds, cache
        self._about = f"network-profile {_VERSION}|{measured_as(target, max_seconds)}"

    def __call__(self, model: onnx.ModelProto) -> FloatArray:
        """Give `(k,)` latencies in ms of a network's kernels, which sum to the network's.

        Raises:
            InvalidValueError: the runtime cannot run the network, or its profiler leaves out one
                of its nodes.
        """
        content = model.SerializeToString()
        key = self._about + hashlib.sha256(content).hexdigest()
        whole_ms = self._whole(model)  # says first whether it runs at all
        known = self._cache.get([key]).get(key)
        if known is None:
            with hold(self._target.resource):
                times, each = profile(self._target.profiler(model), self._target, self._max_seconds)
            times = np.maximum(times, _LEAST_MS)
            told = {"kernels_ms": times.tolist(), "each": each}
            known = Result(float(times.sum()), detail=told)
            self._cache.put({key: known})
        times = np.array(known.detail["kernels_ms"], dtype=np.float64)
        if known.detail.get("each", True):
            return without_profiling(times, whole_ms)
        return np.asarray(times * whole_ms / times.sum())


def without_profiling(times: FloatArray, whole_ms: float) -> FloatArray:
    """Take the same from each of `(k,)` times, so that they sum to the network's.

    Of the shortest, which profiling did not make that much longer, a tenth is left; the others make
    up for it.
    """
    least = np.zeros(len(times), dtype=np.bool_)
    while not least.all():
        left = whole_ms - _LEAST_SHARE * times[least].sum()
        found = times - (times[~least].sum() - left) / np.sum(~least)
        below = found < _LEAST_SHARE * times
        if not np.any(below & ~least):
            return np.where(least, _LEAST_SHARE * times, found)
        least |= below
    return np.asarray(times * whole_ms / times.sum())


def profile(
    ready: AbstractContextManager[Profiled], target: Target, max_seconds: float
) -> tuple[FloatArray, bool]:
    """Run a network in rounds between bursts of the reference; time its kernels.

    Others' turns on a busy core fall into few kernels of a run, and into others of the next: the
    quicker half of each kernel's own times is nearly free of them.

    Args:
        ready: the network, see `profilers`.
        target: what runs it.
        max_seconds: time, of one thread that of its own clock; long enough for twelve runs in any
            case.

    Returns:
        `(k,)` times in ms at the reference's nominal speed, with what profiling adds: the mean of
        each kernel's quicker half, or of all its runs; and whether it is the former.

    Raises:
        InvalidValueError: the runtime cannot load the network, or does not time a kernel.
    """
    with (
        beside_reference(target.made(), target.settings, AUTO, keep=True) as beside,
        ready as profiled,
    ):
        now = thread_time if target.threads == 1 else perf_counter
        start = now()
        profiled.run()
        least = _LONGER * _LEAST_RUNS * (now() - start)
        # Others' turns on a busy core are no time of this one: there are as many rounds as alone.
        (rounds,) = take_turns(
            [beside.sampler(profiled.run)],
            beside.sample,
            beside.usual.seconds,
            Length(max(max_seconds, least), target=0.0, warmup=_WARMUP),
            now=now,
        )
        times = profiled.times()
    speed = beside.usual.value / rounds.reference.mean(axis=1)
    if not profiled.each:
        return times[0] * float(speed.mean()), False
    return quicker_half(counted(times, rounds) * speed[:, None, None]), True


def counted(times: FloatArray, rounds: Rounds) -> FloatArray:
    """Cut `(n, k)` times of all runs, warm-up included, to `(r, c, k)` of `c` runs in `r` rounds.

    The runs of the rounds are the last ones; where a round has more than one, another before them
    did not count, see `hwnas.measure.rounds.take_burst`.
    """
    number, runs = rounds.values.shape[:2]
    skipped = int(runs > 1)
    last = times[len(times) - number * (runs + skipped) :]
    return last.reshape(number, runs + skipped, times.shape[1])[:, skipped:]


def quicker_half(times: FloatArray) -> FloatArray:
    """Average the quicker half of `(r, c, k)` times over rounds and runs, `(k,)`.

    The profiler gives whole microseconds, of which a mean tells more than a median.
    """
    ordered = np.sort(times.reshape(-1, times.shape[2]), axis=0)
    half: FloatArray = ordered[: -(-len(ordered) // 2)].mean(axis=0)
    return half
