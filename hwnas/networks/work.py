"""How much of each kind of work a network does: what its costs are a weighted sum of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from hwnas.networks.operations import Operation, OperationTrace, trace_operations
from hwnas.networks.operator_kinds import VIEW
from hwnas.networks.peak_memory import peak_memory_bytes
from hwnas.networks.plain import plain_network
from hwnas.networks.usable import complete_network
from hwnas.tasks.batch import draw_inputs
from hwnas.tasks.task import TensorSpec


@dataclass(frozen=True)
class Share:
    """What the operators of one kind do for one input.

    Attributes:
        macs: multiply-accumulates; operators without a formula have none.
        bytes: bytes of the tensors that they read and write, weights among them, in float32.
        operators: how many there are.
    """

    macs: float = 0.0
    bytes: float = 0.0
    operators: float = 0.0

    def __add__(self, other: Share) -> Share:
        return Share(
            self.macs + other.macs, self.bytes + other.bytes, self.operators + other.operators
        )


@dataclass(frozen=True)
class Work:
    """What one input takes.

    Attributes:
        by_kind: by kind of operator, see `hwnas.networks.operator_kinds`; views are left out.
        weights: bytes of the weights that operators read.
        depth: operators on the longest way from input to output.
        peak_memory: bytes of activations alive at once.
    """

    by_kind: Mapping[str, Share]
    weights: float
    depth: float
    peak_memory: float

    @property
    def total(self) -> Share:
        """The sum over kinds."""
        return sum(self.by_kind.values(), Share())


def work_of(model: nn.Module, spec: TensorSpec) -> Work:
    """Trace a network in evaluation mode and sum its work; on `meta` tensors where it allows that.

    Args:
        model: any network with one tensor as its input; it is left as it is.
        spec: what an input is.

    Raises:
        InvalidValueError: the network does not run on such an input.
    """
    draw = partial(_draw, spec)
    complete = complete_network(plain_network(model), lambda: draw((2, *spec.shape)))
    trace = trace_operations(complete, spec.shape, (1, 2), draw)
    work = [operation for operation in trace.operations if _works(operation)]
    by_kind: dict[str, Share] = {}
    for operation in work:
        found = by_kind.get(operation.kind, Share())
        by_kind[operation.kind] = found + _share(operation, trace)
    return Work(
        by_kind,
        float(sum(operation.weights for operation in work)),
        float(_depth(work)),
        peak_memory_bytes(trace) / trace.batch,
    )


def _works(operation: Operation) -> bool:
    """Leave out views, and what only makes a tensor."""
    return operation.kind != VIEW and bool(operation.reads)


def _share(operation: Operation, trace: OperationTrace) -> Share:
    touched = sum(trace.sizes[buffer] for buffer in operation.reads.union(operation.writes[:1]))
    macs = (operation.macs or 0) / trace.batch
    return Share(macs, touched / trace.batch + operation.weights, 1.0)


def _depth(work: list[Operation]) -> int:
    depth: dict[int, int] = {}
    for operation in work:
        below = 1 + max(depth.get(buffer, 0) for buffer in operation.reads)
        for buffer in operation.writes:
            depth[buffer] = max(below, depth.get(buffer, 0))
    return max(depth.values(), default=0)


def _draw(spec: TensorSpec, shape: tuple[int, ...]) -> torch.Tensor:
    return draw_inputs(spec, shape[0], torch.Generator().manual_seed(0))
