"""A device that is not there: tensors on it are the CPU's, but are not mixed with the CPU's.

It refuses what an accelerator refuses: operations on tensors of two places, and reading a tensor
by numpy without moving it. So a forgotten device is seen on a machine that has only a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

PLACE = torch.device("mps", 0)


class Elsewhere(Tensor):
    """A tensor on the pretended device; `numbers` is where its numbers are."""

    numbers: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> Elsewhere:
        made = Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(),
            dtype=inner.dtype, layout=inner.layout, requires_grad=False,
        )  # fmt: skip
        made.numbers = inner
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return PLACE

    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        """Move; PyTorch itself believes that the tensor is on the CPU already."""
        wanted = [a for a in (*args, *kwargs.values()) if isinstance(a, (str, torch.device))]
        if any(torch.device(a).type == "cpu" for a in wanted):
            return self.detach().numbers.to(*args, **kwargs)  # type: ignore[attr-defined, no-any-return]
        return super().to(*args, **kwargs)

    def cpu(self, *_: Any, **__: Any) -> Tensor:
        return self.to("cpu")

    def tolist(self) -> Any:
        return self.numbers.tolist()

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError("can't convert a tensor of another device to numpy")

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        del types
        return run(func, args, kwargs or {})


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operation there if its tensors are there, or if it makes one there."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    there = [isinstance(t, Elsewhere) for t in tensors]
    strangers = [t for t, is_there in zip(tensors, there, strict=True) if not is_there and t.ndim]
    # Gradients of 0 are made within PyTorch, which believes that all of this is on the CPU.
    strangers = [t for t in strangers if t.device.type == "meta" or t.any()]
    name = func.overloadpacket.__name__
    target = kwargs.get("device")
    moves = name in ("_to_copy", "copy_")
    if any(there) and strangers and not moves:
        raise RuntimeError(
            f"{func} got tensors on two devices: {[tuple(t.shape) for t in tensors]}"
        )
    if target is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    inner = tree_map(lambda t: t.numbers if isinstance(t, Elsewhere) else t, (args, kwargs))
    result = func(*inner[0], **inner[1])
    known = {id(t.numbers): t for t in tensors if isinstance(t, Elsewhere)}
    is_there = any(there) if target is None else torch.device(target).type == PLACE.type
    if moves and name == "copy_":
        return args[0]
    if not is_there:
        return result
    made = {id(t): Elsewhere(t) for t in tree_leaves(result) if type(t) is Tensor} | known
    return tree_map(lambda t: made[id(t)] if isinstance(t, Tensor) else t, result)


class _Place(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        return run(func, args, kwargs or {})


@contextmanager
def pretended_device() -> Iterator[None]:
    """Make tensors there where they are asked for."""
    with _Place():  # type: ignore[no-untyped-call]
        yield
