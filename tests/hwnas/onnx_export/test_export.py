from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.errors import InvalidValueError
from hwnas.onnx_export.export import EXPORTER_KEY, export_onnx
from hwnas.onnx_export.from_fx import write_directly
from hwnas.onnx_export.graph_writer import UnsupportedError
from hwnas.runtimes.agreement import verify_onnx
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.spaces.space_text import read_space
from hwnas.tasks.task import Logits, NextToken, Task, TensorSpec, image_task
from hwnas.typing import InShape

IMAGE: InShape = (3, 8, 8)


def lively(model: nn.Module, in_shape: InShape) -> nn.Module:
    """Give every tensor a value that shows: untrained networks have outputs near a constant."""
    generator = torch.Generator().manual_seed(0)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for parameter in model.parameters():
            fan_in = max(1, parameter[0].numel())
            parameter.normal_(generator=generator).mul_(fan_in**-0.5)
        for norm in norms:
            norm.momentum = None
            if norm.affine:
                norm.weight.uniform_(0.5, 1.5, generator=generator)
        model.train()
        if norms:
            model(torch.randn((8, *in_shape), generator=generator))
    return model


def exporter(proto: onnx.ModelProto) -> str:
    return str({entry.key: entry.value for entry in proto.metadata_props}[EXPORTER_KEY])


def operators(proto: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in proto.graph.node]


def conv_bn(c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(c_out),
    )


class ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a, self.b = conv_bn(channels, channels, 3), conv_bn(channels, channels, 3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.b(self.relu(self.a(x)))
        out += x
        return cast(Tensor, self.relu(out))


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, 8, 7, stride=2)
        self.block = ResidualBlock(8)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.stem(x), inplace=True), 3, stride=2, padding=1)
        x = F.adaptive_avg_pool2d(self.block(x), (1, 1))
        return cast(Tensor, self.fc(x.view(x.size(0), -1)))


