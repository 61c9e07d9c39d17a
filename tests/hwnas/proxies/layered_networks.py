"""Networks within wrappers, and networks of all sorts of layers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.optim.swa_utils import AveragedModel

from tests.hwnas.proxies.computed_networks import compiled
from tests.hwnas.proxies.network_kinds import (
    CLASSES,
    Block,
    Function,
    Kind,
    Stages,
    add,
    cnn,
    conv,
    head,
)

LAYERED: dict[str, Kind] = {}
_add = functools.partial(add, LAYERED)

# --- wrappers ---------------------------------------------------------------------------------


class Wrapper(nn.Module):
    def __init__(self, network: nn.Module, choose: Callable[[Any], Any]) -> None:
        super().__init__()
        self.network, self.choose = network, choose

    def forward(self, x: Tensor) -> Any:
        return self.choose(self.network(x))


def _wrapped_blocks() -> nn.Module:
    network: Any = Stages()
    network.stage1 = checkpoint_wrapper(network.stage1)
    network.stage2 = checkpoint_wrapper(network.stage2)
    wrapped: nn.Module = network
    return wrapped


_add("logits of a tuple", lambda: Wrapper(Stages(output="tuple"), lambda out: out[1]), Stages)
_add(
    "logits of a dictionary", lambda: Wrapper(Stages(output="dict"), lambda o: o["logits"]), Stages
)
_add("wrapped twice", lambda: Wrapper(Wrapper(Stages(), lambda y: (y,)), lambda y: y[0]), Stages)
_add("DataParallel", lambda: nn.DataParallel(Stages()), Stages)
_add("AveragedModel", lambda: AveragedModel(Stages()), Stages)
_add("CheckpointWrapper", lambda: checkpoint_wrapper(Stages()), Stages)
_add("CheckpointWrapper of blocks", _wrapped_blocks, Stages)
_add("compiled DataParallel", lambda: compiled(nn.DataParallel(Stages())), Stages)
_add(
    "prepared images",
    lambda: nn.Sequential(Function(lambda x: x * 1), Stages()),
    Stages,
    own={"meco", "dextr"},
)

# --- layers -----------------------------------------------------------------------------------

_add(
    "MLP", lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 9), nn.ReLU(), nn.Linear(9, CLASSES))
)
_add(
    "depthwise separable",
    lambda: nn.Sequential(
        conv(3), nn.ReLU(), conv(6, groups=6), nn.Conv2d(6, 6, 1), nn.ReLU(), *head()
    ),
)
_add("grouped", lambda: nn.Sequential(conv(3), nn.ReLU(), conv(6, groups=3), nn.ReLU(), *head()))
_add(
    "transposed",
    lambda: nn.Sequential(
        conv(3, stride=2), nn.ReLU(), nn.ConvTranspose2d(6, 6, 2, stride=2), nn.ReLU(), *head()
    ),
)
_add(
    "dilated",
    lambda: nn.Sequential(
        conv(3), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=2, dilation=2), nn.ReLU(), *head()
    ),
)
_add(
    "narrow strided 1x1 as a function",
    lambda: nn.Sequential(
        conv(3), nn.ReLU(), FunctionalConv(6, 6, 1, stride=2), nn.ReLU(), *head()
    ),
)


class FunctionalConv(nn.Module):
    """Parameters used as plain tensors."""

    def __init__(self, c_in: int, c_out: int, kernel: int, **settings: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c_out, c_in, kernel, kernel) / 3)
        self.settings = settings

    def forward(self, x: Tensor) -> Tensor:
        settings: dict[str, Any] = self.settings
        return F.conv2d(x, self.weight, **settings)


class Conv1dNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv1d(3, 6, 3, padding=1), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.conv(x.flatten(2)).relu().mean(dim=2))
        return logits


class Conv3dNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv3d(1, 4, 3, padding=1), nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.conv(x[:, None]).relu().mean(dim=(2, 3, 4)))
        return logits


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, stride=4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm, self.fc = nn.LayerNorm(8), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        tokens = self.norm(tokens + self.attention(tokens, tokens, tokens)[0])
        logits: Tensor = self.fc(tokens.mean(dim=1))
        return logits


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(24, 8)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.embed(x.permute(0, 2, 1, 3).flatten(2))
        logits: Tensor = self.fc(self.encoder(rows).mean(dim=1))
        return logits


class Embedded(nn.Module):
    """Looks pixels up as words; no gradient reaches the image."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.fc = nn.Embedding(16, 6), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        words = (x.flatten(1) * 4 + 8).long().clamp(0, 15)
        logits: Tensor = self.fc(self.embed(words).mean(dim=1).relu())
        return logits


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(6, 2, 1), nn.Conv2d(2, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.up(F.relu(self.down(x.mean(dim=(2, 3), keepdim=True)))))


