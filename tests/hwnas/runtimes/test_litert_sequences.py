"""Recurrent layers and tokens in LiteRT, beside ONNX Runtime and PyTorch."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from hwnas.runtimes import make_runtime
from hwnas.runtimes.agreement import agreement, compared
from hwnas.runtimes.base import OnnxModel, RunSettings, TorchNetwork
from hwnas.seeding import seeded
from hwnas.tasks.task import TensorSpec

pytest.importorskip("ai_edge_litert", reason="needs the extra litert")

from hwnas.runtimes.litert.from_onnx import to_litert
from hwnas.runtimes.litert.translation import UnwrittenError

TIME, BATCH, FEATURES, WIDTH = 5, 2, 3, 4
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def layer(kind: str, output: int = 0, begins: bool = True, **more: Any) -> onnx.ModelProto:
    """Give one recurrent layer from `x` (T, B, F) to one of its outputs."""
    rng, count = np.random.default_rng(0), 2 if more.get("direction") == "bidirectional" else 1
    wide, states = GATES[kind] * WIDTH, ["h", "c"][: 2 if kind == "LSTM" else 1]
    shapes = {"w": (wide, FEATURES), "r": (wide, WIDTH), "b": (2 * wide,)}
    shapes |= {name: (BATCH, WIDTH) for name in states if begins}
    given = {"linear_before_reset": 1} if kind == "GRU" else {}
    outputs = ["y" if i == output else "" for i in range(output + 1)]
    names = ["x", "w", "r", "b", "", *(states if begins else ())]
    node = helper.make_node(kind, names, outputs, hidden_size=WIDTH, **{**given, **more})
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (TIME, BATCH, FEATURES))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(rng.normal(size=(count, *shape)).astype(np.float32), name)
            for name, shape in shapes.items()
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    inferred: onnx.ModelProto = onnx.shape_inference.infer_shapes(made)
    return inferred


def begun_by_inputs(made: onnx.ModelProto) -> onnx.ModelProto:
    """Let the states that a layer begins with depend on its inputs: (n, B, H) + (1, B, 1)."""
    layer_alone = made.graph.node.pop()
    made.graph.node.append(helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0, 2]))
    for state in made.graph.initializer:
        if state.name in ("h", "c"):
            computed = helper.make_node("Add", [f"{state.name}0", "mean"], [state.name])
            made.graph.node.append(computed)
            state.name += "0"
    made.graph.node.append(layer_alone)
    inferred: onnx.ModelProto = onnx.shape_inference.infer_shapes(made)
    return inferred


def assert_as_onnx_runtime(made: onnx.ModelProto) -> None:
    batch = made.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    with make_runtime("litert").prepare(OnnxModel(made), RunSettings(batch=batch)) as ready:
        session = onnxruntime.InferenceSession(made.SerializeToString())
        expected = session.run(None, {"x": ready.inputs[0]})
        assert compared(ready, [expected]).relative_error < 1e-5


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize("kind", GATES)
def test_a_layer_is_onnx_runtimes(kind: str, begins: bool, direction: str) -> None:
    for output in range(3 if kind == "LSTM" else 2):
        assert_as_onnx_runtime(layer(kind, output, begins, direction=direction))
        if begins:
            assert_as_onnx_runtime(begun_by_inputs(layer(kind, output, direction=direction)))


def test_what_pytorchs_layers_are_not_is_refused() -> None:
    for kind, more, reason in (
        ("GRU", {"linear_before_reset": 0}, "GRU with other activations, or reset before the"),
        ("LSTM", {"activations": ["Sigmoid", "Relu", "Tanh"]}, "LSTM with other activations"),
        ("LSTM", {"clip": 1.0}, "LSTM with lengths, peepholes"),
        ("LSTM", {"input_forget": 1}, "LSTM with lengths, peepholes"),
    ):
        with pytest.raises(UnwrittenError, match=reason):
            to_litert(layer(kind, **more))


@pytest.mark.parametrize(
    ("place", "given"),
    [(4, np.full(BATCH, TIME - 1, np.int32)), (7, np.ones((1, 3 * WIDTH), np.float32))],
)
def test_lengths_and_peepholes_are_refused(place: int, given: Any) -> None:
    made = layer("LSTM")
    names = [*made.graph.node[0].input, ""]
    names[place] = "more"
    made.graph.node[0].input[:] = names
    made.graph.initializer.append(numpy_helper.from_array(given, "more"))
    with pytest.raises(UnwrittenError, match="LSTM with lengths, peepholes"):
        to_litert(made)


def test_states_of_two_widths_are_refused() -> None:
    made = layer("LSTM")
    (state,) = (a for a in made.graph.initializer if a.name == "h")
    state.CopyFrom(numpy_helper.from_array(np.zeros((1, BATCH, 2), np.float32), "h"))
    with pytest.raises(UnwrittenError, match=r"states are of two widths \(proj_size\)"):
        to_litert(made)


def test_more_steps_than_can_be_written_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas.runtimes.litert.recurrent.LARGEST_STEPS", 9)
    to_litert(layer("LSTM"))
    with pytest.raises(UnwrittenError, match=r"LSTM of 10 steps, each of which.*shorten"):
        to_litert(layer("LSTM", direction="bidirectional"))


@pytest.mark.parametrize("kind", GATES)
def test_weights_that_are_held_once_give_the_same(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, _ = to_litert(layer(kind))
    monkeypatch.setattr("hwnas.runtimes.litert.recurrent.LARGEST_COPIES", 0)
    after, _ = to_litert(layer(kind))
    assert before != after
    assert_as_onnx_runtime(layer(kind))


class Tagger(nn.Module):
    """Two layers both ways over words and their places; hides what is word 0."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(20, 6), nn.Embedding(8, 6)
        self.layers = nn.LSTM(6, 5, 2, batch_first=True, bidirectional=True)
        self.after = nn.GRU(10, 4)
        self.out = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        known = (x != 0).float()[..., None]
        words = self.words(x) * known + self.places(torch.arange(x.shape[1]))
        (y, _), n = self.layers(words), known.sum(1).clamp(min=1)
        _, last = self.after(y.transpose(0, 1))
        found: torch.Tensor = self.out(last[0]) / n
        return found


