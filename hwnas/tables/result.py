"""One computed value, whether it comes from a table, a cache or a computation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Result:
    """One computed value.

    Attributes:
        value: the number; NaN where the computation failed or has no value.
        error: why there is no value, or None.
        seconds: time that it took to compute.
        detail: further JSON-serialisable facts, e.g. the spread of a measurement.
    """

    value: float
    error: str | None = None
    seconds: float = 0.0
    detail: Mapping[str, Any] = field(default_factory=dict)
