"""What the operators of a pass compute, as values: memory, strides and layouts are seen through."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hwnas.errors import InvalidValueError
from hwnas.graphs.value_graph import ValueGraph

_COMMUTATIVE_WORDS = """
    add mul maximum minimum fmax fmin eq ne logical_and logical_or logical_xor bitwise_and
    bitwise_or bitwise_xor
"""
_COMMUTATIVE = frozenset(_COMMUTATIVE_WORDS.split())
_ASSOCIATIVE = frozenset({"add", "mul", "maximum", "minimum"})
# Copies: the value is that of the argument, if its type is.
_COPIES = frozenset({"clone", "lift_fresh", "lift", "_to_copy", "alias", "detach", "contiguous"})
_FILLS = {"zeros": 0.0, "zeros_like": 0.0, "new_zeros": 0.0, "zero": 0.0}
_FILLS |= {"ones": 1.0, "ones_like": 1.0, "new_ones": 1.0}
_GIVEN_FILLS = frozenset({"full", "full_like", "new_full", "fill"})
# In-place operators whose result does not depend on what was there.
_OVERWRITE_WORDS = """
    zero_ fill_ copy_ bernoulli_ uniform_ normal_ random_ exponential_ geometric_ log_normal_
    cauchy_
"""
_OVERWRITE = frozenset(_OVERWRITE_WORDS.split())
_NEUTRAL = {"add": 0, "sub": 0, "mul": 1, "div": 1}
_KEEP_ZERO_WORDS = """
    relu hardswish silu gelu tanh leaky_relu neg avg_pool2d _adaptive_avg_pool2d
    max_pool2d_with_indices mean mean.dim sum sum.dim_IntList mm bmm
"""
_KEEP_ZERO = frozenset(_KEEP_ZERO_WORDS.split())
# How memory is laid out is no part of a value.
_IGNORED = frozenset({"device", "layout", "memory_format", "pin_memory", "non_blocking"})


LONGEST = 20_000
"""Operators of a pass, after which it takes too long; a recurrent layer runs some a step."""


class Geometry(NamedTuple):
    """How a tensor reads its memory; strides of axes that have one place are 0."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int


class _Content(NamedTuple):
    value: int
    geometry: Geometry


