"""Networks that PyTorch's own exporter writes, or that nothing can write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.errors import InvalidValueError
from hwnas.onnx_export.export import export_onnx
from hwnas.onnx_export.from_fx import write_directly
from hwnas.onnx_export.graph_writer import UnsupportedError
from hwnas.runtimes.agreement import verify_onnx
from hwnas.tasks.task import TensorSpec
from tests.hwnas.onnx_export.test_export import IMAGE, exporter


class InPlaceSkip(nn.Module):
    """The skip carries what the in-place operation left, not the input."""

    def forward(self, x: Tensor) -> Tensor:
        x = x * 1.0
        return F.relu(x, inplace=True) + x


class InPlaceUnused(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x = x * 1.0
        F.relu_(x)
        return x


class InPlaceThroughView(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x = x * 1.0
        F.relu(x.flatten(1), inplace=True)
        return x.mean((2, 3))


class InPlacePart(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        parts = torch.split(x * 1.0, 1, dim=1)
        F.relu_(parts[0])
        return parts[0] + torch.cat(parts, dim=1)


class GroupNormed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.conv = nn.GroupNorm(1, 3), nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.conv(self.norm(x))).amax((2, 3))


class Doubled(nn.ReLU):
    """A subclass of a known module that computes something else."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x).sin()


def hooked() -> nn.Module:
    model = nn.Sequential(nn.ReLU())
    model[0].register_forward_hook(lambda _module, _inputs, output: output + 1)
    return model


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    "make",
    [InPlaceSkip, InPlaceUnused, InPlaceThroughView, InPlacePart, GroupNormed, Doubled, hooked],
)
def test_what_is_not_in_the_table_goes_through_torch(
    make: type[nn.Module], capsys: pytest.CaptureFixture[str]
) -> None:
    model = make()
    proto = export_onnx(model, IMAGE)
    assert exporter(proto) == "torch.onnx"
    verify_onnx(proto, model, IMAGE)
    assert capsys.readouterr().out == ""


class Gathered(nn.Module):
    """Values of a row are joined where `places` say, as messages of a graph's edges are."""

    places: Tensor

    def __init__(self, reduce: str, include_self: bool, whole: bool = False) -> None:
        super().__init__()
        self.reduce, self.include_self, self.whole = reduce, include_self, whole
        places = torch.tensor([0, 2, 2, 0, 2, 4]).expand(2, 3, 8, 6)  # two columns are left out
        self.register_buffer("places", places.contiguous())

    def forward(self, x: Tensor) -> Tensor:
        x = (4 * x).round().long() if self.whole else x
        return (
            (x[..., :5] + 2)
            .scatter_reduce(3, self.places, x, self.reduce, include_self=self.include_self)
            .float()
        )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("reduce", ["sum", "mean", "prod", "amin", "amax"])
