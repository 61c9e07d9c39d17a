"""Functions that passes run in another way than the network says, to the same values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.overrides import TorchFunctionMode

from hwnas.proxies.derivatives.element_taps import Size, pair
from hwnas.proxies.derivatives.window_sums import Pair, window_sizes

# Normalisations other than batch norms, which get contiguous inputs.
_NORM_MODULES = (nn.GroupNorm, _InstanceNorm, nn.LayerNorm, nn.RMSNorm, nn.LocalResponseNorm)
_NORM_FUNCTIONS = frozenset(
    {
        *(F.group_norm, torch.group_norm, torch.native_group_norm),
        *(F.layer_norm, torch.layer_norm, torch.native_layer_norm),
        *(F.instance_norm, torch.instance_norm),
        *(F.rms_norm, torch.rms_norm),
        F.local_response_norm,
    }
)
# Images from which PyTorch runs 1x1 convolutions by oneDNN.
_MANY = 16
# Numbers of an average pool's input from which a convolution takes less time.
_LARGE = 2**17


def run_other_functions(network: nn.Module, products: bool = False, elsewhere: bool = True) -> None:
    """Run a network's functions in the ways of `OtherFunctions`.

    Args:
        network: changed in place.
        products: whether 1x1 convolutions are products: not for what watches convolutions.
        elsewhere: whether they are functions outside of PyTorch's modules as well: they need a
            function mode, which looks at each function, a tenth of the time of a small network.
    """
    if not elsewhere:
        for module in _known_modules(network):
            vars(module)["forward"] = partial(_FORWARDS[type(module)], module, products)
        return
    mode = OtherFunctions(products)

    def before(module: nn.Module, args: Any) -> None:
        del module, args
        mode.__enter__()  # type: ignore[no-untyped-call]

    def after(module: nn.Module, args: Any, output: Any) -> None:
        del module, args, output
        mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    network.register_forward_pre_hook(before)
    network.register_forward_hook(after, always_call=True)


def _known_modules(network: nn.Module) -> Iterator[nn.Module]:
    for module in network.modules():
        if type(module) in _FORWARDS and "forward" not in vars(module):
            yield module


def _pool(module: Any, products: bool, input: Tensor) -> Tensor:
    del products
    size = module.kernel_size, module.stride, module.padding
    return average_pool(
        input, *size, module.ceil_mode, module.count_include_pad, module.divisor_override
    )


def _convolve(module: Any, products: bool, input: Tensor) -> Tensor:
    if not products or module.kernel_size != (1, 1) or module.padding_mode != "zeros":
        convolved: Tensor = nn.Conv2d.forward(module, input)
        return convolved
    settings = module.stride, module.padding, module.dilation, module.groups
    return pointwise_convolution(input, module.weight, module.bias, *settings)


_FORWARDS: Mapping[type, Callable[..., Tensor]] = {nn.AvgPool2d: _pool, nn.Conv2d: _convolve}
"""Modules of one such function: what they run instead, from (module, products, input)."""


def has_norms(modules: Iterable[nn.Module]) -> bool:
    """Tell whether there are modules that normalise, other than batch norms."""
    return any(isinstance(module, _NORM_MODULES) for module in modules)


class OtherFunctions(TorchFunctionMode):
    """Gives normalisations contiguous inputs, and large average pools are convolutions.

    It sees modules and functions.

    Args:
        products: whether 1x1 convolutions are products: not for what watches convolutions.

    Attributes:
        used: whether one of these ran.
        elsewhere: whether one ran outside of the modules that `told_of` knows.
    """

    def __init__(self, products: bool = False) -> None:
        super().__init__()
        self._products = products
        self._inside = False
        self.used = False
        self.elsewhere = False

    @contextmanager
    def told_of(self, network: nn.Module) -> Iterator[None]:
        """Tell functions of modules that `run_other_functions` knows from others in the block."""
        known = list(_known_modules(network))
        for module in known:
            vars(module)["forward"] = partial(self._within, module)
        try:
            yield
        finally:
            for module in known:  # which would hold itself else, until garbage is collected
                del vars(module)["forward"]

    def _within(self, module: nn.Module, input: Tensor) -> Tensor:
        self._inside = True
        try:
            output: Tensor = type(module).forward(module, input)
            return output
        finally:
            self._inside = False

    def _note(self) -> None:
        self.used = True
        self.elsewhere = self.elsewhere or not self._inside

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        kwargs = kwargs or {}
        if func in _NORM_FUNCTIONS:
            self._note()
            if args:
                args = (args[0].contiguous(), *args[1:])
            else:
                kwargs = {**kwargs, "input": kwargs["input"].contiguous()}
        elif func is F.avg_pool2d:
            self._note()
            func = average_pool
        elif func is F.conv2d and _is_pointwise(*args[:2], **kwargs):
            self._note()
            func = pointwise_convolution if self._products else func
        return func(*args, **kwargs)


def _is_pointwise(input: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> bool:
    del input, args, kwargs
    return weight.shape[2:] == (1, 1)


def pointwise_convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Replace `torch.nn.functional.conv2d` of 1x1 weights in the `channels_last` layout.

    A linear layer of the channels takes half of the time backward for fewer than 16 images, for
    which PyTorch takes its own convolution. More images are left to oneDNN's, which takes up to
    half of the time that a linear layer of few channels does.
    """
    plain = pair(stride) == (1, 1) and padding in (0, (0, 0), "same", "valid") and groups == 1
    few = input.ndim == 4 and len(input) < _MANY
    last = few and input.is_contiguous(memory_format=torch.channels_last)
    if not (plain and last and input.device.type == "cpu"):
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
    return F.linear(input.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


def average_pool(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Replace `torch.nn.functional.avg_pool2d`, whose kernels for overlapping windows are slow.

    oneDNN's depthwise convolution takes half of the time forward and backward in the
    `channels_last` layout, a sixth in the contiguous one.
    """
    kernel, step, sides = pair(kernel_size), pair(stride or kernel_size), pair(padding)
    # PyTorch refuses these, whatever the size.
    allowed = all(2 * p <= k for p, k in zip(sides, kernel, strict=True)) and divisor_override != 0
    fits = input.ndim == 4 and input.dtype == torch.float32 and input.numel() >= _LARGE
    there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    # What is made within a transform, e.g. `torch.func.jvp`, is of no use after it.
    transformed = torch._C._functorch.peek_interpreter_stack() is not None
    # Convolutions, unlike pools, are computed in a lower precision there.
    lowered = torch.is_autocast_enabled("cpu")
    here = there and input.device.type == "cpu" and not (transformed or lowered)
    overlap = any(s < k for s, k in zip(step, kernel, strict=True)) and not ceil_mode
    if not (allowed and fits and here and overlap):
        settings = (stride, padding, ceil_mode, count_include_pad, divisor_override)
        return F.avg_pool2d(input, kernel_size, *settings)
    sums = F.conv2d(input, _ones(input.shape[1], kernel), None, step, sides, 1, input.shape[1])
    if count_include_pad or divisor_override:
        return sums / (divisor_override or kernel[0] * kernel[1])
    last = input.is_contiguous(memory_format=torch.channels_last)
    return sums / _sizes(tuple(input.shape[1:]), kernel, step, sides, last)


@lru_cache(maxsize=64)
def _ones(channels: int, kernel: Pair) -> Tensor:
    # Later networks get it too: nothing that this one has set may stay with it.
    with torch.inference_mode(False):
        return torch.ones(channels, 1, *kernel, dtype=torch.float32, device="cpu")


@lru_cache(maxsize=64)
def _sizes(shape: tuple[int, ...], kernel: Pair, step: Pair, sides: Pair, last: bool) -> Tensor:
    """Count the places of each window, for all channels: one memory is read in one go."""
    layout = torch.channels_last if last else torch.contiguous_format
    with torch.inference_mode(False):
        sizes = window_sizes(shape[1:], kernel, step, sides).float().expand(1, shape[0], -1, -1)
        return sizes.contiguous(memory_format=layout)
