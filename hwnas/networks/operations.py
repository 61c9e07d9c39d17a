"""The operations that one inference pass executes, with their MACs and the memory they touch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hwnas.errors import InvalidValueError
from hwnas.networks.answer import tensors_in
from hwnas.networks.copying import copy_model, own_tensors
from hwnas.networks.macs import macs_of
from hwnas.networks.meta import MetaShapes, meta_copy
from hwnas.networks.operator_kinds import kind_of
from hwnas.networks.plain import plain_network, to_float32
from hwnas.networks.settings import default_settings
from hwnas.seeding import seeded
from hwnas.typing import T

_Record = Callable[[nn.Module, Sequence[Tensor], Tensor], T]
"""Makes something of a run of a copy of a network, with the copy's weights, on some inputs."""


@dataclass(frozen=True)
class Operation:
    """One executed operator.

    Attributes:
        name: name of the operator, e.g. ``convolution``; ``library::name`` of one of another
            library than ATen.
        macs: multiply-accumulates; None for an operator that there is no formula for.
        reads: numbers of the buffers it reads.
        writes: numbers of the buffers it writes.
        kind: kind of work, see `hwnas.networks.operator_kinds`.
        weights: bytes of the weights it reads.
    """

    name: str
    macs: int | None
    reads: frozenset[int]
    writes: tuple[int, ...]
    kind: str = "elementwise"
    weights: int = 0


@dataclass(frozen=True)
class OperationTrace:
    """An inference pass: operations in program order over numbered buffers.

    Tensors that share memory, such as views and the results of in-place operations, are one
    buffer. Weights, running statistics and constants are not numbered.

    Attributes:
        operations: the operations.
        sizes: `(b,)` bytes of each buffer.
        inputs: buffers of the network's input.
        outputs: buffers of the network's outputs.
        batch: images of the pass.
    """

    operations: tuple[Operation, ...]
    sizes: tuple[int, ...]
    inputs: frozenset[int]
    outputs: frozenset[int]
    batch: int = 1

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates of one image; None if an operator has no formula."""
        if self.uncounted:
            return None
        return sum(operation.macs or 0 for operation in self.operations) // self.batch

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Names of the executed operators that there is no formula for, in order."""
        return tuple(sorted({op.name for op in self.operations if op.macs is None}))


def trace_operations(
    model: nn.Module,
    in_shape: tuple[int, ...],
    batches: Sequence[int] = (1,),
    draw: Callable[[tuple[int, ...]], Tensor] | None = None,
) -> OperationTrace:
    """Record what a forward pass in evaluation mode executes.

    It runs on `meta` tensors, at no computation; or, where a network needs values (it branches on
    them, or holds quantised weights), on a CPU copy and Gaussian images.

    Args:
        model: any network with one image tensor as its input; it is left as it is.
        in_shape: shape of one image, without the batch.
        batches: numbers of images to try, until the network accepts one.
        draw: gives inputs of a shape with the batch, where they are no images.

    Returns:
        The trace. Parts of the network that the pass does not reach are not in it.

    Raises:
        InvalidValueError: the network does not accept such an input.
    """
    return _of_first_run(_trace, model, in_shape, batches, draw)


@dataclass(frozen=True)
class MacCount:
    """What an inference pass multiplies.

    Attributes:
        macs: multiply-accumulates of one image; None if an operator has no formula.
        uncounted: names of the executed operators that there is no formula for, in order.
    """

    macs: int | None
    uncounted: tuple[str, ...]


def count_macs(
    model: nn.Module,
    in_shape: tuple[int, ...],
    batches: Sequence[int] = (1,),
    draw: Callable[[tuple[int, ...]], Tensor] | None = None,
) -> MacCount:
    """Count as `trace_operations` does, whose arguments these are, without a look at memory."""
    return _of_first_run(_count, model, in_shape, batches, draw)


def _of_first_run(
    record: _Record[T],
    model: nn.Module,
    in_shape: tuple[int, ...],
    batches: Sequence[int],
    draw: Callable[[tuple[int, ...]], Tensor] | None,
) -> T:
    """Give what `record(copy, weights, inputs)` makes of the first run that succeeds."""
    model = plain_network(model)
    reason: Exception | None = None
    for run in (_on_meta, _on_cpu):
        for batch in batches:
            try:
                with default_settings():
                    return run(record, model, (draw or _gaussian)((batch, *in_shape)))
            except Exception as error:  # whatever the user's network raises
                # That of a real pass of one image says most.
                if reason is None or (run is _on_cpu and batch == batches[0]):
                    reason = error
    raise InvalidValueError(
        f"`model` must run on images of shape {(batches[0], *in_shape)}, but "
        f"{type(model).__name__} raised {type(reason).__name__}: {' '.join(str(reason).split())}"
    ) from reason


