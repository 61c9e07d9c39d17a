"""Search spaces from their texts: a name, or what a result file carries.

A text is never executed. It names a registered space, ``nasbench201:channels=16,cells=5`` or
``NasBench201(channels=16, cells=5)``; or a class of the user's own, ``my_module:MySpace(k=2)``,
which is imported only where the user names it, never because a file does.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Any

from hwnas import registry
from hwnas.errors import HwnasError, InvalidValueError, UnknownNameError
from hwnas.files.grammar import Component, read_component
from hwnas.networks.importing import import_attribute
from hwnas.typing import SearchSpace

_SPELLED = re.compile(r"\s*([^\W\d][\w.]*):([^\W\d]\w*)((?:[:(].*)?)\s*", re.DOTALL)
_named: dict[str, Any] = {}
"""Classes that the user named in this process, by ``module:Class``."""


def named_space(text: str) -> SearchSpace[Any]:
    """Make the space that the user names: a registered one, or ``MODULE:CLASS`` with settings.

    The module is imported, from the current folder too. Files of this class are read from then on.

    Raises:
        InvalidValueError: the text has another form, or the space refuses the settings.
        UnknownNameError: no such space is registered.
    """
    spelled = _SPELLED.fullmatch(text)
    if spelled and spelled[1] not in registry.targets("spaces"):
        target = f"{spelled[1]}:{spelled[2]}"
        _named[target] = import_attribute(spelled[1], spelled[2], "space")
    return read_space(text)


def read_space(text: str) -> SearchSpace[Any]:
    """Make the space that the text of a file stands for.

    Raises:
        InvalidValueError: the text has another form, the space refuses the settings, or it is of a
            class that the user has not named.
        UnknownNameError: no such space is registered or was named.
    """
    spelled = _SPELLED.fullmatch(text)
    if spelled and spelled[1] not in registry.targets("spaces"):
        target = f"{spelled[1]}:{spelled[2]}"
        component = read_component(spelled[2] + spelled[3], "space")
        for name, known in registry.targets("spaces").items():
            if known == target:
                return _made(name, component)
        if target not in _named:
            raise InvalidValueError(
                f"`space` {target} must be registered, or named for its module to be imported, but "
                f"is neither: add --space {target}."
            )
        return _made(target, component)
    component = read_component(text, "space")
    try:
        table = {**registry.targets("spaces"), **{target: target for target in _named}}
        return _made(_found(component.name, table), component)
    except UnknownNameError as error:
        if component.name in registry.names("spaces"):
            raise
        raise UnknownNameError(
            f"{error} One of your own is named by --space MODULE:CLASS."
        ) from None


def written_space(space: SearchSpace[Any]) -> str:
    """Give the text of a space for files: one that `read_space` makes it of again, if there is one.

    That is its `repr` or its registered name, or else its `repr` after the module of its class.
    What wraps a space is written as the space.
    """
    space = getattr(space, "wrapped", space)
    text = repr(space)
    for known in (text, space.name):
        with contextlib.suppress(HwnasError, TypeError):
            component = read_component(known, "space")
            name = _found(component.name, registry.targets("spaces"))
            if repr(registry.make("spaces", name, **component.settings)) == text:
                return known
    spelled = f"{type(space).__module__}:{text}"
    with contextlib.suppress(InvalidValueError):
        if text.startswith(f"{type(space).__name__}(") and read_component(text, "space"):
            return spelled
    return text


def _made(name: str, component: Component) -> SearchSpace[Any]:
    space: SearchSpace[Any]
    if name in _named:
        space = registry.make_of(_named[name], "space", name, **component.settings)
    else:
        space = registry.make("spaces", name, **component.settings)
    return space


def _found(name: str, table: Mapping[str, str]) -> str:
    """Find the name of a class in a table of spaces; names stand for themselves."""
    if name in table:
        return name
    return next((key for key, target in table.items() if target.endswith(f":{name}")), name)
