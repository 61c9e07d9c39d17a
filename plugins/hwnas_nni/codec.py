"""From NNI's model spaces to search spaces of hwnas, and from architectures to samples."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from nni.mutable import Categorical, CategoricalMultiple, LabeledMutable, Mutable, Numerical
from nni.mutable.annotation import MutableAnnotation
from nni.nas.space import RawFormatModelSpace, SimplifiedModelSpace
from torch import nn

from hwnas.errors import InvalidValueError
from hwnas.seeding import torch_state_kept
from hwnas.spaces.assignments import Assignment
from hwnas.typing import Arch, SearchSpace
from hwnas_nni.dimensions import Dimension, DimensionSpace
from hwnas_nni.functions import FunctionCodec, FunctionModelSpace
from hwnas_nni.hub import NASBENCH201, NasBench201Codec
from hwnas_nni.nesting import Nesting

Key = Callable[[Mapping[str, Any]], str]
"""Gives a text of a sample; samples with equal texts are taken for one network."""

LEVELS = 16
"""Values that stand for a continuous dimension."""
_DENSE = 1000
"""Quantiles that find every value of a quantised dimension that has few."""


class Codec(Protocol[Arch]):
    """A search space of hwnas and the way between its architectures and NNI's samples."""

    @property
    def space(self) -> SearchSpace[Arch]:
        """The search space."""

    def to_sample(self, arch: Arch) -> dict[str, Any]:
        """Give the sample of an architecture, by label."""

    def from_sample(self, sample: Mapping[str, Any]) -> Arch:
        """Give the architecture of a sample."""


@dataclass(frozen=True)
class DimensionCodec:
    """Any model space: every label that `simplify` gives is a dimension.

    Attributes:
        space: the dimensions.
    """

    space: DimensionSpace

    def to_sample(self, arch: Assignment) -> dict[str, Any]:
        """Give the sample of an architecture, by label."""
        return dict(self.space.asked(arch))

    def from_sample(self, sample: Mapping[str, Any]) -> Assignment:
        """Give the architecture of a sample."""
        return self.space.assign(sample)


def codec_of(model_space: Mutable, levels: int = LEVELS, key: Key | None = None) -> Codec[Any]:
    """Read a model space, raw or made executable by an experiment.

    Labels and choices come from `simplify`, so that layers, inputs, repetitions, values and the
    tunable arguments of an evaluator are all dimensions. Samples are equal if their choices are,
    apart from choices within a candidate that is not taken or a block beyond the depth
    (`hwnas_nni.nesting`). The hub's NasBench201 is known, and has 5,425 different networks, and so
    is a `FunctionModelSpace`, whose equal networks are equal. Of any other space the user may know
    more, and give a `key`; its class may have `facets`, see `hwnas.spaces.facets`.

    Args:
        model_space: the space.
        levels: values that stand for a continuous dimension, at equal steps of its quantiles.
        key: gives a text that is equal for samples whose networks are equal.

    Raises:
        InvalidValueError: there is nothing to choose, or a kind of choice is unknown.
    """
    mutables = model_space.simplify()
    known = known_codec(model_space, mutables)
    if known is not None and key is None:
        return known
    dimensions = [
        Dimension(label, _values(mutable, levels), ordered=isinstance(mutable, Numerical))
        for label, mutable in mutables.items()
        if not isinstance(mutable, MutableAnnotation)
    ]
    constrained = len(dimensions) < len(mutables)
    valid = _Contains(model_space) if constrained else None
    return DimensionCodec(
        DimensionSpace(
            _name(model_space),
            dimensions,
            valid,
            _Builder(model_space),
            _unused(model_space),
            key,
            getattr(model_space, "facets", None),
        )
    )


def known_codec(model_space: Any, labels: Iterable[str]) -> Codec[Any] | None:
    """Read a space that hwnas knows, also a frozen one; None for any other space.

    That is NasBench201 of the hub, and a `FunctionModelSpace`.

    Args:
        model_space: the space, raw or made executable.
        labels: labels of its choices.

    Raises:
        InvalidValueError: an evaluator of a function's networks has choices too.
    """
    symbol, args, kwargs = _origin(model_space)
    if issubclass(symbol, FunctionModelSpace):
        return FunctionCodec.of(args, kwargs, labels)
    known = f"{symbol.__module__}.{symbol.__qualname__}" == NASBENCH201
    return NasBench201Codec.of(args, kwargs, labels) if known else None


def _unused(model_space: Any) -> Callable[[Mapping[str, Any]], Collection[str]] | None:
    """Tell which labels do not matter, if some may not."""
    modules = model_space
    if isinstance(model_space, RawFormatModelSpace):
        modules = model_space.model_space
    elif isinstance(model_space, SimplifiedModelSpace):
        # It has kept no modules, only how to make them.
        with torch_state_kept():
            modules = model_space.model.trace_copy().get(traceable=False)
    nesting = Nesting.of(modules) if isinstance(modules, nn.Module) else Nesting({})
    return nesting.unused if nesting.places else None


@dataclass(frozen=True)
class _Builder:
    model_space: Any

    def __call__(self, values: Mapping[str, Any]) -> nn.Module:
        frozen = self.model_space.freeze(dict(values))
        network = frozen.executable_model() if hasattr(frozen, "executable_model") else frozen
        assert isinstance(network, nn.Module)
        return network


@dataclass(frozen=True)
class _Contains:
    model_space: Mutable

    def __call__(self, values: Mapping[str, Any]) -> bool:
        return bool(self.model_space.contains(dict(values)))


def _values(mutable: LabeledMutable, levels: int) -> tuple[Any, ...]:
    if isinstance(mutable, Categorical):
        return tuple(mutable.values)
    if isinstance(mutable, CategoricalMultiple):
        counts = range(len(mutable.values) + 1) if mutable.n_chosen is None else [mutable.n_chosen]
        sets = (itertools.combinations(mutable.values, n) for n in counts)
        return tuple(list(chosen) for chosen in itertools.chain.from_iterable(sets))
    if isinstance(mutable, Numerical):
        few = _points(mutable, _DENSE) if mutable.quantize is not None else ()
        return few if 0 < len(few) <= levels else _points(mutable, levels)
    raise InvalidValueError(
        f"`model_space` must have choices of a known kind, but {mutable.label!r} is a "
        f"{type(mutable).__name__}."
    )


def _points(mutable: Numerical, levels: int) -> tuple[float, ...]:
    quantiles = (np.arange(levels) + 0.5) / levels
    return tuple(
        dict.fromkeys(mutable.qclip(float(p)) for p in mutable.distribution.ppf(quantiles))
    )


def _name(model_space: Any) -> str:
    """Tell spaces of one class but different arguments apart."""
    symbol, args, kwargs = _origin(model_space)
    arguments = [*map(repr, args), *(f"{k}={v!r}" for k, v in kwargs.items())]
    return f"{symbol.__module__}.{symbol.__qualname__}({', '.join(arguments)})"


def _origin(model_space: Any) -> tuple[type, Sequence[Any], Mapping[str, Any]]:
    """Find the user's class and its arguments behind NNI's wrappers."""
    inner = model_space
    if isinstance(model_space, SimplifiedModelSpace):
        inner = model_space.model
    elif isinstance(model_space, RawFormatModelSpace):
        inner = model_space.model_space
    symbol = getattr(inner, "trace_symbol", None)
    if not isinstance(symbol, type):
        return type(inner), (), {}
    return symbol, inner.trace_args, inner.trace_kwargs