class Values:
    """An observer of `hwnas.networks.meta.MetaShapes` that numbers the values of a pass.

    A tensor is its memory's value read in some geometry: views are no operators, an operator in
    place is the operator whose result its memory holds from then on, and a copy is what it copies.

    Attributes:
        graph: the values.
        work: executed operators, with the shapes that they read, by how often.
    """

    def __init__(self, graph: ValueGraph, gradients: bool) -> None:
        """Start with nothing known.

        Args:
            graph: where values are added.
            gradients: whether values through which no gradient comes are others.
        """
        self.graph = graph
        self._gradients = gradients
        self._fixed: set[int] = set()
        self.work: Counter[str] = Counter()
        self._count = 0
        self._contents: dict[int, _Content] = {}
        self._zeros: set[int] = set()
        # Kept alive: the address of freed memory would be given to another tensor.
        self._kept: list[torch.UntypedStorage] = []

    def define(self, tensor: Tensor, value: int) -> None:
        """Say which value a tensor is."""
        storage = tensor.untyped_storage()
        self._kept.append(storage)
        self._contents[storage._cdata] = _Content(value, _geometry(tensor))

    def stopped(self, tensor: Tensor) -> Tensor:
        """Give a tensor through which no gradient comes, in memory of its own."""
        if not self._gradients or not tensor.is_meta:
            return tensor
        number = self.graph.apply("stopped", (self.value(tensor),))
        alone = torch.empty_like(tensor, memory_format=torch.preserve_format)
        self.define(alone, number)
        # What is written into one of both would be seen in the other.
        self._fixed |= {t.untyped_storage()._cdata for t in (tensor, alone)}
        return alone

    def value(self, tensor: Tensor) -> int:
        """Give the value of a tensor.

        Raises:
            InvalidValueError: it comes from out of sight.
        """
        content = self._contents.get(tensor.untyped_storage()._cdata)
        if content is None:
            if tensor.is_meta:
                raise InvalidValueError("a tensor is used whose origin cannot be seen")
            return constant(self.graph, tensor)
        geometry = _geometry(tensor)
        if geometry == content.geometry:
            return content.value
        if content.value in self._zeros:
            return self._full(0.0, tensor)
        return self.graph.apply(f"view {content.geometry} {geometry}", (content.value,))

    def observe(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> None:
        """Take one operator."""
        written = _written(func, args, kwargs)
        results = [t for t in _tensors(result) if not self._is_known(t)]
        if not written and not results:
            return  # a view
        self._count += 1
        if self._count > LONGEST:
            raise InvalidValueError(f"it runs more than {LONGEST:,} operators")
        name = _name(func)
        used = [a for i, a in enumerate(args) if not (i == 0 and name in _OVERWRITE)]
        given = {k: v for k, v in kwargs.items() if k not in _IGNORED and k != "out"}
        inputs = [self.value(tensor) for tensor in _tensors([used, *given.values()])]
        text = f"{name.rstrip('_')}{_template(used)}{_template(given)}"
        if self._gradients and not torch.is_grad_enabled():
            text += " without gradient"
        shapes = [tuple(t.shape) for t in _tensors([used, *given.values()])]
        self.work[f"{text}{shapes}"] += 1
        if _is_random(func):
            inputs.append(self.graph.source("random"))
        for i, tensor in enumerate(written or results):
            value = self._result(name.rstrip("_"), text, used, inputs, tensor, i)
            if written:
                self._write(tensor, value)
            else:
                self.define(tensor, value)

    def _result(
        self, name: str, text: str, used: list[Any], inputs: list[int], out: Tensor, place: int
    ) -> int:
        known = self._simple(name, text, used, inputs, out, place)
        if known is not None:
            return known
        plain = len(inputs) == 2 and "alpha" not in text
        label = f"{text} {place} {out.dtype} {tuple(out.shape)}"
        unordered = plain and name in _COMMUTATIVE
        return self.graph.apply(label, inputs, unordered, unordered and name in _ASSOCIATIVE)

    def _simple(
        self, name: str, text: str, used: list[Any], inputs: list[int], out: Tensor, place: int
    ) -> int | None:
        """Give the value of an operator that leaves an argument as it is, or fills."""
        same = [
            i
            for i, tensor in zip(inputs, _tensors(used), strict=False)
            if tensor.shape == out.shape and tensor.dtype == out.dtype
        ]
        if text.endswith(" without gradient"):
            return None
        if name in _COPIES | {"copy"} and same[:1] == inputs[:1] and inputs:
            return inputs[0]
        if name in _FILLS:
            return self._full(_FILLS[name], out)
        if name in _GIVEN_FILLS and isinstance(used[-1], (bool, int, float)):
            return self._full(used[-1], out)
        if place == 0 and self._stays_zero(name, used, inputs):
            return self._full(0.0, out)
        if name not in _NEUTRAL or len(used) < 2 or "alpha=" in text:
            return None
        if len(inputs) == 1 and not isinstance(used[1], Tensor):
            if used[1] == _NEUTRAL[name] and same:
                return inputs[0]
            return self._full(0.0, out) if name == "mul" and used[1] == 0 else None
        if name == "mul" and self._zeros.intersection(inputs):
            return self._full(0.0, out)
        if name == "add" and inputs[0] in self._zeros and inputs[1] in same:
            return inputs[1]
        if name in ("add", "sub") and inputs[1] in self._zeros and inputs[0] in same:
            return inputs[0]
        return None

    def _stays_zero(self, name: str, used: list[Any], inputs: list[int]) -> bool:
        """Tell whether an operator of zeros gives zeros."""
        if not self._zeros.intersection(inputs[:1]):
            return False
        return name in _KEEP_ZERO or (name == "convolution" and used[2] is None)

    def _full(self, number: float, out: Tensor) -> int:
        number = int(number) if not out.dtype.is_floating_point else float(number)
        value = self.graph.apply(f"full {number} {out.dtype} {tuple(out.shape)}", ())
        if number == 0:
            self._zeros.add(value)
        return value

    def _is_known(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self._contents

    def _write(self, tensor: Tensor, value: int) -> None:
        content = self._contents.get(tensor.untyped_storage()._cdata)
        if tensor.untyped_storage()._cdata in self._fixed:
            raise InvalidValueError("it writes into a detached tensor")
        geometry = _geometry(tensor)
        if content is None or geometry == content.geometry:
            self.define(tensor, value)
            return
        label = f"write {content.geometry} {geometry}"
        written = self.graph.apply(label, (content.value, value))
        self._contents[tensor.untyped_storage()._cdata] = _Content(written, content.geometry)


def constant(graph: ValueGraph, tensor: Tensor) -> int:
    """Give the value of a tensor whose elements are known."""
    return graph.apply(f"constant {tensor.dtype} {_elements(tensor)}", ())


def _geometry(tensor: Tensor) -> Geometry:
    shape = tuple(tensor.shape)
    strides = (s if n > 1 else 0 for s, n in zip(tensor.stride(), shape, strict=True))
    return Geometry(tensor.dtype, shape, tuple(strides), int(tensor.storage_offset()))


def _elements(tensor: Tensor) -> str:
    plain = tensor.detach().cpu().contiguous().flatten()
    content = plain.view(torch.uint8).numpy().tobytes() if plain.numel() else b""
    return f"{tuple(tensor.shape)} {hashlib.blake2b(content, digest_size=16).hexdigest()}"


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _template(value: Any) -> str:
    """Write arguments with a gap where a tensor stands."""
    if isinstance(value, Tensor):
        return "_"
    if isinstance(value, (list, tuple)):
        return f"({','.join(map(_template, value))})"
    if isinstance(value, dict):
        return f"({','.join(f'{k}={_template(v)}' for k, v in sorted(value.items()))})"
    if isinstance(value, (torch.device, torch.Generator)):
        return ""
    if value is None or isinstance(value, _LITERALS):
        return repr(value)
    raise InvalidValueError(f"an operator takes a {type(value).__name__}")


@cache
def _name(func: Any) -> str:
    if not hasattr(func, "_schema"):
        return str(func)
    overload = func._schema.overload_name
    name = str(func._schema.name).removeprefix("aten::")
    return name if overload in _PLAIN else f"{name}.{overload}"


@cache
def _is_random(func: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(func, "tags", ())


@cache
def _written_places(func: Any) -> tuple[tuple[int, str], ...]:
    arguments = func._schema.arguments if hasattr(func, "_schema") else ()
    return tuple(
        (place, argument.name)
        for place, argument in enumerate(arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    )


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    places = _written_places(func)
    given = [args[i] if i < len(args) else kwargs.get(name) for i, name in places]
    return list(_tensors(given))


_LITERALS = (bool, int, float, complex, str, torch.dtype, torch.layout, torch.memory_format)
_PLAIN = frozenset({"", "Tensor", "Scalar", "default", "int", "float", "names"})
