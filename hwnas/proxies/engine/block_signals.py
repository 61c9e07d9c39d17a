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
from hwnas.proxies.derivatives.covariance import covariance
from hwnas.proxies.engine.signals import Collector, PassAgain, PassSignal

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
    """(C, C) covariance of each block's output channels over the n images and positions.

    Where n < C it is an (n, n) matrix instead, of the same eigenvalues but for zeros.
    """

    def collector(self, subject: Subject) -> Collector[tuple[Tensor, ...]]:
        """Reduce each output to its covariance while the pass runs."""
        return _CovarianceCollector(_blocks(subject))


@dataclass(frozen=True)
class BlockTransfer:
    """How one block passes random gradients back.

    Attributes:
        matrix: (r*r*C_in, C_out) float64: G_in^T G_out / (B*H*W) over images and output positions,
            where G_out holds random signs, G_in its product with the block's Jacobian, and a block
            of stride r has its input positions unshuffled into r*r*C_in channels; one that enlarges
            has its output positions unshuffled, as a decoder does. Where both sides are longer than
            the n images and positions, they are n instead: the singular values are the same but for
            zeros.
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
        known = subject.once(_Blocks, lambda: _Blocks(copied=subject.writes))
        return _TransferCollector(_blocks(subject), subject.inside, signs, known)


class _CovarianceCollector(Collector["tuple[Tensor, ...]"]):
    uses_graph = False

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
            self.covariances.append(covariance(_rows(output)))

    def finish(self, logits: Tensor) -> tuple[Tensor, ...]:
        del logits
        return tuple(self.covariances)


@dataclass
class _Blocks:
    """What is known of the blocks of a network.

    Attributes:
        copied: whether they get copies of their inputs, since one may write into it.
    """

    copied: bool


class _TransferCollector(Collector[tuple[BlockTransfer, ...]]):
    uses_graph = False

    def __init__(
        self, blocks: Sequence[str], inside: str, generator: torch.Generator, known: _Blocks
    ) -> None:
        self.blocks = blocks
        self.inside = inside
        self.generator = generator
        self.known = known
        self.images: set[Tensor] = set()
        self.source: Tensor | None = None
        self.inputs: dict[nn.Module, tuple[Tensor, int]] = {}
        self.transfers: list[BlockTransfer] = []
        self.failure: Exception | None = None

    @contextmanager
    def watch(self, network: nn.Module, images: Tensor) -> Iterator[None]:
        self.images, self.source = {images}, images

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
            except RuntimeError as error:
                if self.known.copied:
                    raise
                self.known.copied = True  # a block may have written into its input, e.g. dropout
                raise PassAgain from error
            finally:
                for handle in handles:
                    handle.remove()

    @property
    def linked(self) -> bool:
        """Whether another collector asks for gradients of the images."""
        return self.source is not None and self.source.requires_grad

    def enter(self, module: nn.Module, inputs: Tensor) -> Tensor:
        """Note a block's input; a block that changes it in place gets a copy."""
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
            self.inputs[module] = inputs, inputs._version
            return inputs.clone() if self.known.copied else inputs

    def leave(self, module: nn.Module, args: Any, output: Tensor) -> Tensor:
        """Pass random signs back through the block at once, while its tensors are at hand."""
        del args
        if module not in self.inputs:
            return output
        with self.timed():
            inputs, version = self.inputs.pop(module)
            if inputs._version != version:
                raise RuntimeError("A block has changed its input.")
            if self.failure is None:
                try:
                    self.transfers.append(self.transfer(inputs, output))
                except Exception as error:  # whatever the block's functions raise
                    self.failure = error
            # Other collectors ask for gradients of the images, if for any.
            return output if self.linked else output.detach()

    def finish(self, logits: Tensor) -> tuple[BlockTransfer, ...]:
        del logits
        if self.failure is not None:
            raise self.failure
        return tuple(self.transfers)

    def transfer(self, inputs: Tensor, output: Tensor) -> BlockTransfer:
        """Pass random signs back through one block."""
        signs = random_signs(output, self.generator)
        if output.requires_grad:
            (returned,) = torch.autograd.grad(
                output, inputs, signs, retain_graph=self.linked, materialize_grads=True
            )
        else:
            returned = torch.zeros_like(inputs, requires_grad=False)
        return BlockTransfer(_transfer_matrix(returned, signs), _same(returned, signs))


def _same(returned: Tensor, signs: Tensor) -> bool:
    if returned.shape != signs.shape or not torch.equal(returned[0, :, 0], signs[0, :, 0]):
        return False
    return torch.equal(returned, signs)


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
    """Give G_in^T G_out / (B*H*W) of (B, C_in, H_in, W_in) and (B, C_out, H_out, W_out)."""
    h, w = (min(sides) for sides in zip(returned.shape[2:], signs.shape[2:], strict=True))
    rows_in, rows_out = (_rows_at(maps, h, w) for maps in (returned, signs))
    count = len(rows_out)
    if count < min(rows_in.shape[1], rows_out.shape[1]):  # else a product takes less time
        rows_in, rows_out = (_shortened(rows.double()) for rows in (rows_in, rows_out))
    return (rows_in.T @ rows_out).double() / count


def _rows_at(maps: Tensor, h: int, w: int) -> Tensor:
    """Turn maps into (B*h*w, r*r*C), those that are no multiple of h and w filled up by zeros."""
    height, width = maps.shape[2:]
    stride = max(math.ceil(height / h), math.ceil(width / w))  # r
    if stride > 1 and (height, width) != (h * stride, w * stride):
        maps = F.pad(maps, (0, w * stride - width, 0, h * stride - height))
    return _rows(maps, stride)


def _shortened(rows: Tensor) -> Tensor:
    """Give R^T of ``X^T = Q R`` for X (n, C), n < C: its products' singular values are X's."""
    upper: Tensor = torch.linalg.qr(rows.T, mode="r")[1]
    return upper.T


def _rows(maps: Tensor, stride: int = 1) -> Tensor:
    """Turn (B, C, r*H, r*W) into (B*H*W, r*r*C) with r the stride."""
    if stride == 1:
        return maps.permute(0, 2, 3, 1).flatten(0, 2)
    columns = torch.unflatten(maps, 3, (-1, stride))
    places: Tensor = torch.unflatten(columns, 2, (-1, stride))  # (B, C, H, r, W, r)
    return places.permute(0, 2, 4, 3, 5, 1).flatten(0, 2).flatten(1)


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
