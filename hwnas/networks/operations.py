"""The operations that one inference pass executes, with their MACs and the memory they touch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hwnas.errors import InvalidValueError
from hwnas.networks.meta import MetaShapes, meta_copy

# Operators that multiply and accumulate nothing by the usual convention, beside the pointwise
# ones and views, which PyTorch tags; names without the underscore of the in-place forms.
_WITHOUT_MACS = """
    empty empty_like empty_strided new_empty new_zeros new_ones new_full zeros zeros_like ones
    ones_like full full_like arange scalar_tensor copy fill zero clone _to_copy lift_fresh
    _unsafe_view repeat cat stack constant_pad_nd reflection_pad2d replication_pad2d roll flip
    index index_select gather embedding masked_fill tril triu pixel_shuffle pixel_unshuffle
    channel_shuffle native_channel_shuffle im2col col2im topk sort
    native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training
    _batch_norm_no_update native_layer_norm native_group_norm _fused_rms_norm
    avg_pool1d avg_pool2d avg_pool3d max_pool2d_with_indices max_pool3d_with_indices
    _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d
    mean sum prod amax amin max min argmax argmin var var_mean std std_mean any all cumsum
    logsumexp linalg_vector_norm norm
    _softmax _log_softmax _safe_softmax native_dropout bernoulli rand_like
    hardtanh hardswish hardsigmoid hardshrink leaky_relu elu celu selu gelu silu mish softplus
    relu6 _prelu_kernel glu
    upsample_nearest1d upsample_nearest2d upsample_bilinear2d upsample_bicubic2d
"""
_FREE = frozenset(_WITHOUT_MACS.split())
# Products with a vector, which PyTorch's table lacks: one MAC an element of this argument.
_MATRIX_ARGUMENT: Mapping[str, int] = {"mv": 0, "dot": 0, "addmv": 1}


@dataclass(frozen=True)
class Operation:
    """One executed operator.

    Attributes:
        name: name of the ATen operator, e.g. ``convolution``.
        macs: multiply-accumulates; None for an operator that there is no formula for.
        reads: numbers of the buffers it reads.
        writes: numbers of the buffers it writes.
    """

    name: str
    macs: int | None
    reads: frozenset[int]
    writes: tuple[int, ...]


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
    """

    operations: tuple[Operation, ...]
    sizes: tuple[int, ...]
    inputs: frozenset[int]
    outputs: frozenset[int]


def trace_operations(model: nn.Module, in_shape: tuple[int, ...], batch: int = 1) -> OperationTrace:
    """Record what a forward pass in evaluation mode executes, on `meta` tensors.

    Args:
        model: any network with one image tensor as its input; it is left as it is.
        in_shape: shape of one image, without the batch.
        batch: images.

    Returns:
        The trace. Parts of the network that the pass does not reach are not in it.

    Raises:
        InvalidValueError: the network does not accept such an input, or its control flow depends
            on values, which `meta` tensors do not have.
    """
    twin, weights = meta_copy(model)
    images = torch.empty((batch, *in_shape), device="meta")
    recorder = _Recorder(weights)
    inputs = recorder.buffers(images)
    try:
        with torch.no_grad(), torch.device("meta"), MetaShapes(recorder.observe):
            result = twin(images)
    except Exception as error:
        raise InvalidValueError(
            f"`model` must run on images of shape {tuple(images.shape)} without looking at their "
            f"values, but {type(model).__name__} raised {type(error).__name__}: {error}"
        ) from error
    outputs = recorder.buffers(result)
    return OperationTrace(
        tuple(recorder.operations), tuple(recorder.sizes), frozenset(inputs), frozenset(outputs)
    )


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
        name = func._overloadpacket.__name__
        self.operations.append(Operation(name, _macs(func, args, kwargs, result), reads, writes))

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


def _macs(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> int | None:
    packet = func._overloadpacket
    formula = _flop_formulas().get(packet)
    if formula is not None:
        return int(formula(*args, **kwargs, out_val=result)) // 2
    if packet.__name__ in _MATRIX_ARGUMENT:
        return int(args[_MATRIX_ARGUMENT[packet.__name__]].numel())
    return 0 if _is_free(func) else None


@cache
def _flop_formulas() -> Mapping[Any, Callable[..., int]]:
    # PyTorch counts 2 FLOPs a multiply-accumulate.
    return dict(FlopCounterMode(display=False).flop_registry)


@cache
def _is_free(func: Any) -> bool:
    name = func._overloadpacket.__name__.rstrip("_")
    return torch.Tag.pointwise in func.tags or bool(func.is_view) or name in _FREE


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
