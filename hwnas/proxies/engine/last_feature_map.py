"""The last feature map that a network computes, wherever its modules end."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hwnas.networks.dispatch_mode import EagerDispatchMode

_COPIES = (torch.ops.aten.clone, torch.ops.aten._to_copy)


class LastFeatureMap(EagerDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps the last (B, C, H, W) tensor with more than one position: before global pooling."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.map: Tensor | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        result = func(*args, **(kwargs or {}))
        first = result[0] if isinstance(result, (tuple, list)) and result else result
        computed = not (func.is_view or func.overloadpacket in _COPIES)
        if computed and isinstance(first, Tensor) and first.ndim == 4 and first.shape[2:] != (1, 1):
            self.map = first
        return result
