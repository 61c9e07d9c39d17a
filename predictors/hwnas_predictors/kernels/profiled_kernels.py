"""Many kernels in one model, each timed by ONNX Runtime's profiler, beside the reference."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

import numpy as np
import onnx

from hwnas.errors import InvalidValueError
from hwnas.measure.beside_reference import beside_reference
from hwnas.measure.rounds import Length, Rounds, take_turns
from hwnas.meters import AUTO
from hwnas.runtimes.onnxruntime_session import open_session, random_feeds
from hwnas.typing import FloatArray
from hwnas_predictors.kernels.kernel import Kernel
from hwnas_predictors.kernels.kernel_model import kernel_model, repeats
from hwnas_predictors.kernels.target import Target

_LEAST_RUNS = 12
_LONGER = 2.0
"""How much longer than its runs a measurement is: warm-up and reference take their share."""
_WARMUP = 4
LEAST_MS = 1e-4
_NODE = re.compile(r"(kernel|empty)(\d+)_kernel_time")


class Profiled:
    """Times up to 64 kernels of ONNX Runtime in float32, one after another in one model.

    Args:
        target: what runs them.
        max_seconds: time for all of them.
        seed: seed of weights and images.
    """

    def __init__(self, target: Target, max_seconds: float, seed: int) -> None:
        self._target, self._max_seconds, self._seed = target, max_seconds, seed

    def __call__(self, pack: Sequence[Kernel]) -> FloatArray:
        """Give `(n,)` latencies in ms at the reference's nominal speed.

        A round counts by the run that took least in all, as with networks: each latency is the mean
        of the middle half of the rounds, over the reference beside them, without what a node costs
        that does next to nothing.

        Raises:
            InvalidValueError: ONNX Runtime cannot run one of them.
        """
        copies = repeats(pack)
        model = kernel_model([*pack] * copies, self._seed)
        kernels, empty = profile(model, self._target, self._max_seconds, self._seed)
        middle = middle_mean(kernels) - np.median(middle_mean(empty))
        # Noise can make the shortest kernels seem to take no time.
        latencies: FloatArray = np.maximum(middle.reshape(copies, -1).mean(axis=0), LEAST_MS)
        return latencies


def profile(
    model: onnx.ModelProto, target: Target, max_seconds: float, seed: int = 0
) -> tuple[FloatArray, FloatArray]:
    """Run a model of `kernel_model` in rounds between bursts of the reference; time its nodes.

    Args:
        model: the model.
        target: what runs it.
        max_seconds: time, of one thread that of its own clock; long enough for twelve runs in any
            case.
        seed: seed of the images.

    Returns:
        `(r, k)` times in ms at the reference's nominal speed, a row a round, of the run that took
        least on the wall: of the kernels, and of the nodes that do next to nothing.

    Raises:
        InvalidValueError: ONNX Runtime cannot load or run the model.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        beside_reference(target.made(), target.settings, AUTO, keep=True) as beside,
    ):
        session = open_session(
            model.SerializeToString(),
            threads=target.threads,
            optimise=False,
            profile_prefix=str(Path(folder) / "profile"),
        )
        feeds = random_feeds(session, 1, None, seed)
        now = thread_time if target.threads == 1 else perf_counter
        start = now()
        _run(session, feeds)
        least = _LONGER * _LEAST_RUNS * (now() - start)
        # Others' turns on a busy core are no time of this one: there are as many rounds as alone.
        (rounds,) = take_turns(
            [beside.sampler(lambda: session.run(None, feeds))],
            beside.sample,
            beside.usual.seconds,
            Length(max(max_seconds, least), target=0.0, warmup=_WARMUP),
            now=now,
        )
        wall = [meter.name for meter in beside.meters].index("wall")
        events = json.loads(Path(session.end_profiling()).read_text())
    speed = beside.usual.value / rounds.reference.mean(axis=1)
    found = [of_fastest(_times(events, kind), rounds, wall) for kind in ("kernel", "empty")]
    kernels, empty = (times * speed[:, None] for times in found)
    return kernels, empty


def of_fastest(times: FloatArray, rounds: Rounds, clock: int) -> FloatArray:
    """Cut `(n, k)` times of all runs, warm-up included, to `(r, k)` of each round's fastest run.

    The runs of the rounds are the last ones; where a round has more than one, another before them
    did not count, see `hwnas.measure.rounds.take_burst`. Which run was fastest the meter with the
    number `clock` says: the profiler's own times pass for all, so that it is the one on the wall.
    """
    number, runs = rounds.values.shape[:2]
    skipped = int(runs > 1)
    last = times[len(times) - number * (runs + skipped) :]
    counted = last.reshape(number, runs + skipped, -1)[:, skipped:]
    fastest = rounds.values[:, :, clock].argmin(axis=1)
    return np.asarray(counted[np.arange(number), fastest])


def _run(session: Any, feeds: Any) -> None:
    try:
        session.run(None, feeds)
    except Exception as error:
        # ONNX Runtime's errors have no common class other than Exception.
        raise InvalidValueError(
            f"`kernels` must run by themselves, but ONNX Runtime says: {str(error).splitlines()[0]}"
        ) from error


def _times(events: Sequence[dict[str, Any]], kind: str) -> FloatArray:
    """Give `(n, k)` times in ms of the nodes of a kind, a row a run."""
    rows: dict[int, list[float]] = {}
    for event in events:
        named = _NODE.fullmatch(event.get("name", ""))
        if named is not None and named[1] == kind:
            rows.setdefault(int(named[2]), []).append(event["dur"] / 1e3)
    return np.array([rows[number] for number in sorted(rows)]).T


def middle_mean(times: FloatArray) -> FloatArray:
    """Average the middle half of each column: whole microseconds need more than a median."""
    ordered = np.sort(times, axis=0)
    quarter = len(ordered) // 4
    middle: FloatArray = ordered[quarter : len(ordered) - quarter].mean(axis=0)
    return middle
