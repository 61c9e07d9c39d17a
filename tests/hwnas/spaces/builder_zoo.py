"""Functions of a trial in the styles that people write them in, each with tiny networks.

All are for inputs of shape (1, 8, 8), or what `SIZES` says, and `CLASSES` classes.
"""

from __future__ import annotations

import functools
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 5
Shape = tuple[int, ...]


def head(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES)]


def loops(trial: Any) -> nn.Module:
    layers: list[nn.Module] = []
    before = 1
    for i in range(trial.suggest_int("depth", 1, 3)):
        width = trial.suggest_int(f"width_{i}", 4, 12, step=4)
        layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
        before = width
    return nn.Sequential(*layers, *head(before))


def conditions(trial: Any) -> nn.Module:
    kind = trial.suggest_categorical("kind", ["conv", "dense"])
    if kind == "dense":
        hidden = trial.suggest_int("hidden", 8, 32, log=True)
        layers = [nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, CLASSES)]
        return nn.Sequential(*layers)
    stride = trial.suggest_categorical("stride", [1, 2])
    layers = [nn.Conv2d(1, 8, 3, stride, 1), nn.ReLU()]
    if stride == 2 and trial.suggest_categorical("pool", [True, False]):
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, *head(8))


class Itself(nn.Module):
    def __init__(self, trial: Any) -> None:
        super().__init__()
        width = trial.suggest_int("width", 4, 12)
        self.layers = nn.Sequential(nn.Conv2d(1, width, 3), nn.ReLU(), *head(width))

    def forward(self, x: Tensor) -> Any:
        return self.layers(x)


class Shared(nn.Module):
    def __init__(self, times: int, width: int) -> None:
        super().__init__()
        self.stem, self.times = nn.Conv2d(1, width, 3, padding=1), times
        self.block = nn.Conv2d(width, width, 3, padding=1)
        self.head = nn.Sequential(*head(width))

    def forward(self, x: Tensor) -> Any:
        x = F.relu(self.stem(x))
        for _ in range(self.times):
            x = x + F.relu(self.block(x))
        return self.head(x)


def shared_modules(trial: Any) -> nn.Module:
    return Shared(trial.suggest_int("times", 1, 3), trial.suggest_int("width", 4, 8, step=4))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 2, 2)
        self.positions = nn.Parameter(torch.zeros(1, 16, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Any:
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.encoder(tokens).mean(1))


def attention(trial: Any) -> nn.Module:
    width = trial.suggest_int("width", 8, 16, step=4)
    heads = trial.suggest_categorical("heads", [1, 2, 8])  # 8 does not divide 12
    return Attention(width, heads, trial.suggest_int("depth", 1, 2))


class OwnAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.embed = heads, nn.Linear(8, width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Any:
        x = self.embed(x.squeeze(1))
        b, t, w = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) / math.sqrt(w // self.heads)).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).reshape(b, t, w).mean(1))


def own_attention(trial: Any) -> nn.Module:
    heads = trial.suggest_categorical("heads", [1, 2, 4])
    return OwnAttention(heads * trial.suggest_int("width", 2, 6, step=2), heads)


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.Module], hidden: int, layers: int, both: bool) -> None:
        super().__init__()
        self.rnn = kind(8, hidden, layers, batch_first=True, bidirectional=both)
        self.head = nn.Linear(hidden * (2 if both else 1), CLASSES)

    def forward(self, x: Tensor) -> Any:
        out, _ = self.rnn(x.squeeze(1))
        return self.head(out[:, -1])


def recurrent(trial: Any) -> nn.Module:
    kind = trial.suggest_categorical("kind", [nn.LSTM, nn.GRU])
    both = trial.suggest_categorical("bidirectional", [False, True])
    return Recurrent(
        kind, trial.suggest_int("hidden", 4, 12, step=4), trial.suggest_int("layers", 1, 2), both
    )


def grouped(trial: Any) -> nn.Module:
    width = trial.suggest_int("width", 4, 12, step=2)
    groups = trial.suggest_categorical("groups", [1, 2, 4])
    layers = [nn.Conv2d(1, width, 1), nn.Conv2d(width, width, 3, padding=1, groups=groups)]
    return nn.Sequential(*layers, nn.ReLU(), *head(width))


