"""An ONNX graph while it is being written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper
from torch import Tensor

OPSET = 18
"""Operator set of 2022, which ONNX Runtime understands since 1.14."""
IR_VERSION = 8
"""The oldest file format that may hold `OPSET`."""


class UnsupportedError(Exception):
    """A network holds something that is not written directly; another exporter must do it."""


def require(condition: bool, what: str) -> None:
    """Leave the network to another exporter unless a condition holds; `what` is not written."""
    if not condition:
        raise UnsupportedError(what)


@dataclass(frozen=True)
class Value:
    """A tensor in the graph.

    Attributes:
        name: its name.
        shape: its shape for the batch that the network was traced with.
    """

    name: str
    shape: tuple[int, ...]


class GraphWriter:
    """Collect nodes and weights."""

    def __init__(self, source: Value, dynamic_batch: bool, tokens: bool = False) -> None:
        """Start an empty graph.

        Args:
            source: the input; its name must be ``input``.
            dynamic_batch: leave the first dimension of input and output free.
            tokens: the input is int64, not float32.
        """
        self._source = source
        self._input_type = onnx.TensorProto.INT64 if tokens else onnx.TensorProto.FLOAT
        self.dynamic_batch = dynamic_batch
        self.nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, npt.NDArray[Any]] = {}
        self._indices: dict[tuple[tuple[int, ...], bytes], str] = {}

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output and give the output's name."""
        number = len(self.nodes)
        output = f"{operator.lower()}_{number}"
        self.nodes.append(
            helper.make_node(operator, inputs, [output], name=f"node_{number}", **attributes)
        )
        return output

    def constant(self, *values: float, dtype: Any = np.int64) -> str:
        """Store a vector once and give its name."""
        array = np.asarray(values, dtype=dtype)
        return self._store(f"const_{array.dtype.name}_{'_'.join(map(str, values))}", array)

    def integer(self, value: int) -> str:
        """Store an int64 scalar once and give its name."""
        return self._store(f"const_integer_{value}", np.asarray(value, dtype=np.int64))

    def scalar(self, value: float) -> str:
        """Store a float32 scalar once and give its name."""
        return self._store(f"const_{value!r}", np.asarray(value, dtype=np.float32))

    def weight(self, name: str, tensor: Tensor) -> str:
        """Store a tensor under its name in the network, in float32 if it is floating-point."""
        tensor = tensor.detach().cpu()
        if tensor.is_floating_point():
            return self._store(name, tensor.float().numpy())
        # Tables of indices, which layers have each of their own, are stored once.
        known = self._indices.setdefault((tensor.shape, tensor.numpy().tobytes()), name)
        return self._store(known, tensor.numpy())

    def _store(self, name: str, array: npt.NDArray[Any]) -> str:
        self._weights.setdefault(name, array)
        return name

    def shape(self, value: Value) -> str:
        """Give the name of a value's shape, its batch taken from the input where that is free."""
        if not self.dynamic_batch:
            return self.constant(*value.shape)
        if value.shape[:1] != self._source.shape[:1]:
            raise UnsupportedError("a shape without the batch")
        batch = self.add("Shape", self._source.name, start=0, end=1)
        return self.add("Concat", batch, self.constant(*value.shape[1:]), axis=0)

    def finish(self, result: Value) -> onnx.ModelProto:
        """Make the model of what `result` depends on; `result` is named ``output``."""
        if self.dynamic_batch and result.shape[:1] != self._source.shape[:1]:
            raise UnsupportedError("an output without the batch")
        self._name_output(result.name)
        used = self._drop_dead_nodes()
        graph = helper.make_graph(
            self.nodes,
            "network",
            [self._description("input", self._source.shape, self._input_type)],
            [self._description("output", result.shape, onnx.TensorProto.FLOAT)],
            [
                numpy_helper.from_array(_contiguous(array), name)
                for name, array in self._weights.items()
                if name in used
            ],
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )

    def _description(
        self, name: str, shape: tuple[int, ...], element_type: int
    ) -> onnx.ValueInfoProto:
        dims: list[int | str] = [*shape]
        if self.dynamic_batch:
            dims[0] = "batch"
        return helper.make_tensor_value_info(name, element_type, dims)

    def _drop_dead_nodes(self) -> set[str]:
        """Keep the nodes that the output depends on; give the names that they read."""
        needed, alive = {"output"}, []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                alive.append(node)
        self.nodes = alive[::-1]
        return needed

    def _name_output(self, name: str) -> None:
        if not any(name in node.output for node in self.nodes):
            # The output is the input or a weight, which must keep its own name.
            name = self.add("Identity", name)
        for node in self.nodes:
            node.input[:] = ["output" if n == name else n for n in node.input]
            node.output[:] = ["output" if n == name else n for n in node.output]


def _contiguous(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    # Of a float, NumPy makes a vector of one, which every operator here broadcasts. An index must
    # stay a number: a vector of one would keep the axis.
    vector = np.ascontiguousarray(array)
    return vector if array.dtype != np.int64 else vector.reshape(array.shape)
