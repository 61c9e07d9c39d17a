"""Networks of several inputs as networks of one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hwnas
from hwnas.costs.counters import count
from hwnas.errors import InvalidValueError, ProxyError
from hwnas.networks.joined import JoinedInputs
from hwnas.networks.usable import answering_network
from hwnas.onnx_export.export import EXPORTER_KEY, export_onnx
from hwnas.runtimes.agreement import largest_difference, torch_outputs
from hwnas.runtimes.base import OnnxModel, RunSettings
from hwnas.runtimes.onnxruntime_runtime import OnnxRuntime
from hwnas.tasks.task import TensorSpec

SHAPES = (3, 8, 8), (10,)


class Two(nn.Module):
    """An image and a vector."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU())
        self.vector = nn.Sequential(nn.Linear(10, width), nn.ReLU())
        self.head = nn.Linear(2 * width, 5)

    def forward(self, image: Tensor, vector: Tensor) -> Tensor:
        seen = self.image(image).mean((2, 3))
        answer: Tensor = self.head(torch.cat([seen, self.vector(vector)], 1))
        return answer


def build(trial: Any) -> nn.Module:
    return JoinedInputs(Two(trial.suggest_int("width", 2, 8, step=2)), *SHAPES)


def test_the_network_gets_the_parts_in_their_order() -> None:
    network = JoinedInputs(Two(), *SHAPES).eval()
    assert network.input == (1, 3 * 8 * 8 + 10)
    image, vector = torch.randn(4, 3, 8, 8), torch.randn(4, 10)
    joined = JoinedInputs.join(image, vector)
    assert joined.shape == (4, *network.input)
    assert torch.equal(network(joined), network.network(image, vector))


def test_tokens_stay_integers() -> None:
    class Pairs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(9, 4)

        def forward(self, question: Tensor, answer: Tensor) -> Tensor:
            return torch.cat([self.embed(question).mean(1), self.embed(answer).mean(1)], 1)

    network = JoinedInputs(Pairs(), (3,), (5,))
    question, answer = torch.randint(9, (2, 3)), torch.randint(9, (2, 5))
    joined = JoinedInputs.join(question, answer)
    assert (joined.shape, joined.dtype) == ((2, 8), torch.int64)
    assert torch.equal(network(joined), network.network(question, answer))
    found = hwnas.score(network, TensorSpec((8,), "tokens", 9), "params", batch_size=2)
    assert found["params"] == 36


def test_work_is_that_of_the_network_and_its_file_is_written_directly() -> None:
    network = JoinedInputs(Two(), *SHAPES).eval()
    spec = TensorSpec(network.input, "signal")
    # A convolution to 6 x 6 places, two linear layers.
    assert count(network, spec).macs == 6 * 27 * 36 + 10 * 6 + 12 * 5
    assert count(network, spec).params == sum(p.numel() for p in network.parameters())
    model = export_onnx(network, spec)
    assert {e.key: e.value for e in model.metadata_props}[EXPORTER_KEY] == "direct"
    inputs = [torch.randn(1, *network.input).numpy()]
    with OnnxRuntime().prepare(OnnxModel(model), RunSettings()) as executable:
        given = executable.outputs(*inputs)
    assert largest_difference(given, torch_outputs(network, inputs)) < 1e-5


def test_a_search_among_them() -> None:
    shape = JoinedInputs(Two(), *SHAPES).input
    front = hwnas.search(
        build, input=shape, classes=5, objectives=["jacob_cov", "synflow"], costs="count:macs",
        batch_size=4, trials=4,
    )  # fmt: skip
    assert {str(m.arch) for m in front.members} <= {f'{{"width": {w}}}' for w in (2, 4, 6, 8)}
    assert len(front.members) > 1


@pytest.mark.parametrize(
    "shapes",
    [
        (), ((3, 8, 8),), ((3, 8, 8), (0,)), (10, 5), ((3, 8, 8), 10), ((3, 8, 8), (3.7,)),
        ((3, 8, 8), ("3",)), ((3, 8, 8), (True,)), ((3, 8, 8), "10"), ((3, 8, 8), None),
    ],
)  # fmt: skip
def test_what_is_no_shape_of_several_inputs(shapes: Any) -> None:
    with pytest.raises(InvalidValueError, match="two inputs or more"):
        JoinedInputs(Two(), *shapes)


def test_numbers_of_other_libraries_are_shapes() -> None:
    shapes: Any = torch.Size((3, 8, 8)), (np.int64(10),)
    network = JoinedInputs(Two(), *shapes)
    assert network.shapes == SHAPES
    assert all(type(n) is int for shape in network.shapes for n in shape)


def test_tokens_beside_real_numbers_are_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"torch\.float32, torch\.int64: tokens beside"):
        JoinedInputs.join(torch.ones(2, 3, 8, 8), torch.ones(2, 5, dtype=torch.int64))


def test_scores_of_a_network_of_several_inputs_say_what_to_do() -> None:
    with pytest.raises(ProxyError, match=r"must accept.*2 inputs \(image, vector\).*JoinedInputs"):
        hwnas.score(Two(), (3, 8, 8), "naswot")


def test_a_network_of_several_inputs_says_what_to_do() -> None:
    with pytest.raises(InvalidValueError, match=r"2 inputs \(image, vector\).*JoinedInputs"):
        answering_network(Two(), lambda: torch.ones(2, 3, 8, 8))
    with pytest.raises(InvalidValueError) as raised:
        answering_network(nn.Linear(3, 2), lambda: torch.ones(2, 4))
    assert "JoinedInputs" not in str(raised.value)
