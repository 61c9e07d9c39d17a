"""Quantised models that OpenVINO would compute otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwnas.runtimes.onnxruntime_session import open_session
from hwnas.runtimes.openvino_int8 import sums_in_four_dimensions

openvino = pytest.importorskip("openvino", reason="needs the extra openvino")

ATTRIBUTE = {"ReduceMean": 18, "ReduceSum": 13}
"""The operator sets from which axes are an input."""


def reduced(
    operator: str, axes: tuple[int, ...], keep: bool, opset: int, shape: tuple[int, ...]
) -> onnx.ModelProto:
    """Give a model that stores its input in int8 and reduces it."""
    step, zero = np.array(4 / 127, np.float32), np.array(0, np.int8)
    constants: dict[str, npt.NDArray[Any]] = {"step": step, "zero": zero}
    given: dict[str, Any] = {"keepdims": int(keep)}
    if opset < ATTRIBUTE[operator]:
        inputs, given = ["d"], {**given, "axes": axes}
    else:
        inputs, constants = ["d", "axes"], {**constants, "axes": np.array(axes)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "step", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "step", "zero"], ["d"]),
        helper.make_node(operator, inputs, ["y"], **given),
    ]
    graph = helper.make_graph(
        nodes,
        "sums",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("axes", [(1,), (-2,), (1, 2), (2, 1)])
@pytest.mark.parametrize(("operator", "opset"), [(o, n) for o in ATTRIBUTE for n in (13, 18)])
def test_every_sequence_is_summed(
    operator: str, opset: int, axes: tuple[int, ...], keep: bool
) -> None:
    assert_summed(operator, opset, axes, keep, (3, 5, 4))


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("axes", [(1,), (2,), (1, 2)])
@pytest.mark.parametrize(("operator", "opset"), [(o, n) for o in ATTRIBUTE for n in (13, 18)])
def test_every_sequence_of_one_place_is_summed(
    operator: str, opset: int, axes: tuple[int, ...], keep: bool
) -> None:
    assert_summed(operator, opset, axes, keep, (3, 1, 4))


def assert_summed(
    operator: str, opset: int, axes: tuple[int, ...], keep: bool, shape: tuple[int, ...]
) -> None:
    model = reduced(operator, axes, keep, opset, shape)
    feeds = {"x": np.random.default_rng(0).uniform(-4, 4, shape).astype(np.float32)}
    (wanted,) = open_session(model.SerializeToString()).run(None, feeds)
    sums_in_four_dimensions(model)
    content = model.SerializeToString()
    (same,) = open_session(content).run(None, feeds)
    np.testing.assert_allclose(same, wanted, rtol=1e-6, atol=1e-6)
    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(content), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    found = compiled(feeds)[0]
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=0.02)


@pytest.mark.parametrize(
    ("axes", "shape"), [((2,), (3, 5, 4)), ((0, 1), (3, 5, 4)), ((1,), (1, 5, 4)), ((1,), (3, 5))]
)
def test_what_is_right_stays(axes: tuple[int, ...], shape: tuple[int, ...]) -> None:
    model = reduced("ReduceMean", axes, False, 18, shape)
    before = model.SerializeToString()
    sums_in_four_dimensions(model)
    assert model.SerializeToString() == before