class MobileBlock(nn.Module):
    """An inverted residual with squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.expand, self.depth = conv_bn(8, 24, 1), conv_bn(24, 24, 5, groups=24)
        self.reduce, self.widen = nn.Conv2d(24, 6, 1), nn.Conv2d(6, 24, 1)
        self.project = conv_bn(24, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.hardswish(self.depth(F.relu6(self.expand(x))))
        gate = F.hardsigmoid(self.widen(F.silu(self.reduce(y.mean((2, 3), keepdim=True)))))
        return x + cast(Tensor, self.project(y * gate))


class MobileNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            conv_bn(3, 8, 3, 2), nn.Hardswish(), MobileBlock(), nn.SiLU(), conv_bn(8, 8, 3, 2, 4)
        )
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Linear(8, 5))

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.classifier(self.features(x).mean([2, 3])))


class Forms(nn.Module):
    """Functional forms: concatenation, branches, constants, weights that are used directly."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(4, 3, 1, 1))
        self.scale = nn.Parameter(torch.empty(4, 1, 1))
        self.unused = nn.Conv2d(3, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.unused(x)
        a = torch.sigmoid(F.conv2d(x, self.weight)) * self.scale - 0.5
        b = torch.cat([a, 2.0 * x, torch.zeros_like(a)], dim=1)
        c = torch.tanh(F.gelu(F.dropout(b, training=self.training)) / 3 + 1)
        return F.leaky_relu(c - 1, 0.2).softmax(1) if self.training else c.flatten(1)


@pytest.mark.parametrize("make", [ResNet, MobileNet, Forms])
@pytest.mark.parametrize("dynamic_batch", [False, True])
def test_networks_are_written_directly_and_agree(
    make: type[nn.Module], dynamic_batch: bool
) -> None:
    model = lively(make(), (3, 32, 32))
    proto = export_onnx(model, (3, 32, 32), batch=3, dynamic_batch=dynamic_batch)
    assert exporter(proto) == "direct"
    assert verify_onnx(proto, model, (3, 32, 32), atol=1e-5) > 0
    first = proto.graph.input[0].type.tensor_type.shape.dim[0]
    assert (first.dim_param, first.dim_value) == (("batch", 0) if dynamic_batch else ("", 3))


# The all-none cell, skips alone, dead and constant operations, a dense one, and random ones.
CELLS = [
    Cell(("none",) * 6),
    Cell(("skip_connect",) * 6),
    Cell(("nor_conv_3x3", "none", "none", "nor_conv_1x1", "none", "nor_conv_3x3")),
    Cell(("none", "none", "none", "none", "nor_conv_1x1", "avg_pool_3x3")),
    Cell(("nor_conv_3x3",) * 6),
]


@pytest.mark.parametrize("dynamic_batch", [False, True])
@pytest.mark.parametrize("seed", range(-len(CELLS), 12))
def test_cells_agree(seed: int, dynamic_batch: bool) -> None:
    rng = np.random.default_rng(abs(seed))
    space = NasBench201(channels=4, cells=1)
    cell = CELLS[seed] if seed < 0 else space.sample(rng)
    in_shape = (int(rng.choice([1, 3])), 4 * int(rng.integers(1, 5)), 4 * int(rng.integers(1, 5)))
    classes = int(rng.integers(1, 130))
    model = lively(space.build(cell, image_task(classes, in_shape)), in_shape)
    proto = export_onnx(model, in_shape, dynamic_batch=dynamic_batch)
    assert exporter(proto) == "direct"
    verify_onnx(proto, model, in_shape)
    assert operators(proto).count("Conv") == _live_convolutions(space, cell)
    assert "Identity" not in operators(proto)


def _live_convolutions(space: NasBench201, cell: Cell) -> int:
    """Count stem, reductions, and the cell's convolutions that the output depends on."""
    leading, before = {3}, set[int]()
    while leading != before:
        before = set(leading)
        leading |= {s for (s, t), o in cell.edges() if t in leading and o != "none"}
    in_cell = sum("conv" in o for (_, t), o in cell.edges() if t in leading)
    # Where nothing leads back to a cell's input, only the last cell matters.
    return 1 + 2 * 3 + 3 * space.cells * in_cell if 0 in leading else in_cell


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 6, 3, stride=2, padding=2, dilation=2, groups=3),
        nn.Conv2d(3, 4, (4, 3), padding="same"),
        nn.Conv2d(3, 4, 3, padding="valid"),
        nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        nn.MaxPool2d(2, 3, ceil_mode=True),
        nn.AvgPool2d(3, 2, 1, count_include_pad=False, ceil_mode=True),
        nn.AvgPool2d(3, 2, 1, count_include_pad=True),
        nn.AvgPool2d(3, 2, count_include_pad=True, ceil_mode=True),
        nn.AvgPool2d(3, 1, 1, count_include_pad=False),
        nn.AvgPool2d((3, 2), 2, 1, ceil_mode=True, divisor_override=5),
        nn.AvgPool2d(3, 1, 1, count_include_pad=False, divisor_override=1),
        nn.BatchNorm2d(3, eps=0.1, affine=False),
        nn.Linear(8, 5, bias=False),
        nn.Linear(8, 5),
        nn.AdaptiveAvgPool2d((1, 1)),
        nn.Sequential(nn.Conv2d(3, 6, 1), nn.ChannelShuffle(2)),
        nn.Upsample((20, 5), mode="bilinear"),
        nn.LayerNorm(8, eps=0.1),
        nn.LayerNorm(8, elementwise_affine=False),
        nn.LayerNorm(8, bias=False),
        nn.ZeroPad2d((1, 0, 2, 3)),
        nn.ReLU6(),
        nn.Hardsigmoid(),
        nn.LeakyReLU(0.3),
        nn.GELU(),
        nn.Softmax(dim=1),
        nn.Sequential(nn.Flatten(), nn.Tanh(), nn.Sigmoid()),
    ],
    ids=str,
)
def test_layers_agree(layer: nn.Module) -> None:
    layer = nn.Sequential(layer)
    proto = export_onnx(layer, IMAGE, batch=2)
    assert exporter(proto) == "direct"
    verify_onnx(proto, layer, IMAGE, atol=1e-6, rtol=1e-6)


