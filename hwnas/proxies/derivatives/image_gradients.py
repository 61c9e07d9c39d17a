"""The gradients of each image's loss by whole weights, each image in a batch of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.errors import ProxyError
from hwnas.proxies.derivatives.element_taps import Size, padding_sides, pair
from hwnas.proxies.derivatives.image_norm import batch_norm_by_image
from hwnas.proxies.derivatives.parameter_uses import ParameterUses

Loss = Callable[[Tensor, Tensor], Tensor]
"""Gives the summed loss of the logits (b, K) and labels (b,) of some images."""
Receive = Callable[[int, Tensor], None]
"""Called with the number of a weight and its gradients (B, ...), at most once a weight."""
Rows = Callable[[Tensor], Tensor]
"""Gives the gradients by a parameter (B, ...) from the gradient at the output (B, C, ...)."""

# Numbers of unfolded patches that are multiplied at once: 2 MiB.
_PATCH_NUMBERS = 2**19


def image_gradients(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    weights: Sequence[Tensor],
    loss: Loss,
    receive: Receive,
) -> list[int]:
    """Differentiate all images' losses in one forward and one backward pass.

    A batch norm that normalises by the batch sees the positions of one image instead. The backward
    pass goes to the activations only; the gradients of a weight follow from those at the output of
    the function that uses it, and are let go of at once.

    Args:
        network: the network; its parameters need no gradient.
        images: (B, C, H, W).
        labels: (B,).
        weights: parameters of the network.
        loss: of the images.
        receive: what takes the gradients; a weight that has none is left out.

    Returns:
        Numbers of the weights that are left for `gradients_by_image`: of functions without a
        shortcut, or all where images are mixed otherwise, or random numbers are drawn.
    """
    uses = _WeightUses(weights, len(images), receive)
    try:
        with uses:
            logits = network(images)
        with torch.no_grad():
            alone = network(images[:1])
        if float((logits.detach()[:1] - alone).abs().max()) > 1e-3 * float(alone.abs().max()):
            return list(range(len(weights)))
        total = loss(logits, labels)
    except Exception:  # whatever the network raises, it raises again image by image
        return list(range(len(weights)))
    if not total.isfinite():
        raise ProxyError("The output of the network is not finite.")
    if total.requires_grad:
        torch.autograd.grad(total, uses.anchor, allow_unused=True)
    return [i for i, weight in enumerate(weights) if weight in uses.unknown]


def gradients_by_image(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    weights: Sequence[Tensor],
    loss: Loss,
) -> Iterator[tuple[Tensor, ...]]:
    """Give the gradients by the weights image by image: a forward and a backward pass each.

    Raises:
        ProxyError: a loss is not finite.
    """
    for weight in weights:
        weight.requires_grad_()
    for image, label in zip(torch.split(images, 1), torch.split(labels, 1), strict=True):
        value = loss(network(image), label)
        if not value.isfinite():
            raise ProxyError("The output of the network is not finite.")
        yield torch.autograd.grad(value, weights, materialize_grads=True)


class _WeightUses(ParameterUses[Rows]):
    def __init__(self, weights: Sequence[Tensor], images: int, receive: Receive) -> None:
        super().__init__(weights, images, _ROWS)
        self._numbers = {weight: number for number, weight in enumerate(weights)}
        self._receive = receive
        self._used: set[Tensor] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.batch_norm:
            func = batch_norm_by_image
        return super().__torch_function__(func, types, args, kwargs)

    def receiver(self, found: list[tuple[Tensor, Rows]]) -> Callable[[Tensor], None]:
        """Pass on what the only use gives; the gradients of several uses would have to be added."""
        for parameter, _ in found:
            if parameter in self._used:
                self.unknown.add(parameter)
            self._used.add(parameter)

        def receive(delta: Tensor) -> None:
            for parameter, rows in found:
                if parameter not in self.unknown:
                    self._receive(self._numbers[parameter], rows(delta))

        return receive


_Offered = list[tuple[Tensor | None, Rows]]


def _conv2d_rows(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> _Offered:
    del bias
    padded = F.pad(input.detach(), padding_sides(padding, weight, dilation))
    geometry = weight.shape[2:], pair(stride), pair(dilation), groups
    return [(weight, lambda delta: _conv2d_gradients(padded, delta, *geometry))]


def _conv2d_gradients(
    images: Tensor,
    delta: Tensor,
    kernel: Sequence[int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> Tensor:
    """Multiply the patches of (B, C_in, H, W) by delta (B, C_out, h, w), a few images at a time.

    The columns of a few images stay in the processor's cache; convolutions of a single image, on
    the other hand, are slow in PyTorch.
    """
    B, height, width = len(images), *delta.shape[2:]
    images = torch.unflatten(images.permute(0, 2, 3, 1).contiguous(), 3, (groups, -1))
    delta = torch.unflatten(delta.permute(0, 2, 3, 1), 3, (groups, -1))
    delta = delta.flatten(1, 2).transpose(1, 2)
    of_image, row, column, of_group, _ = images.stride()
    size = (groups, height, width, *kernel, images.shape[4])
    steps = (of_group, row * stride[0], column * stride[1], row * dilation[0], column * dilation[1])
    weights = math.prod(size[3:])
    gradients = delta.new_empty(B * groups, weights, delta.shape[3])
    chunk = max(1, _PATCH_NUMBERS // (groups * height * width * weights))
    for start in range(0, B, chunk):
        part = slice(start, min(start + chunk, B))
        some = images[part]
        patches = some.as_strided((len(some), *size), (of_image, *steps, 1))
        rows = slice(part.start * groups, part.stop * groups)
        torch.bmm(
            patches.reshape(-1, height * width, weights).transpose(1, 2),
            delta[part].flatten(0, 1),
            out=gradients[rows],
        )
    return gradients.view(B, -1)


def _linear_rows(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> _Offered:
    del bias
    return [(weight, lambda delta: delta[:, :, None] * input.detach()[:, None, :])]


def _batch_norm_rows(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> _Offered:
    del bias, momentum
    if training or running_mean is None or running_var is None:
        return []
    mean, scale = running_mean, (running_var + eps).rsqrt()

    def rows(delta: Tensor) -> Tensor:
        channels = (len(mean), *(1,) * (input.ndim - 2))
        product = (input.detach() - mean.view(channels)) * delta
        return product.flatten(2).sum(dim=2) * scale if input.ndim > 2 else product * scale

    return [(weight, rows)]


_ROWS: Mapping[Any, tuple[Callable[..., _Offered], int | None]] = {
    F.conv2d: (_conv2d_rows, 4),
    F.linear: (_linear_rows, 2),
    batch_norm_by_image: (_batch_norm_rows, None),
}
