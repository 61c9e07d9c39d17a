"""Multiply-accumulates of PyTorch's operators: the one table that every count rests on.

One multiply-accumulate (MAC) is one real product that is added to a sum. Biases, norms, pools,
activations and everything else in `hwnas.networks.free_operators` count 0, as usual in the field;
an operator that stands in no table has no count, and is never taken for 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from hwnas.networks.free_operators import is_free

Args = Sequence[Any]
Formula = Callable[[Args, Any], int]
"""Gives the MACs of an operator, by its positional arguments and its (first) result."""
_DENSE = (torch.strided, torch._mkldnn)  # type: ignore[attr-defined]


def macs_of(func: Any, args: Args, kwargs: Mapping[str, Any], result: Any) -> int | None:
    """Count the multiply-accumulates of one executed operator.

    Products of complex numbers count 4 a product.

    Args:
        func: the overload, e.g. `torch.ops.aten.mm.default`.
        args: its positional arguments; tensors need no data.
        kwargs: its other arguments.
        result: what it returned.

    Returns:
        The count, or None if there is no formula for the operator, or for sparse arguments.
    """
    formula = _own_formula(func)
    if formula is not None:
        if any(isinstance(a, Tensor) and a.layout not in _DENSE for a in args):
            return None
        return formula(args, result[0] if isinstance(result, (tuple, list)) else result)
    if is_free(func):
        return 0
    theirs = _torchs_own().get(getattr(func, "overloadpacket", func))
    return None if theirs is None else int(theirs(*args, **kwargs, out_val=result)) // 2


@cache
def _own_formula(func: Any) -> Formula | None:
    if not hasattr(func, "_schema"):  # a higher-order operator, e.g. flex_attention
        return None
    namespace, _, name = func._schema.name.partition("::")
    return _FORMULAS.get(namespace, {}).get(name.rstrip("_"))


@cache
def _torchs_own() -> Mapping[Any, Callable[..., int]]:
    """Give PyTorch's formulas, 2 FLOPs a multiply-accumulate, e.g. of attention's gradients."""
    from torch.utils.flop_counter import FlopCounterMode

    return dict(FlopCounterMode(display=False).flop_registry)


def _times(tensor: Tensor, products: int) -> int:
    """Count products an element, four real ones for one of complex numbers."""
    return tensor.numel() * products * (4 if tensor.is_complex() else 1)


def _product(args: Args, result: Tensor) -> int:
    """(..., n, k) times (..., k, m), or a linear layer: k products an element of the result."""
    return _times(result, args[0].shape[-1])


def _added_product(args: Args, result: Tensor) -> int:
    """A product that is added to the first argument, or to the bias."""
    return _product(args[1:], result)


def _summed_products(args: Args, result: Tensor) -> int:
    """(b, n, k) times (b, k, m), summed over b."""
    return _times(result, args[1].shape[0] * args[1].shape[2])


def _outer_added(args: Args, result: Tensor) -> int:
    """(n,) times (m,), added to (n, m)."""
    del args
    return _times(result, 1)


def _multiplication(args: Args, result: Tensor) -> int:
    """Elementwise, which counts 0; unless both are broadcast: an outer product, 1 an element."""
    if all(isinstance(a, Tensor) and a.shape != result.shape for a in args[:2]):
        return _times(result, 1)
    return 0


def _listed_products(args: Args, result: Any) -> int:
    del result
    return sum(_times(a, b.shape[-1]) for a, b in zip(args[0], args[1], strict=True))


def _grouped_product(args: Args, result: Tensor) -> int:
    """Groups of rows times a matrix each; or (n, k) times (k, m), k divided into groups."""
    a, b = args[:2]
    return _times(a, b.shape[-1]) if a.ndim == b.ndim == 2 else _product(args, result)


def _convolution(args: Args, result: Tensor) -> int:
    """Weights of an output channel, for each element of the result; transposed: of an input's."""
    x, weight = args[:2]
    transposed = len(args) > 6 and args[6] is True
    return _times(x if transposed else result, math.prod(weight.shape[1:]))


def _plain_convolution(args: Args, result: Tensor) -> int:
    return _convolution(args[:2], result)


def _transposed_convolution(args: Args, result: Tensor) -> int:
    del result
    return _times(args[0], math.prod(args[1].shape[1:]))


def _convolution_gradients(args: Args, result: Any) -> int:
    """By the input and by the weights: each as many as the convolution itself, with groups too.

    PyTorch's counter takes the second one once a group:
    `findings/torch_flop_counter_fast_path_and_grouped_gradients.sh`.
    """
    del result
    gradient, x, weight = args[:3]
    products = _times(x if args[7] else gradient, math.prod(weight.shape[1:]))
    return products * sum(map(bool, args[10][:2]))  # that of the bias takes none


