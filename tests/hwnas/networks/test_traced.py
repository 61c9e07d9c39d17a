"""Keys of networks: pairs by hand, and random networks against their outputs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hwnas.networks import values
from hwnas.networks.traced import NetworkKey, network_key
from hwnas.tasks.task import TensorSpec

IMAGE = TensorSpec((4, 6, 6))
Forward = Callable[[Any, Tensor], Any]


class Net(nn.Module):
    """Layers by name, and what is done with them."""

    def __init__(self, forward: Forward, **layers: nn.Module) -> None:
        super().__init__()
        self.run = forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)


TWO = torch.tensor([2.0])


def conv(groups: int = 1, **settings: Any) -> nn.Conv2d:
    return nn.Conv2d(4, 4, 3, padding=1, groups=groups, **settings)


def net(forward: Forward, count: int = 0) -> Net:
    return Net(forward, **{f"c{i}": conv() for i in range(count)})


def chain(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers)


def key(model: nn.Module, spec: TensorSpec = IMAGE) -> NetworkKey:
    found = network_key(model, spec)
    assert found.how == "traced", found.reason
    return found


class Table(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.register_buffer("table", torch.full((4, 1, 1), value))

    table: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return x + self.table


def _in_place(model: Any, x: Tensor) -> Any:
    y = model.c0(x)
    y += model.c1(x)
    return y.relu_()


def _tied(model: Any, x: Tensor) -> Any:
    return model.c0(model.c0(x))


def _without_gradient(model: Any, x: Tensor) -> Any:
    with torch.no_grad():
        y = model.c0(x)
    return model.c1(y)


def _half(model: Any, x: Tensor) -> Any:
    y = model.c0(x).clone()
    y[:, :2] = 0
    return y


def _other_half(model: Any, x: Tensor) -> Any:
    y = model.c0(x).clone()
    y[:, 2:] = 0
    return y


def _branches(*order: int) -> Net:
    """Sum three branches of different kinds, run and registered in some order."""
    kinds: list[Callable[[], nn.Module]] = [
        conv,
        partial(conv, groups=2),
        lambda: nn.Sequential(conv(), nn.ReLU()),
    ]
    return Net(
        lambda m, x: sum(getattr(m, f"b{i}")(x) for i in range(3)),
        **{f"b{i}": kinds[k]() for i, k in enumerate(order)},
    )


EQUAL: dict[str, tuple[nn.Module, nn.Module]] = {
    "names": (net(lambda m, x: m.c0(x), 1), chain(conv())),
    "other weights": (chain(conv()), chain(conv())),
    "identity": (chain(conv(), nn.Identity(), nn.ReLU()), chain(conv(), nn.ReLU())),
    "in place": (
        net(lambda m, x: F.relu(m.c0(x) + m.c1(x)), 2),
        net(_in_place, 2),
    ),
    "order of branches": (_branches(0, 1, 2), _branches(2, 0, 1)),
    "order of execution": (
        net(lambda m, x: m.c0(x) * m.c1(x.relu()), 2),
        net(lambda m, x: m.c1(x.relu()) * m.c0(x), 2),
    ),
    "functional": (chain(nn.ReLU()), net(lambda _, x: F.relu(x))),
    "view and flatten": (
        net(lambda _, x: x.flatten(1)),
        net(lambda _, x: x.view(len(x), -1)),
    ),
    "there and back": (
        net(lambda m, x: m.c0(x.transpose(2, 3).transpose(3, 2)), 1),
        chain(conv()),
    ),
    "copies": (net(lambda m, x: m.c0(x).clone().contiguous(), 1), chain(conv())),
    "neutral numbers": (net(lambda m, x: m.c0(x + 0) * 1, 1), chain(conv())),
    "nothing is added": (net(lambda m, x: m.c0(x) + m.c1(x) * 0, 2), chain(conv())),
    "dead layer": (net(lambda m, x: m.c0(x), 2), chain(conv())),
    "dead computation": (net(lambda m, x: (m.c1(x), m.c0(x))[1], 2), chain(conv())),
    "computed twice": (
        net(lambda m, x: m.c0(F.avg_pool2d(x, 2)) + F.avg_pool2d(x, 2), 1),
        net(lambda m, x: (lambda y: m.c0(y) + y)(F.avg_pool2d(x, 2)), 1),
    ),
    "dropout that never drops": (chain(conv(), nn.Dropout(0.0)), chain(conv())),
    "constants of one value": (
        net(lambda _, x: x * torch.tensor([[[2.0]]])),
        net(lambda _, x: x * torch.tensor([[[4.0 / 2]]])),
    ),
    "zeros stay zeros": (
        net(lambda m, x: m.c0(x) + F.avg_pool2d((x * 0).relu(), 3, 1, 1), 1),
        chain(conv()),
    ),
    "index and list": (
        net(lambda _, x: x[:, [0, 3]]),
        net(lambda _, x: x[:, torch.tensor([0, 3])]),
    ),
    "buffers of one value": (Table(3), Table(3)),
}  # fmt: skip

DIFFERENT: dict[str, tuple[nn.Module, nn.Module]] = {
    "operator": (chain(conv(), nn.ReLU()), chain(conv(), nn.GELU())),
    "kernel": (chain(conv()), chain(nn.Conv2d(4, 4, 1))),
    "groups": (chain(conv()), chain(conv(groups=2))),
    "bias": (chain(conv()), chain(conv(bias=False))),
    "dilation": (chain(conv()), chain(nn.Conv2d(4, 4, 3, padding=2, dilation=2))),
    "eps": (chain(nn.BatchNorm2d(4)), chain(nn.BatchNorm2d(4, eps=1e-3))),
    "depth": (chain(conv()), chain(conv(), conv())),
    "one weight twice": (net(_tied, 1), net(lambda m, x: m.c1(m.c0(x)), 2)),
    "which weight is used twice": (
        net(lambda m, x: m.c0(m.c1(m.c0(x)).relu()), 2),
        net(lambda m, x: m.c1(m.c0(m.c0(x)).relu()), 2),
    ),
    "sum and product": (
        net(lambda m, x: m.c0(x) + m.c1(x), 2),
        net(lambda m, x: m.c0(x) * m.c1(x), 2),
    ),
    "order of a difference": (
        net(lambda m, x: m.c0(x) - x, 1),
        net(lambda m, x: x - m.c0(x), 1),
    ),
    "how often": (net(lambda m, x: m.c0(x), 1), net(lambda m, x: (lambda y: y + y)(m.c0(x)), 1)),
    "factor of a sum": (
        net(lambda m, x: torch.add(x, m.c0(x), alpha=2), 1),
        net(lambda m, x: torch.add(m.c0(x), x, alpha=2), 1),
    ),
    "transposed": (net(lambda m, x: m.c0(x.transpose(2, 3)), 1), chain(conv())),
    "order of a concatenation": (
        net(lambda m, x: torch.cat([m.c0(x), x], 1), 1),
        net(lambda m, x: torch.cat([x, m.c0(x)], 1), 1),
    ),
    "what is overwritten": (net(_half, 1), net(_other_half, 1)),
    "constant": (
        net(lambda _, x: x * torch.tensor([2.0])),
        net(lambda _, x: x * torch.tensor([3.0])),
    ),
    "number in a tensor made elsewhere": (
        net(lambda _, x: x * TWO),
        net(lambda _, x: x * (TWO + 1)),
    ),
    "number of NumPy": (
        net(lambda _, x: x * torch.from_numpy(np.ones(1, np.float32))),
        net(lambda _, x: x * torch.from_numpy(np.zeros(1, np.float32))),
    ),
    "index": (net(lambda _, x: x[:, [0, 3]]), net(lambda _, x: x[:, [0, 2]])),
    "index of a tensor": (
        net(lambda _, x: x[:, torch.tensor([0, 3])]),
        net(lambda _, x: x[:, torch.tensor([0, 2])]),
    ),
    "number": (net(lambda _, x: x * 2.0), net(lambda _, x: x * 3.0)),
    "buffer": (Table(3), Table(4)),
    "dropout in training": (chain(conv(), nn.Dropout(0.1)), chain(conv())),
    "how much dropout": (chain(nn.Dropout(0.1)), chain(nn.Dropout(0.2))),
    "one mask or two": (
        net(lambda m, x: (lambda y: y + y)(F.dropout(x, 0.5, m.training))),
        net(lambda m, x: F.dropout(x, 0.5, m.training) + F.dropout(x, 0.5, m.training)),
    ),
    "one part of a split": (
        net(lambda _, x: x.chunk(2, 1)[0]),
        net(lambda _, x: x.chunk(2, 1)[1]),
    ),
    "one result of several": (
        net(lambda _, x: x.max(1).values.float()),
        net(lambda _, x: x.max(1).indices.float()),
    ),
    "stopped gradient": (net(lambda m, x: m.c0(x).detach(), 1), chain(conv())),
    "stopped gradient by data": (net(lambda m, x: m.c0(x).data, 1), chain(conv())),
    "no gradient": (net(_without_gradient, 2), net(lambda m, x: m.c1(m.c0(x)), 2)),
    "which layer is used in training": (
        net(lambda m, x: m.c0(m.c1(x)) + (m.c0(x) if m.training else 0), 2),
        net(lambda m, x: m.c0(m.c1(x)) + (m.c1(x) if m.training else 0), 2),
    ),
    "frozen": (chain(conv()), chain(conv().requires_grad_(False))),
}  # fmt: skip


@pytest.mark.parametrize("name", EQUAL)
def test_equal_networks_have_one_function(name: str) -> None:
    one, other = EQUAL[name]
    assert key(one).function == key(other).function


@pytest.mark.parametrize("name", DIFFERENT)
def test_different_networks_have_two(name: str) -> None:
    one, other = DIFFERENT[name]
    assert key(one).function != key(other).function


def test_work_tells_what_costs_more() -> None:
    for name in ("computed twice", "dead layer", "dead computation", "copies"):
        one, other = map(key, EQUAL[name])
        assert one.work != other.work, name
    for name in ("order of branches", "in place", "names", "there and back"):
        one, other = map(key, EQUAL[name])
        assert one.work == other.work, name


def test_live_and_whole() -> None:
    assert not key(net(lambda m, x: m.c0(torch.ones_like(x)), 1)).live
    assert not key(net(lambda m, x: m.c0(x) * 0, 1)).live
    dead = key(EQUAL["dead layer"][0])
    assert dead.live
    assert not dead.whole
    assert key(chain(conv(), nn.BatchNorm2d(4))).whole


def test_a_network_is_left_as_it_is() -> None:
    model = nn.Sequential(conv(), nn.BatchNorm2d(4), nn.Dropout(0.5)).train()
    model[1].eval()
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    key(model)
    assert model.training
    assert not model[1].training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_what_branches_on_its_input_is_described() -> None:
    def branching(scale: float) -> nn.Module:
        model = net(lambda m, x: m.c0(x) if x.sum() > 0 else x, 1)
        model.scale = scale  # type: ignore[assignment]
        return model

    one, same, other = (network_key(branching(s), IMAGE) for s in (1.0, 1.0, 2.0))
    assert one.how == "described"
    assert "meta" in one.reason
    assert str(one) == str(same) != str(other)


def test_zeros_with_a_factor_leave_the_factor() -> None:
    doubled = net(lambda _, x: torch.add(torch.zeros_like(x), x, alpha=2))
    assert key(doubled).function != key(net(lambda _, x: x + 0)).function


def test_writing_into_what_is_detached_is_described() -> None:
    def writing(m: Any, x: Tensor) -> Any:
        y = m.c0(x)
        y.detach().zero_()
        return y

    assert "detached" in network_key(net(writing, 1), IMAGE).reason


def test_what_returns_no_tensor_is_described() -> None:
    found = network_key(net(lambda _, __: 3), IMAGE)
    assert found.how == "described"
    assert "must return a tensor" in found.reason


def test_long_passes_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "LONGEST", 3)
    assert network_key(chain(*[nn.ReLU()] * 3), IMAGE).how == "traced"
    found = network_key(chain(*[nn.ReLU()] * 4), IMAGE)
    assert "more than 3 operators" in found.reason


def test_parameters_in_one_memory_are_one() -> None:
    tied = net(lambda m, x: m.c1(m.c0(x)), 2)
    tied.c1.weight.data, tied.c1.bias.data = tied.c0.weight.data, tied.c0.bias.data  # type: ignore[union-attr]
    assert key(tied).function == key(net(_tied, 1)).function


def test_draws_of_python_are_the_same_each_time() -> None:
    import random

    def skipping(m: Any, x: Tensor) -> Tensor:
        return m.c0(x) if random.random() < 0.5 else x

    assert len({key(net(skipping, 1)).function for _ in range(8)}) == 1


@pytest.mark.parametrize(
    ("model", "spec"),
    [
        (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), TensorSpec((5, 8), "signal")),
        (nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 9)), TensorSpec((5,), "tokens", 9)),
        (nn.LSTM(4, 3, 2, batch_first=True, bidirectional=True), TensorSpec((5, 4), "signal")),
        (nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU()), IMAGE),
        (torch.nn.utils.parametrizations.weight_norm(conv()), IMAGE),
        (nn.ConvTranspose2d(4, 2, 3, stride=2), IMAGE),
    ],
    ids=["attention", "tokens", "lstm", "lazy", "weight norm", "transposed convolution"],
)
def test_kinds_of_networks_are_traced(model: nn.Module, spec: TensorSpec) -> None:
    assert str(key(model, spec)) == str(key(copy.deepcopy(model), spec))


Step = tuple[str, int, int, int]


class Random(nn.Module):
    """A network by steps (operator, input, input, layer), its layers in the order of `order`."""

    def __init__(self, steps: list[Step], order: list[int], flip: bool) -> None:
        super().__init__()
        self.steps, self.flip = steps, flip
        self.layers = nn.ModuleDict({f"l{i}": nn.Conv2d(4, 4, 1, bias=False) for i in order})

    def forward(self, x: Tensor) -> Tensor:
        found = [x]
        for kind, i, j, layer in self.steps:
            a, b = found[i], found[j]
            if self.flip and kind in "+*":
                a, b = b, a
            found.append(_apply(kind, a, b, self.layers[f"l{layer}"]))
        return found[-1]


def _apply(kind: str, a: Tensor, b: Tensor, layer: nn.Module) -> Tensor:
    match kind:
        case "+":
            return a + b
        case "*":
            return a * b
        case "-":
            return a - b
        case "c":
            return layer(a)  # type: ignore[no-any-return]
        case _:
            return torch.tanh(a)


@st.composite
def networks(draw: st.DrawFn) -> list[Step]:
    count = draw(st.integers(1, 6))
    return [
        (
            draw(st.sampled_from("cc++*-t")),
            draw(st.integers(max(0, i - 2), i)),
            draw(st.integers(0, i)),
            draw(st.integers(0, 2)),
        )
        for i in range(count)
    ]


def outputs(steps: list[Step], renamed: list[int], flip: bool = False) -> Tensor:
    """Run with weights of layer `i` from the seed `renamed[i]`, in double precision."""
    model = Random(steps, [0, 1, 2], flip).double()
    for i, seed in enumerate(renamed):
        weight = model.layers[f"l{i}"].weight
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            weight.copy_(torch.randn(weight.shape, generator=generator))  # type: ignore[arg-type,operator]
    with torch.no_grad():
        x = torch.randn(2, 4, 1, 1, generator=torch.Generator().manual_seed(9), dtype=torch.double)
        found: Tensor = model(x)
    return found


SPEC = TensorSpec((4, 1, 1))
ORDERS = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]


@given(networks(), networks())
@settings(max_examples=120, deadline=None)
def test_keys_are_equal_only_where_outputs_are(one: list[Step], other: list[Step]) -> None:
    """Equal keys: with weights matched in some way, both compute the same."""
    keys = [key(Random(steps, [0, 1, 2], False), SPEC).function for steps in (one, other)]
    first = outputs(one, ORDERS[0])
    same = any(torch.allclose(first, outputs(other, o), rtol=1e-9) for o in ORDERS)
    if keys[0] == keys[1]:
        assert same
    elif same:
        # What only algebra shows: distributing, cancelling, other orders of sums that are used.
        assert any(kind in "+-*" for kind, *_ in one + other)


@given(networks(), st.sampled_from(ORDERS), st.sampled_from(ORDERS))
@settings(max_examples=80, deadline=None)
def test_renamed_and_reordered_networks_have_one_key(
    steps: list[Step], names: list[int], order: list[int]
) -> None:
    renamed = [(kind, i, j, names[layer]) for kind, i, j, layer in steps]
    plain, moved = Random(steps, [0, 1, 2], False), Random(renamed, order, True)
    assert str(key(plain, SPEC)) == str(key(moved, SPEC))