@pytest.fixture(scope="module")
def tagger() -> TorchNetwork:
    with seeded(1):
        return TorchNetwork(Tagger().eval(), TensorSpec.of((8,), vocabulary=20))


def test_tokens_go_through_recurrent_layers_as_in_pytorch(tagger: TorchNetwork) -> None:
    with make_runtime("litert").prepare(tagger, RunSettings(batch=2)) as ready:
        assert agreement(ready, tagger.module).relative_error < 1e-5
        # States begin anew in each run.
        first, second = ready.outputs(), ready.outputs()
    np.testing.assert_array_equal(first, second)


def test_in_int8_recurrent_layers_stay_in_float32(tagger: TorchNetwork) -> None:
    settings = RunSettings(precision="int8", batch=2)
    with make_runtime("litert").prepare(tagger, settings) as ready:
        found, kept = agreement(ready, tagger.module), getattr(ready, "facts", {})
    assert found.correlation > 0.99
    assert {"1 GRU", "2 LSTM"} <= {*kept["float32_operators"].split(", ")}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The models that a runtime has written."""
    found: list[bytes] = []

    def noted(model: onnx.ModelProto) -> tuple[bytes, dict[str, str]]:
        content, facts = to_litert(model)
        found.append(content)
        return content, facts

    monkeypatch.setattr("hwnas.runtimes.litert_runtime.to_litert", noted)
    return found


def interpreter_of(content: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_content=content)


def test_in_int8_embeddings_are_integers(written: list[bytes]) -> None:
    layers = nn.Sequential(nn.Embedding(20, 6), nn.Flatten(), nn.Linear(48, 3)).eval()
    words = TorchNetwork(layers, TensorSpec.of((8,), vocabulary=20))
    with make_runtime("litert").prepare(words, RunSettings(precision="int8")) as ready:
        assert agreement(ready, layers).correlation > 0.99
        assert "float32_operators" not in getattr(ready, "facts", {})
    tensors = interpreter_of(written[-1]).get_tensor_details()
    assert [t["dtype"] for t in tensors if tuple(t["shape"]) == (20, 6)] == [np.int8]


class Neighbours(nn.Module):
    """Looks words up that stand before those of the input, the last one before the first."""

    def __init__(self, moved: bool) -> None:
        super().__init__()
        self.table, self.moved = nn.Embedding(20, 6), moved

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.table.weight[x - 20 if self.moved else x.flip(1)]
        return found.mean(1)


@pytest.mark.parametrize("moved", [True, False])
def test_computed_places_may_count_from_the_end(moved: bool, written: list[bytes]) -> None:
    network = Neighbours(moved).eval()
    words = TorchNetwork(network, TensorSpec.of((8,), vocabulary=20))
    with make_runtime("litert").prepare(words, RunSettings(batch=2)) as ready:
        assert agreement(ready, network).relative_error < 1e-5
    operators = [o["op_name"] for o in interpreter_of(written[-1])._get_ops_details()]
    assert ("FLOOR_MOD" in operators) == moved  # tokens need none


@pytest.mark.parametrize("axis", [0, 1])
def test_computed_places_of_a_gather_may_count_from_the_end(axis: int) -> None:
    nodes = [
        helper.make_node("Sub", ["x", "size"], ["places"]),
        helper.make_node("Gather", ["table", "places"], ["y"], axis=axis),
    ]
    rng = np.random.default_rng(0)
    constants = {"size": np.array(7, np.int64), "table": rng.normal(size=(7, 7))}
    made = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.INT64, (2, 4))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [
                numpy_helper.from_array(v.astype(np.float32) if v.ndim else v, name)
                for name, v in constants.items()
            ],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    assert_as_onnx_runtime(onnx.shape_inference.infer_shapes(made))


@pytest.mark.parametrize("constant", [True, False])
def test_rows_of_what_is_computed_are_chosen(constant: bool) -> None:
    class Chosen(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            places = torch.tensor([2, -1, 0]) if constant else (x[:, 0] > 0).long() - 1
            return x.transpose(0, 1)[places][:, 0]

    network = Chosen().eval()
    vectors = TorchNetwork(network, TensorSpec.of((5,)))
    with make_runtime("litert").prepare(vectors, RunSettings(batch=2)) as ready:
        assert agreement(ready, network).relative_error < 1e-5


def test_repeated_tensors_are_pytorchs() -> None:
    class Repeated(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3)).repeat(1, 3) + x.repeat(1, 1, 2, 1)[:, :1, :, 0].mean(1).sum()

    network = Repeated().eval()
    images = TorchNetwork(network, TensorSpec.of((3, 4, 5)))
    with make_runtime("litert").prepare(images, RunSettings(batch=2)) as ready:
        assert agreement(ready, network).relative_error < 1e-5


def test_a_model_of_tokens_is_run(tmp_path: Any) -> None:
    node = helper.make_node("Gather", ["table", "x"], ["y"])
    table = numpy_helper.from_array(np.eye(3, dtype=np.float32), "table")
    source = helper.make_tensor_value_info("x", TensorProto.INT64, (2, 4))
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, (2, 4, 3))
    graph = helper.make_graph([node], "g", [source], [result], [table])
    file = os.fspath(tmp_path / "tokens.onnx")
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), file)
    with make_runtime("litert").prepare(OnnxModel(file), RunSettings(batch=2)) as ready:
        assert compared(ready, getattr(ready, "expected", [])).relative_error == 0