def _time_convolution(args: Args, result: Tensor) -> int:
    """(T, B, C) with weights (k, C, c)."""
    return _times(result, math.prod(args[1].shape[:2]))


def _packed_convolution(args: Args, result: Tensor) -> int:
    weight = next(a for a in args if hasattr(a, "unpack")).unpack()[0]
    return _convolution((args[0], weight), result)


def _packed_transposed_convolution(args: Args, result: Tensor) -> int:
    return _transposed_convolution((args[0], args[1].unpack()[0]), result)


def _onednn_convolution(args: Args, result: Tensor) -> int:
    return _convolution((args[0], args[3]), result)


def _attention(args: Args, result: Tensor) -> int:
    """Queries (..., T, E), keys (..., S, E), values (..., S, F): T S (E + F), masked or not."""
    del result
    query, key, value = args[:3]
    return int(query.shape[:-1].numel() * key.shape[-2] * (query.shape[-1] + value.shape[-1]))


def _multi_head_attention(args: Args, result: Tensor) -> int:
    """Queries (B, T, E), keys and values (B, S, E): four projections, and attention."""
    del result
    query, key, value = args[:3]
    projected = 2 * query.numel() + key.numel() + value.numel()
    return int(projected * query.shape[-1] + 2 * query.numel() * key.shape[1])


def _encoder_layer(args: Args, result: Tensor) -> int:
    """A transformer's layer on (B, T, E), with the weights of two linear layers behind it."""
    x, tokens = args[0], args[0].shape[:-1].numel()
    linear = sum(a.numel() for a in args if isinstance(a, Tensor) and a.ndim == 2)
    qkv_and_out = sum(a.numel() for a in (args[3], args[5]))
    return _multi_head_attention((x, x, x), result) + int(tokens * (linear - qkv_and_out))


def _trilinear(args: Args, result: Tensor) -> int:
    """Three tensors multiplied and summed over some axes, from left to right.

    E.g. a bilinear layer of a, b and c features: a b c, and b c behind it.
    """
    del result
    first, second, third = (
        _with_axes(tensor, axes) for tensor, axes in zip(args[:3], args[3:6], strict=True)
    )
    both = [max(sizes) for sizes in zip(first, second, strict=True)]
    kept = [1 if i in args[6] and third[i] == 1 else n for i, n in enumerate(both)]
    return math.prod(both) + math.prod(max(sizes) for sizes in zip(kept, third, strict=True))


def _with_axes(tensor: Tensor, axes: Sequence[int]) -> list[int]:
    sizes = list(tensor.shape)
    for axis in sorted(axes):
        sizes.insert(axis, 1)
    return sizes


def _distances(args: Args, result: Tensor) -> int:
    """One product a feature, for each pair of rows."""
    return _product(args, result)


def _fourier(args: Args, result: Tensor) -> int:
    """2.5 N log2 N for N complex points, half for real ones: 5 N log2 N FLOPs.

    The nominal count of radix-2 transforms by which they are compared (Frigo and Johnson, The
    Design and Implementation of FFTW3, Proceedings of the IEEE 2005, Sec. V).
    """
    points = args[0] if result.is_complex() else result
    n = math.prod(points.shape[axis] for axis in args[1])
    share = 2.5 if points.is_complex() else 1.25
    return round(share * points.numel() * math.log2(n)) if n else 0


def _recurrent_layer(args: Args, result: Tensor) -> int:
    """Each weight once a step and sequence."""
    del result
    return _steps(args[0]) * int(args[1].numel() + args[2].numel())


def _recurrent_layers(args: Args, result: Tensor) -> int:
    """As `_recurrent_layer`, with the weights and biases of all layers in a list."""
    del result
    weights = next(a for a in args[1:] if isinstance(a, (list, tuple)) and len(a) > 2)
    return _steps(args[0]) * sum(int(w.numel()) for w in weights if w.ndim > 1)


def _steps(x: Tensor) -> int:
    return math.prod(x.shape[:-1])


def _quantised_lstm(args: Args, result: Tensor) -> int:
    return _quantised_gates(4, args, result)


def _quantised_gru(args: Args, result: Tensor) -> int:
    return _quantised_gates(3, args, result)


def _quantised_gates(gates: int, args: Args, result: Tensor) -> int:
    """I inputs, H outputs, L layers, D directions: gates D H (I + H + (L - 1) (D H + H)) a step."""
    packed_sequence = not isinstance(args[3], bool)
    layers, bidirectional = (args[i + packed_sequence] for i in (4, 7))
    directions = 2 if bidirectional else 1
    outputs = result.shape[-1]
    hidden = outputs // directions
    weights = args[0].shape[-1] + hidden + (layers - 1) * (outputs + hidden)
    return int(_steps(args[0]) * gates * outputs * weights)


