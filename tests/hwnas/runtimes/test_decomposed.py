"""ONNX operators written as others, beside ONNX Runtime's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwnas.runtimes.decomposed import WAYS, decomposed

X = (2, 3, 4, 5)


def model(
    kind: str,
    shapes: Sequence[Sequence[int]],
    constants: Sequence[Any] = (),
    opset: int = 18,
    **attributes: Any,
) -> onnx.ModelProto:
    """Give a model of one operator of inputs of these shapes and of constants behind them."""
    names = [f"x{i}" for i in range(len(shapes))]
    more = ["" if c is None else f"c{i}" for i, c in enumerate(constants)]
    given = {n: np.asarray(c) for n, c in zip(more, constants, strict=True) if n}
    graph = helper.make_graph(
        [
            helper.make_node(kind, [*names, *more], ["y"], **attributes),
            helper.make_node("Identity", ["y"], ["z"]),
        ],
        "g",
        [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
            for n, s in zip(names, shapes, strict=True)
        ],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(a.astype(np.float32) if a.dtype.kind == "f" else a, n)
            for n, a in given.items()
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return onnx.shape_inference.infer_shapes(made, data_prop=True)


def run(made: onnx.ModelProto) -> Any:
    rng = np.random.default_rng(0)
    feeds = {
        v.name: 3 * rng.standard_normal(
            [d.dim_value for d in v.type.tensor_type.shape.dim], dtype=np.float32
        )
        for v in made.graph.input
    }  # fmt: skip
    session = onnxruntime.InferenceSession(made.SerializeToString())
    (found,) = session.run(None, feeds)
    return found


def einsum(equation: str, *shapes: Sequence[int]) -> onnx.ModelProto:
    return model("Einsum", shapes, equation=equation)


def pad(pads: Sequence[int], mode: str, axes: Sequence[int] | None = None) -> onnx.ModelProto:
    named = [] if axes is None else [None, np.array(axes)]
    return model("Pad", [X], [np.array(pads), *named], opset=19, mode=mode)


def resize(shape: Sequence[int], sizes: Any = None, scales: Any = None, **more: Any) -> Any:
    given = [None, scales, None if sizes is None else np.array(sizes)]
    return model("Resize", [shape], given, **{"mode": "cubic", **more})


WEIGHT = np.linspace(-1, 1, 4 * 3 * 5, dtype=np.float32).reshape(4, 3, 5)
WRITTEN: Mapping[str, onnx.ModelProto] = {
    "Celu": model("Celu", [X], alpha=0.7),
    "ConvTranspose": model(
        "ConvTranspose",
        [(2, 4, 7)],
        [WEIGHT, np.ones(6)],
        group=2,
        strides=[3],
        pads=[1, 2],
        output_padding=[1],
        dilations=[2],
        kernel_shape=[5],
    ),
    "ConvTranspose, plain": model("ConvTranspose", [(2, 4, 7)], [WEIGHT]),
    "Einsum, heads": einsum("bihd,bjhd->bhij", (2, 3, 4, 5), (2, 6, 4, 5)),
    "Einsum, values": einsum("bhij,bjhd->bihd", (2, 4, 3, 6), (2, 6, 4, 5)),
    "Einsum, matrices": einsum("ij, jk -> ik", (2, 3), (3, 4)),
    "Einsum, outer": einsum("i,j->ji", (2,), (3,)),
    "Einsum, all": einsum("ij,ij->", (2, 3), (2, 3)),
    "Einsum, each": einsum("ij,ij->ji", (2, 3), (2, 3)),
    "Elu": model("Elu", [X], alpha=0.3),
    "Mish": model("Mish", [X]),
    "Pad, edges": pad([0, 0, 2, 1, 0, 1, 0, 3], "edge"),
    "Pad, round": pad([0, 0, 2, 1, 0, 1, 0, 5], "wrap"),
    "Pad, round some": pad([1, 2, 0, 3], "wrap", [-1, 1]),
    "Reciprocal": model("Reciprocal", [X]),
    "ReduceMax": model("ReduceMax", [X], [np.array([2, -1])]),
    "ReduceMax, flat": model("ReduceMax", [X], opset=13, axes=[-2, 3], keepdims=0),
    "ReduceMean": model("ReduceMean", [(2, 3, 4)], [np.array([1])], keepdims=0),
    "ReduceMean, last": model("ReduceMean", [(2, 3, 4)], [np.array([-1])]),
    "ReduceMean, rows": model("ReduceMean", [X], [np.array([2])]),
    "ReduceSum": model("ReduceSum", [(2, 3, 4)], [np.array([1])]),
    "ReduceSum, last": model("ReduceSum", [(2, 3, 4)], [np.array([2])], keepdims=0),
    "Resize": resize(X, (2, 3, 9, 4)),
    "Resize, scales": resize(X, scales=(1.0, 1.0, 1.7, 2.3), cubic_coeff_a=-0.5),
    "Resize, one": resize(X, (9,), axes=[-1], coordinate_transformation_mode="align_corners"),
    "Resize, smoothed": resize((1, 3, 8, 8), (1, 3, 3, 5), antialias=1),
    "Resize, outside": resize(X, (2, 3, 9, 4), exclude_outside=1),
    "Resize, linear": resize(X, (2, 3, 9, 4), mode="linear"),
    "Resize, signals": resize((2, 3, 7), (2, 3, 5), mode="linear"),
    "Selu": model("Selu", [X]),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_otherwise_gives_the_same(name: str) -> None:
    made = WRITTEN[name]
    found = decomposed(made, [name.partition(",")[0] + mode for mode in ("", *MODES)])
    onnx.checker.check_model(found, full_check=True)
    assert made.graph.node[0] not in found.graph.node
    np.testing.assert_allclose(run(found), run(made), rtol=1e-5, atol=1e-5)


MODES = (".edge", ".wrap", ".cubic", ".linear")
KEPT: Mapping[str, onnx.ModelProto] = {
    "ConvTranspose, images": model("ConvTranspose", [(2, 4, 7, 6)], [WEIGHT[..., None]]),
    "Einsum, diagonal": einsum("ii->i", (3, 3)),
    "Einsum, alone": einsum("ij->ji", (2, 3)),
    "Einsum, summed alone": einsum("ij,k->k", (2, 3), (4,)),
    "Einsum, dots": einsum("...i,...i->...", (2, 3), (2, 3)),
    "Einsum, order of letters": einsum("ij,jk", (2, 3), (3, 4)),
    "Einsum, three": einsum("i,j,k->ijk", (2,), (3,), (4,)),
    "Elu": model("Elu", [X]),
    "Pad, mirrored": pad([0, 0, 2, 1, 0, 1, 0, 3], "reflect"),
    "Pad, cut": pad([0, 0, -1, 1, 0, 0, 0, 0], "edge"),
    "Pad, twice round": pad([0, 0, 0, 6, 0, 0, 0, 0], "wrap"),
    "ReduceMax, channels": model("ReduceMax", [X], [np.array([1])]),
    "ReduceMean, images": model("ReduceMean", [X], [np.array([2, 3])]),
    "ReduceMean, old": model("ReduceMean", [X], opset=13, axes=[1]),
    "ReduceMean, batch": model("ReduceMean", [(2, 3, 4)], [np.array([0])]),
    "ReduceSum, all": model("ReduceSum", [(2, 3, 4)]),
    "Resize, nearest": resize(X, (2, 3, 9, 4), mode="nearest"),
    "Resize, channels": resize((2, 3, 4, 5), (2, 6, 4, 5), mode="linear"),
    "Resize, a part": model(
        "Resize",
        [X],
        [np.array([0, 0, 0.1, 0.1, 1, 1, 0.9, 0.9], np.float32), None, np.array([2, 3, 9, 4])],
        mode="linear",
        coordinate_transformation_mode="tf_crop_and_resize",
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_has_no_other_words_stays(name: str) -> None:
    made = KEPT[name]
    found = decomposed(made, [*(kind + mode for kind in WAYS for mode in ("", *MODES))])
    assert list(found.graph.node) == list(made.graph.node)


def test_only_what_is_asked_for_is_written_otherwise() -> None:
    made = WRITTEN["Pad, edges"]
    assert decomposed(made, ["Pad.wrap", "Mish"]) is made
