"""Why a network gives a proxy nothing, in one sentence."""

from __future__ import annotations

import re

from torch import nn

from hwnas.errors import ProxyError

_FORMATS = re.compile(r"same dtype|expected scalar type|should be the same|dtypes? mismatch")
_VALUES = re.compile(r"on meta tensors|data[- ]dependent")


def reason_of(model: nn.Module, error: Exception) -> ProxyError:
    """Tell why a network, or what watches it, has raised.

    Args:
        model: the network.
        error: what was raised; a `ProxyError` is its own reason.
    """
    if isinstance(error, ProxyError):
        return error
    text = " ".join(str(error).split())
    packed = [name for name, module in model.named_modules() if is_quantised(module)]
    if packed:
        kind = type(model.get_submodule(packed[0])).__name__
        return ProxyError(
            f"`model` must have floating-point weights, which have gradients, but layer "
            f"{packed[0]!r} is a quantised {kind}: give the network from before it was quantised."
        )
    if _FORMATS.search(text):
        return ProxyError(
            f"`model` must compute in the number format of what it gets, but converts to another "
            f"one inside, where this score cannot follow: {text}"
        )
    if _VALUES.search(text):
        return ProxyError(
            f"`model` must run the same operators whatever the values, but asks for values: {text}"
        )
    return ProxyError(f"Running the network raised {type(error).__name__}: {text.rstrip('.')}.")


def is_quantised(module: nn.Module) -> bool:
    """Tell whether a layer holds packed integers in place of a weight."""
    return "quantized" in type(module).__module__ and callable(getattr(module, "weight", None))
