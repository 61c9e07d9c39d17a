"""The inputs of activation functions, whether modules or functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

_NAMES = """
    relu relu_ relu6 hardtanh hardtanh_ leaky_relu leaky_relu_ rrelu prelu elu elu_ selu gelu silu
    mish hardswish softplus
"""
_ACTIVATIONS = frozenset(_NAMES.split())


class ActivationInputs(TorchFunctionMode):
    """Calls `keep` with the input of each activation function, which then gets what it returns."""

    def __init__(self, keep: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._keep = keep

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        if getattr(func, "__name__", "") in _ACTIVATIONS and args and isinstance(args[0], Tensor):
            args = (self._keep(args[0]), *args[1:])
        return func(*args, **(kwargs or {}))
