"""Networks that are run with each of their kernels timed, in the runtimes that do that."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx

from hwnas.errors import InvalidValueError
from hwnas.runtimes.base import RunSettings
from hwnas.runtimes.onnxruntime_session import open_session, random_feeds
from hwnas.typing import FloatArray
from hwnas_predictors.kernels.openvino_graph import compiled, layers_in

_NODE = re.compile(r"kernel(\d+)_kernel_time")


class Profiled(NamedTuple):
    """A network that times its kernels.

    Attributes:
        run: runs it once.
        times: ends the profile, and gives `(n, k)` times in ms of the kernels in all runs, or
            `(1, k)` means of them.
        each: whether they are of each run, with what profiling adds to each kernel; a mean holds
            the turns of other processes instead, which fall into kernels by their lengths.
    """

    run: Callable[[], None]
    times: Callable[[], FloatArray]
    each: bool


@contextmanager
def onnxruntime_profiler(fused: onnx.ModelProto, threads: int) -> Iterator[Profiled]:
    """Run a graph of ONNX Runtime as it stands.

    Args:
        fused: what `fused_graph` gives; its nodes are renamed.
        threads: threads inside an operator.

    Raises:
        InvalidValueError: ONNX Runtime cannot load the graph; and by `times`, its profiler leaves
            out a node.
    """
    for number, node in enumerate(fused.graph.node):
        node.name = f"kernel{number}"
    with tempfile.TemporaryDirectory() as folder:
        session = open_session(
            fused.SerializeToString(),
            threads=threads,
            optimise=False,
            profile_prefix=str(Path(folder) / "profile"),
        )
        feeds = random_feeds(session, 1, None)

        def times() -> FloatArray:
            events = json.loads(Path(session.end_profiling()).read_text())
            return run_times(events, [node.op_type for node in fused.graph.node])

        yield Profiled(lambda: session.run(None, feeds), times, each=True)


def run_times(events: Iterable[dict[str, Any]], operators: Sequence[str]) -> FloatArray:
    """Give `(n, k)` times in ms of the nodes with these operators, a row a run.

    Raises:
        InvalidValueError: a node was not timed as often as others.
    """
    rows: list[list[float]] = [[] for _ in operators]
    for event in events:
        named = _NODE.fullmatch(event.get("name", ""))
        if named is not None:
            rows[int(named[1])].append(event["dur"] / 1e3)
    runs = max(map(len, rows), default=0)
    for operator, row in zip(operators, rows, strict=True):
        if not row or len(row) != runs:
            raise InvalidValueError(
                f"`onnx` must consist of nodes that ONNX Runtime's profiler times in each run, but "
                f"got {len(row)} times of a node {operator} in {runs} runs: leave the network out."
            )
    return np.array(rows).T


@contextmanager
def openvino_profiler(content: bytes, settings: RunSettings) -> Iterator[Profiled]:
    """Run a network in OpenVINO; arguments and errors as of `openvino_graph.compiled`.

    Its times raise `InvalidValueError` where OpenVINO names a layer otherwise in its profile.
    """
    read, made = compiled(content, settings, timed=True)
    request = made.create_infer_request()
    rng = np.random.default_rng(0)
    for i, value in enumerate(read.inputs):
        drawn = rng.standard_normal(list(value.get_shape())).astype(np.float32)
        request.get_input_tensor(i).data[:] = drawn
    names = [layer.get_friendly_name() for layer in layers_in(made)]

    def times() -> FloatArray:
        return layer_times(request.profiling_info, names)

    yield Profiled(request.infer, times, each=False)


def layer_times(profile: Iterable[Any], names: Sequence[str]) -> FloatArray:
    """Give `(1, k)` times in ms of the layers with these names, of OpenVINO's profile of a run.

    They are whole microseconds: a layer that takes less than one, or that had nothing to do, has 0.

    Raises:
        InvalidValueError: a layer is not in the profile.
    """
    told = {layer.node_name: layer.real_time for layer in profile}
    missing = [name for name in names if name not in told]
    if missing:
        raise InvalidValueError(
            f"`onnx` must consist of layers that OpenVINO's profiler times, but got no time of "
            f"{len(missing)} of {len(names)}, e.g. {missing[0]!r}: leave the network out."
        )
    return np.array([[1e3 * told[name].total_seconds() for name in names]])
