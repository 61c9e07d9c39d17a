"""What a value depends on, as data: the texts by which caches and shipped tables find it again.

An identity is canonical JSON with a schema number: names of classes and all of their settings,
keys in order. A setting that a later version adds is declared with ``metadata=LATER`` and stands
in the identity only where it is not the default, so that what was computed before it existed is
still found. The settings that exist are always written out: a default that changes changes the
identity.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from hwnas.errors import InvalidValueError

SCHEMA = 1
"""Raised when equal settings are to have another identity than before."""
LATER: Mapping[str, bool] = {"later": True}
"""Metadata of a field that an earlier version did not have."""
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def identity_text(**parts: Any) -> str:
    """Write what a value depends on as canonical JSON.

    Args:
        parts: components and settings by name, see `describe`.

    Raises:
        InvalidValueError: a part cannot be told from others of its kind.

    Example:
        >>> identity_text(seed=0, images="gaussian")
        '{"images":"gaussian","schema":1,"seed":0}'
    """
    described = {name: describe(part) for name, part in parts.items()}
    return json.dumps(
        {"schema": SCHEMA, **described},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
    )


def describe(value: Any) -> Any:
    """Turn a component or a setting into JSON values.

    A component may say itself what it is by a method `identity`, whose result is described; of a
    dataclass class and settings count, of anything else its `repr`.

    Raises:
        InvalidValueError: the `repr` holds a memory address.

    Example:
        >>> from hwnas.spaces.nasbench201 import NasBench201
        >>> describe(NasBench201())
        {'type': 'NasBench201', 'channels': 16, 'cells': 5}
    """
    match value:
        case None | bool() | int() | str():
            return value.name if isinstance(value, enum.Enum) else value
        case float():
            # JSON has no word for these.
            return value if math.isfinite(value) else {"float": str(value)}
        case enum.Enum():
            return value.name
        case Mapping():
            return {str(key): describe(item) for key, item in value.items()}
        case list() | tuple():
            return [describe(item) for item in value]
        case set() | frozenset():
            return sorted((describe(item) for item in value), key=lambda d: json.dumps(d))
        case type():
            return {"class": f"{value.__module__}.{value.__qualname__}"}
    if callable(getattr(value, "identity", None)):
        return describe(value.identity())
    if dataclasses.is_dataclass(value):
        return {"type": type(value).__qualname__, **_settings(value)}
    text = repr(value)
    if _ADDRESS.search(text):
        raise InvalidValueError(
            f"`repr` of {type(value).__name__} must state its settings, since it stands in keys of "
            f"caches, but got {text}: make it a dataclass, or give it a method `identity`."
        )
    return {"type": type(value).__qualname__, "repr": text}


def _settings(value: Any) -> dict[str, Any]:
    fields = [f for f in dataclasses.fields(value) if f.repr and f.init]
    kept = [f for f in fields if not (f.metadata.get("later") and _is_default(value, f))]
    return {f.name: describe(getattr(value, f.name)) for f in kept}


def _is_default(value: Any, field: dataclasses.Field[Any]) -> bool:
    if field.default_factory is not dataclasses.MISSING:
        return bool(getattr(value, field.name) == field.default_factory())
    return bool(getattr(value, field.name) == field.default)
