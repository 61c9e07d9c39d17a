from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.proxies.derivatives.gradient_graph import partly_differentiable

Run = Callable[[list[Tensor], Tensor], Tensor]


def chain(w: list[Tensor], x: Tensor) -> Tensor:
    for weight in w:
        x = (x @ weight).tanh()
    return x.square().sum()


def residual(w: list[Tensor], x: Tensor) -> Tensor:
    """One branch without the second weight leads to what the sum adds directly, and is added."""
    y = (x @ w[0]).tanh()
    return (y + (y @ w[2]).tanh() + (y @ w[1]).sin()).exp().mean()


def shared(w: list[Tensor], x: Tensor) -> Tensor:
    """The second weight is used on the way to the first, and to the third."""
    return ((x @ w[0]).tanh() @ w[1] @ w[1].sin()).tanh().mul((x @ w[2]) @ w[1]).sum()


def unused(w: list[Tensor], x: Tensor) -> Tensor:
    return (x @ w[0]).exp().sum() + w[1].square().sum()


@pytest.mark.parametrize("wanted", [(), (0,), (1,), (2,), (0, 2), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("run", [chain, residual, shared, unused])
def test_gradients_and_their_derivatives_are_those_of_autograd(
    run: Run, wanted: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    weights = [torch.randn(3, 3, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    x = torch.randn(2, 3, dtype=torch.float64)
    expected = torch.autograd.grad(
        run(weights, x), weights, create_graph=True, materialize_grads=True
    )
    found = partly_differentiable(run(weights, x), weights, [weights[i] for i in wanted])
    torch.testing.assert_close([f.detach() for f in found], [e.detach() for e in expected])
    for i in wanted:
        both = [derivatives(gradients[i], weights) for gradients in (found, expected)]
        torch.testing.assert_close(*both)


def derivatives(gradient: Tensor, weights: list[Tensor]) -> list[Tensor]:
    if not gradient.requires_grad:  # as of what the loss does not depend on
        return [torch.zeros_like(weight) for weight in weights]
    along = gradient.sin().sum()
    found = torch.autograd.grad(along, weights, retain_graph=True, materialize_grads=True)
    return list(found)


def test_no_graph_is_made_where_none_is_wanted() -> None:
    layers = [nn.Linear(3, 3) for _ in range(3)]
    x = torch.randn(2, 3)
    for layer in layers:
        x = F.relu(layer(x))
    first, second, last = (layer.weight for layer in layers)
    found = partly_differentiable(x.sum(), [first, second, last], [last])
    assert [gradient.requires_grad for gradient in found] == [False, False, True]
