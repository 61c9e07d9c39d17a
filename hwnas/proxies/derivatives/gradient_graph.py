"""Which node of the graph of a loss uses which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

Users = Mapping[Any, list[tuple[Any, int]]]
"""Node of a graph: the nodes that use its output, and as which argument."""


def users_of(loss: Tensor) -> Users:
    """Give the users of each node of the graph of a loss."""
    root = loss.grad_fn
    users: dict[Any, list[tuple[Any, int]]] = {root: []} if root is not None else {}
    left = list(users)
    while left:
        user = left.pop()
        for argument, (node, _) in enumerate(user.next_functions):
            if node is None:
                continue
            if node not in users:
                users[node] = []
                left.append(node)
            users[node].append((user, argument))
    return users