def _grid(args: Args, result: Tensor) -> int:
    """Matrices (B, d, d + 1) times the points of a grid (B, ..., d)."""
    return _times(result, args[0].shape[-1])


def _embedding_bag(args: Args, result: Tensor) -> int:
    """Sums count 0; weighted ones 1 an element."""
    del result
    weight, indices = args[:2]
    weighted = len(args) > 6 and args[6] is not None
    return int(indices.numel() * weight.shape[1]) if weighted else 0


_BY_FORMULA: Mapping[str, Mapping[Formula, str]] = {
    "aten": {
        _product: """
            mm bmm mv dot vdot linear mkldnn_linear _scaled_mm _scaled_mm_v2 _int_mm
            _weight_int8pack_mm _weight_int4pack_mm _weight_int4pack_mm_for_cpu
            _weight_int4pack_mm_with_scales_and_zeros _dyn_quant_matmul_4bit _mixed_dtypes_linear
            _sparse_semi_structured_linear
        """,
        _added_product: "addmm baddbmm addmv _addmm_activation",
        _summed_products: "addbmm",
        _outer_added: "addr",
        _multiplication: "mul",
        _listed_products: "_foreach_mm",
        _grouped_product: "_grouped_mm _scaled_grouped_mm _scaled_grouped_mm_v2",
        _convolution: "convolution _convolution convolution_overrideable",
        _convolution_gradients: "convolution_backward",
        _plain_convolution: """
            cudnn_convolution cudnn_convolution_relu cudnn_convolution_add_relu mkldnn_convolution
            miopen_convolution miopen_convolution_relu miopen_convolution_add_relu
            miopen_depthwise_convolution _conv_depthwise2d conv_depthwise3d slow_conv_dilated2d
            slow_conv_dilated3d slow_conv3d_forward _slow_conv2d_forward _nnpack_spatial_convolution
            _mps_convolution
        """,
        _transposed_convolution: """
            cudnn_convolution_transpose miopen_convolution_transpose slow_conv_transpose2d
            slow_conv_transpose3d _mps_convolution_transpose
        """,
        _time_convolution: "conv_tbc",
        _attention: """
            _scaled_dot_product_flash_attention _scaled_dot_product_flash_attention_for_cpu
            _scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention
            _scaled_dot_product_fused_attention_overrideable
            _scaled_dot_product_attention_math_for_mps _triton_scaled_dot_attention
        """,
        _multi_head_attention: "_native_multi_head_attention _triton_multi_head_attention",
        _encoder_layer: "_transformer_encoder_layer_fwd",
        _trilinear: "_trilinear",
        _distances: "_cdist_forward _euclidean_dist _pdist_forward",
        _fourier: "_fft_c2c _fft_r2c _fft_c2r",
        _recurrent_layer: "mkldnn_rnn_layer",
        _recurrent_layers: "_cudnn_rnn miopen_rnn _lstm_mps",
        _quantised_lstm: "quantized_lstm",
        _quantised_gru: "quantized_gru",
        _grid: "affine_grid_generator cudnn_affine_grid_generator",
        _embedding_bag: "_embedding_bag _embedding_bag_forward_only",
    },
    "quantized": {
        _product: """
            linear linear_relu linear_leaky_relu linear_tanh linear_dynamic linear_relu_dynamic
            linear_dynamic_fp16 linear_relu_dynamic_fp16 linear_dynamic_fp16_unpacked_weight
            linear_with_input_q_dq_qweight_dq_output_fp32
            linear_with_input_q_dq_qweight_dq_relu_output_fp32 matmul int4mm_packed_weight_cpu
        """,
        _packed_convolution: """
            conv1d conv1d_relu conv1d_dynamic conv2d conv2d_relu conv2d_add conv2d_add_relu
            conv2d_dynamic conv3d conv3d_relu conv3d_dynamic
        """,
        _packed_transposed_convolution: """
            conv_transpose1d conv_transpose1d_dynamic conv_transpose2d conv_transpose2d_dynamic
            conv_transpose3d conv_transpose3d_dynamic
        """,
    },
    "onednn": {
        _product: "qlinear_pointwise linear_dynamic_fp16 linear_relu_dynamic_fp16",
        _onednn_convolution: """
            qconv_pointwise qconv1d_pointwise qconv2d_pointwise qconv3d_pointwise
        """,
    },
    "mkldnn": {_product: "_linear_pointwise", _plain_convolution: "_convolution_pointwise"},
    "mkl": {_product: "_mkl_linear"},
    "torchvision": {_plain_convolution: "deform_conv2d"},
}
_FORMULAS: Mapping[str, Mapping[str, Formula]] = {
    namespace: {name: formula for formula, names in table.items() for name in names.split()}
    for namespace, table in _BY_FORMULA.items()
}
