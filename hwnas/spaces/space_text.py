"""Search spaces from their texts: a name, or the `repr` that a result file carries."""

from __future__ import annotations

from typing import Any

from hwnas import registry
from hwnas.files.grammar import read_component
from hwnas.typing import SearchSpace


def read_space(text: str) -> SearchSpace[Any]:
    """Make the space that a text such as ``nasbench201:channels=16,cells=5`` stands for.

    The text is never executed: it must be the registered name or class of a space, with literal
    settings after a colon or in brackets, or none; see `hwnas.files.grammar`.

    Raises:
        InvalidValueError: the text has another form or the space refuses the settings.
        UnknownNameError: no such space is registered.
    """
    component = read_component(text, "space")
    space: SearchSpace[Any] = registry.make(
        "spaces", _registered(component.name), **component.settings
    )
    return space


def _registered(name: str) -> str:
    """Find the registered name of a class; names stand for themselves."""
    table = registry.targets("spaces")
    return next((key for key, target in table.items() if target.endswith(f":{name}")), name)
