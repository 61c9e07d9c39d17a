"""The `searchSpace` of a plain NNI experiment as a search space of hwnas."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np
from nni.common.hpo_utils import (
    ParameterSpec,
    deformat_parameters,
    format_search_space,
)
from scipy import stats

from hwnas.errors import InvalidValueError, unknown_name
from hwnas.spaces.assignments import Assignment
from hwnas.typing import Choice
from hwnas_nni.dimensions import Dimension, DimensionSpace

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
        InvalidValueError: a parameter has another form or type, or levels are no whole number of 1
            or more; or two choices differ by their type alone, as 1 and True.
    """

    def __init__(self, search_space: Mapping[str, Any], levels: SupportsIndex = LEVELS) -> None:
        levels = _whole(levels)
        self._specs = _specs(search_space)
        # What NNI calculates with, e.g. the position of a choice or a logarithm, by dimension.
        self._inner: dict[str, list[float]] = {}
        self._outer: dict[str, list[Any]] = {}
        dimensions = [self._dimension(key, spec, levels) for key, spec in self._specs.items()]
        self.space = DimensionSpace("nni", dimensions)

    def to_parameters(self, arch: Assignment) -> dict[str, Any]:
        """Give the parameters that NNI hands to a trial, nested choices nested."""
        chosen = dict(arch.chosen)
        inner = {
            key: self._inner[_name(key)][self._choices[_name(key)].index(chosen[_name(key)])]
            for key in self._specs
            if _name(key) in chosen
        }
        parameters: dict[str, Any] = deformat_parameters(inner, self._specs)
        return parameters

    def from_parameters(self, parameters: Mapping[str, Any]) -> Assignment | None:
        """Give the nearest configuration of a trial's parameters; None where there is none."""
        inner: dict[tuple[Any, ...], float] = {}
        chosen: dict[str, Choice] = {}
        try:
            for key, spec in self._specs.items():
                # Not `spec.is_activated_in`: it fails where the parent does not exist either.
                if not spec.is_nested() or inner.get(key[:-2]) == key[-2]:
                    position = self._nearest(key, spec, parameters)
                    inner[key] = self._inner[_name(key)][position]
                    chosen[_name(key)] = self._choices[_name(key)][position]
        except (KeyError, TypeError, ValueError):
            return None
        return self.space.decode(chosen)

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
    def _choices(self) -> Mapping[str, tuple[Choice, ...]]:
        return self.space.parameters

    def _dimension(self, key: tuple[Any, ...], spec: ParameterSpec, levels: int) -> Dimension:
        found = _distinct(spec, levels if spec.q is None else _DENSE)
        if len(found) > levels and not spec.categorical:
            found = _distinct(spec, levels)
        self._inner[_name(key)], self._outer[_name(key)] = list(found.values()), list(found)
        parent = (_name(key[:-2]), key[-2]) if spec.is_nested() else None
        return Dimension(_name(key), tuple(found), parent, ordered=spec.type != "choice")


def _whole(levels: SupportsIndex) -> int:
    """Give the whole number that is meant, of Python or of NumPy.

    Raises:
        InvalidValueError: it is none of 1 or more.
    """
    found = operator.index(levels) if isinstance(levels, SupportsIndex) else 0
    if found < 1:
        raise InvalidValueError(
            f"`levels` must be a whole number of at least 1, but got {levels!r}."
        )
    return found


def _specs(search_space: Mapping[str, Any]) -> dict[tuple[Any, ...], ParameterSpec]:
    """Read the parameters one by one, so that an error names the one that is wrong."""
    if not isinstance(search_space, Mapping) or not search_space:
        raise InvalidValueError(
            f"`searchSpace` must give parameters by name, but got {search_space!r}."
        )
    found: dict[tuple[Any, ...], ParameterSpec] = {}
    for name, parameter in search_space.items():
        try:
            _check_types(name, parameter)
            read = format_search_space({name: parameter})
            for key, spec in read.items():
                _check(key, spec)
            found |= read
        except InvalidValueError:
            raise
        except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
            text = str(error).partition("\n")[0]
            raise InvalidValueError(
                f"`{name}` of `searchSpace` must have a `_type` and the `_value` that belongs to "
                f"it, but got {parameter!r} ({type(error).__name__}{text and f': {text}'})."
            ) from error
    return found


def _check_types(name: str, parameter: Any) -> None:
    """Refuse a misspelt type by its name, also within a choice."""
    if isinstance(parameter, Mapping) and "_type" in parameter:
        kind = parameter["_type"]
        if kind not in _TYPES:
            raise InvalidValueError(str(unknown_name(f"_type of {name}", str(kind), _TYPES)))
        if kind == "choice" and isinstance(parameter.get("_value"), Sequence):
            nested = (v for v in parameter["_value"] if isinstance(v, Mapping) and "_name" in v)
            for option in nested:
                for inner, value in option.items():
                    _check_types(f"{name}/{option['_name']}/{inner}", value)


def _check(key: tuple[Any, ...], spec: ParameterSpec) -> None:
    """Refuse what NNI reads and no trial could be given."""
    if spec.categorical and spec.size < 1:
        raise InvalidValueError(f"`{_name(key)}` must have a value, but it has none to choose.")
    numbers = [spec.mu, spec.sigma] if spec.normal_distributed else [spec.low, spec.high]
    if not spec.categorical and not all(math.isfinite(number) for number in numbers):
        raise InvalidValueError(f"`{_name(key)}` must have finite bounds, but got {numbers}.")
    if not spec.categorical and not spec.normal_distributed and not spec.low < spec.high:
        raise InvalidValueError(
            f"`_value` of {_name(key)} must be bounds, the lower first, but got {numbers}."
        )
    if spec.normal_distributed and spec.sigma <= 0:
        raise InvalidValueError(f"`sigma` of {_name(key)} must be positive, but got {spec.sigma}.")
    if spec.q is not None and spec.q <= 0:
        raise InvalidValueError(f"`q` of {_name(key)} must be positive, but got {spec.q}.")


def _name(key: tuple[Any, ...]) -> str:
    return "/".join(map(str, key))


def _distinct(spec: ParameterSpec, levels: int) -> dict[Any, float]:
    """Give the inner form by what a trial sees: quantiles of a quantised parameter may agree."""
    found: dict[Any, float] = {}
    first: dict[Any, Any] = {}
    for x in _levels(spec, levels):
        value = _outer(spec, x)
        known = first.setdefault(_distinguishable(value), value)
        if type(known) is not type(value):
            raise InvalidValueError(
                f"`_value` of {_name(spec.key)} must be choices that differ by more than their "
                f"type, but has {known!r} and {value!r}: write them otherwise."
            )
        found.setdefault(_distinguishable(value), x)
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
    """Give what a trial sees."""
    alone = spec._replace(key=("x",))
    return deformat_parameters({("x",): x}, {("x",): alone})["x"]


def _distinguishable(value: Any) -> Any:
    """Give something that tells choices apart."""
    if isinstance(value, dict) and "_name" in value:
        return value["_name"]
    return value if isinstance(value, (str, int, float, bool)) else repr(value)
