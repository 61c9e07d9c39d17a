"""Spaces whose equal architectures are found by tracing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hwnas.spaces.assignments import Assignment, AssignmentSpace
from hwnas.spaces.equivalence import TracedEquivalence
from hwnas.spaces.facets import Equivalence, facet
from hwnas.spaces.options import Choose, Options
from hwnas.tasks.task import Task, image_task
from hwnas.testing.spaces import ArchitecturesContract


class Branches(nn.Module):
    def __init__(self, kinds: tuple[str, str], classes: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(_branch(kind) for kind in kinds)
        self.head = nn.Linear(4, classes)

    def forward(self, x: Tensor) -> Tensor:
        total = self.branches[0](x) + self.branches[1](x)
        head: Tensor = self.head(total.mean((2, 3)))
        return head


class Guarded(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def _branch(kind: str) -> nn.Module:
    match kind:
        case "conv":
            return nn.Conv2d(4, 4, 3, padding=1)
        case "guarded":
            return Guarded()
        case "broken":
            raise ValueError("no such branch")
        case _:
            return nn.AvgPool2d(3, 1, 1)


@dataclass(frozen=True)
class TwoBranches(TracedEquivalence[Assignment], AssignmentSpace):
    """Two branches in either order, and a choice that changes nothing."""

    kinds: tuple[str, ...] = ("conv", "pool")

    @property
    def name(self) -> str:
        return "two-branches"

    def ask(self, choose: Choose) -> Any:
        kinds = Options(self.kinds)
        choose("unused", Options((1, 2)))
        return choose("left", kinds), choose("right", kinds)

    @property
    def default_task(self) -> Task:
        return image_task(3, (4, 6, 6))

    def build(self, arch: Assignment, task: Task | None = None) -> nn.Module:
        output: Any = (task or self.default_task).output
        return Branches(self.asked(arch), output.classes)


SPACE = TwoBranches()


def arch(left: str, right: str, unused: int = 1) -> Assignment:
    return Assignment((("unused", unused), ("left", left), ("right", right)))


class TestTwoBranches(ArchitecturesContract):
    @pytest.fixture
    def space(self) -> TwoBranches:
        return TwoBranches()


def test_order_and_choices_without_effect_make_no_class() -> None:
    members = SPACE.members(100)
    assert members is not None
    assert len(members) == 8
    assert len({SPACE.canonical_key(a) for a in members}) == 3
    assert SPACE.canonical_key(arch("conv", "pool")) == SPACE.canonical_key(arch("pool", "conv", 2))


def test_keys_do_not_depend_on_the_seed_or_on_what_was_asked_before() -> None:
    torch.manual_seed(7)
    assert TwoBranches().canonical_key(arch("pool", "conv")) == SPACE.canonical_key(
        arch("conv", "pool")
    )


def test_a_network_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    space, built = TwoBranches(), list[Assignment]()
    build = TwoBranches.build

    def counted(self: TwoBranches, arch: Assignment, task: Task | None = None) -> nn.Module:
        built.append(arch)
        return build(self, arch, task)

    monkeypatch.setattr(TwoBranches, "build", counted)
    for _ in range(3):
        space.canonical_key(arch("conv", "conv"))
        space.is_valid(arch("conv", "conv"))
    assert len(built) == 1


@pytest.mark.parametrize("kind", ["guarded", "broken"])
def test_what_cannot_be_traced_or_built_equals_no_other(kind: str) -> None:
    space = TwoBranches(("conv", kind))
    one, other = arch("conv", kind), arch(kind, "conv")
    assert (space.canonical_key(one), space.canonical_key(other)) == (str(one), str(other))
    assert space.is_valid(one)
    assert space.is_live(one)
    found = space.network_key_of(one)
    assert found is None if kind == "broken" else found is not None and found.how == "described"


def test_it_is_the_facet() -> None:
    equivalence = facet(SPACE, Equivalence)
    assert equivalence is not None
    assert equivalence.is_live(arch("conv", "pool"))