def transposed(trial: Any) -> nn.Module:
    width = trial.suggest_int("width", 4, 8, step=4)
    layers: list[nn.Module] = [nn.Conv2d(1, width, 3, 2, 1), nn.ReLU()]
    for _ in range(trial.suggest_int("ups", 1, 2)):
        kernel = trial.suggest_categorical("kernel", [2, 4])
        layers += [nn.ConvTranspose2d(width, width, kernel, 2, (kernel - 2) // 2), nn.ReLU()]
    return nn.Sequential(*layers, *head(width))


class Functional(nn.Module):
    """Parameters of its own and nothing but functions."""

    def __init__(self, width: int, pool: str) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(width, 1, 3, 3) * 0.3)
        self.weight = nn.Parameter(torch.randn(CLASSES, width) * 0.3)
        self.pool = pool

    def forward(self, x: Tensor) -> Any:
        x = F.relu(F.conv2d(x, self.kernel, padding=1))
        x = F.max_pool2d(x, 2) if self.pool == "max" else F.avg_pool2d(x, 2)
        return F.linear(x.mean((2, 3)), self.weight)


def functional(trial: Any) -> nn.Module:
    pool = trial.suggest_categorical("pool", ["max", "avg"])
    return Functional(trial.suggest_int("width", 4, 12, step=4), pool)


ACTIVATIONS: dict[str, Any] = {
    "relu": nn.ReLU,
    "hardswish": nn.Hardswish,
    "leaky": lambda: nn.LeakyReLU(0.1),
}


def factories(trial: Any) -> nn.Module:
    activation = ACTIVATIONS[trial.suggest_categorical("activation", list(ACTIVATIONS))]
    norm = trial.suggest_categorical("norm", [nn.BatchNorm2d, nn.Identity, None])
    layers = [nn.Conv2d(1, 8, 3), *([] if norm is None else [norm(8)]), activation()]
    return nn.Sequential(*layers, *head(8))


@dataclass
class Config:
    width: int = 8
    rates: list[float] = field(default_factory=list)
    residual: bool = True

    @classmethod
    def suggested(cls, trial: Any) -> Config:
        rates = [trial.suggest_float(f"rate_{i}", 0.0, 0.4, step=0.2) for i in range(2)]
        return cls(trial.suggest_categorical("width", (4, 8)), rates)


class Configured(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.stem = nn.Conv2d(1, config.width, 3, padding=1)
        convs = [nn.Conv2d(config.width, config.width, 1) for _ in config.rates]
        self.blocks = nn.ModuleList(
            nn.Sequential(c, nn.ReLU(), nn.Dropout(r))
            for c, r in zip(convs, config.rates, strict=True)
        )
        self.head = nn.Sequential(*head(config.width))

    def forward(self, x: Tensor) -> Any:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x) if self.config.residual else block(x)
        return self.head(x)


def dataclass_config(trial: Any) -> nn.Module:
    return Configured(Config.suggested(trial))


small_lambda = lambda trial: nn.Sequential(  # noqa: E731
    nn.Conv2d(1, trial.suggest_int("width", 4, 8, step=2), 3),
    nn.ReLU(),
    *head(trial.params["width"]),
)


def _with_depth(trial: Any, depth: int) -> nn.Module:
    widths = [trial.suggest_int(f"w{i}", 4, 8, step=4) for i in range(depth)]
    pairs = zip([1, *widths], widths, strict=False)
    layers = [m for a, b in pairs for m in (nn.Conv2d(a, b, 3, padding=1), nn.ReLU())]
    return nn.Sequential(*layers, *head(widths[-1]))


partial = functools.partial(_with_depth, depth=2)


class Builder:
    """A builder with settings of its own, which is called."""

    def __init__(self, width: int) -> None:
        self.width = width

    def __call__(self, trial: Any) -> nn.Module:
        kernel = trial.suggest_categorical("kernel", [1, 3, 5])
        named = OrderedDict(conv=nn.Conv2d(1, self.width, kernel), act=nn.ReLU())
        named["head"] = nn.Sequential(*head(self.width))
        return nn.Sequential(named)


called_object = Builder(8)


class Branches(nn.Module):
    def __init__(self, kernels: list[int], width: int) -> None:
        super().__init__()
        self.branches = nn.ModuleDict(
            {f"k{k}": nn.Conv2d(1, width, k, padding=k // 2) for k in kernels}
        )
        self.head = nn.Sequential(nn.ReLU(), *head(width * len(kernels)))

    def forward(self, x: Tensor) -> Any:
        return self.head(torch.cat([branch(x) for branch in self.branches.values()], 1))


def branches(trial: Any) -> nn.Module:
    kernels = [k for k in (1, 3, 5) if trial.suggest_categorical(f"kernel_{k}", [True, False])]
    return Branches(kernels, trial.suggest_int("width", 2, 6, step=2))  # none: it raises


class SqueezeBlock(nn.Module):
    def __init__(self, width: int, expand: int, squeeze: bool, kernel: int) -> None:
        super().__init__()
        inner = width * expand
        self.expand = nn.Conv2d(width, inner, 1, bias=False)
        self.depth = nn.Conv2d(inner, inner, kernel, padding=kernel // 2, groups=inner)
        self.norm = nn.BatchNorm2d(inner)
        self.squeeze = (
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(inner, inner, 1), nn.Sigmoid())
            if squeeze
            else None
        )
        self.project = nn.Conv2d(inner, width, 1, bias=False)

    def forward(self, x: Tensor) -> Any:
        y = F.relu6(self.norm(self.depth(self.expand(x))))
        if self.squeeze is not None:
            y = y * self.squeeze(y)
        return x + self.project(y)


def mobile(trial: Any) -> nn.Module:
    width = trial.suggest_int("width", 4, 8, step=4)
    blocks = [
        SqueezeBlock(
            width,
            trial.suggest_categorical(f"expand_{i}", [1, 2]),
            trial.suggest_categorical(f"squeeze_{i}", [True, False]),
            trial.suggest_categorical(f"kernel_{i}", [3, 5]),
        )
        for i in range(trial.suggest_int("depth", 1, 2))
    ]
    return nn.Sequential(nn.Conv2d(1, width, 3, 2, 1), *blocks, nn.ReLU(), *head(width))


def lazy(trial: Any) -> nn.Module:
    width = trial.suggest_int("width", 4, 8, step=4)
    return nn.Sequential(
        nn.LazyConv2d(width, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(),
        nn.LazyLinear(CLASSES),
    )  # fmt: skip


def runs_while_building(trial: Any) -> nn.Module:
    stride = trial.suggest_categorical("stride", [1, 2, 3])
    features = nn.Sequential(nn.Conv2d(1, 4, 3, stride), nn.ReLU(), nn.Flatten())
    sizes = features(torch.zeros(1, 1, 8, 8)).shape[1]
    return nn.Sequential(features, nn.Linear(sizes, CLASSES))


def needs_values(trial: Any) -> nn.Module:
    rates = [x.item() for x in torch.linspace(0, 0.3, trial.suggest_int("depth", 2, 4))]
    layers = [m for r in rates for m in (nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Dropout(round(r, 3)))]
    return nn.Sequential(nn.Conv2d(1, 4, 3), *layers, *head(4))


class TwoOutputs(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, width, 3), nn.ReLU())
        self.head = nn.Sequential(*head(width))

    def forward(self, x: Tensor) -> Any:
        features = self.features(x)
        return {"features": features, "logits": self.head(features)}


def two_outputs(trial: Any) -> nn.Module:
    return TwoOutputs(trial.suggest_int("width", 4, 8, step=2))


class DataDependent(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, width, 3), nn.Sequential(nn.ReLU(), *head(width))

    def forward(self, x: Tensor) -> Any:
        x = self.conv(x)
        return self.head(-x if x.sum() > 0 else x)


def data_dependent(trial: Any) -> nn.Module:
    return DataDependent(trial.suggest_int("width", 4, 8, step=2))


def signal(trial: Any) -> nn.Module:
    width = trial.suggest_int("width", 4, 8, step=2)
    layers = [nn.Conv1d(2, width, 5, dilation=trial.suggest_int("dilation", 1, 2)), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(width, CLASSES))


class Words(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(20, width), nn.GRU(width, hidden, batch_first=True)
        self.head = nn.Linear(hidden, CLASSES)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.rnn(self.embedding(x))[0].mean(1))


def tokens(trial: Any) -> nn.Module:
    return Words(trial.suggest_int("width", 4, 8, step=4), trial.suggest_int("hidden", 4, 8))


MODELS = {"loops": loops, "functional": lambda: Functional(4, "max"), "mobile": mobile}

SIZES: dict[str, tuple[str, str]] = {
    "signal": ("2,16", str(CLASSES)),
    "tokens": ("6", f"{CLASSES},20"),
}
PROXIES = {"functional": "jacob_cov", "data_dependent": "grad_norm", "tokens": "grad_norm"}
"""Proxies for which synflow has no value, and says so."""
BUILDERS = (
    "loops", "conditions", "shared_modules", "attention", "own_attention", "recurrent", "grouped",
    "transposed", "functional", "factories", "dataclass_config", "small_lambda", "partial",
    "called_object", "branches", "mobile", "lazy", "runs_while_building", "needs_values",
    "two_outputs", "data_dependent", "signal", "tokens", "MODELS", "Itself",
)  # fmt: skip
