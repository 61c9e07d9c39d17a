"""More kinds of networks: recurrent, attending, spectral, of several formats, with hooks."""

from __future__ import annotations

import functools
import warnings
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.hwnas.proxies.network_kinds import CLASSES, Function, Kind, add, cnn, conv, head

FURTHER: dict[str, Kind] = {}
_GRAPH = {
    "nn_mass", "nasgraph_avg_degree", "nasgraph_density", "nasgraph_resilience", "nasgraph_wedge"
}  # fmt: skip


_add = functools.partial(add, FURTHER)


def rows(x: Tensor) -> Tensor:
    """Give the rows of images as sequences."""
    return x.permute(0, 2, 1, 3).flatten(2)


def pooled(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers, *head())


# --- recurrent layers ---------------------------------------------------------------------------


def _by_cell(cell: Any, last: Any, x: Tensor) -> Tensor:
    state = None
    for row in rows(x).unbind(1):
        state = cell(row, state)
    logits: Tensor = last(state)
    return logits


def _packed(rnn: Any, last: Any, x: Tensor) -> Tensor:
    packed = nn.utils.rnn.pack_padded_sequence(rows(x), [8] * len(x), batch_first=True)
    logits: Tensor = last(rnn(packed)[1][0][-1])
    return logits


_add(
    "two-layer bidirectional LSTM",
    lambda: Function(
        lambda rnn, last, x: last(rnn(rows(x))[0].mean(1)),
        nn.LSTM(24, 5, num_layers=2, batch_first=True, bidirectional=True),
        nn.Linear(10, CLASSES),
    ),
)
_add("GRU cell in a loop", lambda: Function(_by_cell, nn.GRUCell(24, 5), nn.Linear(5, CLASSES)))
_add("RNN cell in a loop", lambda: Function(_by_cell, nn.RNNCell(24, 5), nn.Linear(5, CLASSES)))
_add(
    "packed sequences",
    lambda: Function(_packed, nn.LSTM(24, 5, batch_first=True), nn.Linear(5, CLASSES)),
)
_add(
    "bag of embeddings",
    lambda: Function(
        lambda bag, last, x: last(bag((x.flatten(1) * 4 + 8).long().clamp(0, 15)).relu()),
        nn.EmbeddingBag(16, 6),
        nn.Linear(6, CLASSES),
    ),
)

# --- attention ----------------------------------------------------------------------------------


class Einsum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.last = nn.Linear(24, 8), nn.Linear(8, CLASSES)
        self.all = nn.Linear(8, 24, bias=False)

    def heads(self, x: Tensor) -> Tensor:
        """Give (3, B, heads, tokens, width) queries, keys and values."""
        found: Tensor = self.all(self.embed(rows(x)))
        return found.view(len(x), 8, 3, 2, 4).permute(2, 0, 3, 1, 4)

    def forward(self, x: Tensor) -> Any:
        q, k, v = self.heads(x)
        weights = torch.einsum("bhid,bhjd->bhij", q, k).div(2).softmax(-1)
        return self.last(torch.einsum("bhij,bhjd->bihd", weights, v).flatten(2).mean(1))


class Causal(Einsum):
    def forward(self, x: Tensor) -> Any:
        q, k, v = self.heads(x)
        tokens = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.last(tokens.transpose(1, 2).flatten(2).mean(1))


class Fused(Einsum):
    def forward(self, x: Tensor) -> Any:
        tokens = F.scaled_dot_product_attention(*self.heads(x))
        return self.last(tokens.transpose(1, 2).flatten(2).mean(1))


def _masked(embed: Any, attention: Any, last: Any, x: Tensor) -> Any:
    mask = torch.ones(8, 8, dtype=torch.bool).triu(1)
    return last(attention(embed(rows(x)), rows(x), rows(x), attn_mask=mask)[0].mean(1))


def _stack() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
        stack = nn.TransformerEncoder(layer, 2)
    last = nn.Linear(8, CLASSES)
    embed = nn.Linear(24, 8)
    return Function(lambda e, s, f, x: f(s(e(rows(x))).mean(1)), embed, stack, last).eval()


_add("attention by einsum", Einsum)
_add("fused attention", Fused, Einsum, own={"zen"})
_add("causal attention", Causal)
_add(
    "masked attention to other widths",
    lambda: Function(
        _masked,
        nn.Linear(24, 8),
        nn.MultiheadAttention(8, 2, kdim=24, vdim=24, batch_first=True),
        nn.Linear(8, CLASSES),
    ),
)
_add("encoder on its fast path", _stack)

# --- spectral networks --------------------------------------------------------------------------


