from __future__ import annotations

import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas import registry
from hwnas.seeding import seeded
from hwnas.spaces.space_text import read_space
from hwnas.tasks.batch import draw_inputs
from hwnas.tasks.task import image_task
from hwnas.torch_source.expressions import NotWritableError
from hwnas.torch_source.network_code import network_code
from hwnas.torch_source.network_file import plain_file
from hwnas.torch_source.proof import check_source

C, H = 8, 12


class Residual(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, x + self.body(x))


class ConvBN(nn.Sequential):
    """A subclass with nothing but a constructor, as torchvision's."""

    def __init__(self, c_in: int, c_out: int, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(c_in, c_out, 3, padding=1, groups=groups, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(inplace=True),
        )


class Shuffle(nn.Module):
    """Sizes of the input in the computation."""

    def forward(self, x: Tensor) -> Tensor:
        B, channels, height, width = x.shape
        x = x.view(B, 2, channels // 2, height, width).transpose(1, 2)
        return x.reshape(B, -1, height, width)[:, :, ::1]


class Gate(nn.Module):
    """Own parameters and buffers, two of which no state keeps."""

    scale: Tensor
    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.randn(1, C, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1), requires_grad=False)
        self.register_buffer("scale", torch.full((1,), 0.5))
        self.register_buffer("window", torch.tensor([0.25, 0.75]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.gamma) * self.scale + self.beta - self.window.mean() ** 2


class Dropping(nn.Module):
    """Two modes of computation that differ in more than a flag."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x = x * torch.rand_like(x[:, :1, :1, :1]).lt(0.9)
        return F.dropout(x, 0.3, training=self.training)


class Mixed(nn.Module):
    """A part with two inputs, one that has a default, a list that is gone through."""

    def __init__(self) -> None:
        super().__init__()
        self.join = Join()
        self.layers = nn.ModuleList(Residual(ConvBN(C, C, groups=2)) for _ in range(4))
        self.named = nn.ModuleDict({"a": nn.ELU(0.5), "b": nn.Identity()})

    def forward(self, x: Tensor) -> Tensor:
        first = x
        for layer in self.layers:
            x = layer(x)
        return cast(Tensor, self.join(self.named["a"](x), first))


class Join(nn.Module):
    def forward(self, x: Tensor, y: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is not None:
            y = y * mask
        return torch.cat([x, y], dim=1).chunk(2, 1)[0] + x.mean(dim=(2, 3), keepdim=True)


class Sequence(nn.Module):
    """Attention and an LSTM over positions."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(C)
        self.attention = nn.MultiheadAttention(C, 2, batch_first=True)
        self.lstm = nn.LSTM(C, C, num_layers=2, batch_first=True, dropout=0.1)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(x.flatten(2).permute(0, 2, 1))
        mixed, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        out, _ = self.lstm(tokens + mixed)
        return cast(Tensor, out.transpose(1, 2).unflatten(2, (H, H)))


class Tied(nn.Module):
    """One module under two names, and one weight in two modules."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(C, C, 1)
        self.again = self.first
        self.other = nn.Conv2d(C, C, 1)
        self.other.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.other(self.again(F.gelu(self.first(x))))
        x += 1
        return F.relu_(x)


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(C, 2 * C, (3, 5), stride=2, padding=(1, 2))
        self.up = nn.ConvTranspose2d(2 * C, C, 2, stride=2, bias=False)
        self.norms = nn.Sequential(
            OrderedDict(group=nn.GroupNorm(2, C, eps=1e-3), prelu=nn.PReLU(C))
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(F.interpolate(self.down(x), scale_factor=1.0))
        return F.max_pool2d(self.norms(y) + x, 3, 1, 1)


def network(body: nn.Module) -> nn.Module:
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(C, 5))
    return nn.Sequential(nn.Conv2d(1, C, 3, padding=1), body, *head)


def checked(model: nn.Module, inputs: Tensor) -> str:
    source = plain_file(network_code(model), "A network", "logits")
    assert check_source(source, model, inputs) <= 1e-6
    return source


BODIES = (Residual, Shuffle, Gate, Dropping, Mixed, Sequence, Tied, UNet)


@pytest.mark.parametrize("kind", BODIES, ids=lambda kind: kind.__name__)
def test_networks_of_many_styles_are_written(kind: Callable[..., nn.Module]) -> None:
    with seeded(0):
        body = kind(ConvBN(C, C)) if kind is Residual else kind()
        model = network(body)
        source = checked(model, torch.randn(3, 1, H, H))
    assert "hwnas." not in source.partition('"""\n\n')[2]


@pytest.mark.parametrize("name", ["nasbench201", "fbnet", "mobilenetv3"])
def test_networks_of_the_spaces_are_written(name: str) -> None:
    space = registry.make("spaces", name)
    with seeded(0):
        arch = space.sample(np.random.default_rng(3))
        model = space.build(arch)
        checked(model, draw_inputs(space.default_task.input, 2))


@pytest.mark.parametrize("name", ["autoformer", "pit", "nds:channels=4,cells=3"])
def test_networks_with_attention_and_cells_are_written(name: str) -> None:
    space, task = read_space(name), image_task(5, (3, 32, 32))
    with seeded(0):
        model = space.build(space.sample(np.random.default_rng(2)), task)
        checked(model, draw_inputs(task.input, 2))


def test_the_code_runs_alone_and_takes_the_state(tmp_path: Path) -> None:
    with seeded(0):
        model = network(Mixed()).eval()
        inputs = torch.randn(2, 1, H, H)
    (tmp_path / "network.py").write_text(checked(model, inputs))
    torch.save(dict(model.state_dict()), tmp_path / "weights.pt")
    torch.save((inputs, model(inputs).detach()), tmp_path / "case.pt")
    script = (
        "import sys, torch; sys.modules['hwnas'] = None\n"  # so that nobody can import it
        "from network import build\n"
        "network = build(); network.load_state_dict(torch.load('weights.pt', weights_only=True))\n"
        "inputs, expected = torch.load('case.pt', weights_only=True)\n"
        "assert (network.eval()(inputs) - expected).abs().max() <= 1e-6\n"
    )
    done = subprocess.run(
        [sys.executable, "-E", "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_equal_classes_and_rows_are_written_once() -> None:
    source = network_code(network(Mixed()))
    assert source.count("class Residual") == 1
    assert "nn.ModuleList([*(Residual() for _ in range(4))])" in source
    assert "nn.Conv2d(8, 8, 3, padding=1, groups=2, bias=False)" in source
    assert "training=" not in source


def test_dropout_follows_the_mode() -> None:
    class Only(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.dropout(x, 0.3, training=self.training)

    assert "training=self.training" in network_code(network(Only()))
    assert "if self.training:" in network_code(network(Dropping()))


def test_what_is_shared_and_frozen_stays_so() -> None:
    space: dict[str, Callable[[], nn.Module]] = {}
    exec(plain_file(network_code(network(Tied())), "", ""), space)
    made = space["build"]()
    assert made.get_submodule("1.first") is made.get_submodule("1.again")
    assert made.get_parameter("1.other.weight") is made.get_parameter("1.first.weight")
    exec(plain_file(network_code(network(Gate())), "", ""), space)
    trained = {
        n: p.requires_grad for n, p in space["build"]().get_submodule("1").named_parameters()
    }
    assert trained == {"gamma": True, "beta": False}


class DataDependent(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class ForeignFunction(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, torch.ops.aten.relu(x))


class Constant(nn.Module):
    """A tensor that neither a parameter nor a buffer is."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.randn(C, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.table


class LongBuffer(nn.Module):
    table: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.randn(H, H), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.table


def hooked() -> nn.Module:
    module = nn.Identity()
    module.register_forward_hook(lambda _m, _i, out: 2 * out)
    return module


def normed() -> nn.Module:
    return cast(nn.Module, nn.utils.parametrizations.weight_norm(nn.Conv2d(C, C, 1)))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (DataDependent, "DataDependent cannot be traced"),
        (ForeignFunction, "the function"),
        (Constant, "no parameter and no buffer"),
        (LongBuffer, "large buffer"),
        (hooked, "hooks"),
        (normed, "ParametrizedConv2d"),
        (lambda: nn.Conv2d(C, C, 1).double(), "weights of type torch.float64"),
    ],
)
def test_what_cannot_be_written_says_why(make: Callable[[], nn.Module], reason: str) -> None:
    with pytest.raises(NotWritableError, match=reason):
        network_code(network(make()))


def test_code_of_another_network_is_found_out() -> None:
    with seeded(0):
        model = network(ConvBN(C, C))
    source = plain_file(network_code(model), "", "")
    inputs = torch.randn(2, 1, H, H)
    for old, new, reason in (
        ("nn.ReLU(inplace=True)", "nn.SiLU()", "differs by"),
        ("nn.Dropout(p=0.2)", "nn.Dropout(p=0.9)", "differs by"),  # in training mode only
        ("nn.Linear(8, 5)", "nn.Linear(8, 6)", "other weights"),
        ("return ", "return None and ", "fails"),
    ):
        assert old in source
        with pytest.raises(NotWritableError, match=reason):
            check_source(source.replace(old, new), model, inputs)
