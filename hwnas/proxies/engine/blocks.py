"""Which modules of an arbitrary network are its blocks, i.e. map feature maps to feature maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

_CONTAINERS = (nn.ModuleList, nn.ModuleDict)


def feature_blocks(model: nn.Module, maps: Sequence[str]) -> list[str]:
    """Give the blocks in the order in which they ran.

    `nn.Sequential`, `nn.ModuleList` and `nn.ModuleDict` are opened as long as they hold modules
    with children. What is then left with children is a block if it ran on one (B, C, H, W) tensor
    and gave one, and either holds a convolution, or holds no weight matrix and is not sequential
    (a cell of skips and pools; but not a batch norm followed by a ReLU). A single block is opened
    in turn, and so is, before that, a module around all convolutions that gave no map: the network
    inside of one that chooses its logits or prepares its images. Where there are fewer than two,
    the 2-D convolutions are the blocks.

    Args:
        model: the network.
        maps: names of the modules that gave a feature map, from `record_maps`.

    Returns:
        Names of modules of `model`; empty where nothing computes feature maps.
    """
    name = network_inside(model, maps)
    found = _ran(_inside(model.get_submodule(name), f"{name}." if name else ""), maps)
    while len(found) == 1:
        found = _ran(_inside(model.get_submodule(found[0]), f"{found[0]}."), maps)
    convolutions = {n for n, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    return found or _ran(convolutions, maps)


@contextmanager
def record_maps(model: nn.Module) -> Iterator[list[str]]:
    """Record which modules map one (B, C, H, W) tensor to one, in the order of their outputs.

    Modules without children are no blocks, and left out, unless they are 2-D convolutions.

    Args:
        model: a network that runs once within the context.

    Yields:
        Module names, filled while the network runs; a module that ran twice stands there once.
    """
    names: dict[str, None] = {}

    def record(name: str) -> Any:
        def hook(_: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            tensors = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)]
            positional = [a for a in args if isinstance(a, Tensor)]
            if len(tensors) == len(positional) == 1 and tensors[0].ndim == 4 and _is_map(output):
                names.setdefault(name)

        return hook

    handles = [
        module.register_forward_hook(record(name), with_kwargs=True)
        for name, module in model.named_modules()
        if module._modules or isinstance(module, nn.Conv2d)
    ]
    result: list[str] = []
    try:
        yield result
    finally:
        result.extend(names)
        for handle in handles:
            handle.remove()


def network_inside(model: nn.Module, maps: Sequence[str], name: str = "") -> str:
    """Give the name of the innermost module around all convolutions that gave no map.

    It is empty for the model itself; otherwise what is around it chooses its logits or prepares
    its images.
    """
    around = [
        (f"{name}.{child_name}" if name else child_name, child)
        for child_name, child in model.named_children()
        if any(isinstance(m, nn.Conv2d) for m in child.modules())
    ]
    if len(around) != 1 or around[0][0] in maps or not list(around[0][1].children()):
        return name
    inside, child = around[0]
    return network_inside(child, maps, inside)


def _is_map(output: object) -> bool:
    return isinstance(output, Tensor) and output.ndim == 4


def _ran(names: set[str], maps: Sequence[str]) -> list[str]:
    return [name for name in maps if name in names]


def _inside(module: nn.Module, prefix: str) -> set[str]:
    """Give the names of the blocks among the children, containers opened."""
    names: set[str] = set()
    for name, child in module.named_children():
        children = list(child.children())
        if not children:
            continue
        sequential = isinstance(child, nn.Sequential)
        nested = any(list(c.children()) for c in children)
        if type(child) in _CONTAINERS or (sequential and nested):
            names |= _inside(child, f"{prefix}{name}.")
        elif _is_block(child, sequential):
            names.add(prefix + name)
    return names


def _is_block(module: nn.Module, sequential: bool) -> bool:
    if any(isinstance(m, nn.Conv2d) for m in module.modules()):
        return True
    return not sequential and all(p.ndim < 2 for p in module.parameters())
