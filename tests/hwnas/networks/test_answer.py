from __future__ import annotations

import logging
import operator
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hwnas.errors import InvalidValueError
from hwnas.networks.answer import ALL, Answer, Answering, answer_path, take
from hwnas.networks.usable import answering_network

Y, MAP, AUX = torch.zeros(2, 5), torch.zeros(2, 5, 4, 4), torch.ones(2, 5)
Named = namedtuple("Named", ["aux", "logits"])


@dataclass
class Fields:
    loss: None
    logits: Tensor
    hidden: tuple[Tensor, ...]


class Plain:
    """No dataclass, and nothing that PyTorch knows."""

    def __init__(self, **attributes: Any) -> None:
        self._private, self.me, self.name = AUX, self, "plain"
        vars(self).update(attributes)


class Slots:
    __slots__ = ("hidden", "loss", "out")

    def __init__(self) -> None:
        self.hidden, self.out = MAP, Y


@pytest.mark.parametrize(
    ("output", "wanted", "path"),
    [
        (Y, None, ()),
        ((Y, AUX), None, (0,)),
        ((MAP, Y), None, (1,)),
        ([MAP, MAP], None, (0,)),
        ((None, Y), None, (1,)),
        ({"aux": AUX, "logits": Y}, None, ("logits",)),
        (OrderedDict(aux=AUX, out=Y), None, ("out",)),
        ({"out": AUX, "logits": Y}, None, ("logits",)),
        ({"features": MAP, "classes": Y}, None, ("classes",)),
        (Named(AUX, Y), None, ("logits",)),
        (Fields(None, Y, (AUX,)), None, ("logits",)),
        (((MAP,), [Y]), None, (1, 0)),
        ({0: MAP, 1: Y}, None, (1,)),
        ((Y, AUX), 1, (1,)),
        ((Y, AUX), "1", (1,)),
        ({"aux": AUX, "logits": Y}, "aux", ("aux",)),
        ({"heads": [Y, AUX]}, "heads.1", ("heads", 1)),
        ({"heads": [MAP, AUX], "logits": Y}, "heads", ("heads", 1)),
        (Fields(None, Y, (AUX,)), "hidden", ("hidden", 0)),
        (Y, "logits", ()),
        (Plain(hidden=MAP, logits=Y), None, ("logits",)),
        (Plain(hidden=MAP, heads=[Y]), None, ("heads", 0)),
        (Plain(hidden=MAP, heads=[Y]), "hidden", ("hidden",)),
        (Slots(), None, ("out",)),
    ],
)
def test_rule(output: Any, wanted: Any, path: tuple[Any, ...]) -> None:
    assert answer_path(output, wanted) == path
    assert isinstance(take(output, path), Tensor)


@pytest.mark.parametrize("output", [None, (), {"loss": 1.0}, "logits", Plain()])
def test_no_tensor(output: Any) -> None:
    with pytest.raises(InvalidValueError, match=f"but got {type(output).__name__}"):
        answer_path(output)


def test_missing_name_lists_what_there_is() -> None:
    with pytest.raises(InvalidValueError, match=r"one of logits, heads\.0, but got 'aux'"):
        answer_path({"logits": Y, "heads": [AUX]}, "aux")


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 5), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Any:
        return {"a": self.a(x), "b": [self.b(x)]}


def test_hook_and_wrapper_give_the_answer_alone(caplog: pytest.LogCaptureFixture) -> None:
    network, x = Heads(), torch.randn(2, 4)
    expected = network.b(x)
    assert torch.equal(Answering(network, ("b", 0), (False, False))(x), expected)
    network.register_forward_hook(Answer("b"))
    with caplog.at_level(logging.WARNING):
        assert torch.equal(network(x), expected)
        assert torch.equal(network(x), expected)
    (text,) = caplog.messages
    assert "whose answer is b.0 of a, b.0" in text


def test_a_member_of_a_mapping_is_an_item_where_the_network_is_traced_as_a_whole() -> None:
    class Whole(torch.fx.Tracer):
        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            del module_qualified_name
            return not isinstance(m, Answering)

    class Two(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"logits": x[:, :2], "more": x}

    inputs = torch.zeros(2, 3)
    answering = answering_network(Two(), lambda: inputs)
    graph = Whole().trace(answering)
    assert [n.target for n in graph.nodes if n.op == "call_function"] == [operator.getitem]


