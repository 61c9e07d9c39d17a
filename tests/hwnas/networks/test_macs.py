"""Counts of operators against numbers derived by hand: (products of one result) times (results)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.networks.free_operators import is_free
from hwnas.networks.macs import macs_of
from hwnas.networks.operations import (
    MacCount,
    OperationTrace,
    count_macs,
    trace_operations,
)
from hwnas.proxies.counts import Flops
from hwnas.proxies.engine.scoring import score_network

aten = torch.ops.aten


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Recurrent(nn.Module):
    """A recurrent layer of 16 features and 20 units, over 64 steps."""

    def __init__(self, kind: str, **settings: Any) -> None:
        super().__init__()
        self.layer = getattr(nn, kind)(16, 20, batch_first=True, **settings)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.layer(x.flatten(2).transpose(1, 2))[0]
        return output.mean(1)


class Cell(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.cell = getattr(nn, kind)(16, 20)

    def forward(self, x: Tensor) -> Tensor:
        output = self.cell(x.mean((2, 3)))
        first: Tensor = output[0] if isinstance(output, tuple) else output
        return first


class Bilinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Bilinear(4, 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        features = x.mean((2, 3))
        output: Tensor = self.layer(features, features)
        return output


def needing_values(model: nn.Module) -> nn.Module:
    """Make it branch on values, so that it is counted while it runs."""

    def run(x: Tensor) -> Tensor:
        assert x.sum().item() == x.sum().item()
        output: Tensor = model(x)
        return output

    wrapped = Function(run)
    wrapped.model = model
    return wrapped


def traces(model: nn.Module, in_shape: tuple[int, ...]) -> Iterator[OperationTrace]:
    """Trace without data, and with it; what is counted alone is the same."""
    for made in (model, needing_values(model)):
        trace = trace_operations(made, in_shape)
        assert count_macs(made, in_shape) == MacCount(trace.macs, trace.uncounted)
        yield trace


def in_two_blocks(layer: nn.Module) -> nn.Module:
    """Run one layer twice, each time as the child of another block."""
    return nn.Sequential(nn.Sequential(layer), nn.Sequential(layer))


IMAGE = (4, 8, 8)
SERIES = (16, 8, 8)
ATTENTION = 5 * 8 * 24 + 5 * 8 * 8 + 2 * 5 * 5 * 8 + 2 * 5 * 8 * 16


@pytest.mark.parametrize(
    ("model", "in_shape", "macs"),
    [
        # Gates times units times (inputs + units), a step.
        (Recurrent("LSTM"), SERIES, 64 * 4 * 20 * (16 + 20)),
        (Recurrent("GRU"), SERIES, 64 * 3 * 20 * (16 + 20)),
        (Recurrent("RNN"), SERIES, 64 * 20 * (16 + 20)),
        (
            Recurrent("LSTM", num_layers=2, bidirectional=True),
            SERIES,
            64 * 2 * 4 * 20 * ((16 + 20) + (40 + 20)),
        ),
        (Recurrent("LSTM", proj_size=7), SERIES, 64 * (4 * 20 * (16 + 7) + 20 * 7)),
        (Cell("LSTMCell"), SERIES, 4 * 20 * 36),
        (Cell("GRUCell"), SERIES, 3 * 20 * 36),
        (Cell("RNNCell"), SERIES, 20 * 36),
        # y_k = sum_j (sum_i x_i W_kij) x_j: 5 4 4 inside, 5 4 outside.
        (Bilinear(), IMAGE, 100),
        (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (5, 8), ATTENTION),
        (nn.Conv1d(4, 6, 3), (4, 8), 6 * 6 * 4 * 3),
        (nn.Conv3d(4, 6, 3, groups=2), (4, 8, 8, 8), 6 * 216 * 2 * 27),
        (nn.ConvTranspose1d(4, 6, 3, stride=2), (4, 8), 8 * 4 * 6 * 3),
        (nn.ConvTranspose3d(4, 6, 2, stride=2, groups=2), (4, 4, 4, 4), 64 * 4 * 3 * 8),
        # Other counters differ: findings/counters_of_shared_and_transposed_layers.sh.
        (nn.ConvTranspose2d(4, 8, 3, stride=2, groups=4), IMAGE, 64 * 4 * 2 * 9),
        (in_two_blocks(nn.Conv2d(4, 4, 3, padding="same")), IMAGE, 2 * 64 * 4 * 4 * 9),
        (nn.Linear(4, 6), (5, 4), 5 * 4 * 6),
    ],
)
@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_layers(model: nn.Module, in_shape: tuple[int, ...], macs: int) -> None:
    for trace in traces(model, in_shape):
        assert (trace.macs, trace.uncounted) == (macs, ())


def complex_of(x: Tensor) -> Tensor:
    return torch.complex(x, x)


def cut(x: Tensor, channels: int) -> Tensor:
    return x[:, [0] * channels, 2:, 2:]


def gradients(
    x: Tensor, weight: Tensor, out: Tensor, groups: int, by_input: bool, by_weight: bool,
    transposed: bool = False,
) -> Tensor:  # fmt: skip
    """Give one of the gradients of a convolution."""
    settings = [1, 1], [0, 0], [1, 1], transposed, [0, 0], groups, [by_input, by_weight, False]
    found = aten.convolution_backward(out, x, weight, None, *settings)
    gradient: Tensor = found[0] if by_input else found[1]
    return gradient


FUNCTIONS: list[tuple[Callable[[Tensor], Tensor], tuple[int, ...], int]] = [
    (lambda x: nn.functional.conv2d(x, torch.ones(6, 4, 3, 3)), IMAGE, 36 * 4 * 6 * 9),
    # Gradients of a convolution take as much as the convolution, each.
    (
        lambda x: gradients(x, torch.ones(6, 4, 3, 3), cut(x, 6), 1, True, False),
        IMAGE,
        36 * 4 * 6 * 9,
    ),
    (lambda x: gradients(x, torch.ones(4, 1, 3, 3), cut(x, 4), 4, False, True), IMAGE, 36 * 4 * 9),
    (
        lambda x: gradients(x, torch.ones(8, 2, 3, 3), cut(x, 8), 2, True, True),
        IMAGE,
        36 * 8 * 2 * 9 * 2,
    ),
    (
        lambda x: gradients(
            x, torch.ones(4, 2, 3, 3), F.pad(cut(x, 8), [2] * 4), 4, True, True, True
        ),
        IMAGE,
        64 * 4 * 2 * 9 * 2,
    ),
    (lambda x: torch.mv(x[0, 0], x[0, 0, 0]), IMAGE, 64),
    (lambda x: torch.addmv(x[0, 0, 0], x[0, 0], x[0, 0, 0]), IMAGE, 64),
    (lambda x: torch.dot(x[0, 0, 0], x[0, 0, 0]), IMAGE, 8),
    (lambda x: torch.vdot(x[0, 0, 0], x[0, 0, 0]), IMAGE, 8),
    (lambda x: torch.outer(x[0, 0, 0], x[0, 0, 0, :3]), IMAGE, 24),
    (lambda x: torch.addr(x[0, 0], x[0, 0, 0], x[0, 0, 0]), IMAGE, 64),
    (lambda x: torch.kron(x[0, 0], x[0, 0]), IMAGE, 64 * 64),
    (lambda x: torch.addbmm(x[0, 0], x[0], x[0]), IMAGE, 4 * 8**3),
    (lambda x: torch.baddbmm(x[0], x[0], x[0]), IMAGE, 4 * 8**3),
    (lambda x: (x[0] * 1).baddbmm_(x[0], x[0]), IMAGE, 4 * 8**3),
    (lambda x: x @ x, IMAGE, 4 * 8**3),
    (lambda x: torch.inner(x[0, 0], x[0, 0]), IMAGE, 8**3),
    (lambda x: torch.tensordot(x, x, dims=([1, 2], [1, 2])), IMAGE, 8 * 8 * 32),
    (lambda x: torch.linalg.multi_dot([x[0, 0], x[0, 1], x[0, 2, :, :2]]), IMAGE, 2 * 128),
    (lambda x: torch.linalg.matrix_power(x[0, 0], 3), IMAGE, 2 * 8**3),
    (lambda x: torch.einsum("bchw,dc->bdhw", x, x.new_zeros(5, 4)), IMAGE, 64 * 5 * 4),
    (lambda x: torch.einsum("i,j->ij", x[0, 0, 0], x[0, 0, 1]), IMAGE, 64),
    # Four real products each.
    (lambda x: (complex_of(x[0, 0]) @ complex_of(x[0, 0])).real, IMAGE, 4 * 8**3),
    (lambda x: torch.cdist(x[0], x[0]), IMAGE, 4 * 64 * 8),
    (lambda x: torch.cdist(x[0], x[0], p=1), IMAGE, 4 * 64 * 8),
    (lambda x: F.pdist(x[0, 0]), IMAGE, 28 * 8),
    # 2.5 N log2 N for each of the 32 rows; half of it for real numbers.
    (lambda x: torch.fft.fft(complex_of(x)).real, IMAGE, int(32 * 2.5 * 8 * 3)),
    (lambda x: torch.fft.rfft2(x).real, IMAGE, int(4 * 1.25 * 64 * 6)),
    (lambda x: torch.fft.irfft2(complex_of(x[..., :5]), s=(8, 8)), IMAGE, int(4 * 1.25 * 64 * 6)),
    # Four query heads share two of keys: T S (E + F) for each of the four.
    (
        lambda x: F.scaled_dot_product_attention(x, x[:, :2], x[:, :2], enable_gqa=True),
        IMAGE,
        4 * 8 * 8 * 16,
    ),
    (
        lambda x: F.scaled_dot_product_attention(x, x[..., :5, :], x[..., :5, :3]),
        IMAGE,
        4 * 8 * 5 * (8 + 3),
    ),
    (
        lambda x: F.affine_grid(x[:, 0, :2, :3], [1, 1, 4, 5], align_corners=False),
        IMAGE,
        20 * 2 * 3,
    ),
    (
        lambda x: torch.conv_tbc(x[0], x.new_zeros(3, 8, 5), x.new_zeros(5)),
        IMAGE,
        2 * 8 * 5 * 3 * 8,
    ),
    (torch.inference_mode()(lambda x: F.linear(x, x.new_zeros(3, 8))), IMAGE, 32 * 3 * 8),
    (lambda x: F.cosine_similarity(x, x), IMAGE, 0),
    (lambda x: x * x.mean((2, 3), keepdim=True), IMAGE, 0),
    (lambda x: x * 2, IMAGE, 0),
]


@pytest.mark.parametrize(("function", "in_shape", "macs"), FUNCTIONS)
def test_functions(
    function: Callable[[Tensor], Tensor], in_shape: tuple[int, ...], macs: int
) -> None:
    for trace in traces(Function(function), in_shape):
        assert (trace.macs, trace.uncounted) == (macs, ())


def bag(x: Tensor, weighted: bool) -> Tensor:
    weights = x[0, 0, :1, :3] if weighted else None
    words = torch.zeros(1, 3, dtype=torch.long, device=x.device)
    return F.embedding_bag(words, x[0, 0], mode="sum", per_sample_weights=weights)


@pytest.mark.parametrize(("weighted", "macs"), [(True, 3 * 8), (False, 0)])
def test_weighted_sums_of_embeddings(weighted: bool, macs: int) -> None:
    for trace in traces(Function(lambda x: bag(x, weighted)), IMAGE):
        assert trace.macs == macs


class Quantised(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.layer(torch.quantize_per_tensor(x, 0.1, 0, torch.quint8)).dequantize()
        return output


def quantised() -> Iterator[tuple[nn.Module, tuple[int, ...], int]]:
    import torch.ao.nn.quantized
    import torch.ao.nn.quantized.dynamic
    import torch.ao.quantization

    static: Any = torch.ao.nn.quantized
    dynamic: Any = torch.ao.nn.quantized.dynamic
    quantize_dynamic: Any = torch.ao.quantization.quantize_dynamic
    yield Quantised(static.Linear(8, 5)), (4, 8), 4 * 8 * 5
    yield Quantised(static.Conv1d(4, 6, 3)), (4, 8), 6 * 6 * 4 * 3
    yield Quantised(static.Conv2d(4, 6, 3, groups=2)), IMAGE, 6 * 36 * 2 * 9
    yield Quantised(static.Conv3d(4, 6, 3)), (4, 8, 8, 8), 6 * 216 * 4 * 27
    yield Quantised(static.ConvTranspose2d(4, 6, 3, stride=2)), IMAGE, 64 * 4 * 6 * 9
    yield dynamic.Conv2d(4, 6, 3), IMAGE, 6 * 36 * 4 * 9
    yield quantize_dynamic(nn.Sequential(nn.Linear(8, 5)), {nn.Linear}), (4, 8), 4 * 8 * 5
    lstm = Recurrent("LSTM", num_layers=2, bidirectional=True)
    yield quantize_dynamic(lstm, {nn.LSTM}), SERIES, 64 * 2 * 4 * 20 * ((16 + 20) + (40 + 20))
    yield quantize_dynamic(Recurrent("GRU"), {nn.GRU}), SERIES, 64 * 3 * 20 * (16 + 20)


@pytest.mark.filterwarnings("ignore")  # PyTorch will drop its first quantised layers
def test_quantised_layers_count_as_those_of_real_numbers() -> None:
    for model, in_shape, macs in quantised():
        trace = trace_operations(model, in_shape)
        assert (trace.macs, trace.uncounted) == (macs, ()), model


def test_fused_kernels_count_as_their_parts() -> None:
    def run(func: Any, *args: Any, **kwargs: Any) -> int | None:
        return macs_of(func, args, kwargs, func(*args, **kwargs))

    x, weights = torch.randn(2, 5, 8), [torch.randn(n, 8) for n in (24, 8, 16)]
    biases = [torch.randn(n) for n in (24, 8, 16, 8)]
    back = torch.randn(8, 16)
    projections, products = 10 * 8 * (24 + 8), 2 * 2 * 5 * 5 * 8
    packed = (weights[0], biases[0], weights[1], biases[1])
    heads = aten._native_multi_head_attention.default
    assert run(heads, x, x, x, 8, 2, *packed) == projections + products
    norm = (torch.ones(8), torch.zeros(8))
    layer = (x, 8, 2, *packed, False, False, 1e-5, *norm, *norm)
    feed = (weights[2], biases[2], back, biases[3])
    expected = projections + products + 2 * 10 * 8 * 16
    assert run(aten._transformer_encoder_layer_fwd.default, *layer, *feed) == expected
    q = torch.randn(2, 4, 5, 8)
    attention = aten._scaled_dot_product_flash_attention_for_cpu.default
    assert run(attention, q, q, q) == 2 * 4 * 5 * 5 * 16


def test_kernels_of_other_devices_count_by_shapes() -> None:
    def meta(*shape: int) -> Tensor:
        return torch.empty(shape, device="meta")

    lstm = [meta(80, 16), meta(80, 20), meta(80), meta(80)]
    result = (meta(64, 2, 20),)
    for func in (aten._cudnn_rnn.default, aten.miopen_rnn.default):
        assert macs_of(func, (meta(64, 2, 16), lstm, 4), {}, result) == 64 * 2 * 80 * 36
    fused = aten.mkldnn_rnn_layer.default
    assert macs_of(fused, (meta(64, 2, 16), *lstm), {}, result) == 64 * 2 * 80 * 36
    x, out = meta(1, 4, 8, 8), meta(1, 6, 6, 6)
    for name in ("cudnn_convolution_relu", "mkldnn_convolution", "slow_conv_dilated2d"):
        func = getattr(aten, name).default
        assert macs_of(func, (x, meta(6, 2, 3, 3)), {}, out) == 6 * 36 * 2 * 9
    groups = aten._grouped_mm.default
    assert macs_of(groups, (meta(10, 8), meta(3, 8, 5)), {}, meta(10, 5)) == 10 * 8 * 5
    assert macs_of(groups, (meta(5, 10), meta(10, 8)), {}, meta(3, 5, 8)) == 10 * 5 * 8
    packed = aten._weight_int8pack_mm.default
    assert macs_of(packed, (meta(4, 8), meta(5, 8)), {}, meta(4, 5)) == 4 * 5 * 8


def overloads() -> list[Any]:
    """All of ATen's operators that are not made of others."""
    composite = torch._C._dispatch_has_kernel_for_dispatch_key
    names = [n for n in torch._C._dispatch_get_all_op_names() if n.startswith("aten::")]
    found = []
    for name in names:
        if not composite(name, "CompositeImplicitAutograd"):
            packet, _, overload = name.removeprefix("aten::").partition(".")
            found.append(getattr(getattr(aten, packet), overload or "default", None))
    return [func for func in found if func is not None]


