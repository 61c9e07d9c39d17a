"""Small networks of every kind that users write, each with an equal plain network where it is not.

All map 3x8x8 images to 3 logits.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils import prune as _prune
from torch.optim.swa_utils import AveragedModel
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

SHAPE = (3, 8, 8)
prune: Any = _prune  # it has no types
CLASSES = 3
Build = Callable[[], nn.Module]


@dataclass(frozen=True)
class Kind:
    """A network of the zoo.

    Attributes:
        build: makes it.
        plain: makes a network that has the same scores; `build` where it is plain itself.
        sentences: parts of the one sentence that some proxies give.
        own: proxies that see the difference to the plain network, e.g. count its maps.
        refused: part of the one sentence for all proxies, where it cannot be scored.
        random: whether it draws random numbers in training mode.
    """

    build: Build
    plain: Build
    sentences: Mapping[str, str] = field(default_factory=dict)
    own: Collection[str] = ()
    refused: str = ""
    random: bool = False


ZOO: dict[str, Kind] = {}


def _add(name: str, build: Build, plain: Build | None = None, **settings: Any) -> None:
    assert name not in ZOO
    seeded = _seeded(build)
    ZOO[name] = Kind(seeded, seeded if plain is None else _seeded(plain), **settings)


def _seeded(build: Build) -> Build:
    @functools.wraps(build)
    def seeded() -> nn.Module:
        torch.manual_seed(3)
        return build()

    return seeded


class Function(nn.Module):
    """A module of a function and of the modules that it gets first."""

    def __init__(self, function: Callable[..., Tensor], *modules: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.parts = nn.ModuleList(modules)

    def forward(self, x: Tensor) -> Any:
        return self.function(*self.parts, x)


def head(channels: int = 6) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES)]


def conv(c_in: int, c_out: int = 6, **settings: Any) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, 3, padding=1, **settings)


def cnn(norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> nn.Sequential:
    layers = [conv(3), norm(6), nn.ReLU(), conv(6), norm(6), nn.ReLU()]
    return nn.Sequential(*layers, *head())


def weight_only() -> nn.Sequential:
    return nn.Sequential(conv(3), nn.ReLU(), conv(6), nn.ReLU(), *head())


class Block(nn.Module):
    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv = conv(c_in, c_out, stride=stride, bias=False)
        self.norm = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class Stages(nn.Module):
    """Blocks, of which some may run in a way of their own."""

    def __init__(
        self, run: Callable[..., Any] = lambda block, x: block(x), output: str = "logits"
    ) -> None:
        super().__init__()
        self.stem, self.stage1, self.stage2 = Block(3, 6, 1), Block(6, 6, 1), Block(6, 8, 2)
        self.fc = nn.Linear(8, CLASSES)
        self.run, self.output = run, output

    def forward(self, x: Tensor) -> Any:
        maps: Tensor = self.run(self.stage2, self.run(self.stage1, self.stem(x)))
        features = maps.mean(dim=(2, 3))
        logits: Tensor = self.fc(features)
        if self.output == "tuple":
            return features, logits
        return {"logits": logits} if self.output == "dict" else logits


# --- normalisations ---------------------------------------------------------------------------

_add("batch norm", cnn)
_add("no norm", weight_only)
_add("group norm", lambda: cnn(lambda c: nn.GroupNorm(2, c)))
_add("group norm of one group", lambda: cnn(lambda c: nn.GroupNorm(1, c)))
_add("group norm without weights", lambda: cnn(lambda c: nn.GroupNorm(3, c, affine=False)))
_add("instance norm", lambda: cnn(lambda c: nn.InstanceNorm2d(c, affine=True)))
_add("instance norm without weights", lambda: cnn(nn.InstanceNorm2d))
_add("layer norm of maps", lambda: cnn(lambda c: nn.LayerNorm([c, 8, 8])))
_add("local response norm", lambda: cnn(lambda _: nn.LocalResponseNorm(3)))
_add("RMS norm of maps", lambda: cnn(lambda c: nn.RMSNorm([c, 8, 8])))
_add("batch norm of the batch", lambda: cnn(lambda c: nn.BatchNorm2d(c, track_running_stats=False)))


def _of_channels(norm: nn.Module) -> nn.Module:
    return Function(lambda n, x: n(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), norm)


def _functional(norm: Callable[[Tensor], Tensor]) -> nn.Module:
    return Function(norm)


_add("layer norm of channels", lambda: cnn(lambda c: _of_channels(nn.LayerNorm(c))))
_add("RMS norm of channels", lambda: cnn(lambda c: _of_channels(nn.RMSNorm(c))))
_add("group norm as a function", lambda: cnn(lambda _: _functional(lambda x: F.group_norm(x, 2))))
_add(
    "layer norm as a function",
    lambda: cnn(lambda c: _functional(lambda x: F.layer_norm(x, [c, 8, 8]))),
)
_add("instance norm as a function", lambda: cnn(lambda _: _functional(F.instance_norm)))
_add(
    "group norm of turned maps",
    lambda: cnn(
        lambda c: nn.Sequential(
            Function(lambda x: x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)),
            nn.GroupNorm(2, c),
        )
    ),
    lambda: cnn(
        lambda c: nn.Sequential(Function(lambda x: x.contiguous().clone()), nn.GroupNorm(2, c))
    ),
)

# --- compiled networks ------------------------------------------------------------------------


def _compile(thing: Any) -> Any:
    return torch.compile(thing, backend="eager")


def _compiled_in_place() -> nn.Module:
    network = cnn()
    network.compile(backend="eager")
    return network


def _compiled_part() -> nn.Module:
    network = cnn()
    network[3] = _compile(network[3])
    network[4].compile(backend="eager")
    return network


def _compiled_forward() -> nn.Module:
    network = cnn()
    vars(network)["forward"] = _compile(network.forward)
    return network


def _compiled_parametrised() -> nn.Module:
    network = weight_only()
    parametrizations.weight_norm(network[2])
    network[2].compile(backend="eager")
    return network


def _compiled_function() -> nn.Module:
    return cnn(lambda _: _functional(_compile(torch.tanh)))


_add("torch.compile", lambda: _compile(cnn()), cnn)
_add("compile in place", _compiled_in_place, cnn)
_add("compiled parts", _compiled_part, cnn)
_add("compiled forward", _compiled_forward, cnn)
_add("compiled function", _compiled_function, lambda: cnn(lambda _: _functional(torch.tanh)))
_add("compiled weight norm", _compiled_parametrised, weight_only)


def _forward_by_closure() -> nn.Module:
    network = cnn()
    run: Callable[[Tensor], Tensor] = network.forward
    vars(network)["forward"] = lambda x: run(x)
    return network


def _forward_by_default() -> nn.Module:
    network = cnn()
    vars(network)["forward"] = lambda x, layers=list(network): functools.reduce(
        lambda y, layer: layer(y), layers, x
    )
    return network


def _forward_by_partial() -> nn.Module:
    network = cnn()
    vars(network)["forward"] = functools.partial(nn.Sequential.forward, network)
    return network


_add("forward replaced by a closure", _forward_by_closure, cnn)
_add("forward with modules as defaults", _forward_by_default, cnn)
_add("forward replaced by a partial", _forward_by_partial, cnn)

# --- computed weights -------------------------------------------------------------------------


class Doubled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))

    def forward(self, weight: Tensor) -> Tensor:
        return self.factor * weight


def _equalised(layer: nn.Module) -> nn.Module:
    """Scale a weight by a hook that is no class of PyTorch's, as equalised learning rates do."""
    weight = layer._parameters.pop("weight")
    assert weight is not None
    layer.register_parameter("weight_orig", nn.Parameter(weight.detach()))
    setattr(layer, "weight", weight.detach().clone())  # noqa: B010

    def scale(module: Any, args: Any) -> None:
        del args
        module.weight = module.weight_orig * 0.5

    layer.register_forward_pre_hook(scale)
    return layer


