"""The inputs of a network's ReLUs, be they modules, functions or in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hwnas.errors import ProxyError
from hwnas.networks.dispatch_mode import EagerDispatchMode

_aten = torch.ops.aten
_RECTIFIERS = (
    _aten.relu,
    _aten.relu_,
    _aten.hardtanh,  # ReLU6
    _aten.hardtanh_,
    _aten.leaky_relu,
    _aten.leaky_relu_,
)
NO_RECTIFIERS = (
    "`model` must have a ReLU, ReLU6 or leaky ReLU, but none ran: take a score that needs none, "
    "such as expressivity, synflow or zico."
)


class RectifierInputs(EagerDispatchMode):  # type: ignore[no-untyped-call]
    """Calls back with the input of each ReLU as (B, units), in a free order of units.

    Args:
        B: images of the pass.
        callback: gets the inputs before the ReLU runs.
    """

    def __init__(self, B: int, callback: Callable[[Tensor], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._B, self._callback = B, callback

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        if func.overloadpacket in _RECTIFIERS:
            self._report(args[0])
        return func(*args, **(kwargs or {}))

    def _report(self, inputs: Tensor) -> None:
        if inputs.is_meta or not inputs.is_floating_point():
            return
        if inputs.ndim < 2 or len(inputs) != self._B:
            raise ProxyError(
                f"Each ReLU must work on a (B, ...) tensor with B = {self._B}, but one got "
                f"{tuple(inputs.shape)}."
            )
        if inputs.ndim == 4:
            # This order needs no copy in the channels_last layout.
            inputs = inputs.permute(0, 2, 3, 1)
        self._callback(inputs.flatten(1))
