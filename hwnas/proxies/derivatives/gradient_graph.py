"""Gradients of which some can be differentiated in turn, at no memory for the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

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


def partly_differentiable(
    loss: Tensor, parameters: Sequence[Tensor], wanted: Collection[Tensor]
) -> list[Tensor]:
    """Differentiate a loss; the gradients by some parameters can be differentiated in turn.

    The graph of the backward pass is made where it leads to these alone; from its border an
    ordinary pass goes on to the others. No node runs twice, but hooks of tensors at the border are
    called twice.

    Args:
        loss: a number; its graph is kept.
        parameters: what it is differentiated by.
        wanted: those whose gradients are differentiated.

    Returns:
        The gradients, 0 where the loss does not depend on a parameter.
    """
    users = users_of(loss)
    leaves = {node.variable: node for node in users if hasattr(node, "variable")}
    inside = _leading_to([leaves[p] for p in wanted if p in leaves], users)
    border = _border(inside)
    # A node before one at the border adds to its gradient, which must be complete there.
    while before := _leading_to([u for node, _ in border for u, _ in users[node]], users) - inside:
        inside |= before
        border = _border(inside)
    near = {p for p, leaf in leaves.items() if leaf in inside or (leaf, 0) in border}
    edges = [GradientEdge(*edge) for edge in border if not hasattr(edge[0], "variable")]
    first = [p for p in parameters if not inside or p in near]
    ends: list[Any] = [*first, *edges]
    gradients = torch.autograd.grad(
        loss, ends, retain_graph=True, create_graph=bool(inside), materialize_grads=True
    )
    found = dict(zip(first, gradients, strict=False))
    rest = [p for p in parameters if p not in found]
    if rest and edges:
        others = torch.autograd.grad(
            edges,
            rest,
            [gradient.detach() for gradient in gradients[len(first) :]],
            retain_graph=True,
            materialize_grads=True,
        )
        found |= dict(zip(rest, others, strict=True))
    return [found[p] if p in found else torch.zeros_like(p) for p in parameters]


def _leading_to(nodes: Iterable[Any], users: Users) -> set[Any]:
    """Give some nodes of a graph, and all whose gradients lead to theirs."""
    found = set(nodes)
    left = list(found)
    while left:
        new = {user for user, _ in users[left.pop()]} - found
        found |= new
        left += new
    return found


def _border(inside: Collection[Any]) -> set[tuple[Any, int]]:
    """Give the nodes, and numbers of their outputs, that these nodes use and are none of them."""
    edges = {edge for node in inside for edge in node.next_functions}
    return {(node, number) for node, number in edges if node is not None and node not in inside}
