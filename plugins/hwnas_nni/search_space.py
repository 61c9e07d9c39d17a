"""The `searchSpace` of a plain NNI experiment as a search space of hwnas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from nni.common.hpo_utils import (
    ParameterSpec,
    deformat_parameters,
    format_search_space,
)
from scipy import stats

from hwnas.errors import InvalidValueError
from hwnas_nni.dimensions import Assignment, Dimension, dimension_space

LEVELS = 16
"""Values of a parameter that has more than so many."""
_DENSE = 1000
"""Quantiles that find every value of a quantised parameter that has few."""
_TYPES = (
    *("choice", "randint", "uniform", "quniform", "loguniform", "qloguniform"),
    *("normal", "qnormal", "lognormal", "qlognormal"),
)


class JsonSpace:
    """NNI's types: choice, nested choice, randint, (q)(log)uniform and (q)(log)normal.

    Args:
        search_space: `{name: {"_type": ..., "_value": [...]}}`.
        levels: values of a parameter with more than so many: at equal steps of the quantiles of
            its distribution, evenly spread over a `randint`.

    Raises:
        InvalidValueError: a parameter has another form or type.
    """

    def __init__(self, search_space: Mapping[str, Any], levels: int = LEVELS) -> None:
        if levels < 1:
            raise InvalidValueError(f"`levels` must be at least 1, but got {levels}.")
        try:
            self._specs = format_search_space(dict(search_space))
        except (AssertionError, IndexError, KeyError, TypeError, ValueError) as error:
            raise InvalidValueError(
                f"`searchSpace` must give `_type` and `_value` of each parameter, but got "
                f"{search_space!r} ({type(error).__name__}: {error})."
            ) from error
        # What NNI calculates with, e.g. the position of a choice or a logarithm, by dimension.
        self._inner: dict[str, list[float]] = {}
        self._outer: dict[str, list[Any]] = {}
        dimensions = [self._dimension(key, spec, levels) for key, spec in self._specs.items()]
        self.space = dimension_space("nni", dimensions)

    def to_parameters(self, arch: Assignment) -> dict[str, Any]:
        """Give the parameters that NNI hands to a trial, nested choices nested."""
        chosen = dict(arch.chosen)
        inner = {
            key: self._inner[_name(key)][self._texts[_name(key)].index(chosen[_name(key)])]
            for key in self._specs
            if _name(key) in chosen
        }
        parameters: dict[str, Any] = deformat_parameters(inner, self._specs)
        return parameters

    def from_parameters(self, parameters: Mapping[str, Any]) -> Assignment | None:
        """Give the nearest configuration of a trial's parameters; None where there is none."""
        inner: dict[tuple[Any, ...], float] = {}
        texts: dict[str, str] = {}
        try:
            for key, spec in self._specs.items():
                if spec.is_activated_in(inner):
                    position = self._nearest(key, spec, parameters)
                    inner[key] = self._inner[_name(key)][position]
                    texts[_name(key)] = self._texts[_name(key)][position]
        except (KeyError, TypeError, ValueError):
            return None
        return self.space.decode(texts)

    def _nearest(
        self, key: tuple[Any, ...], spec: ParameterSpec, parameters: Mapping[str, Any]
    ) -> int:
        """Find the position of a parameter's value; a choice must be met exactly."""
        value: Any = parameters
        for part in key:
            if isinstance(part, str):
                value = value[part]
        outer = self._outer[_name(key)]
        if spec.type == "choice":
            return outer.index(_distinguishable(value))
        return int(np.abs(np.array(outer) - value).argmin())

    @property
    def _texts(self) -> Mapping[str, tuple[str, ...]]:
        return self.space.parameters

    def _dimension(self, key: tuple[Any, ...], spec: ParameterSpec, levels: int) -> Dimension:
        if spec.type not in _TYPES:
            raise InvalidValueError(
                f"`_type` of {_name(key)} must be one of {', '.join(_TYPES)}, but got "
                f"{spec.type!r}."
            )
        found = _distinct(spec, levels if spec.q is None else _DENSE)
        if len(found) > levels and not spec.categorical:
            found = _distinct(spec, levels)
        self._inner[_name(key)], self._outer[_name(key)] = list(found.values()), list(found)
        parent = (_name(key[:-2]), key[-2]) if spec.is_nested() else None
        return Dimension(_name(key), tuple(found), parent)


def _name(key: tuple[Any, ...]) -> str:
    return "/".join(map(str, key))


def _distinct(spec: ParameterSpec, levels: int) -> dict[Any, float]:
    """Give the inner form by what a trial sees: quantiles of a quantised parameter may agree."""
    found: dict[Any, float] = {}
    for x in _levels(spec, levels):
        found.setdefault(_outer(spec, x), x)
    return found


def _levels(spec: ParameterSpec, levels: int) -> list[float]:
    """Give the values of a parameter in NNI's inner form."""
    if spec.type == "choice":
        return list(range(spec.size))
    if spec.categorical:
        return list(
            dict.fromkeys(np.linspace(0, spec.size - 1, levels).round().astype(int).tolist())
        )
    quantiles = (np.arange(levels) + 0.5) / levels
    if spec.normal_distributed:
        return list(stats.norm(spec.mu, spec.sigma).ppf(quantiles).tolist())
    return list((spec.low + (spec.high - spec.low) * quantiles).tolist())


def _outer(spec: ParameterSpec, x: float) -> Any:
    """Give what a trial sees, as something that tells choices apart."""
    alone = spec._replace(key=("x",))
    return _distinguishable(deformat_parameters({("x",): x}, {("x",): alone})["x"])


def _distinguishable(value: Any) -> Any:
    if isinstance(value, dict) and "_name" in value:
        return value["_name"]
    return value if isinstance(value, (str, int, float, bool)) else repr(value)
