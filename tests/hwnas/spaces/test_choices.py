"""Declared spaces: what exists, what is a neighbour, and what is refused."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.spaces.assignments import Assignment, AssignmentSpace
from hwnas.spaces.choices import Choose, Declared, Options, decide, members_of, options_of
from hwnas.spaces.fbnet import FBNet
from hwnas.spaces.mobilenetv3 import MobileNetV3
from hwnas.spaces.options import text_of
from hwnas.testing import SearchSpaceContract
from hwnas.typing import Choice


@dataclass(frozen=True)
class Ask:
    """A parameter, and the value that each of some earlier ones must have for it to exist."""

    name: str
    options: Options[Choice]
    needs: tuple[tuple[str, Choice], ...] = ()


@dataclass(frozen=True)
class Listed(AssignmentSpace):
    """Asks for a list of parameters, and refuses some assignments."""

    asks: tuple[Ask, ...]
    refused: tuple[tuple[str, Choice], ...] = ()
    name: str = field(default="listed", init=False)

    def ask(self, choose: Choose) -> dict[str, Choice]:
        made: dict[str, Choice] = {}
        for ask in self.asks:
            if made.items() >= dict(ask.needs).items():
                made[ask.name] = choose(ask.name, ask.options)
        if self.refused and made.items() >= dict(self.refused).items():
            raise InvalidArchitectureError("refused")
        return made


def brute_force(space: Listed) -> list[Assignment]:
    """Try every combination of every parameter, whether it exists or not."""
    found: dict[Assignment, None] = {}
    for values in itertools.product(*(ask.options.values for ask in space.asks)):
        every = dict(zip([ask.name for ask in space.asks], values, strict=True))
        made: dict[str, Choice] = {}
        for ask in space.asks:
            if all(made.get(name, ...) == value for name, value in ask.needs):
                made[ask.name] = every[ask.name]
        if not (space.refused and all(made.get(n, ...) == v for n, v in space.refused)):
            found[Assignment(tuple(made.items()))] = None
    return list(found)


KINDS = (
    Options(("a", "b", "c")),
    Options((2, 4, 6, 8, 10), ordered=True),
    Options((0.0, 0.1, 0.2, 0.30000000000000004), ordered=True),
    Options((True, False)),
    Options(("only",)),
)


@st.composite
def spaces(draw: st.DrawFn, largest: int = 5) -> Listed:
    asks: list[Ask] = []
    for i in range(draw(st.integers(1, largest))):
        earlier = draw(st.lists(st.sampled_from(asks), max_size=2, unique=True)) if asks else []
        needs = tuple((a.name, draw(st.sampled_from(a.options.values))) for a in earlier)
        asks.append(Ask(f"p{i}", draw(st.sampled_from(KINDS)), needs))
    refused: tuple[tuple[str, Choice], ...] = ()
    if len(asks) > 1 and draw(st.booleans()):
        names = draw(st.lists(st.sampled_from(asks), min_size=2, max_size=2, unique=True))
        refused = tuple((a.name, draw(st.sampled_from(a.options.values))) for a in names)
    return Listed(tuple(asks), refused)


@given(spaces())
@settings(max_examples=150, deadline=None)
def test_members_are_those_of_brute_force(space: Listed) -> None:
    expected = brute_force(space)
    assert space.members(10_000) == expected
    if expected:
        assert space.members(len(expected)) == expected
        assert space.members(len(expected) - 1) is None


@given(spaces())
@settings(max_examples=100, deadline=None)
def test_parameters_are_those_that_exist_somewhere(space: Listed) -> None:
    # Also those of refused architectures: a host may be asked for them.
    expected = {name for a in brute_force(Listed(space.asks)) for name, _ in a.chosen}
    asks = [ask for ask in space.asks if ask.name in expected]
    assert space.options == {ask.name: ask.options for ask in asks}
    assert space.parameters == {ask.name: tuple(ask.options.values) for ask in asks}


@given(spaces(), st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_encode_and_decode_are_inverse(space: Listed, seed: int) -> None:
    members = brute_force(space)
    if not members:
        return
    arch = space.sample(np.random.default_rng(seed))
    assert arch in members
    encoded = space.encode(arch)
    assert [type(v) for v in encoded.values()] == [type(v) for _, v in arch.chosen]
    assert space.decode(encoded) == arch
    assert space.decode({name: text_of(value) for name, value in encoded.items()}) == arch
    assert space.decode({name: str(value) for name, value in encoded.items()}) == arch
    assert space.parse(str(arch)) == arch
    everything = {ask.name: ask.options.values[-1] for ask in space.asks}
    assert space.decode({**everything, **encoded, "rate": object()}) == arch


def power_of_two(n: int) -> bool:
    return n in {2**k for k in range(10)}


@given(spaces())
@settings(max_examples=60, deadline=None)
def test_neighbours_are_those_that_the_definition_gives_and_mutual(space: Listed) -> None:
    """One shared parameter differs; of others at most two on each side are not the first option."""
    members = brute_force(space)
    options = {ask.name: ask.options for ask in space.asks}

    def moved(name: str, one: Choice, other: Choice) -> bool:
        values = list(options[name].values)
        steps = abs(values.index(one) - values.index(other))
        return one != other and (not options[name].ordered or power_of_two(steps))

    def alone(one: dict[str, Choice], other: dict[str, Choice]) -> int:
        return sum(v != options[n].values[0] for n, v in one.items() if n not in other)

    for arch in members[:: max(1, len(members) // 8)]:
        mine, expected = dict(arch.chosen), set[Assignment]()
        for member in members:
            theirs = dict(member.chosen)
            changed = [n for n in mine.keys() & theirs.keys() if mine[n] != theirs[n]]
            one = len(changed) == 1 and moved(changed[0], mine[changed[0]], theirs[changed[0]])
            if one and alone(mine, theirs) <= 2 and alone(theirs, mine) <= 2:
                expected.add(member)
        found = space.neighbours(arch)
        assert set(found) == expected
        assert len(found) == len(expected)
        assert all(arch in space.neighbours(other) for other in found)


def test_a_choice_that_opens_many_parameters_has_few_neighbours() -> None:
    """30 parameters of 4 options: 1 + 30·3 + C(30, 2)·9 of 4^30 assignments, and back."""
    numbers = Options((1, 2, 3, 4))
    deep = tuple(Ask(f"p{i}", numbers, (("kind", "deep"),)) for i in range(30))
    space = Listed((Ask("kind", Options(("flat", "deep"))), *deep))
    flat = space.decode({"kind": "flat"})
    assert len(space.neighbours(flat)) == 1 + 30 * 3 + 30 * 29 // 2 * 9
    ones = {"kind": "deep"} | {f"p{i}": 1 for i in range(30)}
    assert flat in space.neighbours(space.decode({**ones, "p3": 4, "p9": 2}))
    assert flat not in space.neighbours(space.decode({**ones, "p3": 4, "p9": 2, "p10": 2}))
    assert space.members(1000) is None


def test_options_are_equally_likely_when_they_are_asked_for() -> None:
    """Half of the draws are flat, though only one of five architectures is."""
    space = Listed(
        (
            Ask("kind", Options(("flat", "deep"))),
            Ask("width", Options((1, 2, 3, 4), ordered=True), (("kind", "deep"),)),
        )
    )
    rng = np.random.default_rng(0)
    drawn = [dict(space.sample(rng).chosen) for _ in range(800)]
    share = {w: sum(d.get("width") == w for d in drawn) / 800 for w in (None, 1, 2, 3, 4)}
    for width, expected in {None: 1 / 2, 1: 1 / 8, 2: 1 / 8, 3: 1 / 8, 4: 1 / 8}.items():
        assert abs(share[width] - expected) < 4 * math.sqrt(expected * (1 - expected) / 800)


def test_refused_draws_are_drawn_again_and_a_space_that_refuses_all_says_so() -> None:
    asks = (Ask("a", Options((0, 1))), Ask("b", Options((0, 1))))
    space = Listed(asks, (("a", 1), ("b", 1)))
    rng = np.random.default_rng(0)
    assert {str(space.sample(rng)) for _ in range(50)} == {
        '{"a": 0, "b": 0}', '{"a": 0, "b": 1}', '{"a": 1, "b": 0}'
    }  # fmt: skip
    with pytest.raises(InvalidArchitectureError, match="refused"):
        Listed((Ask("a", Options((0,))),), (("a", 0),)).sample(rng)


@pytest.mark.parametrize(
    ("values", "ordered"),
    [
        ((), False), ((1, 1), False), ((1, "1"), False), ((1, True), False), ((1, 1.0), False),
        ((None,), False), (([1],), False), ((math.nan,), False), ((math.inf,), True),
        ((2, 1), True), (("a", "b"), True), ((False, True), True), ((1, 2, 2), True),
    ],
)  # fmt: skip
def test_bad_options_are_refused(values: Any, ordered: bool) -> None:
    with pytest.raises(InvalidValueError, match="at least one, but got"):
        Options(values, ordered)


@pytest.mark.parametrize(
    ("options", "got", "position"),
    [
        (Options((3, 5)), "5", 1), (Options((3, 5)), 5.0, 1), (Options((3, 5)), np.int64(5), 1),
        (Options((3, 5)), 4, None), (Options((3, 5)), "4", None), (Options((1, 5)), True, None),
        (Options((0.1, 0.3)), 0.1 + 0.2, 1), (Options((0.1, 0.3)), "0.3", 1),
        (Options((0.1, 0.3)), 0.3001, None), (Options((-0.1, 0.0)), 1e-17, 1),
        (Options((True, False)), "true", 0), (Options((True, False)), "False", 1),
        (Options((True, False)), False, 1), (Options((True, False)), 0, None),
        (Options(("3", "5")), 5, 1), (Options(("a",)), ["a"], None), (Options(("a",)), None, None),
        (Options(("a",)), 1, None), (Options((1, 2)), math.nan, None),
    ],
)  # fmt: skip
def test_values_and_their_texts_are_read(options: Options[Choice], got: Any, position: Any) -> None:
    assert options.position(got) == position
    if position is None:
        with pytest.raises(InvalidArchitectureError, match="`width` must be one of"):
            options.read("width", got)
    else:
        assert options.read("width", got) is options.values[position]


def test_ordered_options_have_near_and_far_neighbours() -> None:
    options = Options(range(0, 200, 10), ordered=True)
    assert options.near(100) == [20, 60, 80, 90, 110, 120, 140, 180]
    assert Options(range(0, 200, 10)).near(100) == [n for n in range(0, 200, 10) if n != 100]


@dataclass(frozen=True)
class Broken(Declared[int]):
    """Raises for one option, as a third party's space may."""

    error: Exception
    name: str = field(default="broken", init=False)

    def make(self, choose: Choose) -> int:
        made = choose("width", Options((1, 2, 3), ordered=True))
        if made == 2:
            raise self.error
        return made

    def values(self, arch: int) -> Mapping[str, Choice]:
        return {"width": arch}


