"""Second derivatives of batch norms in few passes, and which weights need none."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from hwnas.proxies.derivatives.positions import position_rows, sum_positions

# A batch norm hides the scale of its input but for its epsilon; how much of the variance that is.
# The part of a layer that is taken to be hidden is wrong by up to three times that.
_HIDDEN = 1e-2

_backward = torch.ops.aten.native_batch_norm_backward
Gradients = tuple[Tensor, ...]


class FastSecondDerivatives(TorchFunctionMode):
    """Computes training-mode batch norms so; second derivatives reach their inputs only.

    PyTorch's own second derivative takes about thirty passes over memory.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        return (_batch_norm if func is F.batch_norm else func)(*args, **(kwargs or {}))


def scale_free_weights(loss: Tensor) -> set[Tensor]:
    """Find weights whose scale cannot change the loss, under `FastSecondDerivatives`.

    They are the convolutions' whose output goes to a training-mode batch norm and nowhere else, and
    which are used once: the graph of the loss says so. Batch norms whose epsilon is more than a
    hundredth of the variance of a channel do not count.
    """
    users = _users(loss)
    found = set()
    for node, uses in users.items():
        if not hasattr(node, "variable") or len(uses) > 1:
            continue
        convolution, argument = uses[0]
        if convolution.name() != "ConvolutionBackward0" or argument != 1:
            continue
        readers = users[convolution]
        if len(readers) == 1 and _hides_scale(*readers[0]):
            found.add(node.variable)
    return found


def has_fused_attention(loss: Tensor) -> bool:
    """Tell whether the graph of a loss has an attention in one operator."""
    return any("ScaledDotProduct" in node.name() for node in _users(loss))


def _users(loss: Tensor) -> dict[Any, list[tuple[Any, int]]]:
    """Give the nodes of the graph of a loss that use each node's output, and as which argument."""
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


def _hides_scale(node: Any, argument: int) -> bool:
    if node.name() != "_NormBackward" or argument != 0:
        return False
    r: Tensor = node.saved_tensors[3]
    return float(r.square().max()) * float(node.eps) < _HIDDEN


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    if not training or input.ndim != 4:
        return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    weight = input.new_ones(input.shape[1]) if weight is None else weight
    normalised: Tensor = _Norm.apply(input, weight, bias, eps)  # type: ignore[no-untyped-call]
    return normalised


class _Norm(torch.autograd.Function):
    """``w * x^ + b`` with ``x^ = (x - mean) * r``, r the inverse standard deviation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor | None, eps: float) -> Tensor:
        y, mean, r = torch.native_batch_norm(x, w, b, None, None, True, 0.0, eps)
        ctx.save_for_backward(x, w, mean, r)
        ctx.eps = eps
        return y

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> tuple[Tensor | None, ...]:
        by_x, by_w, by_b = _NormGradient.apply(  # type: ignore[no-untyped-call]
            delta, *ctx.saved_tensors, ctx.eps
        )
        return by_x, by_w, by_b if ctx.needs_input_grad[2] else None, None


class _NormGradient(torch.autograd.Function):
    """``w * r * (q - m(q) - x^ * m(q * x^))`` of the gradient q, m being means over a channel.

    And the gradients by w and b, which cannot be differentiated.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, x: Tensor, w: Tensor, mean: Tensor, r: Tensor, eps: float
    ) -> Gradients:
        gradient, along, total = _gradients(q, x, w, mean, r, eps)
        ctx.save_for_backward(q, x, w, mean, r, along, total)
        ctx.eps = eps
        ctx.mark_non_differentiable(along, total)
        return gradient, along, total

    @staticmethod
    def backward(ctx: Any, p: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """Differentiate ``w r N (m(p q) - m(p) m(q) - a b)``, ``a = m(p x^)``, ``b = m(q x^)``.

        By q it is the same operator again, by x it is
        ``-w r^2 (b (p - m(p)) + a (q - m(q)) + (m(p q) - m(p) m(q) - 3 a b) x^)``.
        """
        q, x, w, mean, r, b_sum, q_sum = ctx.saved_tensors
        by_q, a_sum, p_sum = _gradients(p, x, w, mean, r, ctx.eps)
        n = x.numel() / x.shape[1]
        a, b, p_mean, q_mean = a_sum / n, b_sum / n, p_sum / n, q_sum / n
        covariance = sum_positions(position_rows(p * q)).sum(dim=(0, 1)) / n - p_mean * q_mean
        k = (covariance - 3 * a * b) * r
        by_x = (p * _maps(b)).addcmul_(q, _maps(a)).addcmul_(x, _maps(k))
        by_x.sub_(_maps(b * p_mean + a * q_mean + k * mean)).mul_(_maps(-w * r * r))
        return by_q, by_x, None, None, None, None


def _gradients(q: Tensor, x: Tensor, w: Tensor, mean: Tensor, r: Tensor, eps: float) -> Gradients:
    """Give the gradient by x, and the sums of q * x^ and of q over each channel."""
    found: Gradients = _backward(q, x, w, None, None, mean, r, True, eps, [True, True, True])
    return found


def _maps(channels: Tensor) -> Tensor:
    return channels[:, None, None]