def test_values_that_are_joined_by_their_places_agree(reduce: str, include_self: bool) -> None:
    model = Gathered(reduce, include_self)
    proto = export_onnx(model, IMAGE, batch=2)
    assert exporter(proto) == "torch.onnx"
    verify_onnx(proto, model, IMAGE, atol=1e-6, rtol=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("reduce", ["sum", "prod", "amin", "amax"])
def test_whole_numbers_that_are_joined_agree(reduce: str, include_self: bool) -> None:
    model = Gathered(reduce, include_self, whole=True)
    verify_onnx(export_onnx(model, IMAGE, batch=2), model, IMAGE, atol=0, rtol=0)


class Bounded(nn.Module):
    """Whole bounds beside others, in all the ways of saying so."""

    def forward(self, x: Tensor) -> Tensor:
        whole = (4 * x).round().long().clamp(-1, 2)
        y = (
            torch.clamp(x, 0, 0.5)
            + x.clamp(-0.5, max=1)
            + torch.clip(input=x, min=-1, max=1.5)
            + x.clip(0, 1)
        )
        return y + (x + 1).clamp_(0, 1.5) + whole.clip(max=1) + F.hardtanh(x, 0, 0.3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_whole_bounds_are_clips() -> None:
    proto = export_onnx(Bounded(), IMAGE, batch=2)
    assert exporter(proto) == "torch.onnx"
    assert sum(node.op_type == "Clip" for node in proto.graph.node) >= 6
    verify_onnx(proto, Bounded(), IMAGE, atol=1e-6, rtol=1e-6)


class Term(nn.Module):
    """Divides by a root that is 0 but for a small term, in float32 and float64, written in ways."""

    def __init__(self, term: float, form: str) -> None:
        super().__init__()
        self.term, self.form = term, form

    def forward(self, x: Tensor) -> Tensor:
        squares = (0 * x.sin()).square()
        if self.form == "rms_norm":
            return F.rms_norm(squares, (8,), eps=self.term)
        if self.form == "float64":
            return (squares.double() + self.term).rsqrt().float()
        root = {"+": lambda s: s + self.term, "-": lambda s: s - -self.term}[self.form](squares)
        return cast(Tensor, root.rsqrt())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("form", ["+", "-", "float64", "rms_norm"])
@pytest.mark.parametrize("term", [1e-8, 1e-12])
def test_small_terms_are_kept(form: str, term: float) -> None:
    model = Term(term, form)
    proto = export_onnx(model, IMAGE)
    assert exporter(proto) == "torch.onnx"
    verify_onnx(proto, model, IMAGE, atol=1e-5, rtol=1e-5)


class Logarithms(nn.Module):
    """Logarithms of sums of exponentials, of numbers whose exponentials float32 does not hold."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(200 * x)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    "function",
    [
        F.logsigmoid,
        lambda x: torch.logaddexp(x, x.flip(3)),
        lambda x: torch.logaddexp2(x, x[:, :, :1]),
        lambda x: torch.logaddexp(x, torch.zeros(())),
    ],
)
def test_logarithms_of_large_exponentials_agree(function: Callable[[Tensor], Tensor]) -> None:
    model = Logarithms(function)
    proto = export_onnx(model, IMAGE, batch=2)
    assert exporter(proto) == "torch.onnx"
    verify_onnx(proto, model, IMAGE, atol=1e-3, rtol=1e-5)


class Smoothed(nn.Module):
    """An antialiased resize, of a size or by a factor."""

    def __init__(self, mode: str, target: dict[str, Any], *, align_corners: bool = False) -> None:
        super().__init__()
        self.settings = {"mode": mode, "align_corners": align_corners, **target}

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, antialias=True, **self.settings)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("target", [{"size": (5, 3)}, {"scale_factor": 0.6}, {"scale_factor": 1.7}])
def test_antialiased_resizes_agree(mode: str, target: dict[str, Any]) -> None:
    model = Smoothed(mode, target)
    verify_onnx(export_onnx(model, IMAGE, batch=2), model, IMAGE, atol=1e-5, rtol=1e-5)


class Middle(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.median(1).values


class Projected(nn.Module):
    """PyTorch writes a file of it that ONNX Runtime and OpenVINO refuse, and that ends MNN."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(IMAGE[-1], 8, proj_size=2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.cells(x[:, 0])[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (
            Smoothed("bilinear", {"size": (5, 3)}, align_corners=True),
            "no antialiased resize with align",
        ),
        (Middle(), r"aten\.median.* does not know that operation, which the runtime torch can run"),
        (Projected(), "its LSTM has none with proj_size=2: put a Linear behind it"),
    ],
    ids=["aligned corners", "unknown", "two widths"],
)
def test_what_onnx_does_not_have_is_named(model: nn.Module, reason: str) -> None:
    with pytest.raises(InvalidValueError, match=reason) as error:
        export_onnx(model, IMAGE)
    assert "\n" not in str(error.value)