class Applied(nn.Module):
    """A function as a network."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


KEPT: list[Callable[[Tensor], Tensor]] = [
    lambda x: x[:, 1:],
    lambda x: x[:, :-1, ::2, 3:100],
    lambda x: x[..., 2:7:3],
    lambda x: x[:, 1],
    lambda x: x[:, -1, 2:, 0],
    lambda x: x[:, None, 0, ..., None],
    lambda x: x.permute(0, 2, 3, 1),
    lambda x: x.permute((0, -1, 1, 2)),
    lambda x: x.transpose(-1, 1),
    lambda x: torch.transpose(x, 2, 3) @ x,
    lambda x: x[:, :1].expand(x.size(0), 5, -1, -1),
    lambda x: x + x.new_zeros(x.shape),
    lambda x: torch.stack([row * number for number, row in enumerate(x.unbind(2))], dim=-1),
    lambda x: torch.stack(list(torch.unbind(x, -1))[:3], -1) * len(x.unbind(1)),
    lambda x: torch.cat(torch.split(x, [3, 5], dim=2)[::-1], dim=2) - x.chunk(3, dim=1)[-1],
    lambda x: torch.cat([part + i for i, part in enumerate(torch.chunk(x, 3, dim=3))], dim=3),
]
"""Networks whose batch stays the first axis, and says nothing but how many rows there are."""
MOVED: list[Callable[[Tensor], Tensor]] = [
    lambda x: x[0],
    lambda x: x[1:],
    lambda x: x[None],
    lambda x: x.permute(1, 0, 2, 3),
    lambda x: x.transpose(0, 2).reshape(8, -1),
    lambda x: torch.stack(x.unbind(1)),
    lambda x: torch.cat([2 * row for row in x]),
    lambda x: torch.split(x, 1)[-1],
    lambda x: torch.cat([p * (i + 1) for i, p in enumerate(torch.split(x, x.size(0), 1))], 1),
    lambda x: torch.cat([x.chunk(x.size(0), 1)[0], x], 1),
    lambda x: torch.split(x, x.size(0), 1)[0],
    lambda x: x * x.size(0),
    lambda x: x * len(x.unbind(0)),
    lambda x: x * len(x.chunk(3)),
    lambda x: x * len(x.transpose(0, 1).unbind(1)),
    lambda x: sum((2 * x for _ in x), start=x),
    lambda x: sum((2 * x for _ in torch.split(x, 1)), start=x),
    lambda x: x * len(torch.split(x, 100)),
]


@pytest.mark.parametrize("function", [*KEPT, *MOVED])
def test_axes_agree(function: Callable[[Tensor], Tensor]) -> None:
    proto = export_onnx(Applied(function), IMAGE, batch=2)
    assert exporter(proto) == "direct"
    x = torch.randn(2, *IMAGE)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    (found,) = session.run(None, {"input": x.numpy()})
    # Of a product of matrices the last bits are the processor's.
    tolerance = 1e-5 if "MatMul" in operators(proto) else 0.0
    np.testing.assert_allclose(found, function(x).numpy(), rtol=tolerance, atol=tolerance)


def test_slices_of_whole_axes_leave_no_node() -> None:
    proto = export_onnx(Applied(lambda x: x[:, :3, 0:9].relu()), IMAGE)
    assert operators(proto) == ["Relu"]


@pytest.mark.parametrize("function", KEPT)
def test_a_free_batch_stays_the_first_axis(function: Callable[[Tensor], Tensor]) -> None:
    proto = export_onnx(Applied(function), IMAGE, dynamic_batch=True)
    assert exporter(proto) == "direct"
    verify_onnx(proto, Applied(function), IMAGE)


@pytest.mark.parametrize("function", MOVED)
def test_a_free_batch_that_moves_is_not_written(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(UnsupportedError):
        write_directly(Applied(function), IMAGE, 1, dynamic_batch=True)


class Looked(nn.Module):
    """Rows of two tables by the same indices, stored twice."""

    first: Tensor
    second: Tensor

    def __init__(self, number: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(4, 8))
        self.register_buffer("first", torch.tensor([[3, 0], [1, 1]]))
        self.register_buffer("second", torch.tensor([[3, 0], [1, number]]))

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :2, :2] + self.table[self.first] * self.table[self.second]


@pytest.mark.parametrize(("number", "stored"), [(1, 1), (2, 2)])
def test_tables_of_indices_are_stored_once(number: int, stored: int) -> None:
    model = Looked(number)
    proto = export_onnx(model, IMAGE)
    assert exporter(proto) == "direct"
    verify_onnx(proto, model, IMAGE)
    assert sum(entry.dims == [2, 2] for entry in proto.graph.initializer) == stored


@pytest.mark.parametrize(
    "text",
    [
        "nasbench101:channels=8,modules=1",
        *(f"nds:family={name},channels=4,cells=3" for name in ("darts", "enas", "amoeba")),
        "pit",
        "autoformer",
    ],
)
def test_spaces_with_slices_and_attention_are_written_directly(text: str) -> None:
    space, rng, shape = read_space(text), np.random.default_rng(0), (3, 32, 32)
    arch = next(a for _ in range(100) if space.is_valid(a := space.sample(rng)))
    torch.manual_seed(0)
    model = space.build(arch, image_task(5, shape)).eval()
    proto = export_onnx(model, shape)
    assert exporter(proto) == "direct"
    assert verify_onnx(proto, model, shape, atol=1e-5) >= 0


def test_identities_leave_no_node() -> None:
    layers = [nn.Identity(), nn.ReLU(), nn.Dropout(), nn.Identity()]
    assert operators(export_onnx(nn.Sequential(*layers), IMAGE)) == ["Relu"]
    proto = export_onnx(nn.Identity(), IMAGE)
    assert operators(proto) == ["Identity"]
    assert verify_onnx(proto, nn.Identity(), IMAGE) == 0.0


@pytest.mark.parametrize("opset", [13, 14, 15, 17, 20, 22])
@pytest.mark.parametrize("dynamic_batch", [False, True])
def test_other_operator_sets_agree(opset: int, dynamic_batch: bool) -> None:
    torch.manual_seed(0)
    model = lively(ResNet(), IMAGE)
    proto = export_onnx(model, IMAGE, opset=opset, dynamic_batch=dynamic_batch)
    assert [entry.version for entry in proto.opset_import] == [opset]
    assert verify_onnx(proto, model, IMAGE) <= 1e-4


@pytest.mark.parametrize("opset", [13, 14, 20])
def test_softmax_over_channels_is_kept_in_other_operator_sets(opset: int) -> None:
    # To version 12, which is refused, ONNX's converter keeps the axis, where it means another one:
    # findings/onnx_version_converter_softmax_and_resize.sh.
    resize = nn.Upsample(scale_factor=2.5, mode="bilinear")
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softmax(1), resize, nn.LogSoftmax(2))
    proto = export_onnx(model, IMAGE, opset=opset)
    assert operators(proto)[-1] == "LogSoftmax"
    assert verify_onnx(proto, model, IMAGE) <= 1e-4


def test_operator_sets_without_an_operator_are_refused() -> None:
    # Hardswish came with version 14.
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Hardswish())
    assert "HardSwish" in operators(export_onnx(model, IMAGE, opset=14))
    with pytest.raises(InvalidValueError, match=r"13 has not.*HardSwish"):
        export_onnx(model, IMAGE, opset=13)
    with pytest.raises(InvalidValueError, match="`opset` must be in 13 to"):
        export_onnx(model, IMAGE, opset=12)


def test_network_is_left_as_it_is() -> None:
    model = lively(ResNet(), (3, 32, 32)).double()
    model.get_submodule("fc").eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    verify_onnx(export_onnx(model, (3, 32, 32)), model, (3, 32, 32))
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == before[name].dtype
        assert torch.equal(tensor, before[name])


def test_verification_finds_another_network() -> None:
    model = lively(ResNet(), (3, 32, 32))
    proto = export_onnx(model, (3, 32, 32))
    with torch.no_grad():
        next(model.parameters()).mul_(1.01)
    with pytest.raises(InvalidValueError, match="but differs by"):
        verify_onnx(proto, model, (3, 32, 32))
    with pytest.raises(InvalidValueError, match="outputs of shape"):
        verify_onnx(proto, nn.Flatten(), (3, 32, 32))


def test_tolerance_grows_with_the_outputs() -> None:
    conv = nn.Conv2d(3, 4, 1)
    proto = export_onnx(conv, IMAGE)
    with torch.no_grad():
        assert conv.bias is not None
        conv.bias += 1e-3
    with pytest.raises(InvalidValueError):
        verify_onnx(proto, conv, IMAGE, atol=0, rtol=1e-4)
    assert verify_onnx(proto, conv, IMAGE, atol=0, rtol=1e-2) == pytest.approx(1e-3, rel=1e-2)


def test_outputs_that_are_no_numbers_are_refused() -> None:
    conv = nn.Conv2d(3, 4, 1)
    with torch.no_grad():
        conv.weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(InvalidValueError, match="differs by nan"):
        verify_onnx(export_onnx(conv, IMAGE), conv, IMAGE)


def test_file_is_the_model(tmp_path: Path) -> None:
    model, path = lively(MobileNet(), (3, 32, 32)), tmp_path / "new" / "model.onnx"
    proto = export_onnx(model, (3, 32, 32), path)
    assert onnx.load(path) == proto
    assert [p.name for p in path.parent.iterdir()] == ["model.onnx"]
    verify_onnx(path, model, (3, 32, 32))
    with pytest.raises(InvalidValueError, match="must be writable"):
        export_onnx(model, (3, 32, 32), path / "below.onnx")
    with pytest.raises(InvalidValueError, match="there is no file"):
        verify_onnx(tmp_path / "absent.onnx", model, (3, 32, 32))


@pytest.mark.parametrize("form", [{"batch": 3}, {"dynamic_batch": True}])
def test_networks_of_tokens_take_integers(form: dict[str, int]) -> None:
    model = nn.Sequential(nn.Embedding(50, 4), nn.Flatten(), nn.Linear(20, 3))
    spec = TensorSpec((5,), "tokens", 50)
    proto = export_onnx(model, spec, **form)  # type: ignore[arg-type]
    assert exporter(proto) == "direct"
    assert proto.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.INT64
    assert verify_onnx(proto, model, spec) < 1e-6
    # A token beyond 0 and 1 is compared, too.
    assert isinstance(model[0], nn.Embedding)
    with torch.no_grad():
        model[0].weight[2:] += 1
    with pytest.raises(InvalidValueError, match="agree with the network"):
        verify_onnx(proto, model, spec)


def test_one_token_is_a_vocabulary() -> None:
    model = nn.Sequential(nn.Embedding(1, 4), nn.Flatten(), nn.Linear(8, 3))
    spec = TensorSpec((2,), "tokens", 1)
    assert verify_onnx(export_onnx(model, spec), model, spec) < 1e-6


@pytest.mark.parametrize("dynamic_batch", [False, True])
@pytest.mark.parametrize("output", [NextToken(50), Logits(4)])
def test_recurrent_cells_are_written_directly(
    output: NextToken | Logits, dynamic_batch: bool
) -> None:
    space, rng = read_space("nasbench-nlp:channels=8,layers=2"), np.random.default_rng(1)
    task = Task("words", TensorSpec((6,), "tokens", 50), output)
    for _ in range(3):
        torch.manual_seed(0)
        model = space.build(space.sample(rng), task)
        proto = export_onnx(model, task.input, dynamic_batch=dynamic_batch)
        assert exporter(proto) == "direct"
        assert verify_onnx(proto, model, task.input, atol=1e-5) >= 0


def test_what_branches_on_values_is_told_so() -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2 if x.mean() > 0 else x

    with pytest.raises(InvalidValueError, match="branches on values, which the runtime torch"):
        export_onnx(Branching(), IMAGE, batch=1)