class Shared(nn.Module):
    """One module that runs three times."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.fc = conv(3), conv(6), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        for _ in range(3):
            x = F.relu(self.block(x)) + x
        logits: Tensor = self.fc(x.mean(dim=(2, 3)))
        return logits


class Recursive(nn.Module):
    def __init__(self, depth: int) -> None:
        super().__init__()
        self.conv = conv(3 if depth == 3 else 6)
        self.rest: nn.Module = Recursive(depth - 1) if depth else nn.Sequential(*head())

    def forward(self, x: Tensor) -> Any:
        return self.rest(F.relu(self.conv(x)))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.fc = Block(3, 6, 1), nn.Linear(6, CLASSES)
        self.blocks = nn.ModuleList(Block(6, 6, 1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        logits: Tensor = self.fc(x.mean(dim=(2, 3)))
        return logits


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([conv(3, 4), conv(4, 4), conv(8, 4), conv(12, 4)])
        self.fc = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        maps = [F.relu(self.convs[0](x))]
        for layer in list(self.convs)[1:]:
            maps.append(F.relu(layer(torch.cat(maps, dim=1))))
        logits: Tensor = self.fc(torch.cat(maps, dim=1).mean(dim=(2, 3)))
        return logits


class Tied(nn.Module):
    """One weight in two modules."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.fc = conv(3, 3), conv(3, 3), nn.Linear(3, CLASSES)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(F.relu(self.second(F.relu(self.first(x)))).mean(dim=(2, 3)))
        return logits


class Standardised(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        maps: Tensor = self._conv_forward(x, weight, self.bias)
        return maps


class Buffered(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((3, 1, 1), 0.3))
        self.network = cnn()

    def forward(self, x: Tensor) -> Any:
        return self.network(x - self.get_buffer("mean"))


_add("1-D convolution", Conv1dNetwork)
_add("3-D convolution", Conv3dNetwork)
_add("attention", Attention)
_add("transformer encoder", Encoder)
_add("embedding", Embedded)
_add("squeeze and excite", lambda: nn.Sequential(conv(3), nn.ReLU(), SqueezeExcite(), *head()))
_add(
    "channel shuffle",
    lambda: nn.Sequential(
        conv(3), nn.ReLU(), nn.ChannelShuffle(2), conv(6, groups=2), nn.ReLU(), *head()
    ),
)
_add("shared module", Shared)
_add("recursion", lambda: Recursive(3))
_add("residual", Residual)
_add("dense", Dense)
_add("tied weights", Tied)
_add(
    "weight standardisation",
    lambda: nn.Sequential(
        Standardised(3, 6, 3, padding=1),
        nn.ReLU(),
        Standardised(6, 6, 3, padding=1),
        nn.ReLU(),
        *head(),
    ),
)
_add("buffers", Buffered)
_add(
    "plain parameters",
    lambda: nn.Sequential(FunctionalConv(3, 6, 3), nn.ReLU(), FunctionalConv(6, 6, 3), *head()),
)
_add("no parameters", lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
_add("no ReLU", lambda: nn.Sequential(conv(3), nn.Tanh(), conv(6), nn.GELU(), *head()))
_add(
    "ReLU in place",
    lambda: nn.Sequential(conv(3), nn.ReLU(inplace=True), conv(6), nn.ReLU6(inplace=True), *head()),
)
_add(
    "dropout",
    lambda: nn.Sequential(conv(3), nn.ReLU(), nn.Dropout(0.3), conv(6), nn.ReLU(), *head()),
    random=True,
)
