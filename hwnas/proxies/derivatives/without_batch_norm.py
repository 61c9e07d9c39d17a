"""Networks whose batch norms are the identity."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class WithoutBatchNorm(TorchFunctionMode):
    """Makes each batch norm, module or function, the identity."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        kwargs = kwargs or {}
        if func is F.batch_norm:
            normalised: Tensor = args[0] if args else kwargs["input"]
            return normalised.clone()
        return func(*args, **kwargs)
