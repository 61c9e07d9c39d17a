"""First and second derivatives by one number, which go through a network beside the values."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from hwnas.proxies.derivatives.positions import sum_positions


class NoRuleError(RuntimeError):
    """A function is none of those that are known here."""


class SecondTangents(TorchFunctionMode):
    """Runs functions on (3B, ...) tensors: values of B inputs, their first and second derivatives.

    What is linear takes all of them as images of one batch; a ReLU passes derivatives where values
    are positive; batch norms in training mode have a formula. Forward derivatives of forward
    derivatives by `torch.func.jvp` take four to ten times as long.

    Functions that use the number of images give other values than those of B images; it is for
    the caller to compare.

    Args:
        inputs: (3B, ...).

    Raises:
        NoRuleError: from a function that is not known here.
    """

    def __init__(self, inputs: Tensor) -> None:
        super().__init__()
        self.count = len(inputs) // 3
        self._known: dict[int, weakref.ref[Tensor]] = {}
        self._note(inputs)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        kwargs = kwargs or {}
        if not any(map(self.carries, tree_leaves((args, kwargs)))):
            return func(*args, **kwargs)
        if (rule := _RULES.get(func)) is not None:
            return self._note(rule(self, func, *args, **kwargs))
        result = func(*args, **kwargs)
        if any(isinstance(leaf, Tensor) for leaf in tree_leaves(result)):
            raise NoRuleError(f"There is no rule for {getattr(func, '__name__', func)}.")
        return result  # e.g. a shape

    def parts(self, jets: Tensor) -> Tensor:
        """View (3B, ...) as (3, B, ...)."""
        return torch.unflatten(jets, 0, (3, self.count))

    def insist(self, holds: bool) -> None:
        """Raise `NoRuleError` where a rule does not hold."""
        if not holds:
            raise NoRuleError("A function is used in a way that there is no rule for.")

    def carried(self, value: object) -> bool:
        """Tell whether a value has derivatives; `NoRuleError` for a constant tensor."""
        self.insist(self.carries(value) or not isinstance(value, Tensor))
        return isinstance(value, Tensor)

    def carries(self, value: object) -> bool:
        """Tell whether a value has derivatives."""
        known = self._known.get(id(value))
        return known is not None and known() is value

    def _note(self, result: Tensor) -> Tensor:
        self._known[id(result)] = weakref.ref(result)
        return result


def _linear(mode: SecondTangents, func: Any, jets: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Run what is linear in one tensor and sees each image by itself."""
    mode.insist(not any(isinstance(a, Tensor) for a in tree_leaves((args, kwargs))))
    result: Tensor = func(jets, *args, **kwargs)
    mode.insist(len(result) == len(jets))
    return result


def _mean(
    mode: SecondTangents, func: Any, jets: Tensor, dim: Any = None, keepdim: bool = False
) -> Tensor:
    dims = (dim,) if isinstance(dim, int) else tuple(dim or (0,))
    mode.insist(all(d % jets.ndim for d in dims))
    result: Tensor = func(jets, dim, keepdim)
    return result


def _add(mode: SecondTangents, func: Any, a: Any, b: Any) -> Tensor:
    mode.insist(mode.carried(a) and mode.carried(b) and a.shape == b.shape)
    result: Tensor = func(a, b)
    return result


def _scale(mode: SecondTangents, func: Any, jets: Any, factor: Any) -> Tensor:
    """Multiply or divide by a number, or by a tensor that is the same for all images."""
    of_one = not isinstance(factor, Tensor) or (factor.ndim == jets.ndim and len(factor) == 1)
    mode.insist(isinstance(jets, Tensor) and of_one)
    result: Tensor = func(jets, factor)
    return result


def _weighted(
    mode: SecondTangents,
    func: Any,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *args: Any,
    **kwargs: Any,
) -> Tensor:
    """Run a convolution or linear layer; the bias is added to the values alone."""
    mode.insist(mode.carried(input) and not any(map(mode.carries, (weight, bias))))
    mode.insist(input.ndim == {F.conv2d: 4, F.linear: 2}[func])
    result: Tensor = func(input, weight, None, *args, **kwargs)
    if bias is not None:
        result[: mode.count] += bias.view(-1, *(1,) * (result.ndim - 2))
    return result


def _relu(mode: SecondTangents, func: Any, input: Tensor, inplace: bool = False) -> Tensor:
    del func
    parts = mode.parts(input)
    target = parts if inplace else mode.parts(torch.empty_like(input))
    torch.mul(parts, parts[0] > 0, out=target)
    return input if inplace else target.flatten(0, 1)


def _batch_norm(
    mode: SecondTangents,
    func: Any,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Differentiate ``y = w r d + b`` twice, with ``d = x - m(x)`` and ``r = (v + eps)^(-1/2)``.

    With v, v', v'' of ``v = m(d^2)``: ``r' = -r^3 v' / 2``, ``r'' = 3 r^5 v'^2 / 4 - r^3 v'' / 2``,
    ``y' = w (d' r + d r')`` and ``y'' = w (d'' r + 2 d' r' + d r'')``.
    """
    del func, momentum
    mode.insist(training and running_mean is None and running_var is None and input.ndim == 4)
    rows = input.movedim(1, -1).reshape(3, -1, input.shape[1])  # (3, n, C)
    n = rows.shape[1]
    d = rows - sum_positions(rows) / n
    products = torch.stack([d[0] * d[0], d[0] * d[1], d[1] * d[1] + d[0] * d[2]])
    v, half_v1, half_v2 = sum_positions(products)[:, 0] / n  # (C,) each; v' = 2 m(d d'), ...
    r = (v + eps).rsqrt()
    r1, r2 = -(r**3) * half_v1, 3 * r**5 * half_v1**2 - r**3 * half_v2
    r, r1, r2 = (one if weight is None else one * weight for one in (r, r1, r2))
    y = d * r
    y[2].addcmul_(d[1], 2 * r1).addcmul_(d[0], r2)
    y[1].addcmul_(d[0], r1)
    if bias is not None:
        y[0] += bias
    maps: Tensor = y.view(len(input), *input.shape[2:], -1).movedim(-1, 1)
    return maps.contiguous() if input.is_contiguous() else maps


_Rule = Callable[..., Tensor]
_RULES: Mapping[Any, _Rule] = {
    F.conv2d: _weighted,
    F.linear: _weighted,
    F.batch_norm: _batch_norm,
    F.relu: _relu,
    torch.relu: _relu,
    Tensor.relu: _relu,
    F.avg_pool2d: _linear,
    F.adaptive_avg_pool2d: _linear,
    torch.flatten: _linear,
    Tensor.flatten: _linear,
    Tensor.view: _linear,
    Tensor.reshape: _linear,
    Tensor.contiguous: _linear,
    torch.zeros_like: _linear,
    Tensor.mean: _mean,
    torch.mean: _mean,
    Tensor.add: _add,
    Tensor.__add__: _add,
    Tensor.__radd__: _add,
    torch.add: _add,
    Tensor.mul: _scale,
    Tensor.__mul__: _scale,
    Tensor.div: _scale,
    Tensor.__truediv__: _scale,
}