class Counted(Exception):  # noqa: N818
    pass


def is_known(func: Any) -> bool:
    """Tell whether an operator is counted; without running it."""
    try:
        return macs_of(func, Probe(), {}, None) is not None
    except Counted:
        return True


class Probe(tuple[Any, ...]):
    """Arguments that tell when a formula looks at them."""

    def __getitem__(self, index: Any) -> Any:
        raise Counted

    def __iter__(self) -> Any:
        raise Counted


# Factorisations and solvers, sparse products, gradients of products, optimisers, PyTorch's tests,
# and what runs inside CUDA's attention.
NAMED = re.compile(
    r"linalg_|_linalg_|_?cholesky|triangular_solve|geqrf|ormqr|_spsolve"
    r"|.*sparse|_cslt|hspmm|sspaddmm|.*backward|_fused_(adam|sgd|adagrad)|_test|_foobar"
    r"|_compute_linear_combination|_cudnn_attention_forward|_flash_attention_forward_no_dropout"
)


def test_every_operator_is_counted_free_or_named() -> None:
    operators = overloads()
    assert len(operators) > 2000
    assert len([f for f in operators if torch.Tag.core in f.tags]) > 150
    unknown = [func for func in operators if not is_known(func)]
    assert all(macs_of(func, (), {}, None) is None for func in unknown)
    assert [str(f) for f in unknown if torch.Tag.core in f.tags] == []
    assert [str(f) for f in unknown if not NAMED.match(f._schema.name[6:])] == []


