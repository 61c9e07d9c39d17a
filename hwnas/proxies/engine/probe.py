"""The first run of a network: what it returns, and how it has to be run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from hwnas.errors import InvalidValueError, ProxyError
from hwnas.networks.dispatch_mode import EagerDispatchMode
from hwnas.networks.joined import told_of_inputs
from hwnas.proxies.engine.blocks import record_maps
from hwnas.proxies.engine.other_functions import OtherFunctions, has_norms
from hwnas.tasks.outputs import read_output
from hwnas.tasks.task import Output, TensorSpec

Layout = torch.memory_format
_NAMES = {"image": "images", "tokens": "tokens", "signal": "signals", "vector": "vectors"}

_aten = torch.ops.aten


@dataclass(frozen=True)
class Probe:
    """What one run of two inputs tells.

    Attributes:
        output: what the network answers, with its own number of classes.
        label_shape: shape of an input's labels.
        layout: layout of tensors in which the network is run.
        others: whether it runs functions that are run in another way, see `OtherFunctions`.
        elsewhere: whether some of them run outside of PyTorch's modules.
        gradients: whether gradients reach all parameters that it uses.
        writes: whether an operator writes into a tensor that is there.
        maps: names of the modules that gave a feature map, see `record_maps`.
    """

    output: Output
    label_shape: tuple[int, ...]
    layout: Layout
    others: bool
    elsewhere: bool
    gradients: bool
    writes: bool
    maps: Sequence[str]


def probe_network(
    models: Sequence[nn.Module],
    copy: Callable[[Layout], nn.Module],
    spec: TensorSpec,
    draw: Callable[[int], Tensor],
    sizes: Sequence[int],
    wanted: Output | None,
) -> Probe:
    """Run two inputs in evaluation mode; or a batch, if the network takes no other number.

    Args:
        models: the network, and what it was copied from; they are not run.
        copy: gives a copy of it in a layout, in evaluation mode.
        spec: what an input is.
        draw: gives a number of inputs.
        sizes: numbers to try.
        wanted: what the network should answer, or None for anything.

    Raises:
        ProxyError: the network rejects such inputs, its output is none of the outputs, or its copy
            runs parameters of the original.
    """
    error: Exception | None = None
    modules = [module for model in dict.fromkeys(models) for module in model.modules()]
    for size, layout in product(sizes, _layouts(modules, spec)):
        network, inputs = copy(layout), draw(size).contiguous(memory_format=layout)
        watch, others = _Watch(network, modules), OtherFunctions()
        try:
            # Nothing requires gradients, so no graph is built.
            told = others.told_of(network)
            with torch.enable_grad(), record_maps(network) as maps, told, watch, others:
                answer = network(inputs)
        except InvalidValueError as failure:  # of the choice of its answer
            raise ProxyError(str(failure)) from failure
        except ProxyError:
            raise
        except Exception as failure:  # whatever the user's network raises
            error = error or failure
            continue
        if layout is torch.contiguous_format or not watch.contiguous:
            norms = has_norms(modules)
            ways = others.used or norms, others.elsewhere or norms
            found = read_output(answer, size, spec, wanted)
            gradients = not watch.blind or _gradients_reach(network, inputs, watch.blind)
            return Probe(*found, layout, *ways, gradients, watch.writes, maps)
    rank = len(spec.shape) if spec.vocabulary is None else 0
    raise ProxyError(
        f"`model` must accept {_NAMES[spec.kind]} of shape (B, {', '.join(map(str, spec.shape))}), "
        f"but raised {type(error).__name__}: {error}{told_of_inputs(models[0], rank)}"
    ) from error


def _gradients_reach(network: nn.Module, inputs: Tensor, used: Collection[int]) -> bool:
    """Tell whether a backward pass reaches some parameters, e.g. through functions of their own."""
    parameters = [p.requires_grad_() for p in network.parameters() if id(p) in used]
    outputs = [x for x in tree_leaves(network(inputs)) if isinstance(x, Tensor) and x.requires_grad]
    if not outputs:
        return False
    total = torch.stack([output.sum() for output in outputs]).sum()
    return None not in torch.autograd.grad(total, parameters, allow_unused=True)


class _Watch(EagerDispatchMode):  # type: ignore[no-untyped-call]
    """Notes what the operators of a run ask for.

    A parameter or buffer of a module that was copied is refused before it is used or changed.

    Attributes:
        contiguous: whether an operator must be run in the contiguous layout.
        blind: ids of the parameters that are used while gradients are off.
        writes: whether an operator writes into a tensor that is there.
    """

    def __init__(self, network: nn.Module, originals: Sequence[nn.Module]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._parameters = {id(p) for p in network.parameters()}
        held = (members for m in originals for members in (m._parameters, m._buffers))
        tensors = (t for members in held for t in members.values())
        self._originals = {id(tensor) for tensor in tensors if tensor is not None}
        self.contiguous = False
        self.blind: set[int] = set()
        self.writes = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        if func.overloadpacket is _aten.convolution and _is_narrow(
            args[1].shape[2:], args[1].shape[1], args[3]
        ):
            self.contiguous = True
        if not self._originals.isdisjoint(map(id, args)):
            raise ProxyError(
                "`model` must be copyable, but its copy runs parameters of the original: refer to "
                "modules by attributes of the network, not by global variables."
            )
        self.writes = self.writes or _is_writer(func)
        if not torch.is_grad_enabled():
            self.blind |= self._parameters.intersection(map(id, args))
        return func(*args, **(kwargs or {}))


@cache
def _is_writer(func: Any) -> bool:
    # A view in place changes no numbers.
    return func._schema.is_mutable and torch.Tag.inplace_view not in func.tags


def _layouts(modules: Sequence[nn.Module], spec: TensorSpec) -> list[Layout]:
    """Give the layouts to try, the fast one first."""
    contiguous = spec.kind != "image" or any(
        isinstance(m, torch.jit.ScriptModule)  # its normalisations are out of sight
        or (
            isinstance(m, nn.Conv2d)
            and _is_narrow(m.kernel_size, m.in_channels // m.groups, m.stride)
        )
        for m in modules
    )
    fast = [] if contiguous else [torch.channels_last]
    return [*fast, torch.contiguous_format]


def _is_narrow(kernel: Sequence[int], channels: int, stride: Sequence[int]) -> bool:
    """Tell whether a convolution must run in the contiguous layout.

    In `channels_last`, oneDNN's weight gradient of a strided 1x1 convolution writes out of bounds
    if there are fewer input channels than its block has, 8 or 16: wrong numbers or a crash
    (https://github.com/uxlfoundation/oneDNN/issues/6035).
    """
    return tuple(kernel) == (1, 1) and channels < 16 and tuple(stride) != (1, 1)
