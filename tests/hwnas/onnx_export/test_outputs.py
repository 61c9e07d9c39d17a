"""ONNX models with several outputs, compared with the networks that they were made from."""

from __future__ import annotations

from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn

from hwnas.errors import InvalidValueError
from hwnas.networks.answer import ALL, AnsweringAll, AnsweringApart
from hwnas.networks.usable import answering_network
from hwnas.onnx_export.export import export_onnx
from hwnas.onnx_export.outputs import with_outputs
from hwnas.runtimes.agreement import verify_onnx

SHAPE = (3, 8, 8)


class Several(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.conv, self.boxes = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 6, 1)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Any:
        y = self.conv(x).relu()
        boxes, logits = self.boxes(y), self.head(y.mean((2, 3)))
        match self.kind:
            case "list":
                return [boxes, logits]
            case "nested":
                return {"heads": (boxes, logits), "score": y.mean((1, 2, 3))}
            case "twice":
                return {"y": y, "again": y, "input": x, "output": boxes}
            case "reshaped":
                return logits, boxes.flatten(2).transpose(1, 2).reshape(x.shape[0], -1, 3)
            case "functional":  # goes through torch.onnx
                return boxes, torch.cumsum(logits, 1).sinh()
        return boxes


OUTPUTS: dict[str, dict[str, tuple[int, ...]]] = {
    "list": {"output_0": (6, 4, 4), "output_1": (5,)},
    "nested": {"heads.0": (6, 4, 4), "heads.1": (5,), "score": ()},
    "twice": {"y": (4, 4, 4), "again": (4, 4, 4), "input_": (3, 8, 8), "output": (6, 4, 4)},
    "reshaped": {"output_0": (5,), "output_1": (32, 3)},
    "functional": {"output_0": (6, 4, 4), "output_1": (5,)},
    "lone": {"output": (6, 4, 4)},
}


def exported(kind: str, dynamic: bool) -> tuple[onnx.ModelProto, AnsweringAll]:
    torch.manual_seed(0)
    network = answering_network(Several(kind), lambda: torch.randn(2, *SHAPE), ALL)
    assert isinstance(network, AnsweringAll)
    return export_onnx(network, SHAPE, batch=3, dynamic_batch=dynamic), network


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("kind", OUTPUTS)
def test_each_part_is_an_output_again(kind: str, dynamic: bool) -> None:
    joined, network = exported(kind, dynamic)
    before = joined.SerializeToString()
    model = with_outputs(joined, network.parts)
    assert joined.SerializeToString() == before
    onnx.checker.check_model(model, full_check=True)
    shapes = {
        o.name: [dim.dim_param or dim.dim_value for dim in o.type.tensor_type.shape.dim]
        for o in model.graph.output
    }
    batch = "batch" if dynamic else 3
    assert shapes == {name: [batch, *shape] for name, shape in OUTPUTS[kind].items()}
    apart = AnsweringApart(network.network, network.parts, network.training_parts)
    assert verify_onnx(model, apart, SHAPE) < 1e-5
    assert "Concat" not in [node.op_type for node in model.graph.node]


def test_a_model_that_is_not_joined_is_refused() -> None:
    joined, network = exported("nested", False)
    with pytest.raises(InvalidValueError, match="4 tensors that are joined, but ends in Concat of"):
        with_outputs(joined, [*network.parts, network.parts[0]])
