"""Models without nodes that compute constants."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from hwnas.onnx_export.export import export_onnx
from hwnas.runtimes.constant_nodes import without_constant_nodes
from hwnas.seeding import seeded


class Half(nn.Module):
    """Adds a convolution of zeros, which is its bias, to the input; or gives it alone."""

    def __init__(self, alone: bool = False) -> None:
        super().__init__()
        self.conv, self.alone = nn.Conv2d(3, 3, 3, padding=1), alone

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        constant: torch.Tensor = self.conv(torch.zeros_like(x))
        return constant if self.alone else torch.relu(x + constant)


def outputs(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return np.asarray(session.run(None, {"input": x})[0])


def test_what_does_not_depend_on_the_input_becomes_a_value() -> None:
    with seeded(0):
        model = export_onnx(Half(), (3, 4, 4), batch=2)
    assert [n.op_type for n in model.graph.node] == ["ConstantOfShape", "Conv", "Add", "Relu"]
    found = without_constant_nodes(model)
    onnx.checker.check_model(found, full_check=True)
    assert [n.op_type for n in found.graph.node] == ["Add", "Relu"]
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32)
    np.testing.assert_allclose(outputs(found, x), outputs(model, x), rtol=1e-6)
    assert len(model.graph.node) == 4


def test_models_without_such_nodes_and_those_that_are_constant_stay() -> None:
    for module in (nn.ReLU(), Half(alone=True)):
        model = export_onnx(module, (3, 4, 4))
        assert without_constant_nodes(model) is model