def _old_weight_norm(layer: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nn.utils.weight_norm(layer)


def _computed(wrap: Callable[[nn.Module], object], layers: tuple[int, ...]) -> Build:
    def build() -> nn.Module:
        network = weight_only()
        for i in layers:
            wrap(network[i])
        return network.train()

    return build


def _effective(build: Build) -> Build:
    """Give the plain network of the weights that layers have in evaluation mode."""

    def plain() -> nn.Module:
        network, computed = weight_only(), _seeded(build)().eval()
        computed(torch.zeros(1, *SHAPE))
        for i in (0, 2, 6):
            source: Any = computed.get_submodule(str(i))
            target: Any = network[i]
            with torch.no_grad():
                target.weight.copy_(source.weight)
                target.bias.copy_(source.bias)
        return network

    return plain


_WRAPS: dict[str, Callable[[nn.Module], object]] = {
    "old weight norm": _old_weight_norm,
    "weight norm": parametrizations.weight_norm,
    "old spectral norm": lambda m: torch.nn.utils.spectral_norm(m),
    "spectral norm": lambda m: parametrizations.spectral_norm(m),
    "orthogonal": lambda m: parametrizations.orthogonal(m),
    "own parametrisation": lambda m: parametrize.register_parametrization(m, "weight", Doubled()),
    "two parametrisations": lambda m: parametrize.register_parametrization(
        parametrizations.weight_norm(m), "bias", Doubled()
    ),
    "pruned": lambda m: prune.l1_unstructured(m, "weight", 0.5),
    "pruned twice": lambda m: prune.random_unstructured(
        prune.ln_structured(m, "weight", 0.3, 2, 0), "bias", 0.5
    ),
    "equalised learning rate": _equalised,
}
for _name, _wrap in _WRAPS.items():
    for _layers in ((0, 2, 6), (0,)):
        _build = _computed(_wrap, _layers)
        _add(f"{_name} of layers {_layers}", _build, _effective(_build))


class Lstm(nn.Module):
    """Rows of the image are the sequence."""

    def __init__(self, kind: Callable[..., nn.RNNBase] = nn.LSTM) -> None:
        super().__init__()
        self.rnn = kind(24, 5, batch_first=True)
        self.fc = nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.permute(0, 2, 1, 3).flatten(2)
        logits: Tensor = self.fc(self.rnn(rows)[0][:, -1])
        return logits


def _lstm_with_weight_norm() -> nn.Module:
    network = Lstm()
    parametrizations.weight_norm(network.rnn, "weight_hh_l0")
    return network


_add("LSTM", Lstm)
_add("GRU", lambda: Lstm(nn.GRU))
_add("LSTM with weight norm", _lstm_with_weight_norm, Lstm)

# --- blocks that run again --------------------------------------------------------------------


def _checkpointed(reentrant: bool) -> Build:
    return lambda: Stages(lambda block, x: checkpoint(block, x, use_reentrant=reentrant))


class CheckpointedSequence(nn.Module):
    def __init__(self, reentrant: bool | None) -> None:
        super().__init__()
        self.layers, self.reentrant = cnn(), reentrant

    def forward(self, x: Tensor) -> Any:
        if self.reentrant is None:
            return self.layers(x)
        return checkpoint_sequential(self.layers, 3, x, use_reentrant=self.reentrant)  # type: ignore[no-untyped-call]


_add("stages", Stages)
_add("checkpointed", _checkpointed(False), Stages)
_add("checkpointed, reentrant", _checkpointed(True), Stages)
for _reentrant in (False, True):
    _add(
        f"checkpointed sequence, reentrant={_reentrant}",
        functools.partial(CheckpointedSequence, _reentrant),
        lambda: CheckpointedSequence(None),
    )


class OwnCheckpoint(torch.autograd.Function):
    """Runs a block again in the backward pass; its parameters are no inputs."""

    @staticmethod
    def forward(ctx: Any, block: nn.Module, x: Tensor) -> Any:
        ctx.block = block
        ctx.save_for_backward(x)
        return block(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            torch.autograd.backward(ctx.block(x), gradient)
        return None, x.grad


class OwnProduct(torch.autograd.Function):
    """A matrix product whose weight is an input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return x @ weight.T

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        return gradient @ weight, gradient.T @ x


class OwnLinear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        product: Tensor = OwnProduct.apply(x, self.weight)  # type: ignore[no-untyped-call]
        return product


class FrozenTrunk(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.head = cnn()[:6], nn.Sequential(*head())

    def forward(self, x: Tensor) -> Any:
        with torch.no_grad():
            maps = self.trunk(x)
        return self.head(maps)


_UNREACHED = "Gradients must reach"
_add(
    "checkpoint of one's own",
    lambda: Stages(OwnCheckpoint.apply),
    sentences=dict.fromkeys(["grad_norm", "gradsign", "synflow", "ntk_cond"], _UNREACHED),
)
_add("frozen trunk", FrozenTrunk, sentences={"grasp": _UNREACHED, "vkdnw": _UNREACHED})
_add(
    "linear layer of one's own",
    lambda: nn.Sequential(conv(3), nn.ReLU(), *head()[:2], OwnLinear(6, CLASSES, bias=False)),
    lambda: nn.Sequential(conv(3), nn.ReLU(), *head()[:2], nn.Linear(6, CLASSES, bias=False)),
    own={"grasp", "flops", "dextr"},
)

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
_add("compiled DataParallel", lambda: _compile(nn.DataParallel(Stages())), Stages)
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

# --- how a network is given -------------------------------------------------------------------


def _frozen() -> nn.Module:
    return cnn().requires_grad_(False)


def _quiet(make: Callable[[nn.Module], Any]) -> Build:
    def build() -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network: nn.Module = make(weight_only())
        return network

    return build


def _lazy() -> nn.Module:
    return nn.Sequential(
        nn.LazyConv2d(6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.LazyLinear(CLASSES),
    )  # fmt: skip


def _sized() -> nn.Module:
    network = _lazy()
    network(torch.zeros(2, *SHAPE))
    return network


def _half(dtype: torch.dtype) -> Build:
    return lambda: weight_only().to(dtype)


def _rounded(dtype: torch.dtype) -> Build:
    return lambda: weight_only().to(dtype).float()


def _built_in_inference_mode() -> nn.Module:
    with torch.inference_mode():
        return cnn()


def _channels_last(network: nn.Module) -> nn.Module:
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network


_add("frozen parameters", _frozen, cnn)
_add("float16 weights", _half(torch.float16), _rounded(torch.float16))
_add("bfloat16 weights", _half(torch.bfloat16), _rounded(torch.bfloat16))
_add("float64 weights", _half(torch.float64), weight_only)
_add("channels last", lambda: _channels_last(cnn()), cnn)
_add("built in inference mode", _built_in_inference_mode, cnn)
_add("sized lazy layers", _sized)


class Heads(Stages):
    """Has a second head, which it runs in training mode if ever."""

    def __init__(self, runs: bool) -> None:
        super().__init__()
        self.second = nn.Linear(3, CLASSES)
        self.runs = runs

    def forward(self, x: Tensor) -> Any:
        logits = super().forward(x)
        if self.runs and self.training:
            return logits, self.second(x.mean(dim=(2, 3)))
        return logits


class Results(Stages):
    """Returns a dataclass, with what its layers gave."""

    def forward(self, x: Tensor) -> Any:
        return _Result(None, super().forward(x), [x])


class Anything:
    """An object that nobody has told PyTorch of."""

    def __init__(self, hidden: Tensor, logits: Tensor) -> None:
        self.hidden, self.logits = hidden, logits


class Objects(Stages):
    """Returns an object of one's own, as model hubs do."""

    def forward(self, x: Tensor) -> Any:
        return Anything(x, super().forward(x))


class Waves(Stages):
    """Returns complex numbers."""

    def forward(self, x: Tensor) -> Any:
        return torch.fft.fft(super().forward(x))


class TwoDimensional(Stages):
    """Returns maps before its logits."""

    def forward(self, x: Tensor) -> Any:
        return x, super().forward(x)


class Silent(Stages):
    def forward(self, x: Tensor) -> Any:
        super().forward(x)


class Nested(Stages):
    def forward(self, x: Tensor) -> Any:
        return (x,), [super().forward(x)]


@dataclass
class _Result:
    loss: Tensor | None
    logits: Tensor
    hidden: list[Tensor]


def _by_torchscript(make: Callable[[Any, nn.Module], nn.Module]) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch will drop it
        return make(torch.jit, cnn().eval())


def _without_values() -> nn.Module:
    with torch.device("meta"):
        return cnn()


_add("tuple", TwoDimensional, Stages)
_add("dictionary", lambda: Stages(output="dict"), Stages)
_add("dataclass", Results, Stages)
_add("object of one's own", Objects, Stages)
_add("complex numbers", Waves, refused="must return real numbers, but got torch.complex64")
_add("second head in training mode", lambda: Heads(True), lambda: Heads(False))
_add("lists in a tuple", Nested, Stages)
_add("no tensor", Silent, refused="must return a tensor, or some")
_add("scripted", lambda: _by_torchscript(lambda jit, m: jit.script(m)), refused="of TorchScript")
_add(
    "traced part",
    lambda: nn.Sequential(_by_torchscript(lambda jit, m: jit.trace(m, torch.zeros(2, *SHAPE)))),
    refused="of TorchScript",
)
_add("meta", _without_values, refused="on the meta device")
