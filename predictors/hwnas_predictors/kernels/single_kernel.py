"""The latency of one kernel, measured in a model that holds nothing else.

The model holds several copies of the node, each with weights of its own, and is run without
optimisation: the node is what a fused graph holds already. What a run costs without any kernel
is subtracted, and the rest divided by the number of copies. So neither the call from Python nor
the clock's resolution enters a kernel of a few microseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hwnas.cache import Result, ResultCache
from hwnas.costs.onnxruntime_latency import measure_latency
from hwnas.errors import InvalidValueError
from hwnas.host import host_fingerprint
from hwnas_predictors.kernels.kernel import Attribute, Kernel, Shape

_VERSION = 1
_RUN_MS = 1.0
"""A run with all copies should take this long: a hundred times what a run costs without any."""
_MOST_COPIES = 64
_MOST_WEIGHTS = 16_000_000
# Rough speeds of one core decide on the copies only.
_FLOPS_PER_MS, _BYTES_PER_MS = 2e7, 5e6


def copies(kernel: Kernel) -> int:
    """Choose how many copies of a kernel one model holds."""
    seen = kernel.configuration
    guess_ms = seen.flops / _FLOPS_PER_MS + seen.bytes / _BYTES_PER_MS + 1e-3
    room = _MOST_WEIGHTS // max(1, seen.weights)
    return max(1, min(round(_RUN_MS / guess_ms), _MOST_COPIES, room))


def single_kernel_model(kernel: Kernel, number: int, seed: int = 0) -> onnx.ModelProto:
    """Write a model that runs a kernel `number` times.

    Images are shared by the copies; weights are not. The model's output is one number that no
    kernel is needed for, so that no output is copied; ONNX Runtime runs unused nodes nonetheless
    when it does not optimise.

    Args:
        kernel: the kernel.
        number: copies; with 0 a run costs what any run costs.
        seed: seed of the weights.
    """
    rng = np.random.default_rng(seed)
    names = [f"in{i}" if shape is not None else "" for i, shape in enumerate(kernel.inputs)]
    constants = dict(kernel.constants)
    tensors = [
        numpy_helper.from_array(np.array(constants[i], dtype=np.int64), names[i]) for i in constants
    ]
    inputs = [_value("tick", (1,))]
    for i, shape in enumerate(kernel.inputs):
        if shape is not None and i not in constants and i not in kernel.weights:
            inputs.append(_value(names[i], shape))
    nodes = [helper.make_node("Identity", ["tick"], ["tock"])]
    for copy in range(number):
        own = list(names)
        for i in kernel.weights:
            shape = kernel.inputs[i]
            assert shape is not None
            values = rng.standard_normal(shape, dtype=np.float32) / max(1.0, prod(shape[1:])) ** 0.5
            own[i] = f"weight{i}_{copy}"
            tensors.append(numpy_helper.from_array(values, own[i]))
        nodes.append(_node(kernel, own, copy))
    graph = helper.make_graph(nodes, "kernel", inputs, [_value("tock", (1,))], tensors)
    versions = {"": 18, kernel.domain: kernel.version}
    opsets = [helper.make_opsetid(domain, version) for domain, version in versions.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _value(name: str, shape: Shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _node(kernel: Kernel, inputs: Sequence[str], copy: int) -> onnx.NodeProto:
    return helper.make_node(
        kernel.operator,
        list(inputs),
        [f"out{copy}_{i}" for i in range(kernel.outputs)],
        domain=kernel.domain,
        **{name: _listed(value) for name, value in kernel.attributes},
    )


def _listed(value: Attribute) -> Any:
    return list(value) if isinstance(value, tuple) else value


class KernelTimer:
    """Measures kernels on this host, each once: results are kept in a cache.

    Args:
        threads: threads inside an operator.
        max_seconds: time for one kernel.
        cache: where results are kept; an interrupted build goes on from it.
        seed: seed of weights and images.
    """

    def __init__(
        self,
        *,
        threads: int = 1,
        max_seconds: float = 0.2,
        cache: ResultCache | None = None,
        seed: int = 0,
    ) -> None:
        self.threads = threads
        self.max_seconds = max_seconds
        self.measured = 0
        self._cache = cache if cache is not None else ResultCache(None)
        self._seed = seed
        self._empty_ms: float | None = None

    @property
    def empty_ms(self) -> float:
        """What a run costs without any kernel, in ms."""
        if self._empty_ms is None:
            nothing = Kernel("Identity", "", ((1,),), (1,), version=18)
            self._empty_ms = self._run(single_kernel_model(nothing, 0))
        return self._empty_ms

    def __call__(self, kernel: Kernel) -> float:
        """Measure one kernel, or look it up; ms, NaN where it cannot be run by itself."""
        key = (
            f"kernel-latency {_VERSION}|{host_fingerprint()}|threads={self.threads}|"
            f"seed={self._seed}|max_seconds={self.max_seconds}|{kernel!r}"
        )
        found = self._cache.get([key]).get(key)
        if found is None:
            found = self._measure(kernel)
            self._cache.put({key: found})
            self.measured += 1
        return found.value

    def _measure(self, kernel: Kernel) -> Result:
        number = copies(kernel)
        try:
            latency = self._run(single_kernel_model(kernel, number, self._seed))
        except InvalidValueError as error:
            return Result(float("nan"), str(error))
        # Noise can make the shortest kernels seem to take no time.
        return Result(max(latency - self.empty_ms, 1e-5 * number) / number)

    def _run(self, model: onnx.ModelProto) -> float:
        return measure_latency(
            model,
            threads=self.threads,
            max_seconds=self.max_seconds,
            optimise=False,
            seed=self._seed,
        ).latency_ms
