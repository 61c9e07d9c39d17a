"""NAS-Bench-NLP's recurrent cells: recipes, dead nodes, and networks against PyTorch's LSTM."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.spaces.nasbench_nlp import MAX_NODES, NasBenchNlp, RecurrentCell, cell_of
from hwnas.tasks.task import Logits, NextToken, Task, TensorSpec, image_task
from hwnas.testing import draw
from hwnas.testing.spaces import ArchitecturesContract, GraphsContract
from hwnas.typing import Arch, SearchSpace

SPACE = NasBenchNlp(channels=6)
TOKENS = TensorSpec((5,), "tokens", 11)
PLAIN = "linear(x,h0);tanh(n0)|n1"
# An LSTM: output gate, forget gate, input gate, candidate, new state, new output.
LSTM: dict[str, dict[str, Any]] = {
    **{
        gate: {"op": "linear", "input": ["x", "h_prev_0"]}
        for gate in ("i", "f", "g", "o")
    },
    **{
        f"{gate}_act": {"op": f"activation_{'tanh' if gate == 'g' else 'sigm'}", "input": [gate]}
        for gate in ("i", "f", "g", "o")
    },
    "h_new_0": {"op": "elementwise_prod", "input": ["o_act", "c_act"]},
    "c_act": {"op": "activation_tanh", "input": ["h_new_1"]},
    "h_new_1": {"op": "elementwise_sum", "input": ["kept", "added"]},
    "kept": {"op": "elementwise_prod", "input": ["f_act", "h_prev_1"]},
    "added": {"op": "elementwise_prod", "input": ["i_act", "g_act"]},
}  # fmt: skip


class TestContract(ArchitecturesContract, GraphsContract):
    samples = 12

    @pytest.fixture
    def space(self) -> NasBenchNlp:
        return SPACE

    @pytest.fixture
    def archs(self, space: NasBenchNlp) -> list[RecurrentCell]:
        # Few nodes, for which neighbours are quickly listed.
        return sorted(draw(space, 60), key=lambda cell: len(cell.nodes))[: self.samples]

    def test_being_neighbours_is_mutual(self, space: SearchSpace[Arch], archs: list[Arch]) -> None:
        # Hundreds of neighbours with hundreds each: some of them.
        for arch in archs[:3]:
            for other in space.neighbours(arch)[::150]:
                assert arch in space.neighbours(other)


def test_a_recipe_of_an_lstm_is_pytorchs_lstm() -> None:
    cell = cell_of(LSTM)
    assert len(cell.nodes) == 13
    task = Task("text", TOKENS, NextToken(11))
    network: Any = SPACE.build(cell, task)
    lstm: Any = nn.LSTM(6, 6, batch_first=True)
    linear = network.layers[0].linear
    with torch.no_grad():
        # PyTorch's order of gates is i, f, g, o, and so is the recipe's.
        for number, rows in enumerate(torch.arange(24).reshape(4, 6)):
            gate = linear[str(number)]
            lstm.weight_ih_l0[rows], lstm.weight_hh_l0[rows] = gate.weight.split(6, dim=1)
            lstm.bias_ih_l0[rows] = gate.bias
        lstm.bias_hh_l0.zero_()
        tokens = torch.randint(11, (3, 5), generator=torch.Generator().manual_seed(0))
        expected = network.classifier(lstm(network.embedding(tokens))[0])
        torch.testing.assert_close(network(tokens), expected)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_plain_cell_is_pytorchs_rnn(layers: int) -> None:
    space = NasBenchNlp(channels=6, layers=layers)
    network: Any = space.build(space.parse(PLAIN), Task("text", TOKENS, Logits(3)))
    rnn = nn.RNN(6, 6, num_layers=layers, batch_first=True)
    with torch.no_grad():
        for layer in range(layers):
            gate = network.layers[layer].linear["0"]
            into, back = gate.weight.split(6, dim=1)
            getattr(rnn, f"weight_ih_l{layer}").copy_(into)
            getattr(rnn, f"weight_hh_l{layer}").copy_(back)
            getattr(rnn, f"bias_ih_l{layer}").copy_(gate.bias)
            getattr(rnn, f"bias_hh_l{layer}").zero_()
        tokens = torch.randint(11, (3, 5), generator=torch.Generator().manual_seed(0))
        outputs = rnn(network.embedding(tokens))[0]
        expected = network.classifier(outputs[:, -1])
        torch.testing.assert_close(network(tokens), expected)


def test_what_the_output_never_depends_on_is_left_out() -> None:
    # Node 1 and state 2 are read by nothing; state 1 is read by node 0, so its node 2 stays.
    cell = SPACE.parse("linear(x,h0,h1);tanh(h2);sigm(x);tanh(n0)|n3,n2,n1")
    assert str(cell.pruned) == "linear(x,h0,h1);sigm(x);tanh(n0)|n2,n1"
    assert SPACE.canonical_key(cell) == SPACE.canonical_key(cell.pruned)
    # A state that is needed only through another one stays, too, and gets its number.
    chain = SPACE.parse("sum(h1,x);sum(h2,x);tanh(x)|n0,n1,n2")
    assert chain.pruned == chain
    skipped = SPACE.parse("sum(h2,x);tanh(x);sigm(x)|n0,n1,n2")
    assert str(skipped.pruned) == "sum(h1,x);sigm(x)|n0,n1"
    assert not SPACE.is_valid(SPACE.parse("sum(h1,h0);tanh(x);tanh(h1)|n0,n2"))
    assert SPACE.is_valid(SPACE.parse("sum(h1,h0);tanh(x)|n0,n1"))


def test_orders_that_matter_and_those_that_do_not() -> None:
    key = SPACE.canonical_key
    one = SPACE.parse("tanh(x);sigm(h0);sum(n0,n1)|n2")
    assert key(one) == key(SPACE.parse("sigm(h0);tanh(x);sum(n0,n1)|n2"))
    gated = "tanh(x);sigm(h0);blend({},{},{})|n2"
    keys = {
        key(SPACE.parse(gated.format(*order))) for order in (("n0", "n1", "x"), ("n1", "n0", "x"))
    }
    assert len(keys) == 2


def test_sampled_cells_run_forward_and_backward() -> None:
    rng, tokens = np.random.default_rng(0), torch.zeros(2, 5, dtype=torch.int64)
    tried = [cell for cell in (SPACE.sample(rng) for _ in range(40)) if SPACE.is_valid(cell)][:6]
    assert max(len(cell.nodes) for cell in tried) <= MAX_NODES
    for cell in tried:
        logits = SPACE.build(cell, Task("text", TOKENS, NextToken(11)))(tokens)
        assert logits.shape == (2, 5, 11)
        logits.sum().backward()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("linear(x,h0)", "nodes and states"),
        ("linear(x,h1)|n0", "of the inputs x, h0, but got linear"),
        ("tanh(x,h0)|n0", "must have 1 of the inputs"),
        ("linear(x,h0,x,x)|n0", "1 to 3 of the inputs"),
        ("relu(x)|n0", "relu"),
        ("tanh(n0)|n0", "of the inputs"),
        ("tanh(x)|n1", "numbers of the 1 nodes"),
        (";".join(["tanh(x)"] * 25) + "|n0", "1 to 24 nodes"),
        ("tanh(x)|n0,n0,n0,n0", "1 to 3 states"),
    ],
)
def test_other_texts_are_one_line(text: str, said: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=said) as raised:
        SPACE.parse(text)
    assert "\n" not in str(raised.value)


def test_recipes_in_a_circle_are_refused() -> None:
    circle = {
        "a": {"op": "activation_tanh", "input": ["h_new_0"]},
        "h_new_0": {"op": "activation_tanh", "input": ["a"]},
    }
    with pytest.raises(InvalidArchitectureError, match="circle"):
        cell_of(circle)


def test_settings_and_tasks_are_checked() -> None:
    with pytest.raises(InvalidValueError, match="`layers` must be at least 1"):
        NasBenchNlp(layers=0)
    with pytest.raises(InvalidValueError, match=r"^`task` must be next tokens or classes of texts"):
        SPACE.build(SPACE.parse(PLAIN), image_task(7, (3, 8, 8)))
    assert SPACE.build(SPACE.parse(PLAIN)).get_submodule("classifier") is not None
