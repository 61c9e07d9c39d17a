"""Which choices of a model space matter for a sample, read off its modules."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nni.mutable import Mutable
from nni.nas.nn.pytorch import LayerChoice, Repeat
from nni.nas.nn.pytorch.base import MutableModule
from torch import nn

Sample = Mapping[str, Any]
Condition = Callable[[Sample], bool]
_Found = tuple[str, tuple[Condition, ...]]


@dataclass(frozen=True)
class Nesting:
    """Labels that lie within candidates of a `LayerChoice` or blocks of a `Repeat`.

    A label matters if one of the places where it occurs is part of the network: its candidate is
    chosen and its block is not beyond the depth, on every level. Two samples that differ only in
    labels that do not matter freeze to the same network. Nothing else makes a label meaningless:
    equal graphs that are written differently are not recognised.

    Attributes:
        places: the conditions of every place, by label; labels that always matter are left out.
    """

    places: Mapping[str, tuple[tuple[Condition, ...], ...]]

    @classmethod
    def of(cls, module: nn.Module) -> Nesting:
        """Walk through a model space that is not frozen."""
        places: dict[str, list[tuple[Condition, ...]]] = {}
        for label, conditions in _walk(module, ()):
            places.setdefault(label, []).append(conditions)
        return cls({label: tuple(found) for label, found in places.items() if all(found)})

    def unused(self, sample: Sample) -> Collection[str]:
        """Give the labels that do not matter for a sample."""
        return [
            label
            for label, places in self.places.items()
            if not any(all(holds(sample) for holds in conditions) for conditions in places)
        ]


def _walk(module: nn.Module, given: tuple[Condition, ...]) -> Iterator[_Found]:
    mutables = module.mutables if isinstance(module, MutableModule) else ()
    for mutable in mutables:
        yield from ((label, given) for label in mutable.simplify())
    if isinstance(module, LayerChoice):
        for name in module.names:
            yield from _walk(module[name], (*given, _Chosen(module.choice, name)))
    elif isinstance(module, Repeat) and isinstance(module.depth_choice, Mutable):
        for index, block in enumerate(module.blocks):
            yield from _walk(block, (*given, _Deeper(module.depth_choice, index)))
    else:
        for child in module.children():
            yield from _walk(child, given)


@dataclass(frozen=True, eq=False)
class _Chosen:
    choice: Mutable
    name: Any

    def __call__(self, sample: Sample) -> bool:
        return bool(self.choice.freeze(sample) == self.name)


@dataclass(frozen=True, eq=False)
class _Deeper:
    depth: Mutable
    index: int

    def __call__(self, sample: Sample) -> bool:
        return bool(self.depth.freeze(sample) > self.index)
