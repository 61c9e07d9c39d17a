"""Modules that are imported when something of them is asked for, since they take seconds.

What a command prints from tables never needs PyTorch, but the classes that it speaks of are defined
beside code that does. A module of such code has::

    if TYPE_CHECKING:
        import torch
    else:
        torch = deferred("torch")

and uses ``torch`` as ever, within functions.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any


def deferred(name: str) -> Any:
    """Stand for a module, and import it when an attribute is read, set or deleted.

    Args:
        name: its full name, e.g. ``torch.nn.functional``.

    Example:
        >>> import sys
        >>> calendar = deferred("calendar")
        >>> calendar.MONDAY == sys.modules["calendar"].MONDAY
        True
    """
    module: ModuleType | None = None

    def imported() -> ModuleType:
        nonlocal module
        if module is None:
            module = importlib.import_module(name)
        return module

    class Deferred:
        def __getattribute__(self, attribute: str) -> Any:
            # Asked of the module each time: what others put into it is seen.
            return getattr(imported(), attribute)

        def __setattr__(self, attribute: str, value: Any) -> None:
            setattr(imported(), attribute, value)

        def __delattr__(self, attribute: str) -> None:
            delattr(imported(), attribute)

        def __repr__(self) -> str:
            return f"<deferred module {name!r}>"

    return Deferred()
