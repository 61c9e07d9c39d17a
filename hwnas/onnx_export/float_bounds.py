"""Bounds of `torch.clamp` as PyTorch's exporter takes them.

It refuses a whole one beside one that is not (`findings/torch_onnx_exporter_mixed_bounds.sh`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_CLAMPS = {getattr(of, f"{name}{end}") for of in (torch, torch.Tensor)
           for name in ("clamp", "clip") for end in ("", "_")}  # fmt: skip


class FloatBounds(TorchFunctionMode):
    """While it is entered, whole bounds of real numbers are real numbers."""

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function."""
        del types
        given = dict(kwargs or {})
        if func in _CLAMPS:
            x = args[0] if args else given["input"]
            if isinstance(x, torch.Tensor) and x.is_floating_point():
                args = [*map(_real, args)]
                given = {name: _real(value) for name, value in given.items()}
        return func(*args, **given)


def _real(bound: Any) -> Any:
    return float(bound) if type(bound) is int else bound