@pytest.mark.parametrize("error", [KeyError("key"), RuntimeError("no"), InvalidValueError("bad")])
def test_what_make_raises_is_no_architecture_with_the_reason(error: Exception) -> None:
    space = Broken(error)
    with pytest.raises(InvalidArchitectureError, match=r'"width": 2.*' + type(error).__name__):
        space.decode({"width": 2})
    assert space.members(10) == [1, 3]
    assert space.neighbours(1) == [3]
    assert {space.sample(np.random.default_rng(i)) for i in range(20)} == {1, 3}


def test_what_the_chooser_raises_is_its_own() -> None:
    def choose(name: str, options: Options[Choice]) -> Any:
        raise KeyError(name, options)

    with pytest.raises(KeyError):
        decide(Broken(KeyError("other")), choose)  # type: ignore[arg-type]


class Changing(AssignmentSpace):
    """Asks for other options under one name."""

    name = "changing"

    def __init__(self, within_one_architecture: bool) -> None:
        self.within = within_one_architecture

    def ask(self, choose: Choose) -> Sequence[int]:
        first = choose("a", Options((1, 2)))
        again = choose("b", Options(range(first)))
        return [again, choose("b", Options((7, 8))) if self.within else again]


def test_a_name_has_the_same_options_each_time() -> None:
    with pytest.raises(InvalidValueError, match="`b` must have the same options each time"):
        _ = Changing(False).options
    with pytest.raises(InvalidValueError, match="`b` must have the same options each time"):
        Changing(True).decode({"a": 1, "b": 0})