class Filter(nn.Module):
    """Multiplies frequencies by a complex parameter, or by two real ones."""

    def __init__(self, real: bool) -> None:
        super().__init__()
        self.conv, self.last = conv(3), nn.Linear(6, CLASSES)
        weight = torch.randn(6, 8, 5, 2) * 0.1
        self.filter = nn.Parameter(weight if real else torch.view_as_complex(weight))

    def forward(self, x: Tensor) -> Any:
        waves = torch.fft.rfft2(self.conv(x).relu())
        complex_ = self.filter.is_complex()
        waves = waves * (self.filter if complex_ else torch.view_as_complex(self.filter))
        return self.last(torch.fft.irfft2(waves, s=(8, 8)).relu().mean((2, 3)))


_add("filter of frequencies", lambda: Filter(real=True))
_add(
    "complex parameter",
    lambda: Filter(real=False),
    sentences=dict.fromkeys(["synflow", "vkdnw"], "real parameters"),
)
_add(
    "mixing by Fourier transforms",
    lambda: Function(
        lambda a, b, last, x: last(b(torch.fft.fft2(a(x).relu()).real).relu().mean((2, 3))),
        conv(3),
        conv(6),
        nn.Linear(6, CLASSES),
    ),
)

# --- convolutions -------------------------------------------------------------------------------

_add(
    "signals up and down",
    lambda: Function(
        lambda up, down, last, x: last(down(up(x.flatten(2)).relu()).relu().mean(2)),
        nn.ConvTranspose1d(3, 6, 3, stride=2),
        nn.Conv1d(6, 6, 3, dilation=2, groups=2),
        nn.Linear(6, CLASSES),
    ),
)
_add(
    "volumes up",
    lambda: Function(
        lambda down, up, last, x: last(up(down(x[:, None]).relu()).relu().mean((2, 3, 4))),
        nn.Conv3d(1, 4, 3, padding=1),
        nn.ConvTranspose3d(4, 6, 2, stride=2, groups=2),
        nn.Linear(6, CLASSES),
    ),
)
_add(
    "pixel shuffle",
    lambda: pooled(conv(3, 8), nn.ReLU(), nn.PixelShuffle(2), nn.Conv2d(2, 6, 3), nn.ReLU()),
)
_add(
    "circular and equal padding",
    lambda: pooled(
        nn.Conv2d(3, 6, 5, padding="same", padding_mode="circular"), nn.ReLU(),
        nn.Conv2d(6, 6, 2, padding="same"), nn.ReLU(),
    ),
)  # fmt: skip


class OwnFilters(nn.Module):
    """Computes the filters of each image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.make, self.last = conv(3), nn.Linear(6, 54), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Any:
        maps = self.conv(x).relu()
        filters = self.make(maps.mean((2, 3))).view(-1, 1, 3, 3)
        made = F.conv2d(maps.reshape(1, -1, 8, 8), filters, padding=1, groups=len(filters))
        return self.last(made.view(len(x), 6, 8, 8).relu().mean((2, 3)))


class Straight(torch.autograd.Function):
    """Signs, whose gradient goes straight through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        del ctx
        return x.sign()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        del ctx
        return gradient


