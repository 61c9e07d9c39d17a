"""The network under test: prepared copies of it, and the images for each pass."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from hwnas.errors import InvalidValueError, ProxyError
from hwnas.networks.copying import copy_model
from hwnas.networks.layers import kaiming_weights_
from hwnas.proxies.engine.blocks import feature_blocks, record_maps
from hwnas.proxies.engine.signals import Init, Setting
from hwnas.seeding import derive_seed
from hwnas.tasks.batch import Batch, gaussian_batch, random_labels
from hwnas.typing import InShape, T


@dataclass(frozen=True)
class _Probe:
    """What one run tells: classes K, the layout that the network accepts, its feature maps."""

    num_classes: int
    layout: torch.memory_format
    maps: list[str]


@dataclass(frozen=True, eq=False)
class Subject:
    """A network with its input, from which every pass starts afresh.

    The network itself is never run or changed: passes run on float32 copies on the CPU, in the
    `channels_last` layout unless the network cannot work in it (e.g. flattens by `view`) or PyTorch
    would crash in it.

    Attributes:
        model: the user's network.
        in_shape: (C, H, W) of an image.
        batch: the user's images, or None for Gaussian ones.
        batch_size: images B of a Gaussian batch.
        seed: every draw's seed derives from it and from what is drawn, so that a value does not
            depend on what else is computed.
    """

    model: nn.Module
    in_shape: InShape
    batch: Batch | None = None
    batch_size: int = 64
    seed: int = 0
    _known: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InvalidValueError(f"`batch_size` must be at least 1, but got {self.batch_size}.")
        if self.batch is not None and self.batch.images.shape[1:] != self.in_shape:
            raise InvalidValueError(
                f"`batch.images` must have shape (B, {', '.join(map(str, self.in_shape))}), but "
                f"got {tuple(self.batch.images.shape)}."
            )

    def generator(self, *purpose: object) -> torch.Generator:
        """Make the generator of one purpose's draws."""
        return torch.Generator().manual_seed(derive_seed(self.seed, *purpose))

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Give what `compute` returned when it was first called with this key.

        For work that different requests share; it must not depend on which of them came first.
        """
        if key not in self._known:
            self._known[key] = compute()
        known: T = self._known[key]
        return known

    def resolved(self, setting: Setting) -> Setting:
        """Leave a batch size out that is the batch's own, so that equal settings are equal."""
        size = self.batch_size if self.batch is None else len(self.batch)
        return replace(setting, batch_size=None) if setting.batch_size == size else setting

    def network(self, setting: Setting) -> nn.Module:
        """Give a fresh copy, prepared as `setting` says; its parameters need no gradient."""
        prototype = self.once(("prototype", setting.init), lambda: self._prototype(setting.init))
        return copy_model(prototype, torch.clone).train(setting.mode == "train")

    def _prototype(self, init: Init) -> nn.Module:
        """Give what passes run on copies of."""
        network = self._copy(self._layout)
        if init == "kaiming":
            kaiming_weights_(network, derive_seed(self.seed, "kaiming"))
        return network

    def input(self, setting: Setting, part: int = 0, parts: int = 1) -> tuple[Tensor, Tensor]:
        """Give the images (B, C, H, W) and labels (B,) of a pass, as copies.

        Args:
            setting: says how many images.
            part: index of the wanted batch.
            parts: batches of the pass: Gaussian ones are drawn one each, the user's images are
                divided evenly.
        """
        batch = self._gaussian(setting, part) if self.batch is None else self._users(part, parts)
        size = len(batch) if setting.batch_size is None else setting.batch_size
        if size > len(batch):
            raise ProxyError(
                f"`batch` must have at least {size * parts} images for this proxy, but got "
                f"{len(self.batch or batch)}."
            )
        batch = batch.part(0, size)
        labels = batch.labels
        if labels is None:
            labels = random_labels(size, self.num_classes, self.generator("labels", part))
        images = batch.images.detach().to("cpu", torch.float32)
        return images.clone(memory_format=self._layout), labels.to("cpu", torch.int64)

    def check(self) -> None:
        """Check that the network can be run, and that it has the batch's classes.

        Raises:
            ProxyError: the network rejects such images, or its output is not (B, K) logits.
            InvalidValueError: a label is not one of the network's classes.
        """
        classes = self.num_classes
        labels = None if self.batch is None else self.batch.labels
        if labels is not None and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise InvalidValueError(
                f"`batch.labels` must be in 0..{classes - 1}, the classes of the network, but got "
                f"{int(labels.min())}..{int(labels.max())}."
            )

    @property
    def num_classes(self) -> int:
        """Classes K of the network's output.

        Raises:
            ProxyError: the network rejects such images, or its output is not (B, K) logits.
        """
        return self._probe.num_classes

    @cached_property
    def blocks(self) -> list[str]:
        """Names of the network's blocks in the order in which they run; see `feature_blocks`."""
        return feature_blocks(self.model, self._probe.maps)

    @property
    def _layout(self) -> torch.memory_format:
        return self._probe.layout

    @cached_property
    def _probe(self) -> _Probe:
        """Run two images once."""
        error: Exception | None = None
        for layout in _layouts(self.model):
            network = self._copy(layout).eval()
            images = torch.randn(2, *self.in_shape, generator=self.generator("probe"))
            try:
                with torch.no_grad(), record_maps(network) as maps:
                    logits = network(images.contiguous(memory_format=layout))
            except Exception as failure:  # whatever the user's network raises
                error = error or failure
                continue
            return _Probe(_classes(logits), layout, maps)
        raise ProxyError(
            f"`model` must accept images of shape (B, {', '.join(map(str, self.in_shape))}), but "
            f"raised {type(error).__name__}: {error}"
        ) from error

    def _copy(self, layout: torch.memory_format) -> nn.Module:
        def convert(tensor: Tensor) -> Tensor:
            dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
            kept = layout if tensor.ndim == 4 else torch.preserve_format
            return tensor.to("cpu", dtype, copy=True, memory_format=kept)

        try:
            return copy_model(self.model, convert).requires_grad_(False)
        except RuntimeError as error:
            raise ProxyError(f"`model` must be copyable, but raised {error}") from error

    def _gaussian(self, setting: Setting, part: int) -> Batch:
        size = setting.batch_size or self.batch_size
        seed = derive_seed(self.seed, "images", part)
        return gaussian_batch(self.in_shape, size, self.num_classes, seed)

    def _users(self, part: int, parts: int) -> Batch:
        assert self.batch is not None
        size = len(self.batch) // parts
        if not size:
            raise ProxyError(
                f"`batch` must have at least {parts} images for this proxy, but got "
                f"{len(self.batch)}."
            )
        return self.batch.part(part * size, (part + 1) * size)


def _layouts(model: nn.Module) -> list[torch.memory_format]:
    """Give the layouts to try, the fast one first.

    In `channels_last`, oneDNN's weight gradient of a strided 1x1 convolution writes out of bounds
    if there are fewer input channels than its block has, 8 or 16: wrong numbers or a crash
    (https://github.com/uxlfoundation/oneDNN/issues/6035).
    """
    unsafe = any(
        isinstance(m, nn.Conv2d)
        and m.kernel_size == (1, 1)
        and m.stride != (1, 1)
        and m.in_channels // m.groups < 16
        for m in model.modules()
    )
    return [torch.contiguous_format] if unsafe else [torch.channels_last, torch.contiguous_format]


def _classes(logits: object) -> int:
    """Give K of (B, K) logits, or say what else the network returned."""
    if not isinstance(logits, Tensor):
        raise ProxyError(
            f"`model` must return a tensor of (B, K) logits, but got {type(logits).__name__}: wrap "
            "it in a module that returns the logits only."
        )
    if logits.ndim != 2 or len(logits) != 2:
        raise ProxyError(
            f"`model` must return (B, K) logits, but got {tuple(logits.shape)} for 2 images."
        )
    return logits.shape[1]
