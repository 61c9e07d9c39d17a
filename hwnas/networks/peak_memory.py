"""Peak memory of activations, from the lifetimes of buffers."""

from __future__ import annotations

from itertools import accumulate

from hwnas.networks.operations import OperationTrace


def peak_memory_bytes(trace: OperationTrace) -> int:
    """Give the largest sum of buffers that are alive at the same time, in bytes.

    Operations run one after another in program order, without fusion. The input is alive from the
    start until it was last used, the result of an operation from that operation until it was last
    used, and an output until the end. While an operation runs, all it reads and writes is alive.
    Views and in-place operations need no memory of their own. Results beside the first that
    nothing uses (the indices of a max pool, the statistics of a norm) are not made. Weights are
    not included: they take 4 bytes a parameter on top.

    Args:
        trace: the pass.

    Returns:
        Bytes; those of the input alone for a network without operations.
    """
    steps = len(trace.operations)
    first: dict[int, int] = dict.fromkeys(trace.inputs, 0)
    last: dict[int, int] = dict.fromkeys(trace.inputs, 0)
    used = trace.outputs.union(*(operation.reads for operation in trace.operations))
    for step, operation in enumerate(trace.operations):
        made = operation.writes[:1] + tuple(b for b in operation.writes[1:] if b in used)
        for buffer in (*operation.reads, *made):
            first.setdefault(buffer, step)
            last[buffer] = step
    for buffer in trace.outputs:
        first.setdefault(buffer, 0)
        last[buffer] = max(steps - 1, 0)
    change = [0] * (max(steps, 1) + 1)
    for buffer, start in first.items():
        change[start] += trace.sizes[buffer]
        change[last[buffer] + 1] -= trace.sizes[buffer]
    return max(accumulate(change))
