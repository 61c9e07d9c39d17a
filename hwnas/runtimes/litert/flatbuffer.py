"""A LiteRT model while it is being written: tensors, operators, one graph, version 3 of the format.

The classes of the format are those that LiteRT's own package has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from hwnas.runtimes.base import Array

_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "int8": schema.TensorType.INT8,
    "int32": schema.TensorType.INT32,
    "bool": schema.TensorType.BOOL,
}
_NAMES = {number: name for name, number in _TYPES.items()}
_IDENTIFIER = b"TFL3"


@dataclass(frozen=True)
class Scale:
    """How integers stand for numbers: scale × (integer - zero point).

    Attributes:
        values: one scale, or one for each slice along `dimension`.
        zeros: as many zero points.
        dimension: of the tensor as it is stored.
    """

    values: tuple[float, ...]
    zeros: tuple[int, ...]
    dimension: int = 0


class FlatGraph:
    """Collect tensors and operators; both are known by their numbers."""

    def __init__(self) -> None:
        """Start an empty graph."""
        # The first buffer is empty by convention: what is not constant has it.
        self._buffers = [schema.BufferT()]
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: dict[str, int] = {}

    def tensor(
        self,
        shape: tuple[int, ...],
        dtype: str = "float32",
        scale: Scale | None = None,
        content: Array | None = None,
    ) -> int:
        """Add a tensor; with `content` a constant."""
        quantization = None
        if scale is not None:
            quantization = schema.QuantizationParametersT(
                scale=list(scale.values),
                zeroPoint=list(scale.zeros),
                quantizedDimension=scale.dimension,
            )
        number = len(self._tensors)
        self._tensors.append(
            schema.TensorT(
                shape=list(shape),
                type=_TYPES[dtype],
                buffer=0 if content is None else self._buffer(content),
                name=f"tensor_{number}",
                quantization=quantization,
            )
        )
        return number

    def constant(self, content: Array, scale: Scale | None = None) -> int:
        """Add a constant as it is stored; integers of 64 bits, which ONNX counts by, in 32."""
        if content.dtype == np.int64:
            content = content.astype(np.int32)
        return self.tensor(content.shape, content.dtype.name, scale, content)

    def shape(self, number: int) -> tuple[int, ...]:
        """Give the shape of a tensor as it is stored."""
        return tuple(self._tensors[number].shape)

    def dtype(self, number: int) -> str:
        """Give the number format of a tensor."""
        return _NAMES[self._tensors[number].type]

    def add(
        self,
        code: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: str = "",
        **values: Any,
    ) -> None:
        """Add an operator.

        Args:
            code: its name in the format, e.g. ``CONV_2D``.
            inputs: numbers of its tensors; -1 for one that is left out.
            outputs: numbers of the tensors that it writes.
            options: name of its table of options, e.g. ``Conv2DOptions``.
            values: what differs from the table's defaults.
        """
        made = schema.OperatorT(
            opcodeIndex=self._codes.setdefault(code, len(self._codes)),
            inputs=list(inputs),
            outputs=list(outputs),
        )
        if options:
            made.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            made.builtinOptions = getattr(schema, f"{options}T")(**values)
        self._operators.append(made)

    def content(self, source: int, result: int) -> bytes:
        """Give the file's bytes for one input and one output."""
        graph = schema.SubGraphT(
            tensors=self._tensors,
            inputs=[source],
            outputs=[result],
            operators=self._operators,
            name="network",
        )
        codes = [getattr(schema.BuiltinOperator, code) for code in self._codes]
        model = schema.ModelT(
            version=3,
            operatorCodes=[
                # The first field is a byte: larger codes stand in the second one only.
                schema.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code)
                for code in codes
            ],
            subgraphs=[graph],
            description="hwnas",
            buffers=self._buffers,
        )
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
        return bytes(builder.Output())

    def _buffer(self, content: Array) -> int:
        data = np.frombuffer(np.ascontiguousarray(content).tobytes(), dtype=np.uint8)
        self._buffers.append(schema.BufferT(data=data))
        return len(self._buffers) - 1
