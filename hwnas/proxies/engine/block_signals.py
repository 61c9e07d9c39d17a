"""What AZ-NAS asks of a network's blocks: their features and how they pass gradients back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hwnas.deferred import deferred
from hwnas.errors import ProxyError
from hwnas.proxies.engine.signals import Collector, PassSignal

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn

    from hwnas.proxies.engine.subject import Subject
else:
    torch = deferred("torch")
    F = deferred("torch.nn.functional")

# (256, 8): the bits of each byte as signs, the first one first.
_SIGNS = (2 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1) - 1.0).astype("f4")
_NO_BLOCKS = (
    "`model` must have blocks that map one (B, C, H, W) tensor to one, or 2-D convolutions, but "
    "has none."
)


@dataclass(frozen=True)
class BlockCovariances(PassSignal["tuple[Tensor, ...]"]):
    """(C, C) covariance of each block's output channels over images and positions."""

    def collector(self, subject: Subject) -> Collector[tuple[Tensor, ...]]:
        """Reduce each output to its covariance while the pass runs."""
        return _CovarianceCollector(_blocks(subject))


@dataclass(frozen=True)
class BlockTransfer:
    """How one block passes random gradients back.

    Attributes:
        matrix: (r*r*C_in, C_out) float64: G_in^T G_out / (B*H*W) over images and output positions,
            where G_out holds random signs, G_in its product with the block's Jacobian, and a block
            of stride r has its input positions unshuffled into r*r*C_in channels.
        identity: whether G_in equals G_out.
    """

    matrix: Tensor
    identity: bool


@dataclass(frozen=True)
class BlockTransfers(PassSignal[tuple[BlockTransfer, ...]]):
    """`BlockTransfer` of each block, without blocks whose input is the image."""

    def collector(self, subject: Subject) -> Collector[tuple[BlockTransfer, ...]]:
        """Take one backward pass through each block on its own."""
        signs = subject.generator("random signs")
        return _TransferCollector(_blocks(subject), subject.inside, signs)


class _CovarianceCollector(Collector["tuple[Tensor, ...]"]):
    def __init__(self, blocks: Sequence[str]) -> None:
        self.blocks = blocks
        self.covariances: list[Tensor] = []

    @contextmanager
    def watch(self, network: nn.Module, images: Tensor) -> Iterator[None]:
        del images
        with _forward_hooks(network, self.blocks, self.add):
            yield

    def add(self, module: nn.Module, args: Any, output: Tensor) -> None:
        """Reduce the output (B, C, H, W) of a block."""
        del module, args
        with self.timed(), torch.no_grad():
            features = _rows(output)  # (B*H*W, C)
            features = features - features.mean(dim=0)
            # (C, C): X^T X / (B*H*W) of centred X
            self.covariances.append((features.T @ features).double() / len(features))

    def finish(self, logits: Tensor) -> tuple[Tensor, ...]:
        del logits
        return tuple(self.covariances)


class _TransferCollector(Collector[tuple[BlockTransfer, ...]]):
    def __init__(self, blocks: Sequence[str], inside: str, generator: torch.Generator) -> None:
        self.blocks = blocks
        self.inside = inside
        self.generator = generator
        self.images: set[Tensor] = set()
        self.inputs: dict[nn.Module, Tensor] = {}
        self.ends: list[tuple[Tensor, Tensor]] = []

    @contextmanager
    def watch(self, network: nn.Module, images: Tensor) -> Iterator[None]:
        self.images = {images}

        def start(module: nn.Module, args: tuple[Any, ...]) -> None:
            del module
            self.images.update(a for a in args if isinstance(a, torch.Tensor))

        def before(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(self.enter(module, a) if isinstance(a, torch.Tensor) else a for a in args)

        inside = network.get_submodule(self.inside)
        handles = [inside.register_forward_pre_hook(start)]
        handles += [network.get_submodule(n).register_forward_pre_hook(before) for n in self.blocks]
        with _forward_hooks(network, self.blocks, self.leave):
            try:
                yield
            finally:
                for handle in handles:
                    handle.remove()

    def enter(self, module: nn.Module, inputs: Tensor) -> Tensor:
        """Note a block's input; the block gets a copy, which it may change in place."""
        if inputs in self.images:
            return inputs
        if not torch.is_grad_enabled():
            raise ProxyError(
                "Each block must run with gradients, but one runs without, e.g. in a function that "
                "runs it again in the backward pass."
            )
        with self.timed():
            if not inputs.requires_grad:
                inputs = inputs.detach().requires_grad_()
            self.inputs[module] = inputs
            return inputs.clone()

    def leave(self, module: nn.Module, args: Any, output: Tensor) -> Tensor:
        """Note a block's output; the network gets a copy, which it may change in place."""
        del args
        if module not in self.inputs:
            return output
        with self.timed():
            self.ends.append((self.inputs.pop(module), output))
            return output.clone()

    def finish(self, logits: Tensor) -> tuple[BlockTransfer, ...]:
        del logits
        return tuple(self.transfer(*pair) for pair in self.ends)

    def transfer(self, inputs: Tensor, output: Tensor) -> BlockTransfer:
        """Pass random signs back through one block."""
        signs = random_signs(output, self.generator)
        if output.requires_grad:
            (returned,) = torch.autograd.grad(
                output, inputs, signs, retain_graph=True, materialize_grads=True
            )
        else:
            returned = torch.zeros_like(inputs, requires_grad=False)
        same = returned.shape == signs.shape and torch.equal(returned, signs)
        return BlockTransfer(_transfer_matrix(returned, signs), same)


def random_signs(maps: Tensor, generator: torch.Generator) -> Tensor:
    """Draw +1 and -1 for each element of (B, C, H, W), from the bits of random bytes."""
    B, C, H, W = maps.shape
    count = maps.numel()
    octets = torch.empty(math.ceil(count / 8), dtype=torch.uint8, device="cpu")
    octets.random_(generator=generator)
    # np.take is several times as fast as unpacking the bits, and as any indexing.
    signs = torch.from_numpy(np.take(_SIGNS, octets.numpy(), axis=0)).flatten()[:count]
    return signs.to(maps.device, maps.dtype).view(B, H, W, C).permute(0, 3, 1, 2)


def _transfer_matrix(returned: Tensor, signs: Tensor) -> Tensor:
    """Give G_in^T G_out / (B*H*W) of (B, C_in, H_in, W_in) and (B, C_out, H, W)."""
    (h_in, w_in), (h, w) = returned.shape[2:], signs.shape[2:]
    stride = max(math.ceil(h_in / h), math.ceil(w_in / w))  # r
    if stride > 1:
        returned = F.pad(returned, (0, w * stride - w_in, 0, h * stride - h_in))
        returned = F.pixel_unshuffle(returned, stride)  # of (B, C_in, r*H, r*W)
    # (B*H*W, r*r*C_in) and (B*H*W, C_out)
    rows_in, rows_out = _rows(returned), _rows(signs)
    return (rows_in.T @ rows_out).double() / len(rows_out)


def _rows(maps: Tensor) -> Tensor:
    """Turn (B, C, H, W) into (B*H*W, C)."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2)


def _blocks(subject: Subject) -> list[str]:
    if not subject.blocks:
        raise ProxyError(_NO_BLOCKS)
    return subject.blocks


@contextmanager
def _forward_hooks(
    network: nn.Module, names: Sequence[str], hook: Callable[[nn.Module, Any, Tensor], object]
) -> Iterator[None]:
    handles = [network.get_submodule(name).register_forward_hook(hook) for name in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