def _gaussian(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _on_meta(record: _Record[T], model: nn.Module, inputs: Tensor) -> T:
    twin, weights = meta_copy(model)
    with torch.device("meta"):
        return record(twin, weights, inputs.to("meta"))


def _on_cpu(record: _Record[T], model: nn.Module, inputs: Tensor) -> T:
    twin = copy_model(model, to_float32).eval()
    weights = [tensor for module in twin.modules() for tensor in own_tensors(module)]
    with seeded(0), _unfused():
        return record(twin, weights, inputs)


def _trace(twin: nn.Module, weights: Sequence[Tensor], images: Tensor) -> OperationTrace:
    recorder = _Recorder(weights)
    inputs = recorder.buffers(images)
    with torch.no_grad(), _WatchForNumpy(recorder.leave), MetaShapes(recorder.observe):
        result = twin(images)
    return OperationTrace(
        tuple(recorder.operations),
        tuple(recorder.sizes),
        frozenset(inputs),
        frozenset(recorder.buffers(result)),
        len(images),
    )


def _count(twin: nn.Module, weights: Sequence[Tensor], images: Tensor) -> MacCount:
    del weights
    counts: list[int] = []
    uncounted: set[str] = set()

    def observe(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        if (macs := macs_of(func, args, kwargs, result)) is None:
            uncounted.add(_name(func))
        else:
            counts.append(macs)

    with torch.no_grad(), _WatchForNumpy(uncounted.add), MetaShapes(observe):
        twin(images)
    return MacCount(None if uncounted else sum(counts) // len(images), tuple(sorted(uncounted)))


@contextmanager
def _unfused() -> Iterator[None]:
    """Run fused layers by their parts: transformers', and what the user's code compiles."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    compiles = "torch._dynamo" in sys.modules  # its import takes over a second
    try:
        with torch.compiler.set_stance("force_eager") if compiles else nullcontext():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


class _Recorder:
    """Number buffers in the order of their first use, and list operations."""

    def __init__(self, weights: Sequence[Tensor]) -> None:
        self.operations: list[Operation] = []
        self.sizes: list[int] = []
        self._number: dict[int, int] = {}
        # Storages are kept alive: the address of a freed one would be given to another.
        self._kept = [tensor.untyped_storage() for tensor in weights]
        self._weights = {storage._cdata for storage in self._kept}

    def observe(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> None:
        """Record one operation."""
        reads = frozenset(self.buffers([*args, *kwargs.values()]))
        writes = tuple(self.buffers(result))
        macs, kind = macs_of(func, args, kwargs, result), kind_of(func, args)
        weights = self._weight_bytes([*args, *kwargs.values()])
        self.operations.append(Operation(_name(func), macs, reads, writes, kind, weights))

    def leave(self, name: str) -> None:
        """Record that what happens next is out of sight."""
        self.operations.append(Operation(name, None, frozenset(), ()))

    def _weight_bytes(self, value: Any) -> int:
        """Give the bytes of all weights in `value`."""
        tensors = (t for t in _tensors(value) if t.untyped_storage()._cdata in self._weights)
        return sum(tensor.nbytes for tensor in tensors)

    def buffers(self, value: Any) -> list[int]:
        """Give the buffers of all tensors in `value`, weights left out."""
        storages = (tensor.untyped_storage() for tensor in _tensors(value))
        return [self._buffer(s) for s in storages if s._cdata not in self._weights]

    def _buffer(self, storage: torch.UntypedStorage) -> int:
        number = self._number.get(storage._cdata)
        if number is None:
            number = self._number[storage._cdata] = len(self.sizes)
            self.sizes.append(storage.nbytes())
            self._kept.append(storage)
        return number


class _WatchForNumpy(TorchFunctionMode):
    """Name the way out of PyTorch, behind which nothing can be counted."""

    def __init__(self, leave: Callable[[str], object]) -> None:
        super().__init__()
        self._leave = leave

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        if func in (Tensor.numpy, Tensor.__array__, Tensor.__dlpack__):
            self._leave("numpy")
        return func(*args, **(kwargs or {}))


def _name(func: Any) -> str:
    name = func._schema.name if hasattr(func, "_schema") else str(func)
    return str(name).removeprefix("aten::")


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict) or is_dataclass(value):
        yield from (tensor for _, tensor in tensors_in(value))
