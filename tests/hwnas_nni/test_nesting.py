"""What a choice makes meaningless: checked against the networks that NNI freezes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

nni = pytest.importorskip("nni", reason="the extra nni is not installed")

import nni.nas.hub.pytorch as hub  # noqa: E402
from nni.nas.nn.pytorch import LayerChoice, ModelSpace, MutableLinear, Repeat  # noqa: E402
from nni.nas.space import SimplifiedModelSpace  # noqa: E402
from torch import nn  # noqa: E402

from hwnas_nni import codec_of  # noqa: E402
from hwnas_nni.nesting import Nesting  # noqa: E402


@nni.trace
class Nested(ModelSpace):
    """A layer whose one candidate has choices on two levels, and blocks of which each has one.

    `shared` occurs in the candidate and in the last layer, so that it always matters.
    """

    def __init__(self) -> None:
        super().__init__()
        shared = nni.choice("shared", [True, False])
        deep = MutableLinear(4, 4, bias=nni.choice("deep", [True, False]))
        inner = LayerChoice([nn.ReLU(), deep, MutableLinear(4, 4, bias=shared)], label="inner")
        self.outer = LayerChoice({"plain": nn.Linear(4, 4), "nested": inner}, label="outer")
        self.body = Repeat(
            lambda i: LayerChoice([nn.Linear(4, 4), nn.Identity()], label=f"block{i}"),
            (0, 2),
            label="depth",
        )
        self.last = MutableLinear(4, 2, bias=shared)

    def forward(self, x: Any) -> Any:
        return self.last(self.body(self.outer(x)))


def test_unused_choices_are_told() -> None:
    nesting = Nesting.of(Nested())
    sample: Mapping[str, Any] = {
        "outer": "plain",
        "inner": 1,
        "deep": False,
        "depth": 1,
        "block0": 0,
        "block1": 1,
        "shared": True,
    }
    assert set(nesting.unused(sample)) == {"inner", "deep", "block1"}
    assert set(nesting.unused({**sample, "outer": "nested", "depth": 2})) == set()
    assert set(nesting.unused({**sample, "outer": "nested", "inner": 0})) == {"deep", "block1"}
    assert set(nesting.unused({**sample, "depth": 0})) == {"inner", "deep", "block0", "block1"}


def test_equal_networks_are_one_class() -> None:
    space: Any = codec_of(SimplifiedModelSpace.from_model(Nested())).space
    members = space.members(1000)
    assert len(members) == 2 * 3 * 2 * 3 * 2 * 2 * 2
    # (1 plain + 1 + 2 + 1 nested) × (1 + 2 + 4 bodies) × 2 biases.
    assert len({space.canonical_key(arch) for arch in members}) == 5 * 7 * 2
    for arch in members:
        member = space.representative(arch)
        assert space.representative(member) == member
        assert space.canonical_key(member) == space.canonical_key(arch)


@pytest.mark.parametrize(
    "make",
    [Nested, hub.ProxylessNAS, lambda: hub.MobileNetV3Space(10)],
    ids=["Nested", "ProxylessNAS", "MobileNetV3"],
)
def test_a_representative_freezes_to_the_same_network(make: Any) -> None:
    executable = SimplifiedModelSpace.from_model(make())
    codec = codec_of(executable)
    rng, changed = np.random.default_rng(0), 0
    for _ in range(8):
        arch = codec.space.sample(rng)
        member = codec.space.representative(arch)
        one, other = (
            executable.freeze(codec.to_sample(a)).executable_model() for a in (arch, member)
        )
        assert str(one) == str(other)
        assert [p.shape for p in one.parameters()] == [p.shape for p in other.parameters()]
        changed += arch != member
    assert changed


def test_a_user_may_know_more() -> None:
    def key(sample: Mapping[str, Any]) -> str:
        # A linear layer and an identity are one to this user, wherever they stand.
        return str((sample["outer"], sample["depth"], sample["shared"]))

    space: Any = codec_of(SimplifiedModelSpace.from_model(Nested()), key=key).space
    assert len({space.canonical_key(arch) for arch in space.members(1000)}) == 2 * 3 * 2
