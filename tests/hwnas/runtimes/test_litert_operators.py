"""Hand-written ONNX models for LiteRT, beside ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwnas.runtimes import make_runtime
from hwnas.runtimes.agreement import compared
from hwnas.runtimes.base import OnnxModel, RunSettings

pytest.importorskip("ai_edge_litert", reason="needs the extra litert")

from hwnas.runtimes.litert.from_onnx import to_litert
from hwnas.runtimes.litert.translation import UnwrittenError

IMAGE, SIGNAL = (1, 3, 4, 5), (1, 3, 6)


def model(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, Any],
    shape: Sequence[int],
    opset: int = 17,
) -> onnx.ModelProto:
    """Give a model from `x` to `y`."""
    arrays = {name: np.array(value) for name, value in constants.items()}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(a.astype(np.float32) if a.dtype.kind == "f" else a, name)
            for name, a in arrays.items()
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    inferred: onnx.ModelProto = onnx.shape_inference.infer_shapes(made, data_prop=True)
    onnx.checker.check_model(inferred)
    return inferred


def assert_as_onnx_runtime(made: onnx.ModelProto) -> None:
    batch = made.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    with make_runtime("litert").prepare(OnnxModel(made), RunSettings(batch=batch)) as ready:
        session = onnxruntime.InferenceSession(made.SerializeToString())
        expected = session.run(None, {made.graph.input[0].name: ready.inputs[0]})
        assert compared(ready, [expected]).relative_error < 1e-5


def resize(sizes: Sequence[int], shape: Sequence[int], **attributes: str) -> onnx.ModelProto:
    node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], **attributes)
    return model([node], {"sizes": np.array(sizes)}, shape)


NEAREST = {
    "mode": "nearest",
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "floor",
}
LINEAR = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}


@pytest.mark.parametrize("way", [NEAREST, LINEAR])
@pytest.mark.parametrize("sizes", [(1, 3, 12), (1, 3, 4), (1, 3, 7, 3)])
def test_signals_and_images_are_resized(sizes: Sequence[int], way: Mapping[str, str]) -> None:
    assert_as_onnx_runtime(resize(sizes, SIGNAL if len(sizes) == 3 else IMAGE, **way))


@pytest.mark.parametrize("way", [NEAREST, LINEAR])
@pytest.mark.parametrize("sizes", [(1, 6, 6), (1, 6, 4, 5), (2, 3, 4, 5)])
def test_channels_and_batches_are_not_resized(sizes: Sequence[int], way: Mapping[str, str]) -> None:
    with pytest.raises(UnwrittenError, match="Resize in another way than nearest or linear"):
        to_litert(resize(sizes, SIGNAL if len(sizes) == 3 else IMAGE, **way))
