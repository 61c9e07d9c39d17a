"""The network of a written architecture: what files that need hwnas call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hwnas.spaces.space_text import named_space
from hwnas.tasks.task import Task

if TYPE_CHECKING:
    from torch import nn


def rebuild(space: str, arch: str, task: Mapping[str, Any]) -> nn.Module:
    """Build a network, which returns all that it does where all is its answer.

    Args:
        space: text of its search space; the module of one of your own is imported.
        arch: text of the architecture.
        task: what the network is for, as `Task.as_dict` gives it.

    Raises:
        HwnasError: there is no such space, or the architecture is not one of it.
    """
    from hwnas.networks.answer import as_built

    known = named_space(space)
    return as_built(known.build(known.parse(arch), Task.from_dict(task)))