class ScaledEmbedding(nn.Module):
    """Vectors of at most a length, and tokens that are more than looked up."""

    def __init__(self, max_norm: float | None) -> None:
        super().__init__()
        self.vectors = nn.Embedding(50, 4, max_norm=max_norm)

    def forward(self, tokens: Tensor) -> Tensor:
        found = cast(Tensor, self.vectors(tokens))
        return found if self.vectors.max_norm else found + tokens.unsqueeze(-1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("max_norm", [0.5, None])
def test_tokens_that_are_more_than_looked_up_are_not_written_wrongly(
    max_norm: float | None,
) -> None:
    model, spec = ScaledEmbedding(max_norm), TensorSpec((5,), "tokens", 50)
    with pytest.raises(UnsupportedError):
        write_directly(model, spec, 1, dynamic_batch=False)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_free_batch_through_torch_is_free() -> None:
    proto = export_onnx(GroupNormed(), IMAGE, dynamic_batch=True)
    assert exporter(proto) == "torch.onnx"
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_network_that_fixes_its_batch_is_not_written_with_a_free_one() -> None:
    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(1, -1)

    assert exporter(export_onnx(Fixed(), IMAGE)) == "direct"
    proto = export_onnx(Fixed(), IMAGE, dynamic_batch=True)
    assert exporter(proto) == "torch.onnx"
    verify_onnx(proto, Fixed(), IMAGE)


def test_code_that_makes_the_batch_a_number_is_told_where_it_is_to_be_free() -> None:
    class Counted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(len(x), -1).sinh()

    assert exporter(export_onnx(Counted(), IMAGE)) == "torch.onnx"
    with pytest.raises(InvalidValueError, match=r"code of Counted makes it a number, as len\(x\)"):
        export_onnx(Counted(), IMAGE, dynamic_batch=True)


class ScaledByBatch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / x.size(0)


class Promoted(nn.Module):
    offset: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("offset", torch.arange(8))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.offset


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("make", [ScaledByBatch, Promoted])
def test_sizes_and_integers_as_numbers_are_not_written_wrongly(make: type[nn.Module]) -> None:
    proto = export_onnx(make(), IMAGE, dynamic_batch=True)
    assert exporter(proto) == "torch.onnx"
    verify_onnx(proto, make(), IMAGE)


def test_more_weights_than_a_file_holds_are_refused() -> None:
    model = nn.Linear(2**15, 2**14, device="meta")
    with pytest.raises(InvalidValueError, match=r"less than 2 GiB of weights.* has 2\.0 GiB"):
        export_onnx(model, (2**15,))


def test_unrunnable_network_gets_one_clear_line() -> None:
    with pytest.raises(InvalidValueError, match=r"torch\.onnx\.export failed on Conv2d"):
        export_onnx(nn.Conv2d(4, 4, 1), IMAGE)
    with pytest.raises(InvalidValueError, match="`batch` must be at least 1"):
        export_onnx(nn.ReLU(), IMAGE, batch=0)


class OfLastStates(nn.Module):
    """Reads one of what an LSTM gives, whose first states may be computed."""

    def __init__(self, read: str, computed: bool, bidirectional: bool) -> None:
        super().__init__()
        self.layer = nn.LSTM(8, 6, batch_first=True, bidirectional=bidirectional)
        self.begin, self.read, self.computed = nn.Linear(8, 6), read, computed

    def forward(self, x: Tensor) -> Tensor:
        first = torch.tanh(self.begin(x[:, 0])).expand(2 if self.layer.bidirectional else 1, -1, -1)
        states = (first, 2 * first) if self.computed else None
        y, (h, c) = self.layer(x, states)
        return cast(Tensor, {"y": y[:, -1], "h": h[-1], "c": c[-1]}[self.read])


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("computed", [False, True])
@pytest.mark.parametrize("read", ["y", "h", "c"])
def test_an_lstm_of_which_one_output_is_read(
    read: str, computed: bool, bidirectional: bool
) -> None:
    model = OfLastStates(read, computed, bidirectional).eval()
    proto = export_onnx(model, (5, 8))
    verify_onnx(proto, model, (5, 8))


def test_a_model_that_is_not_valid_gets_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(proto: object, full_check: bool) -> None:
        raise onnx.checker.ValidationError(f"no model {full_check}\nand more of {type(proto)}")

    monkeypatch.setattr(onnx.checker, "check_model", refuse)
    with pytest.raises(InvalidValueError, match=r"of Conv2d is no valid model: no model True$"):
        export_onnx(nn.Conv2d(3, 4, 1), IMAGE)


class DataDependent(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_a_network_that_looks_at_values_gets_one_line_without_the_exporters_graphs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(InvalidValueError, match="must be exportable to ONNX") as error:
        export_onnx(DataDependent(), IMAGE)
    assert "\n" not in str(error.value)
    assert capsys.readouterr() == ("", "")
