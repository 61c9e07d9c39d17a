"""How a network's latency follows from the latencies of its kernels, fitted to whole networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hwnas.errors import InvalidValueError
from hwnas.typing import FloatArray

_FEWEST = 5
"""Networks from which overheads are told apart from the scale."""
_FEWEST_SIGNED = 8
"""Networks from which costs may be below 0, and that of elements is told apart from the others."""
_FEWEST_BY_KIND = 16
"""Networks from which each type of kernel may have a scale of its own."""
_BY_KIND = 0.02
"""Sum of relative errors that a scale must save for each unit that it is apart from the common one.

Chosen on networks of three spaces in LiteRT and MNN: .1 and .5 leave more errors.
"""
_FARTHEST = 4.0
"""How many times as long as others, or as short, kernels of a type may take in networks."""
_LEAST_SHARE = 0.1
"""Of the sum over kernels: whatever is taken off, a network takes that much."""
_COMMON = 4
"""Terms before those of the types of kernels."""


@dataclass(frozen=True)
class Calibration:
    """What is added to, and multiplies, the latencies of kernels in ms.

    Attributes:
        overhead_ms: what a run costs beside its kernels.
        kernel_overhead_ms: what the call of a kernel costs beyond what was timed; below 0 where
            the timing of one costs more.
        scale: how much longer kernels take in networks than regressors say.
        element_ms: what a million numbers that kernels read and write cost in a network beyond
            what they cost alone; mostly below 0, since a kernel alone gets its image from outside
            and gives it away. 0 where kernels were timed within one model.
        kind_scales: what is added to `scale` for kernels of a type; 0 where it is not there, and
            for all that were timed within one model.
    """

    overhead_ms: float = 0.0
    kernel_overhead_ms: float = 0.0
    scale: float = 1.0
    element_ms: float = 0.0
    kind_scales: Mapping[str, float] = field(default_factory=dict)

    def predict(self, terms: FloatArray, kinds: Sequence[str]) -> FloatArray:
        """Give `(n,)` latencies in ms of `(n, 4 + k)` terms, see `fit`."""
        common = (self.overhead_ms, self.kernel_overhead_ms, self.scale, self.element_ms)
        factors = np.array([*common, *(self.kind_scales.get(kind, 0.0) for kind in kinds)])
        latencies: FloatArray = np.maximum(terms @ factors, _LEAST_SHARE * terms[:, 2])
        return latencies

    @classmethod
    def fit(
        cls,
        terms: FloatArray,
        kinds: Sequence[str],
        measured: FloatArray,
        *,
        alone: bool,
        networks: int | None = None,
    ) -> Self:
        """Minimise the mean absolute relative error.

        Scale and overhead of a run are never below 0, and the others not with fewer than eight
        networks. Fewer than five tell the scale alone: three numbers would fit them whatever they
        are. Scales of types keep close to the common one.

        Args:
            terms: `(n, 4 + k)` 1, number of kernels, sum of their latencies in ms, millions of
                numbers that they read and write, and the sum of each type.
            kinds: `(k,)` types of kernels.
            measured: `(n,)` latencies in ms.
            alone: whether each kernel was timed as a model by itself.
            networks: networks whose number says what can be told apart; all of these if None.
        """
        number = networks or len(measured)
        told = [True] * 3 if number >= _FEWEST else [False, False, True]
        told.append(alone and number >= _FEWEST_SIGNED)
        rows = terms / measured[:, None]
        by_kind = alone and number >= _FEWEST_BY_KIND
        # Only what was timed with each kernel may have been too much: its call, and its images.
        signed = {1, 3} if number >= _FEWEST_SIGNED else set[int]()
        places = np.flatnonzero(told)
        lowest = [None if i in signed else 0.0 for i in places.tolist()]
        found = _least_absolute(
            rows[:, places],
            rows[:, _COMMON:] if by_kind else np.zeros((len(rows), 0)),
            lowest,
            scale_at=int(np.flatnonzero(places == 2)[0]),
        )
        common = np.zeros(_COMMON)
        common[places] = found[: len(places)]
        own = zip(kinds, found[len(places) :].tolist(), strict=True) if by_kind else ()
        overhead, each, scale, element = map(float, common)
        return cls(overhead, each, scale, element, {kind: more for kind, more in own if more})

    def as_settings(self) -> dict[str, Any]:
        """Write the numbers of a predictor file; those that are 0 for most runtimes if not 0."""
        settings = asdict(self)
        for name in ("element_ms", "kind_scales"):
            if not settings[name]:
                del settings[name]
        return settings

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Read what `as_settings` wrote; LookupError, TypeError or ValueError if it is not that."""
        lower = [settings["overhead_ms"], settings["scale"]]
        element = settings.get("element_ms", 0.0)
        signed = [settings["kernel_overhead_ms"], element]
        own = dict(settings.get("kind_scales", {}))
        numbers = [*lower, *signed, *own.values()]
        if not all(type(n) in (int, float) for n in numbers) or min(lower) < 0:
            raise ValueError(f"its overheads and scales are {numbers}")
        return cls(lower[0], signed[0], lower[1], element, own)


UNCALIBRATED = Calibration()


def held_out(
    terms: FloatArray, kinds: Sequence[str], measured: FloatArray, *, alone: bool
) -> FloatArray:
    """Give `(n,)` predictions in ms, each after a fit to all other networks; see `Calibration`."""
    n, found = len(measured), np.empty(len(measured))
    for i, others in enumerate(~np.eye(n, dtype=np.bool_)):
        made = Calibration.fit(terms[others], kinds, measured[others], alone=alone, networks=n)
        found[i] = made.predict(terms[i : i + 1], kinds)[0]
    return found


def checked_latencies(measured_ms: npt.ArrayLike) -> FloatArray:
    """Give at least two `(n,)` latencies above 0, or raise `InvalidValueError`."""
    measured = np.asarray(measured_ms, dtype=np.float64)
    if len(measured) < 2 or not np.all(np.isfinite(measured) & (measured > 0)):
        raise InvalidValueError(
            f"`measured_ms` must be at least two latencies above 0, but got {measured}."
        )
    return measured


def _least_absolute(
    features: FloatArray, own: FloatArray, lowest: Sequence[float | None], scale_at: int
) -> FloatArray:
    """Minimise the sum of the `(n,)` errors ``|features w + own d - 1|`` and of ``_BY_KIND |d|``.

    Returns:
        `(f + k,)` w, each not below its `lowest`, and d, by which no scale gets `_FARTHEST` off.
    """
    from scipy.optimize import linprog

    n, f = features.shape
    k = own.shape[1]
    # d is the difference of two numbers not below 0; a further one bounds each error on both sides.
    errors, none, each = np.eye(n), np.zeros((k, n)), np.eye(k)
    scale = np.zeros((k, f))
    scale[:, scale_at] = 1
    found = linprog(
        np.concatenate([np.zeros(f), np.full(2 * k, _BY_KIND), np.ones(n)]),
        np.block(
            [
                [features, own, -own, -errors],
                [-features, -own, own, -errors],
                [(1 / _FARTHEST - 1) * scale, -each, each, none],  # s / 4 <= s + d
                [(1 - _FARTHEST) * scale, each, -each, none],  # s + d <= 4 s
            ]
        ),
        np.concatenate([np.ones(n), -np.ones(n), np.zeros(2 * k)]),
        bounds=[*((low, None) for low in lowest), *[(0, None)] * (2 * k + n)],
    )
    weights = np.asarray(found.x, dtype=np.float64)
    return np.concatenate([weights[:f], weights[f : f + k] - weights[f + k : f + 2 * k]])
