"""Networks whose weights are all parameters: what is computed for them is computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from hwnas.networks.copying import copy_model, is_wrapper


def plain_network(model: nn.Module) -> nn.Module:
    """Give a network that computes the same as `model` in evaluation mode, with plain weights.

    A weight that is computed from others (weight norm, spectral norm, orthogonal and any other
    parametrisation, pruning masks, hooks that set it) becomes a parameter of the value that it
    has; what it was computed from is gone. So there is one weight, which can be initialised anew,
    differentiated and counted as that of any layer. Modules that only run another one are left
    out, see `copy_model`.

    Args:
        model: the network; it is left as it is.

    Returns:
        `model` itself if nothing of this applies to it, else a float32 copy.
    """
    if not any(is_wrapper(m) or _is_computed(m) for m in model.modules()):
        return model
    plain = copy_model(model, to_float32)
    for module in list(plain.modules()):
        if _is_computed(module):
            module.eval()  # spectral norm moves on with every use in training mode
            _freeze_parametrizations(module)
            _freeze_hooked(module)
    return plain


def to_float32(tensor: Tensor) -> Tensor:
    """Copy a tensor to the CPU, and floats to float32; one without values stays on `meta`."""
    device = "meta" if tensor.is_meta else "cpu"
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return tensor.to(device, dtype, copy=True)


def _is_computed(module: nn.Module) -> bool:
    if "parametrizations" in module._modules:
        return True
    return bool(module._forward_pre_hooks) and bool(_tensor_attributes(module))


def _tensor_attributes(module: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in vars(module).items() if isinstance(value, Tensor)}


def _freeze_parametrizations(module: nn.Module) -> None:
    lists: Any = module._modules.get("parametrizations")
    if lists is None:
        return
    with torch.no_grad():
        values = {name: getattr(module, name).clone() for name in lists}
    sources = {name: list(lists[name].parameters(recurse=False)) for name in lists}
    # PyTorch's own removal would take the property from the original's class.
    module.__class__ = type(module).__bases__[0]
    del module._modules["parametrizations"]
    for name, value in values.items():
        if not sources[name]:
            module.register_buffer(name, value)
    wanted = {name: any(p.requires_grad for p in found) for name, found in sources.items() if found}
    _set_parameters(module, {name: (values[name], grad) for name, grad in wanted.items()})


def _freeze_hooked(module: nn.Module) -> None:
    """Let go of the hooks that set a tensor attribute before the module runs."""
    for key, hook in list(module._forward_pre_hooks.items()):
        before = _tensor_attributes(module)
        if not before:
            return
        with_kwargs = key in module._forward_pre_hooks_with_kwargs
        after = _after(module, hook, ((), {}) if with_kwargs else ((),))
        found = {name: value for name, value in after.items() if value is not before.get(name)}
        if not found:
            continue
        del module._forward_pre_hooks[key]
        sources = [leaf for value in found.values() for leaf in _leaves(value.grad_fn)]
        gone = {id(leaf) for leaf in sources}
        for name in [n for n, p in module._parameters.items() if id(p) in gone]:
            del module._parameters[name]
        for name in found:
            vars(module).pop(name, None)
        grad = any(leaf.requires_grad for leaf in sources)
        _set_parameters(module, {name: (value.detach(), grad) for name, value in found.items()})


def _after(module: nn.Module, hook: Callable[..., Any], args: tuple[Any, ...]) -> dict[str, Tensor]:
    """Give the tensor attributes after a hook ran; those of before where it needs an input."""
    try:
        with torch.enable_grad():
            hook(module, *args)
    except Exception:  # whatever the user's hook raises: it did not set a weight
        return {}
    return _tensor_attributes(module)


def _leaves(root: Any) -> Iterator[Tensor]:
    """Give the tensors that a computed one depends on."""
    seen, left = set(), [root]
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        left += [parent for parent, _ in node.next_functions]


def _set_parameters(module: nn.Module, values: dict[str, tuple[Tensor, bool]]) -> None:
    """Register parameters where a layer has them: weights stand before biases."""
    kept = list(module._parameters)
    for name, (value, grad) in values.items():
        setattr(module, name, nn.Parameter(value, requires_grad=grad))
    recurrent: list[str] = getattr(module, "_flat_weights_names", [])
    places = {name: place for place, name in enumerate(recurrent)}
    names = sorted([*values, *kept], key=lambda name: (places.get(name, 0), "bias" in name))
    for name in names:
        module._parameters[name] = module._parameters.pop(name)