class Nested(nn.Module):
    """Maps, a number an input and what is none of an input; in training mode two tensors alone."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Any:
        found = {"boxes": [x.reshape(-1, 2, 2)], "score": x.sum(1), "logits": self.head(x)}
        if self.training:
            return found["logits"], found["score"]
        return {**found, "class": x.argmax(1), "anchors": torch.ones(7, 2)}


@pytest.mark.parametrize("training", [True, False])
def test_all_outputs_lie_behind_one_another(training: bool) -> None:
    network, x = Nested().train(training), torch.randn(3, 4)
    logits, score = network.head(x), x.sum(1, keepdim=True)
    parts = [logits, score] if training else [x, score, logits]
    answering = answering_network(network, lambda: x, ALL)
    assert answering.training == training
    assert torch.equal(answering(x), torch.cat(parts, 1))
    assert torch.equal(torch.fx.symbolic_trace(answering)(x), torch.cat(parts, 1))
    network.register_forward_hook(Answer(ALL))
    assert torch.equal(network(x), torch.cat(parts, 1))


def test_a_lone_tensor_is_all_there_is() -> None:
    x = torch.randn(2, 3, 4)
    assert torch.equal(answering_network(nn.Identity(), lambda: x, ALL)(x), x.flatten(1))


def test_all_outputs_are_none_without_real_numbers() -> None:
    class Best(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return {"best": x.argmax(1), "mean": x.mean()}

    told = r"each of its 2 inputs, \(B, ...\), but it returns best \(2,\) of int64, mean \(\) of f"
    with pytest.raises(InvalidValueError, match=told):
        answering_network(Best(), lambda: torch.zeros(2, 3), ALL)
    with pytest.raises(InvalidValueError, match=r"but it returns \(6, 2\): let the inputs come fi"):
        answering_network(nn.Flatten(0, -2), lambda: torch.zeros(2, 3, 2), ALL)


@pytest.mark.parametrize(("steps", "told"), [(3, True), (2, False)])
def test_what_all_outputs_leave_out_is_said(
    steps: int, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    class Several(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return x, x.sum(1), {"steps": torch.ones(steps, 2) if told else x}

    assert answering_network(Several(), lambda: torch.ones(2, 4), ALL)(torch.ones(2, 4)) is not None
    assert ("left out: 2.steps (3, 2) of float32." in caplog.text) == told


def test_what_is_left_out_of_several_outputs_is_said(caplog: pytest.LogCaptureFixture) -> None:
    x = torch.zeros(2, 4)
    for network, told in ((Heads(), True), (Nested(), True), (Heads(), False)):
        caplog.clear()
        answering_network(network, lambda: x, None if told else "a")
        assert ("--classes outputs" in caplog.text) == told


def test_an_answer_whose_inputs_stand_elsewhere_is_one_as_before() -> None:
    class Steps(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return x.transpose(0, 1), {"state": x.transpose(0, 1)}

    x = torch.zeros(2, 3, 4)
    assert torch.equal(answering_network(Steps(), lambda: x)(x), x.transpose(0, 1))


class Coinciding(nn.Module):
    """A state of two layers, and what each input is to each other one, beside numbers of each."""

    def forward(self, x: Tensor) -> Any:
        state = torch.stack([x[:, :2], x[:, 2:4]])
        return {"pairs": x @ x.T, "answer": 2 * x, "state": state}


@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_what_is_of_each_input_does_not_depend_on_their_number(
    inputs: int, caplog: pytest.LogCaptureFixture
) -> None:
    answering = answering_network(Coinciding(), lambda: torch.ones(inputs, 4), ALL)
    x = torch.randn(5, 4)
    assert torch.equal(answering(x), 2 * x)
    assert torch.equal(answering.train()(x), 2 * x)
    assert "pairs (" in caplog.text
    assert "state (2" in caplog.text


def test_a_network_for_one_number_of_inputs_gives_all_that_is_as_long() -> None:
    class OfTwo(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return x.view(2, 3), x.view(2, 3).sum(1)

    x = torch.randn(2, 3)
    assert answering_network(OfTwo(), lambda: x, ALL)(x).shape == (2, 4)
