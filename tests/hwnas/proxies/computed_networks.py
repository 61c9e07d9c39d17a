"""Networks with norms of all sorts, compiled ones, computed weights, and blocks that run again."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from tests.hwnas.proxies.network_kinds import (
    CLASSES,
    SHAPE,
    Build,
    Function,
    Kind,
    Stages,
    add,
    cnn,
    conv,
    head,
    prune,
    seeded_build,
    weight_only,
)

COMPUTED: dict[str, Kind] = {}
_add = functools.partial(add, COMPUTED)

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


def compiled(thing: Any) -> Any:
    return torch.compile(thing, backend="eager")


def _compiled_in_place() -> nn.Module:
    network = cnn()
    network.compile(backend="eager")
    return network


def _compiled_part() -> nn.Module:
    network = cnn()
    network[3] = compiled(network[3])
    network[4].compile(backend="eager")
    return network


def _compiled_forward() -> nn.Module:
    network = cnn()
    vars(network)["forward"] = compiled(network.forward)
    return network


def _compiled_parametrised() -> nn.Module:
    network = weight_only()
    parametrizations.weight_norm(network[2])
    network[2].compile(backend="eager")
    return network


def _compiled_function() -> nn.Module:
    return cnn(lambda _: _functional(compiled(torch.tanh)))


_add("torch.compile", lambda: compiled(cnn()), cnn)
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
        network, computed = weight_only(), seeded_build(build)().eval()
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
