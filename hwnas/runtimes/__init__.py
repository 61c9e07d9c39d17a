"""Runtimes: what executes a network. A runtime is one file and one line in the registry."""

from __future__ import annotations

from typing import cast

from hwnas import registry
from hwnas.runtimes.base import Runtime


def make_runtime(name: str) -> Runtime:
    """Make a runtime by its name.

    Raises:
        UnknownNameError: there is no such runtime.
        MissingDependencyError: it needs a package that is not installed.
    """
    return cast(Runtime, registry.make("runtimes", name))
