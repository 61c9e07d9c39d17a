"""Search spaces from their texts: a name, or the `repr` that a result file carries."""

from __future__ import annotations

import ast
from typing import Any

from hwnas import registry
from hwnas.errors import InvalidValueError
from hwnas.typing import SearchSpace


def read_space(text: str) -> SearchSpace[Any]:
    """Make the space that a text such as ``NasBench201(channels=16, cells=5)`` stands for.

    The text is never executed: it must be the registered name or class of a space, with literal
    settings in brackets or none.

    Raises:
        InvalidValueError: the text has another form or the space refuses the settings.
        UnknownNameError: no such space is registered.
    """
    try:
        call = ast.parse(text.strip(), mode="eval").body
        name = call.func if isinstance(call, ast.Call) else call
        if not isinstance(name, ast.Name):
            raise ValueError(f"it is no name but {ast.unparse(name)!r}")
        args = [ast.literal_eval(a) for a in getattr(call, "args", [])]
        settings = {k.arg or "**": ast.literal_eval(k.value) for k in getattr(call, "keywords", [])}
        space: SearchSpace[Any] = registry.load("spaces", _registered(name.id))(*args, **settings)
    except (SyntaxError, TypeError, ValueError) as error:
        raise InvalidValueError(
            f"`space` must be a registered name or its repr, e.g. 'nasbench201' or "
            f"'NasBench201(channels=16, cells=5)', but got {text!r}: {error}"
        ) from error
    return space


def _registered(name: str) -> str:
    """Find the registered name of a class; names stand for themselves."""
    table = registry.targets("spaces")
    return next((key for key, target in table.items() if target.endswith(f":{name}")), name)
