"""Runs a network in float64 that converts to a shorter format inside, as if it did not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

from hwnas.networks.dispatch_mode import EagerDispatchMode

T = TypeVar("T")
_SHORTER = (torch.float32, torch.float16, torch.bfloat16)


def in_float64(run: Callable[[], T]) -> T:
    """Run a network, whose weights and inputs are float64; again without its conversions.

    A network that converts to float32 inside, or has autocast there, fails where the two formats
    meet; then it runs a second time, in which each conversion gives float64.

    Args:
        run: runs it, forwards and backwards; draws no random numbers.
    """
    try:
        return run()
    except RuntimeError:
        with _Float64():  # type: ignore[no-untyped-call]
            return run()


class _Float64(EagerDispatchMode):  # type: ignore[no-untyped-call]
    """Makes what would be float32 or shorter float64."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        kwargs = dict(kwargs or {})
        if kwargs.get("dtype") in _SHORTER:
            kwargs["dtype"] = torch.float64
        return func(*args, **kwargs)
