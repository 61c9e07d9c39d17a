"""LiteRT as a runtime, and the models that are written for it."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from hwnas.errors import InvalidValueError
from hwnas.measure.in_child import pickled
from hwnas.runtimes import make_runtime
from hwnas.runtimes.agreement import agreement
from hwnas.runtimes.base import RunSettings, Runtime, TorchNetwork
from hwnas.seeding import seeded
from hwnas.testing import RuntimeContract

pytest.importorskip("ai_edge_litert", reason="needs the extra litert")


class TestLiteRt(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> Runtime:
        return make_runtime("litert")


class SqueezeAndExcite(nn.Module):
    """Scales channels by a number of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze, self.gate = nn.Conv2d(8, 8, 1), nn.Hardsigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate: torch.Tensor = self.gate(self.squeeze(x.mean((2, 3), keepdim=True)))
        return x * gate


class ExciteByIndex(nn.Module):
    """As `SqueezeAndExcite`, by linear layers; an index gives their result height and width."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Linear(8, 4), nn.Linear(4, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(self.squeeze(x.mean((2, 3))))
        return x * torch.sigmoid(self.excite(inner))[:, :, None, None]


class Branches(nn.Module):
    """Joins, adds and subtracts branches, and constants."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 3, 1, 1)
        self.shift = nn.Parameter(torch.randn(8, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        joined = torch.cat([self.a(x), torch.tanh(self.b(x))], dim=1) + self.shift
        return torch.sigmoid(joined - x) / 2 + nn.functional.relu6(3 * joined)


class Attention(nn.Module):
    """Takes its queries, keys and values out of one tensor by an index."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.all, self.out = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(2).transpose(1, 2)  # (B, N, C)
        parts = self.all(self.norm(tokens)).reshape(len(x), 64, 3, 2, 4).permute(2, 0, 3, 1, 4)
        queries, keys, values = parts[0], parts[1], parts[2]
        found = nn.functional.scaled_dot_product_attention(queries, keys, values)
        joined: torch.Tensor = self.out(found.transpose(1, 2).reshape(len(x), 64, 8))
        return tokens + joined


class ConvNext(nn.Module):
    """Normalises and multiplies channels that are last."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner: torch.Tensor = self.layers(x.permute(0, 2, 3, 1))
        return x + inner.permute(0, 3, 1, 2)


class TokensFirst(nn.Module):
    """Reshapes what a transposition put the tokens of a single image in front of."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(2).permute(2, 0, 1).reshape(1, 512)  # (N, 1, C)


class Slices(nn.Module):
    """Cuts channels, rows and columns."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = x.chunk(2, 1)
        return torch.cat([a[:, :, 1:, ::2], b[:, :, :7, 1::2] + a[0, 0, 0, 4:]], 1)


class Coordinates(nn.Module):
    """Joins a constant, and cuts by sizes."""

    rows: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        rows = torch.linspace(-1, 1, 8)[None, None, :, None]
        self.register_buffer("rows", rows.repeat(1, 1, 1, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = x[:, :3], x[:, 3:]
        joined = torch.cat([a, self.rows.expand(len(x), 1, 8, 8)], 1)
        return joined * torch.split(b, [4, 1], dim=1)[0]


class Mirrored(nn.Module):
    """Pads by mirroring."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.pad(x, (1, 2, 2, 1), mode="reflect")


class Masked(nn.Module):
    """Attends to neighbours alone."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens, places = x.flatten(2).transpose(1, 2)[:, None], torch.arange(x[0, 0].numel())
        near = (places[:, None] - places).abs() < 3
        found = nn.functional.scaled_dot_product_attention(tokens, tokens, tokens, attn_mask=near)
        return found[:, 0]


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "even sides with stride": lambda: nn.Conv2d(8, 8, 3, 2, 1),
    "other pads": lambda: nn.Conv2d(8, 8, 3, 1, 2),
    "depthwise": lambda: nn.Conv2d(8, 16, 5, 1, 2, groups=8),
    "groups": lambda: nn.Conv2d(8, 8, 1, groups=2),
    "holes": lambda: nn.Conv2d(8, 8, 3, 1, 2, dilation=2),
    "counted padding": lambda: nn.AvgPool2d(3, 2, 1),
    "padding that does not count": lambda: nn.AvgPool2d(3, 1, 1, count_include_pad=False),
    "max pool": lambda: nn.MaxPool2d(3, 2, 1),
    "shuffle": lambda: nn.Sequential(nn.ChannelShuffle(2), nn.Conv2d(8, 8, 1)),
    "flatten": lambda: nn.Sequential(nn.Flatten(), nn.Linear(8 * 64, 4), nn.Softmax(-1)),
    "resize": lambda: nn.Upsample((5, 11), mode="bilinear"),
    "activations": lambda: nn.Sequential(
        nn.Hardswish(), nn.SiLU(), nn.LeakyReLU(0.2), nn.BatchNorm2d(8), nn.ReLU()
    ),
    "squeeze and excite": SqueezeAndExcite,
    "squeeze and excite by index": ExciteByIndex,
    "branches": Branches,
    "attention": Attention,
    "channels last": ConvNext,
    "slices": Slices,
    "mirrored": Mirrored,
    "coordinates": Coordinates,
    "masked": Masked,
    "nearest": lambda: nn.Upsample(scale_factor=2, mode="nearest"),
    "pixel shuffle": lambda: nn.Sequential(nn.Conv2d(8, 12, 1), nn.PixelShuffle(2)),
    "transposed": lambda: nn.ConvTranspose2d(8, 4, 4, 2, 1),
    "transposed, one pixel more": lambda: nn.ConvTranspose2d(8, 4, 3, 2, 1, output_padding=1),
    "transposed, with groups": lambda: nn.ConvTranspose2d(8, 4, 4, 2, 1, groups=4),
    "norms of images": lambda: nn.Sequential(nn.GroupNorm(2, 8), nn.InstanceNorm2d(8)),
    "slopes": lambda: nn.Sequential(nn.ELU(), nn.PReLU(8), nn.PReLU()),
    "a signal": lambda: nn.Sequential(
        nn.Flatten(2), nn.Conv1d(8, 8, 5, 2, 2), nn.ReLU(), nn.Conv1d(8, 8, 3, 1, 2, 2, groups=8)
    ),
    "a signal's pools": lambda: nn.Sequential(nn.Flatten(2), nn.MaxPool1d(2), nn.AvgPool1d(3, 2)),
    "a signal's resize": lambda: nn.Sequential(nn.Flatten(2), nn.Upsample(scale_factor=2)),
}


def network(name: str) -> TorchNetwork:
    with seeded(1):
        first = nn.Conv2d(3, 8, 3, 1, 1)
        module = nn.Sequential(first, nn.BatchNorm2d(8), nn.ReLU6(), NETWORKS[name]())
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean = torch.randn(8)
                layer.running_var = torch.rand(8) + 0.5
    return TorchNetwork(module.eval(), (3, 8, 8))


@pytest.mark.parametrize("name", NETWORKS)
def test_each_operator_is_pytorchs(name: str) -> None:
    made = network(name)
    with make_runtime("litert").prepare(made, RunSettings(batch=2)) as ready:
        found = agreement(ready, made.module)
    assert found.relative_error < 1e-5


def test_tokens_in_front_are_reshaped_in_their_order() -> None:
    made = TorchNetwork(nn.Sequential(nn.Conv2d(3, 8, 1), TokensFirst()).eval(), (3, 8, 8))
    with make_runtime("litert").prepare(made, RunSettings()) as ready:
        assert agreement(ready, made.module).relative_error < 1e-5


@pytest.mark.parametrize("name", NETWORKS)
def test_each_operator_has_an_int8_form_near_pytorchs(name: str) -> None:
    made = network(name)
    settings = RunSettings(precision="int8", images="gaussian", batch=4)
    with make_runtime("litert").prepare(made, settings) as ready:
        assert ready.key.precision == "int8"
        found = agreement(ready, made.module)
    # 8 bits: a step is 1/255 of a range, and a few steps add up.
    assert 0 < found.relative_error < 0.1
    assert found.correlation > 0.98


def test_int8_weights_and_activations_are_stored_in_8_bits() -> None:
    from ai_edge_litert.interpreter import Interpreter

    from hwnas.runtimes.litert.from_onnx import to_litert
    from hwnas.runtimes.lowering import exported

    made = network("even sides with stride")
    settings = RunSettings(precision="int8", batch=1)
    content, *_ = exported(made, settings)
    written, facts = to_litert(onnx.load_from_string(content))
    tensors = Interpreter(model_content=written).get_tensor_details()
    formats = {tuple(t["shape"]): np.dtype(t["dtype"]).name for t in tensors}
    # The stored order: batch, height, width, channels; filters first.
    assert formats[8, 3, 3, 3] == formats[8, 3, 3, 8] == formats[1, 8, 8, 8] == "int8"
    assert formats[8,] == "int32"
    assert facts == {}


def test_what_a_removed_activation_cut_is_cut_by_the_integers() -> None:
    # The quantiser drops ReLU where the range starts at 0, also behind an operator in float32.
    made = network("activations")
    settings = RunSettings(precision="int8")
    with make_runtime("litert").prepare(made, settings) as ready:
        (found,) = ready.outputs()
        assert (found == 0).any()
        assert found.min() == 0


class Passed(nn.Module):
    """An activation whose input others read too, so that it is no end of a convolution."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.conv, self.activation = nn.Conv2d(3, 8, 3), activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.conv(x)
        return torch.add(y, self.activation(y))


@pytest.mark.parametrize(
    ("activation", "written"),
    [(nn.ReLU(), 0), (nn.ReLU6(), 0), (nn.Hardtanh(0, 0.25), 0), (nn.Hardtanh(-0.25, 0.5), 1)],
)
def test_an_activation_between_two_scales_is_their_conversion(
    activation: nn.Module, written: int
) -> None:
    from ai_edge_litert.interpreter import Interpreter

    from hwnas.runtimes.litert.from_onnx import to_litert
    from hwnas.runtimes.lowering import exported
    from hwnas.runtimes.onnxruntime_session import open_session

    torch.manual_seed(0)
    made = TorchNetwork(Passed(activation).eval(), (3, 8, 8))
    content, *_ = exported(made, RunSettings(precision="int8", batch=1))
    model, _ = to_litert(onnx.load_from_string(content))
    interpreter = Interpreter(model_content=model)
    kinds = [op["op_name"] for op in interpreter._get_ops_details()]
    assert sum(kind in ("RELU", "RELU6", "MAXIMUM") for kind in kinds) == written
    assert kinds.count("ADD") == 1
    interpreter.allocate_tensors()
    images = torch.randn(1, 3, 8, 8).numpy()
    (expected,) = open_session(content).run(None, {"input": images})
    interpreter.set_tensor(
        interpreter.get_input_details()[0]["index"], images.transpose(0, 2, 3, 1)
    )
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    # A step of the sum, which both round; the ends of the activation are exact.
    step = np.diff(np.unique(expected)).min()
    assert np.abs(found.reshape(expected.shape) - expected).max() < 2.1 * step


def test_what_stays_in_float32_is_told_and_another_key() -> None:
    made = network("counted padding")
    kept = RunSettings(precision="int8", options=(("float_operators", "AveragePool"),))
    with make_runtime("litert").prepare(made, kept) as ready:
        assert getattr(ready, "facts", {})["float32_operators"] == "1 AveragePool"
        assert "float_operators=AveragePool" in str(ready.key)


def test_operators_that_stay_in_float_do_between_others_in_int8() -> None:
    layers = [nn.Conv2d(3, 8, 3), nn.AvgPool2d(3, 1, 1), nn.Conv2d(8, 8, 3)]
    made = TorchNetwork(nn.Sequential(*layers).eval(), (3, 8, 8))
    for kept, told in (((("float_operators", "AveragePool"),), "1 AveragePool"), ((), None)):
        settings = RunSettings(precision="int8", options=kept)
        with make_runtime("litert").prepare(made, settings) as ready:
            assert getattr(ready, "facts", {}).get("float32_operators") == told


def test_parametrised_weights_are_sent_as_they_are() -> None:
    layer = nn.Conv2d(3, 8, 3)
    normed = TorchNetwork(nn.utils.parametrizations.weight_norm(layer).eval(), (3, 8, 8))
    sent = pickle.loads(pickled(normed))
    images = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(sent.module(images), normed.module(images))
    assert "parametrizations" in dict(normed.module.named_children())


def test_a_refusal_is_one_sentence_behind_a_child_process() -> None:
    from hwnas.runtimes.litert.translation import UnwrittenError

    error = pickle.loads(pickle.dumps(UnwrittenError("Erf")))
    assert str(error) == str(UnwrittenError("Erf"))
    assert str(error).count("must have operators") == 1


def test_what_is_not_written_is_refused() -> None:
    class Cubes(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.erf(x)

    refused = "must have operators that hwnas writes for LiteRT, but got Erf: use the runtime onnx"
    with (
        pytest.raises(InvalidValueError, match=refused),
        make_runtime("litert").prepare(TorchNetwork(Cubes(), (3, 4, 4)), RunSettings()),
    ):
        pass
