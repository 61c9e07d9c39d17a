"""The network under test: prepared copies of it, and the images for each pass."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from hwnas.errors import InvalidValueError, ProxyError
from hwnas.networks.answer import Answer
from hwnas.networks.blueprint import Blueprint
from hwnas.networks.device import CPU
from hwnas.networks.layers import kaiming_weights_
from hwnas.networks.plain import plain_network
from hwnas.proxies.engine.blocks import feature_blocks, network_inside
from hwnas.proxies.engine.other_functions import run_other_functions
from hwnas.proxies.engine.probe import Probe, probe_network
from hwnas.proxies.engine.signals import Init, Setting
from hwnas.seeding import derive_seed
from hwnas.tasks.batch import Batch, draw_batch, draw_inputs
from hwnas.tasks.outputs import check_labels, draw_labels
from hwnas.tasks.task import Logits, Output, Task, TensorSpec
from hwnas.typing import InShape, T

# Numbers of a network's weights that are kept for its next copy; more are drawn again.
_KEPT = 2**22


@dataclass(frozen=True, eq=False)
class Subject:
    """A network with its input, from which every pass starts afresh.

    The network itself is never run or changed: passes run on float32 copies of its plain form
    (`plain_network`) on `device`, in the `channels_last` layout unless it cannot work in it
    (e.g. flattens by `view`), and some functions in another way, see `OtherFunctions`.

    Attributes:
        model: the user's network.
        task: what it is for, what it gets, or the (C, H, W) of the images that it gets; the output
            is what it returns unless the task says more, e.g. that numbers are no classes.
        batch: the user's inputs, or None for drawn ones.
        batch_size: images B of a Gaussian batch.
        seed: every draw's seed derives from it and from what is drawn, so that a value does not
            depend on what else is computed.
        answer: chooses the network's answer where it returns more than one tensor.
        device: where the copies are run.
    """

    model: nn.Module
    task: Task | TensorSpec | tuple[int, ...]
    batch: Batch | None = None
    batch_size: int = 64
    seed: int = 0
    answer: Answer = field(default_factory=Answer)
    device: torch.device = CPU
    _known: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InvalidValueError(f"`batch_size` must be at least 1, but got {self.batch_size}.")
        spec = self.spec
        if self.batch is not None:
            self.batch.check(spec)

    @cached_property
    def spec(self) -> TensorSpec:
        """What an input is."""
        if isinstance(self.task, Task):
            return self.task.input
        return self.task if isinstance(self.task, TensorSpec) else TensorSpec.of(self.task)

    @property
    def in_shape(self) -> InShape:
        """(C, H, W) of an image, for proxies that are defined for images alone.

        Raises:
            ProxyError: the input is something else.
        """
        if self.spec.kind != "image":
            raise ProxyError(f"The proxy is defined for images, but the input is {self.spec}.")
        channels, height, width = self.spec.shape
        return channels, height, width

    @property
    def real_shape(self) -> tuple[int, ...]:
        """Shape of an input of real numbers, for proxies that change or differentiate by it.

        Raises:
            ProxyError: the input is tokens.
        """
        if self.spec.kind == "tokens":
            raise ProxyError(
                f"The proxy is defined for inputs of real numbers, but the input is {self.spec}."
            )
        return self.spec.shape

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

    def network(self, setting: Setting, products: bool = False) -> nn.Module:
        """Give a fresh copy, prepared as `setting` says; its parameters need no gradient.

        Args:
            setting: says how.
            products: whether 1x1 convolutions may be products, where no operator is watched.
        """
        network = self._initialised(setting.init, setting.mode == "train")
        if self._probe.others:
            run_other_functions(network, products, self._probe.elsewhere)
        return network

    def differentiable(self, setting: Setting) -> nn.Module:
        """Give a copy as `network` does, to be differentiated by its parameters.

        Raises:
            ProxyError: gradients do not reach a parameter that the network uses.
        """
        if not self._probe.gradients:
            raise ProxyError(
                "Gradients must reach each parameter that `model` uses, but one is used under "
                "`torch.no_grad`, or in a function that runs layers again in its backward pass."
            )
        return self.network(setting)

    def _initialised(self, init: Init, training: bool) -> nn.Module:
        """Give a fresh copy with its weights, which are drawn once unless they are many."""
        if (drawn := self._known.get(init)) is not None:
            return self._copy(self._layout, training, drawn)
        made: dict[int, Tensor] = {}
        network = self._copy(self._layout, training, made=made)
        if init == "as_built":
            return network
        kaiming_weights_(network, derive_seed(self.seed, "kaiming"))
        if sum(tensor.numel() for tensor in made.values()) <= _KEPT:
            # Apart from those of this copy, whose passes may change them.
            self._known[init] = {source: tensor.clone() for source, tensor in made.items()}
        return network

    def input(self, setting: Setting, part: int = 0, parts: int = 1) -> tuple[Tensor, Tensor]:
        """Give the inputs, e.g. images (B, C, H, W), and labels (B, ...) of a pass, as copies.

        Args:
            setting: says how many images.
            part: index of the wanted batch.
            parts: batches of the pass: Gaussian ones are drawn one each, the user's images are
                divided evenly.
        """
        batch = self._drawn(setting, part) if self.batch is None else self._users(part, parts)
        size = len(batch) if setting.batch_size is None else setting.batch_size
        if size > len(batch):
            raise ProxyError(
                f"`batch` must have at least {size * parts} images for this proxy, but got "
                f"{len(self.batch or batch)}."
            )
        batch = batch.part(0, size)
        labels = batch.labels
        if labels is None:
            shape, generator = self._probe.label_shape, self.generator("labels", part)
            labels = draw_labels(self.output, shape, batch.inputs, generator)
        layout = self._layout if batch.inputs.ndim == 4 else torch.preserve_format
        inputs = _plain(batch.inputs.detach(), self.device).clone(memory_format=layout)
        return inputs, _plain(labels, self.device)

    def check(self) -> None:
        """Check that the network can be run, and that it has the batch's classes.

        Raises:
            ProxyError: the network rejects such inputs, or its output is none of the outputs.
            InvalidValueError: the labels are not those of its output.
        """
        output = self.output
        labels = None if self.batch is None else self.batch.labels
        if labels is not None:
            check_labels(labels, output, self._probe.label_shape)

    @property
    def output(self) -> Output:
        """What the network answers, with its own number of classes.

        Raises:
            ProxyError: the network rejects such inputs, or its output is none of the outputs.
        """
        return self._probe.output

    @property
    def num_classes(self) -> int:
        """Classes K, for proxies that are defined for one class an input.

        Raises:
            ProxyError: the network answers something else, or rejects such inputs.
        """
        if not isinstance(self.output, Logits):
            raise ProxyError(
                f"The proxy is defined for one class an input, (B, K) logits, but the network's "
                f"output is {self.output!r}."
            )
        return self.output.classes

    @cached_property
    def blocks(self) -> list[str]:
        """Names of the network's blocks in the order in which they run; see `feature_blocks`."""
        return feature_blocks(self.plain, self._probe.maps)

    @cached_property
    def inside(self) -> str:
        """Name of the network inside of the wrappers around it; see `network_inside`."""
        return network_inside(self.plain, self._probe.maps)

    @property
    def writes(self) -> bool:
        """Whether the network writes into tensors in evaluation mode, e.g. by a ReLU in place."""
        return self._probe.writes

    @property
    def _layout(self) -> torch.memory_format:
        return self._probe.layout

    @cached_property
    def _probe(self) -> Probe:
        return probe_network(
            [self.plain, self.model],
            partial(self._copy, training=False),
            self.spec,
            lambda size: draw_inputs(self.spec, size, self.generator("probe")).to(self.device),
            (2, self.batch_size if self.batch is None else len(self.batch)),
            self.task.output if isinstance(self.task, Task) else None,
        )

    @cached_property
    def plain(self) -> nn.Module:
        """The network with plain weights, see `plain_network`: its structure. It is not run."""
        with _copying():
            return plain_network(self.model)

    def copy(self, convert: Callable[[Tensor], Tensor], training: bool) -> nn.Module:
        """Copy the plain network, whose parameters need no gradient; it gives its answer alone.

        Args:
            convert: gives the data of a parameter or buffer.
            training: whether it is in training mode.

        Raises:
            ProxyError: it cannot be copied.
        """
        with _copying():
            network = self._blueprint.copy(convert, training)
        network.register_forward_hook(self.answer)
        return network

    @cached_property
    def _blueprint(self) -> Blueprint:
        return Blueprint(self.plain)

    def _copy(
        self,
        layout: torch.memory_format,
        training: bool,
        drawn: Mapping[int, Tensor] = MappingProxyType({}),
        made: dict[int, Tensor] | None = None,
    ) -> nn.Module:
        """Copy the plain network.

        Args:
            layout: of the copy's tensors.
            training: whether it is in training mode.
            drawn: values by ids of the plain network's tensors; its own where there are none.
            made: is filled with the copy's tensors by the same ids.
        """

        def convert(tensor: Tensor) -> Tensor:
            if (known := drawn.get(id(tensor))) is not None:
                return known.clone()
            dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
            kept = layout if tensor.ndim == 4 else torch.contiguous_format
            copied = tensor.to(self.device, dtype, copy=True, memory_format=kept)
            if made is not None:
                made[id(tensor)] = copied
            return copied

        return self.copy(convert, training)

    def _drawn(self, setting: Setting, part: int) -> Batch:
        size = setting.batch_size or self.batch_size
        seed = derive_seed(self.seed, "images", part)
        task = Task("drawn", self.spec, self.output)
        return draw_batch(task, size, seed, self._probe.label_shape)

    def _users(self, part: int, parts: int) -> Batch:
        assert self.batch is not None
        size = len(self.batch) // parts
        if not size:
            raise ProxyError(
                f"`batch` must have at least {parts} images for this proxy, but got "
                f"{len(self.batch)}."
            )
        return self.batch.part(part * size, (part + 1) * size)


def _plain(tensor: Tensor, device: torch.device) -> Tensor:
    return tensor.to(device, torch.float32 if tensor.is_floating_point() else torch.int64)


@contextmanager
def _copying() -> Iterator[None]:
    try:
        yield
    except ProxyError:
        raise
    except Exception as error:  # whatever the network's own members raise
        raise ProxyError(f"`model` must be copyable, but raised {error}") from error