class Binary(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        weight: Tensor = Straight.apply(self.weight)  # type: ignore[no-untyped-call]
        maps: Tensor = self._conv_forward(x, weight, self.bias)
        return maps


_add("filters of one's own image", OwnFilters)
_add(
    "binary weights",
    lambda: pooled(conv(3), nn.ReLU(), Binary(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()),
)
_add(
    "bilinear layer",
    lambda: Function(
        lambda a, b, x: b(a(x).relu().mean((2, 3)), x.mean((2, 3))),
        conv(3),
        nn.Bilinear(6, 3, CLASSES),
    ),
)

# --- values that change in place, chance and choice ----------------------------------------------


def _in_place(a: Any, b: Any, last: Any, x: Tensor) -> Any:
    maps = a(x)
    maps.add_(1).relu_()
    more = b(maps)
    more += maps
    more[:, :2] = more[:, :2].relu()
    return last(more.mean((2, 3)))


def _shared() -> nn.Module:
    relu, norm = nn.ReLU(inplace=True), nn.BatchNorm2d(6)
    return pooled(conv(3), norm, relu, conv(6), norm, relu)


class Depth(nn.Module):
    """A residual block that some images skip in training."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(conv(6), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        kept = torch.rand(len(x), 1, 1, 1) < (0.5 if self.training else 2)
        maps: Tensor = x + kept * self.block(x)
        return maps


class Experts(nn.Module):
    """Sends each image to one of several layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate = conv(3), nn.Linear(6, 3)
        self.experts = nn.ModuleList(nn.Linear(6, CLASSES) for _ in range(3))

    def forward(self, x: Tensor) -> Any:
        features = self.conv(x).relu().mean((2, 3))
        shares = self.gate(features)
        logits = features.new_zeros(len(x), CLASSES)
        for i, expert in enumerate(self.experts):
            mine = shares.argmax(1) == i
            if mine.any():
                logits[mine] = expert(features[mine])
        return logits * shares.softmax(1).amax(1, keepdim=True)


class Spare(nn.Module):
    """Has a layer that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.spare, self.last = conv(3), conv(6), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Any:
        return self.last(self.conv(x).relu().mean((2, 3)))


_add("changes in place", lambda: Function(_in_place, conv(3), conv(6), nn.Linear(6, CLASSES)))
_add("shared norm and activation", _shared)
_add("stochastic depth", lambda: pooled(conv(3), Depth(), Depth()), random=True)
_add("experts", Experts, sentences={"nn_degree": "whatever the values"})
_add("layer that never runs", Spare)
_add(
    "pools of other sizes",
    lambda: nn.Sequential(
        conv(3), nn.ReLU(), nn.AdaptiveMaxPool2d((5, 3)), conv(6), nn.ReLU(),
        nn.AdaptiveAvgPool2d((2, 3)), nn.Flatten(), nn.Linear(36, CLASSES),
    ),
)  # fmt: skip
_add("one class", lambda: nn.Sequential(conv(3), nn.ReLU(), *head()[:2], nn.Linear(6, 1)))

# --- how it is run -------------------------------------------------------------------------------


class Called(nn.Module):
    """Runs a network with other parameters than its own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = pooled(conv(3), nn.ReLU())

    def forward(self, x: Tensor) -> Any:
        larger = {name: 1.5 * p for name, p in self.inner.named_parameters()}
        return torch.func.functional_call(self.inner, larger, (x,))


def _hooked() -> nn.Module:
    network = pooled(conv(3), nn.ReLU(), conv(6), nn.ReLU())
    network[0].register_forward_hook(lambda *given: given[-1] * 2)
    network[2].register_forward_pre_hook(lambda *given: (given[1][0] + 1,))
    network[2].register_forward_hook(lambda *given: given[-1] + 1, with_kwargs=True)
    return network


class Clamp(torch.autograd.Function):
    """A rectifier of one's own, in the form that `torch.func` asks for."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clamp(min=0)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        del output
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        passes: Tensor = ctx.saved_tensors[0] > 0
        return gradient * passes


class Flexible(nn.Module):
    """Takes what model hubs take, and gives what they give."""

    def __init__(self, hub: bool) -> None:
        super().__init__()
        self.conv, self.last, self.hub = conv(3), nn.Linear(6, CLASSES), hub

    def forward(self, x: Tensor, mask: Any = None, *, scale: float = 1.0, **more: Any) -> Any:
        del mask, more
        features = self.conv(x).relu().mean((2, 3))
        logits = self.last(features) * scale
        return Answers(features, logits) if self.hub else logits


Answers = namedtuple("Answers", "features logits")


def _parallel(wrap: Callable[[nn.Module], nn.Module]) -> nn.Module:
    trunk = nn.Sequential(conv(3), nn.BatchNorm2d(6), nn.ReLU())
    return wrap(nn.Sequential(wrap(trunk), wrap(nn.Sequential(conv(6), nn.ReLU())), *head()))


_add("parameters of one call", Called)
_add("hooks of the user", _hooked)
_add("rectifier of one's own", lambda: pooled(conv(3), Function(Clamp.apply), conv(6)))
_add("named tuple", lambda: Flexible(hub=True), lambda: Flexible(hub=False))
_add("nested wrappers", lambda: _parallel(nn.DataParallel), lambda: _parallel(lambda m: m))
_add("synchronised norms", lambda: cnn(nn.SyncBatchNorm), cnn)

# --- number formats ------------------------------------------------------------------------------


def _formats(shorten: Callable[[Tensor], Tensor]) -> nn.Module:
    def run(a: Any, last: Any, x: Tensor) -> Any:
        return last(shorten(a(x).relu().mean((2, 3))))

    return Function(run, conv(3), nn.Linear(6, CLASSES))


def _autocast(a: Any, b: Any, last: Any, x: Tensor) -> Any:
    with torch.autocast("cpu", torch.bfloat16):
        return last(b(a(x).relu()).relu().mean((2, 3))).float()


def _quantised() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dynamic: Any = torch.ao.quantization.quantize_dynamic
        network: nn.Module = dynamic(
            pooled(conv(3), nn.ReLU()).eval(), {nn.Linear}, dtype=torch.qint8
        )
    return network


_CONVERTS = "must compute in the number format"
_add(
    "logits in float32",
    lambda: _formats(lambda x: x.double().float()),
    lambda: _formats(lambda x: x),
    own=_GRAPH,
)
_add(
    "autocast inside",
    lambda: Function(_autocast, conv(3), conv(6), nn.Linear(6, CLASSES)),
    sentences={"gradsign": _CONVERTS, "ntk_cond": _CONVERTS},
)
_add(
    "quantised layer",
    _quantised,
    sentences=dict.fromkeys(["grad_norm", "synflow", "vkdnw"], "from before it was quantised"),
)