def test_a_parameter_that_is_asked_for_twice_is_one() -> None:
    class Twice(AssignmentSpace):
        def ask(self, choose: Choose) -> list[int]:
            return [choose("a", Options((1, 2, 3))) for _ in range(2)]

    space, rng = Twice(), np.random.default_rng(0)
    assert space.members(10) == [Assignment((("a", n),)) for n in (1, 2, 3)]
    assert all(len(set(space.asked(space.sample(rng)))) == 1 for _ in range(10))


def test_fbnets_neighbours_are_those_that_follow_from_what_it_asks() -> None:
    space = FBNet()
    assert list(space._explored.items()) == list(space.options.items())
    arch = space.sample(np.random.default_rng(3))
    assert space.neighbours(arch) == Declared.neighbours(space, arch)


def test_mobilenetv3_leaves_out_neighbours_two_layers_away() -> None:
    space = MobileNetV3()
    arch = space.sample(np.random.default_rng(3))
    more = set(Declared.neighbours(space, arch)) - set(space.neighbours(arch))
    assert set(space.neighbours(arch)) < set(Declared.neighbours(space, arch))
    for other in more:
        pairs = zip(arch.stages, other.stages, strict=True)
        assert sorted(abs(len(a) - len(b)) for a, b in pairs) == [0, 0, 0, 0, 2]


def test_other_spaces_are_asked_for_everything() -> None:
    class Plain:
        def __init__(self) -> None:
            self.parameters = {"a": (1, 2), "b": ("x", "y")}

        def decode(self, parameters: Mapping[str, Any]) -> str:
            return f"{parameters['a']}{parameters['b']}"

    space: Any = Plain()
    assert decide(space, lambda _, options: options.values[-1]) == "2y"
    assert options_of(space) == {"a": Options((1, 2)), "b": Options(("x", "y"))}
    assert members_of(space, 10) is None


class TestConditionalSpace(SearchSpaceContract):
    @pytest.fixture
    def space(self, conditional_space: Any) -> Any:
        return conditional_space


def test_the_space_of_the_example_counted_by_hand(conditional_space: Any) -> None:
    # A layer is one of 4 widths with one of 3 kernels or a pooling; 3 dropouts.
    members = conditional_space.members(100_000)
    assert len(members) == len(set(map(str, members))) == (16 + 16**2 + 16**3) * 3
    assert repr(copy.deepcopy(conditional_space)) == "SmallNets()"
