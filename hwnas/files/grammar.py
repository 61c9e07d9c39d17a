"""How components are written in words: on the command line, in settings and in files.

There is one form for spaces, proxies, costs and samplers, ``NAME[:WORD…][:SETTING=VALUE,…]``:

- ``nasbench201:channels=8,cells=1`` is a space, ``epsilon:weights=(1e-6,1)`` a proxy;
- ``onnxruntime:cpu:latency:threads=2`` is a cost, whose words are its device and metric;
- ``predictor-guided:warm_up=64`` is a sampler.

``Name(setting=value)``, the `repr` of a component, is read as well: result files carry it. A text
is never executed.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hwnas.errors import InvalidValueError

_CONSTRAINT = re.compile(
    r"\s*([^<>≤≥]+?)\s*(<=|>=|≤|≥)\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*([kMG]?)\s*"
)
_PREFIXES: Mapping[str, float] = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}
_SETTING = re.compile(r"\s*[^\W\d]\w*\s*=")
_TOKEN = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|.""", re.DOTALL)
_NAME = re.compile(r"""[^\x00-\x20\s()\[\]{}*'",=]+""")
_WORD = re.compile(r"(?:[^\W\d]|\.{0,2}/)[\w.+/*-]*|\d+(?:x\d+)+", re.ASCII)
_CONSTANTS: Mapping[str, Any] = {"true": True, "false": False, "none": None}
_LONGEST = 10_000
"""Characters of a text: Python's parser is not asked to read more."""


@dataclass(frozen=True)
class Component:
    """A component as its text describes it.

    Attributes:
        name: name in a table of `hwnas.registry`, or of a class where the text is a `repr`.
        words: what stands between name and settings, e.g. a cost's device and metric.
        settings: settings by name; literals as Python reads them, bare words as texts.
    """

    name: str
    words: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


def read_component(text: str, kind: str, words: int = 0) -> Component:
    """Read ``NAME[:WORD…][:SETTING=VALUE,…]`` or ``Name(setting=value)``.

    Args:
        text: what the user wrote.
        kind: what the text stands for, for errors, e.g. ``proxy``.
        words: words that may stand between name and settings.

    Returns:
        Its parts. ``true``, ``false`` and ``none`` are Python's constants.

    Raises:
        InvalidValueError: the text has another form.

    Example:
        >>> read_component("onnxruntime:cpu:latency:threads=2", "cost", words=2)
        Component(name='onnxruntime', words=('cpu', 'latency'), settings={'threads': 2})
    """
    try:
        if len(text) > _LONGEST:
            raise ValueError(f"it has more than {_LONGEST} characters")
        if called := re.fullmatch(r"\s*([^\W\d]\w*)\s*\((.*)\)\s*", text, re.DOTALL):
            return Component(called[1], (), _settings(called[2]))
        parts = text.strip().split(":")
        first = next((i for i, part in enumerate(parts) if _SETTING.match(part)), len(parts))
        name, *given = parts[:first] or [""]
        for word in (name, *given):
            if not _NAME.fullmatch(word):
                raise ValueError(f"{word!r} is no name")
        if len(given) > words:
            raise ValueError(f"{given[words]!r} is no SETTING=VALUE")
        return Component(name, tuple(given), _settings(":".join(parts[first:])))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        form = "NAME" + "".join(f"[:{word}]" for word in ("WORD",) * words)
        reason = (str(error) or type(error).__name__).splitlines()[0]
        shown = text if len(text) <= 200 else f"{text[:200]}…"
        raise InvalidValueError(
            f"`{kind}` must be {form} or {form}:SETTING=VALUE,…, e.g. vkdnw_entropy:batch_size=64, "
            f"but got {shown!r} ({reason})."
        ) from None


def _settings(text: str) -> dict[str, Any]:
    """Read ``setting=value,setting=value``."""
    settings: dict[str, Any] = {}
    for item in _items(text):
        name, _, value = item.partition("=")
        name = name.strip()
        if not name.isidentifier() or not value.strip():
            raise ValueError(f"{item!r} is no SETTING=VALUE")
        if name in settings:
            raise ValueError(f"{name} is given twice")
        settings[name] = _value(value.strip())
    return settings


def _items(text: str) -> list[str]:
    """Split at the commas outside of brackets and quotation marks."""
    items, depth, start = [], 0, 0
    for token in _TOKEN.finditer(text):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(token[0], 0)
        if token[0] == "," and depth == 0:
            items.append(text[start : token.start()])
            start = token.end()
    return [*items, text[start:]] if text.strip() else []


def _value(text: str) -> Any:
    if _WORD.fullmatch(text) and text not in ("True", "False", "None"):
        return _CONSTANTS.get(text, text)
    return ast.literal_eval(text)


def split_constraint(text: str) -> tuple[str, Literal["<=", ">="], float]:
    """Read ``NAME<=NUMBER`` or ``NAME>=NUMBER``; a number may end in k, M or G.

    Raises:
        InvalidValueError: the text has another form.
    """
    match = _CONSTRAINT.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        bound = float(match[3]) * _PREFIXES[match[4]]
        if not math.isfinite(bound):
            raise ValueError
    except ValueError:
        raise InvalidValueError(
            f"`constraint` must be NAME<=NUMBER or NAME>=NUMBER, e.g. 'latency<=5' or "
            f"'macs<=450M', but got {text!r}."
        ) from None
    return match[1], "<=" if match[2] in ("<=", "≤") else ">=", bound
