"""Watches the functions that use parameters, for derivatives that need no weight gradients."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

S = TypeVar("S")
Shortcuts = Mapping[Any, tuple[Callable[..., list[tuple[Tensor | None, S]]], int | None]]
"""Function: what gives the shortcut by each parameter of a call, and the rank of the input for
which dimension 0 counts images, or None for any."""


class ParameterUses(TorchFunctionMode, Generic[S]):
    """Gives the gradients at the outputs of functions that use parameters to their shortcuts.

    It sees function calls, not modules, so a parameter that is shared or used outside of its
    module is not missed. The parameters need no gradient.

    Attributes:
        unknown: parameters of which at least one use has no shortcut.
        anchor: what every watched output depends on: a backward pass to it reaches all of them.
    """

    def __init__(
        self, parameters: Collection[Tensor], images: int, shortcuts: Shortcuts[S]
    ) -> None:
        super().__init__()
        self._parameters = frozenset(parameters)
        self._images = images
        self._shortcuts = shortcuts
        self.unknown: set[Tensor] = set()
        self.anchor = torch.zeros((), requires_grad=True)

    @abstractmethod
    def receiver(self, found: list[tuple[Tensor, S]]) -> Callable[[Tensor], None]:
        """Make what takes the gradient (B, ...) at an output, by parameters and their shortcuts."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        used: set[Tensor] = {
            leaf
            for leaf in _leaves((*args, *kwargs.values()))
            if isinstance(leaf, nn.Parameter) and leaf in self._parameters
        }
        if not used:
            return output
        if func not in self._shortcuts:
            # Queries, e.g. of a shape, give no tensor and are no use.
            if any(isinstance(leaf, Tensor) for leaf in tree_leaves(output)):
                self.unknown |= used
            return output
        make, rank = self._shortcuts[func]
        inputs = args[0] if args else kwargs["input"]
        if len(inputs) != self._images or rank not in (None, inputs.ndim):
            self.unknown |= used
            return output
        return self._watch(output, used, make(*args, **kwargs))

    def _watch(
        self, output: Tensor, used: set[Tensor], offered: list[tuple[Tensor | None, S]]
    ) -> Tensor:
        found: list[tuple[Tensor, S]] = [
            (p, s) for p, s in offered if isinstance(p, nn.Parameter) and p in used
        ]
        self.unknown |= used - {p for p, _ in found}
        if not found:
            return output
        output = output if output.requires_grad else output + self.anchor
        output.register_hook(self.receiver(found))  # type: ignore[no-untyped-call]
        return output


def _leaves(values: Iterable[Any]) -> Iterator[Any]:
    """Give values, and the leaves of those that hold others; `tree_leaves` is slow for few."""
    for value in values:
        if isinstance(value, (list, tuple, dict)):
            yield from tree_leaves(value)
        else:
            yield value
