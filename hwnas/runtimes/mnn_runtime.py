"""MNN on the CPU, in float32."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
from onnx import helper, numpy_helper

from hwnas.errors import InvalidValueError
from hwnas.runtimes.base import Array
from hwnas.runtimes.constant_nodes import without_constant_nodes
from hwnas.runtimes.cpu_only import CpuRuntime, Model
from hwnas.runtimes.decomposed import decomposed
from hwnas.runtimes.native_output import quiet

_LACKING_OR_WRONG = ("ConvTranspose", "Mish", "Pad.wrap", "Resize.cubic")
_LACKING = re.compile(r"ONNX::(\w+)")
# Its import prints, so that it is imported where that can be kept away.
if find_spec("MNN") is None:
    raise ModuleNotFoundError("No module named 'MNN'", name="MNN")


class MnnRuntime(CpuRuntime):
    """MNN with the precision ``high``, which is float32; the input is in NCHW.

    What does not depend on the input, such as branches of zeros, is computed before: MNN gets batch
    norms of constants wrong, and takes zeros of no stated value from what lies in memory. Of an
    LSTM all outputs are named, used or not: without, its converter dies. What a Where takes where
    its condition does not hold is written out in its whole shape: MNN reads beyond it. `a < b` is
    written as `b > a`: MNN's Less takes negative numbers in the wrong order.
    """

    name: ClassVar[str] = "mnn"
    packages: ClassVar[tuple[str, ...]] = ("MNN",)
    differs_between_processes: ClassVar[bool] = True

    @contextmanager
    def load(self, onnx_file: Path, shape: tuple[int, ...], threads: int) -> Iterator[Model]:
        """Convert by MNN's own converter, in this process."""
        converted, told = onnx_file.with_suffix(".mnn"), onnx_file.with_suffix(".txt")
        with quiet(1, told):
            import _tools
            import MNN

            model = without_constant_nodes(decomposed(onnx.load(onnx_file), _LACKING_OR_WRONG))
            model = with_whole_choices(without_less(with_all_outputs(model)))
            onnx.save(model, onnx_file)
            files = ["--modelFile", str(onnx_file), "--MNNModel", str(converted)]
            _tools.mnnconvert(["mnnconvert", "-f", "ONNX", *files, "--bizCode", "hwnas"])
            if not converted.is_file():
                lacking = _LACKING.findall(told.read_text(errors="replace"))
                why = f"lacks {', '.join(dict.fromkeys(lacking))}" if lacking else "gave no file"
                raise InvalidValueError(
                    f"`model` must be a network that MNN {self.version()} can convert, but its "
                    f"converter {why}: use the runtime onnxruntime or openvino."
                )
            settings = {"backend": "CPU", "precision": "high", "numThread": threads}
            manager = MNN.nn.create_runtime_manager((settings,))
            module = MNN.nn.load_module_from_file(
                str(converted), ["input"], ["output"], runtime_manager=manager
            )
        yield _MnnModel(MNN, module, shape)


def with_all_outputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Name every output of an LSTM; the model is changed in place and given."""
    for i, node in enumerate(model.graph.node):
        if node.op_type == "LSTM":
            named = [*node.output, "", "", ""][:3]
            node.output[:] = [name or f"lstm_{i}_unused_{at}" for at, name in enumerate(named)]
    return model


def without_less(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write each Less as a Greater of its inputs in the other order; changed in place and given."""
    for node in model.graph.node:
        if node.op_type == "Less":
            node.op_type = "Greater"
            node.input[:] = node.input[::-1]
    return model


def with_whole_choices(model: onnx.ModelProto) -> onnx.ModelProto:
    """Expand what a Where takes where its condition does not hold; changed in place and given.

    Left as it is are single numbers and what is of the whole shape, or of one that is not known.
    """
    graph = onnx.shape_inference.infer_shapes(model).graph
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.value_info, *graph.output)
    } | {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    nodes = list[onnx.NodeProto]()
    for node in model.graph.node:
        if node.op_type == "Where":
            given, whole = node.input[2], shapes.get(node.output[0], [0])
            own = shapes.get(given, whole)
            if all(whole) and own != whole and math.prod(own) != 1:
                wide, length = f"{node.output[0]}_otherwise", f"{node.output[0]}_shape"
                model.graph.initializer.append(numpy_helper.from_array(np.array(whole), length))
                nodes.append(helper.make_node("Expand", [given, length], [wide]))
                node.input[2] = wide
        nodes.append(onnx.NodeProto.FromString(node.SerializeToString()))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


class _MnnModel(Model):
    def __init__(self, library: Any, module: Any, shape: tuple[int, ...]) -> None:
        self._module = module
        self._input = library.expr.placeholder(list(shape), library.expr.NCHW)

    def set_input(self, images: Array) -> None:
        self._input.write(np.ascontiguousarray(images))

    def run(self) -> None:
        self._module.forward(self._input).read()

    def outputs(self) -> list[Array]:
        # What `read` gives lives no longer than the next run.
        return [np.array(self._module.forward(self._input).read())]