def test_nothing_that_multiplies_is_free() -> None:
    products = re.compile(
        r"(?<!ade_)(mm|mv|bmm|dot|vdot|addr)_?(\.|$)|conv(?!ert)|(?<!upsample_)(?<!bi)(?<!tri)linear"
        r"|attention|rnn_layer|lstm$|gru$|_fft_|cdist|pdist|grouped|weight_int"
    )
    found = [str(f) for f in overloads() if is_free(f) and products.search(f._schema.name[6:])]
    # What prepares weights or reorders them.
    assert {re.sub(r"\..*", "", name[5:]) for name in found} <= {
        "mkldnn_reorder_conv2d_weight",
        "mkldnn_reorder_conv3d_weight",
    }


def test_an_operator_of_somebody_elses_is_named_whatever_it_is_called() -> None:
    make: Any = torch.library.Library
    library = make("hwnas_test_ops", "DEF")
    library.define("cat(Tensor x) -> Tensor")
    library.impl("cat", lambda x: x @ x, "CompositeExplicitAutograd")
    model = Function(lambda x: torch.ops.hwnas_test_ops.cat(x).mean((2, 3)))
    trace = trace_operations(model, IMAGE)
    assert (trace.macs, trace.uncounted) == (None, ("hwnas_test_ops::cat",))
    score = score_network(model, IMAGE, [Flops()])["flops"]
    assert math.isnan(score.value)
    assert "none for hwnas_test_ops::cat" in str(score.error)


