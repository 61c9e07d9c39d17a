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
    """Stand for a module, and import it when an attribute is read.

    Args:
        name: its full name, e.g. ``torch.nn.functional``.

    Example:
        >>> import sys
        >>> calendar = deferred("calendar")
        >>> calendar.MONDAY == sys.modules["calendar"].MONDAY
        True
    """
    module: ModuleType | None = None

    class Deferred:
        def __getattribute__(self, attribute: str) -> Any:
            nonlocal module
            if module is None:
                module = importlib.import_module(name)
            # Asked of the module each time: what others put into it is seen.
            return getattr(module, attribute)

    return Deferred()
