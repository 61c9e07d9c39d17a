"""How PyTorch's operations are spelled in ONNX.

Each function has the signature of the PyTorch function that it stands for, after the graph writer
and the known result, so that a call with arguments that are not handled fails instead of being
written wrongly. `FUNCTIONS`, `PARTS` and `MODULES` are the tables; what is in none is not written
here.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import nn

from hwnas.onnx_export import axes
from hwnas.onnx_export.graph_writer import GraphWriter, Value, require

Operand = Value | float
Function = Callable[..., str]
Pair = int | Sequence[int]


def _pair(value: Pair) -> list[int]:
    return [value, value] if isinstance(value, int) else [int(v) for v in value]


def _name(w: GraphWriter, operand: Operand) -> str:
    return operand.name if isinstance(operand, Value) else w.scalar(float(operand))


def _conv2d(
    w: GraphWriter,
    out: Value,
    input: Value,
    weight: Value,
    bias: Value | None = None,
    stride: Pair = 1,
    padding: str | Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> str:
    del out
    require(len(input.shape) == 4, "convolution without a batch")
    kernel, steps = weight.shape[2:], _pair(dilation)
    if isinstance(padding, str):
        whole = [
            d * (k - 1) if padding == "same" else 0 for k, d in zip(kernel, steps, strict=True)
        ]
        # PyTorch puts the odd row or column at the end.
        pads = [p // 2 for p in whole] + [p - p // 2 for p in whole]
    else:
        pads = _pair(padding) * 2
    inputs = [value.name for value in (input, weight, bias) if value is not None]
    return w.add(
        "Conv",
        *inputs,
        kernel_shape=kernel,
        strides=_pair(stride),
        pads=pads,
        dilations=steps,
        group=groups,
    )


def _linear(
    w: GraphWriter, out: Value, input: Value, weight: Value, bias: Value | None = None
) -> str:
    del out
    if len(input.shape) == 2:
        terms = [input.name, weight.name, *([] if bias is None else [bias.name])]
        return w.add("Gemm", *terms, transB=1)
    product = w.add("MatMul", input.name, w.add("Transpose", weight.name, perm=[1, 0]))
    return product if bias is None else w.add("Add", product, bias.name)


def _batch_norm(
    w: GraphWriter,
    out: Value,
    input: Value,
    running_mean: Value | None,
    running_var: Value | None,
    weight: Value | None = None,
    bias: Value | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> str:
    del out, momentum
    require(not training, "batch norm with the statistics of the batch")
    require(running_mean is not None and running_var is not None, "batch norm without statistics")
    assert running_mean is not None
    assert running_var is not None
    channels = running_mean.shape[0]
    scale = w.constant(*[1.0] * channels, dtype=np.float32) if weight is None else weight.name
    shift = w.constant(*[0.0] * channels, dtype=np.float32) if bias is None else bias.name
    return w.add(
        "BatchNormalization",
        input.name, scale, shift, running_mean.name, running_var.name,
        epsilon=float(eps),
    )  # fmt: skip


def _window(
    out: Value, input: Value, kernel: Pair, stride: Pair | None, padding: Pair
) -> tuple[list[int], list[int], list[int], bool]:
    """Give kernel, strides, pads and whether `ceil_mode` needed more padding at the end.

    The end padding is what makes rounding down give PyTorch's output size, whatever its
    `ceil_mode`; runtimes disagree on ONNX's own.
    """
    require(len(input.shape) == 4, "pool without a batch")
    k, p = _pair(kernel), _pair(padding)
    s = _pair(stride) if stride else k
    missing = [
        (out.shape[2 + i] - 1) * s[i] + k[i] - input.shape[2 + i] - 2 * p[i] for i in range(2)
    ]
    more = [max(0, m) for m in missing]
    return k, s, [*p, *(a + b for a, b in zip(p, more, strict=True))], any(more)


def _max_pool2d(
    w: GraphWriter,
    out: Value,
    input: Value,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> str:
    del ceil_mode
    require(not return_indices and _pair(dilation) == [1, 1], "max pool with dilation or indices")
    kernel, strides, pads, _ = _window(out, input, kernel_size, stride, padding)
    return w.add("MaxPool", input.name, kernel_shape=kernel, strides=strides, pads=pads)


def _avg_pool2d(
    w: GraphWriter,
    out: Value,
    input: Value,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> str:
    del ceil_mode
    kernel, strides, pads, more = _window(out, input, kernel_size, stride, padding)
    # PyTorch counts its own padding but not what rounding up adds; ONNX has one switch for both.
    own = divisor_override is not None
    padded = count_include_pad and any(_pair(padding))
    require(own or not (more and padded), "padded pool rounding up")
    mean = w.add(
        "AveragePool",
        input.name,
        kernel_shape=kernel,
        strides=strides,
        pads=pads,
        count_include_pad=int(own or (count_include_pad and not more)),
    )
    # Whole windows are divided by their size k: sum / d = mean k / d.
    if divisor_override is None:
        return mean
    return w.add("Mul", mean, w.scalar(math.prod(kernel) / divisor_override))


def _adaptive_avg_pool2d(w: GraphWriter, out: Value, input: Value, output_size: Any) -> str:
    del output_size
    require(len(input.shape) == 4, "pool without a batch")
    if out.shape == input.shape:
        return input.name
    require(out.shape[2:] == (1, 1), "adaptive pool to more than one element")
    return w.add("GlobalAveragePool", input.name)


def _flatten(
    w: GraphWriter, out: Value, input: Value, start_dim: int = 0, end_dim: int = -1
) -> str:
    del start_dim, end_dim
    return _reshape(w, out, input)


def _reshape(w: GraphWriter, out: Value, input: Value, *shape: Any) -> str:
    del shape
    if out.shape == input.shape:
        return input.name
    require(0 not in out.shape, "reshape of nothing")
    if out.shape[:1] != input.shape[:1]:
        require(not w.dynamic_batch, "reshape across the batch")
        return w.add("Reshape", input.name, w.constant(*out.shape))
    # 0 keeps the input's dimension, so the batch stays free.
    return w.add("Reshape", input.name, w.constant(0, *out.shape[1:]))


def _mean(w: GraphWriter, out: Value, input: Value, dim: Any = None, keepdim: bool = False) -> str:
    del out
    axes = list(range(len(input.shape))) if dim is None else _axes(dim)
    return w.add("ReduceMean", input.name, w.constant(*axes), keepdims=int(keepdim))


def _axes(dim: int | Sequence[int]) -> list[int]:
    return [dim] if isinstance(dim, int) else list(dim)


def _cat(w: GraphWriter, out: Value, tensors: Sequence[Value], dim: int = 0) -> str:
    del out
    return w.add("Concat", *(tensor.name for tensor in tensors), axis=dim)


def _channel_shuffle(w: GraphWriter, out: Value, input: Value, groups: int) -> str:
    _, channels, *sides = out.shape
    split = w.add("Reshape", input.name, w.constant(0, groups, channels // groups, *sides))
    order = (0, 2, 1, *range(3, len(out.shape) + 1))
    return w.add("Reshape", w.add("Transpose", split, perm=order), w.constant(0, *out.shape[1:]))


def _upsample(
    w: GraphWriter, out: Value, input: Value, mode: str, align_corners: bool | None, scale: Any
) -> str:
    # A factor is not what the sizes' ratio is where the size is rounded.
    require(mode == "bilinear" and not align_corners and scale is None, f"upsampling by {mode}")
    # Without `axes`, which some converters leave unread, where the batch is known.
    free = w.dynamic_batch
    return w.add(
        "Resize",
        input.name, "", "", w.constant(*out.shape[2 if free else 0 :]),
        mode="linear", coordinate_transformation_mode="pytorch_half_pixel",
        **({"axes": [2, 3]} if free else {}),
    )  # fmt: skip


def _zeros(w: GraphWriter, out: Value, input: Value, *size: Any) -> str:
    del input, size
    # The value is the standard's default, which not every converter knows.
    zero = numpy_helper.from_array(np.zeros(1, np.float32))
    return w.add("ConstantOfShape", w.shape(out), value=zero)


def _binary(name: str) -> Function:
    def write(w: GraphWriter, out: Value, a: Operand, b: Operand, /) -> str:
        del out
        return w.add(name, _name(w, a), _name(w, b))

    return write


def _unary(name: str, **attributes: float) -> Function:
    def write(w: GraphWriter, out: Value, input: Value, inplace: bool = False) -> str:
        del out, inplace
        return w.add(name, input.name, **attributes)

    return write


def _clip(w: GraphWriter, out: Value, input: Value, inplace: bool = False) -> str:
    del out, inplace
    return w.add("Clip", input.name, w.scalar(0.0), w.scalar(6.0))


def _silu(w: GraphWriter, out: Value, input: Value, inplace: bool = False) -> str:
    del out, inplace
    return w.add("Mul", input.name, w.add("Sigmoid", input.name))


def _leaky_relu(
    w: GraphWriter, out: Value, input: Value, negative_slope: float = 0.01, inplace: bool = False
) -> str:
    del out, inplace
    return w.add("LeakyRelu", input.name, alpha=float(negative_slope))


def _gelu(w: GraphWriter, out: Value, input: Value, approximate: str = "none") -> str:
    del out
    require(approximate == "none", "approximate GELU")
    erf = w.add("Erf", w.add("Mul", input.name, w.scalar(math.sqrt(0.5))))
    return w.add("Mul", input.name, w.add("Mul", w.add("Add", erf, w.scalar(1.0)), w.scalar(0.5)))


def _softmax(
    w: GraphWriter,
    out: Value,
    input: Value,
    dim: int | None = None,
    _stacklevel: int = 3,
    dtype: torch.dtype | None = None,
) -> str:
    del out
    require(dim is not None and dtype is None and _stacklevel == 3, "softmax of another type")
    return w.add("Softmax", input.name, axis=dim)


def _embedding(
    w: GraphWriter, out: Value, input: Value, weight: Value, padding_idx: int | None = None,
    max_norm: float | None = None, norm_type: float = 2.0, scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> str:  # fmt: skip
    del out, padding_idx, norm_type, scale_grad_by_freq, sparse  # of gradients, or of max_norm
    require(max_norm is None, "an embedding that is scaled where it is used")
    return w.add("Gather", weight.name, input.name, axis=0)


def _layer_norm(
    w: GraphWriter,
    out: Value,
    input: Value,
    normalized_shape: Sequence[int],
    weight: Value | None = None,
    bias: Value | None = None,
    eps: float = 1e-5,
) -> str:
    del out
    require(len(normalized_shape) == 1, "layer norm over several axes")
    ones = [1.0] * normalized_shape[0]
    scale = w.constant(*ones, dtype=np.float32) if weight is None else weight.name
    terms = [scale, *([] if bias is None else [bias.name])]
    return w.add("LayerNormalization", input.name, *terms, axis=-1, epsilon=float(eps))


def _dropout(
    w: GraphWriter, out: Value, input: Value, p: float = 0.5, training: bool = True,
    inplace: bool = False,
) -> str:  # fmt: skip
    del w, out, p, inplace
    require(not training, "dropout in evaluation mode")
    return input.name


def _same(w: GraphWriter, out: Value, input: Value, *args: Any) -> str:
    del w, out, args
    return input.name


_add, _mul = _binary("Add"), _binary("Mul")
_relu, _sigmoid = _unary("Relu"), _unary("Sigmoid")
_hard_swish, _tanh = _unary("HardSwish"), _unary("Tanh")
_hard_sigmoid = _unary("HardSigmoid", alpha=1 / 6, beta=0.5)

SHAPE_FUNCTIONS = frozenset({torch.reshape, "reshape", "view", "expand", "new_zeros"})
"""Those whose arguments are sizes."""

FUNCTIONS: Mapping[Any, Function] = {
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add", "add_"), _add),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul, "mul", "mul_"), _mul),
    **dict.fromkeys((operator.sub, torch.sub, "sub"), _binary("Sub")),
    **dict.fromkeys((operator.truediv, torch.div, "div"), _binary("Div")),
    **dict.fromkeys((operator.matmul, torch.matmul, "matmul"), _binary("MatMul")),
    **dict.fromkeys((F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_"), _relu),
    **dict.fromkeys((F.sigmoid, torch.sigmoid, "sigmoid"), _sigmoid),
    **dict.fromkeys((F.tanh, torch.tanh, "tanh"), _tanh),
    **dict.fromkeys((torch.flatten, "flatten"), _flatten),
    **dict.fromkeys((torch.reshape, "reshape", "view"), _reshape),
    **dict.fromkeys((torch.mean, "mean"), _mean),
    **dict.fromkeys((torch.cat, torch.concat), _cat),
    F.relu6: _clip,
    F.hardswish: _hard_swish,
    F.hardsigmoid: _hard_sigmoid,
    F.silu: _silu,
    F.leaky_relu: _leaky_relu,
    F.gelu: _gelu,
    F.conv2d: _conv2d,
    F.embedding: _embedding,
    F.linear: _linear,
    F.batch_norm: _batch_norm,
    F.avg_pool2d: _avg_pool2d,
    F.adaptive_avg_pool2d: _adaptive_avg_pool2d,
    F.dropout: _dropout,
    F.layer_norm: _layer_norm,
    operator.getitem: axes.getitem,
    torch.stack: axes.stack,
    "expand": axes.expand,
    **dict.fromkeys((torch.permute, "permute"), axes.permute),
    **dict.fromkeys((torch.transpose, "transpose"), axes.transpose),
    **dict.fromkeys((torch.zeros_like, "new_zeros"), _zeros),
    "contiguous": _same,
    # Type checkers know these three by another name than the one that runs.
    torch.max_pool2d: _max_pool2d,
    F.max_pool2d: _max_pool2d,
    **dict.fromkeys((F.softmax, torch.softmax, "softmax"), _softmax),
}
"""By function, or by name for methods of tensors."""

PARTS: Mapping[Any, Callable[..., list[str]]] = {
    **dict.fromkeys((torch.unbind, "unbind"), axes.unbind),
    **dict.fromkeys((torch.split, "split", torch.chunk, "chunk"), axes.split),
}
"""Those that take a tensor apart, which get the shapes of the parts."""

Arguments = Callable[[Any], dict[str, Any]]


def _pool_arguments(m: Any) -> dict[str, Any]:
    return {"kernel_size": m.kernel_size, "stride": m.stride, "padding": m.padding}


def _conv_arguments(m: Any) -> dict[str, Any]:
    require(m.padding_mode == "zeros", f"padding mode {m.padding_mode}")
    return {n: getattr(m, n) for n in ("stride", "padding", "dilation", "groups")}


def _nothing(m: Any) -> dict[str, Any]:
    del m
    return {}


MODULES: Mapping[type[nn.Module], tuple[Function, tuple[str, ...], Arguments]] = {
    nn.Conv2d: (_conv2d, ("weight", "bias"), _conv_arguments),
    nn.Linear: (_linear, ("weight", "bias"), _nothing),
    nn.BatchNorm2d: (
        _batch_norm,
        ("running_mean", "running_var", "weight", "bias"),
        lambda m: {"eps": m.eps, "training": not m.track_running_stats},
    ),
    nn.MaxPool2d: (
        _max_pool2d,
        (),
        lambda m: {
            **_pool_arguments(m), "dilation": m.dilation, "return_indices": m.return_indices,
        },
    ),
    nn.AvgPool2d: (
        _avg_pool2d,
        (),
        lambda m: {
            **_pool_arguments(m),
            "count_include_pad": m.count_include_pad,
            "divisor_override": m.divisor_override,
        },
    ),
    nn.Embedding: (_embedding, ("weight",), lambda m: {"max_norm": m.max_norm}),
    nn.LayerNorm: (
        _layer_norm,
        ("weight", "bias"),
        lambda m: {"normalized_shape": m.normalized_shape, "eps": m.eps},
    ),
    nn.ZeroPad2d: (axes.zero_pad, (), lambda m: {"padding": m.padding}),
    nn.AdaptiveAvgPool2d: (
        _adaptive_avg_pool2d, (), lambda m: {"output_size": m.output_size}
    ),
    nn.ChannelShuffle: (_channel_shuffle, (), lambda m: {"groups": m.groups}),
    nn.Upsample: (
        _upsample,
        (),
        lambda m: {
            "mode": m.mode, "align_corners": m.align_corners, "scale": m.scale_factor,
        },
    ),
    nn.LeakyReLU: (_leaky_relu, (), lambda m: {"negative_slope": m.negative_slope}),
    nn.GELU: (_gelu, (), lambda m: {"approximate": m.approximate}),
    nn.Softmax: (_softmax, (), lambda m: {"dim": m.dim}),
    nn.Flatten: (_flatten, (), _nothing),
    nn.ReLU: (_relu, (), _nothing),
    nn.ReLU6: (_clip, (), _nothing),
    nn.Hardswish: (_hard_swish, (), _nothing),
    nn.Hardsigmoid: (_hard_sigmoid, (), _nothing),
    nn.Sigmoid: (_sigmoid, (), _nothing),
    nn.Tanh: (_tanh, (), _nothing),
    nn.SiLU: (_silu, (), _nothing),
    **dict.fromkeys((nn.Identity, nn.Dropout, nn.Dropout2d), (_same, (), _nothing)),
}  # fmt: skip
"""By exact class, since a subclass may compute something else: the function, the names of its
tensor arguments, and its other arguments."""