def test_what_leaves_pytorch_is_named() -> None:
    model = Function(lambda x: torch.from_numpy(x.numpy() @ x.numpy()).mean((2, 3)))
    assert trace_operations(model, IMAGE).uncounted == ("numpy",)
    assert count_macs(model, IMAGE) == MacCount(None, ("numpy",))


@pytest.mark.filterwarnings("ignore")  # it is not compiled
def test_flexible_attention() -> None:
    from torch.nn.attention.flex_attention import flex_attention

    model = Function(lambda x: flex_attention(x, x, x))
    assert trace_operations(model, (4, 16, 16)).macs == 4 * 16 * 16 * 32


def test_sparse_products_are_not_taken_for_dense_ones() -> None:
    a, b = torch.eye(8).to_sparse(), torch.ones(8, 8)
    assert macs_of(aten.mm.default, (a, b), {}, a @ b) is None
    assert macs_of(aten.mm.default, (b, b), {}, b @ b) == 512


def test_one_share_of_a_batch_where_one_image_is_too_few() -> None:
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(256, 7), nn.BatchNorm1d(7, track_running_stats=False)
    )
    trace = trace_operations(model, IMAGE, (1, 6))
    assert (trace.batch, trace.macs) == (6, 256 * 7)
    assert count_macs(model, IMAGE, (1, 6)).macs == 256 * 7
