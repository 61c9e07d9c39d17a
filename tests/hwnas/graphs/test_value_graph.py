"""Names of isomorphism classes, against renumbered copies and against all bijections."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.graphs.value_graph import CanonicalForm, ValueGraph

Plan = list[tuple[str, tuple[int, ...]]]
"""Operators by (label, inputs); `w` is a source, and `+` takes its inputs in any order."""


def graph_of(plan: Plan, associative: bool = False) -> tuple[ValueGraph, list[int]]:
    graph, numbers = ValueGraph(), list[int]()
    for label, inputs in plan:
        given = [numbers[i] for i in inputs]
        if label == "w":
            numbers.append(graph.source("w"))
        else:
            numbers.append(graph.apply(label, given, label == "+", label == "+" and associative))
    return graph, numbers


def digest(plan: Plan, associative: bool = False) -> str:
    graph, numbers = graph_of(plan, associative)
    return graph.digest(numbers[-1:])


@st.composite
def plans(draw: st.DrawFn, sources: int = 4, operators: int = 6) -> Plan:
    plan: Plan = [("w", ())] * draw(st.integers(1, sources))
    for _ in range(draw(st.integers(1, operators))):
        inputs = st.integers(0, len(plan) - 1)
        label = draw(st.sampled_from("+f"))
        plan.append((label, (draw(inputs), draw(inputs))))
    return plan


def expression(plan: Plan, names: Sequence[int]) -> object:
    """Write the last value out, sources by name: equal exactly for equal functions of them."""
    found: list[object] = []
    left = iter(names)
    for label, inputs in plan:
        given = [repr(found[i]) for i in inputs]
        found.append(
            next(left) if label == "w" else (label, sorted(given) if label == "+" else given)
        )
    return repr(found[-1])


@given(plans(), plans())
@settings(max_examples=300, deadline=None)
def test_digest_is_equal_exactly_if_some_renaming_of_sources_is(one: Plan, other: Plan) -> None:
    count = [sum(label == "w" for label, _ in plan) for plan in (one, other)]
    names = range(max(count))
    written = expression(one, range(count[0]))
    same = any(expression(other, p) == written for p in itertools.permutations(names, count[1]))
    assert (digest(one) == digest(other)) is same


@given(plans(sources=6, operators=12), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_digest_does_not_depend_on_the_order(plan: Plan, random: object) -> None:
    assert digest(shuffled(plan, random)) == digest(plan)


def shuffled(plan: Plan, random: object) -> Plan:
    """List the same values in another order, and turn sums around."""
    left, new, place = list(range(len(plan) - 1)), list[tuple[str, tuple[int, ...]]](), {}
    while left:
        ready = [i for i in left if all(j in place for j in plan[i][1])]
        i = random.choice(ready)  # type: ignore[attr-defined]
        place[i] = len(new)
        new.append(_moved(plan[i], place))
        left.remove(i)
    return [*new, _moved(plan[-1], place)]


def _moved(node: tuple[str, tuple[int, ...]], place: dict[int, int]) -> tuple[str, tuple[int, ...]]:
    label, inputs = node
    moved = tuple(place[i] for i in inputs)
    return label, moved[::-1] if label == "+" else moved


def test_one_source_twice_is_not_two() -> None:
    once: Plan = [("w", ()), ("f", (0, 0))]
    twice: Plan = [("w", ()), ("w", ()), ("f", (0, 1))]
    assert digest(once) != digest(twice)


def test_what_nothing_uses_is_left_out() -> None:
    plan: Plan = [("w", ()), ("w", ()), ("f", (1, 1)), ("f", (0, 0))]
    assert digest(plan) == digest([("w", ()), ("f", (0, 0))])


def test_sums_are_one_sum_if_nothing_uses_their_parts() -> None:
    left: Plan = [*([("w", ())] * 3), ("+", (0, 1)), ("f", (2, 2)), ("+", (3, 4))]
    right: Plan = [*([("w", ())] * 3), ("f", (2, 2)), ("+", (0, 3)), ("+", (4, 1))]
    assert digest(left, associative=True) == digest(right, associative=True)
    assert digest(left) != digest(right)
    used: Plan = [*left, ("f", (3, 5))]
    other: Plan = [*right, ("f", (4, 5))]
    assert digest(used, associative=True) != digest(other, associative=True)


def cycles(*lengths: int) -> Plan:
    """Make sources and sums of neighbours in cycles, which refinement cannot tell apart."""
    plan: Plan = [("w", ())] * sum(lengths)
    sums, start = [], 0
    for n in lengths:
        for i in range(n):
            sums.append(len(plan))
            plan += [("+", (start + i, start + (i + 1) % n)), ("f", (len(plan), len(plan)))]
        start += n
    return _total(plan, [s + 1 for s in sums])


def _total(plan: Plan, terms: list[int]) -> Plan:
    return [*plan, ("+", tuple(terms))]


@pytest.mark.parametrize(
    ("one", "other"), [((6,), (3, 3)), ((7,), (3, 4)), ((3, 5), (4, 4)), ((3, 3, 4), (3, 7))]
)
def test_cycles(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    assert digest(cycles(*one)) != digest(cycles(*other))
    assert digest(cycles(*one)) == digest(cycles(*one[::-1]))


def branches(count: int, odd: int = 0) -> Plan:
    """Make branches of two layers whose middle is used twice; `odd` of them have one more."""
    plan: Plan = [("w", ())]
    ends = []
    for i in range(count):
        n = len(plan)
        plan += [("w", ()), ("w", ()), ("f", (0, n)), ("f", (n + 2, n + 1)), ("+", (n + 2, n + 3))]
        if i < odd:
            plan.append(("f", (n + 4, n + 4)))
        ends.append(len(plan) - 1)
    return _total(plan, ends)


def steps(plan: Plan) -> int:
    graph, numbers = graph_of(plan)
    form = CanonicalForm(graph, numbers[-1])
    form.digest()
    return form.steps


@pytest.mark.parametrize("count", [9, 400])
def test_equal_branches_cost_their_own_size(count: int) -> None:
    """Trying their orders would take count! times as long."""
    plan = branches(count)
    assert steps(plan) <= 8 * len(plan)
    assert digest(branches(count, 1)) != digest(plan) != digest(branches(count + 1))


def test_a_limit_of_the_work_gives_a_name_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    without = steps(cycles(30))
    monkeypatch.setattr(CanonicalForm, "LIMIT", 100)
    assert digest(cycles(30)) != digest(cycles(15, 15))
    assert steps(cycles(30)) < without / 10


@pytest.mark.parametrize("label", ["+", "f"])
def test_long_chains_cost_their_length(label: str) -> None:
    plan: Plan = [("w", ())]
    for _ in range(650):
        n = len(plan)
        plan += [("w", ()), ("f", (n - 1, n)), (label, (n - 1, n + 1))]
    assert steps(plan) <= 4 * len(plan)


def pairs(count: int) -> Plan:
    """Make a layer of each pair of sources: all count! orders of the sources are equal."""
    plan: Plan = [("w", ())] * count
    ends = []
    for i, j in itertools.combinations(range(count), 2):
        n = len(plan)
        plan += [("+", (i, j)), ("w", ()), ("f", (n, n + 1))]
        ends.append(n + 2)
    return _total(plan, ends)


def test_images_of_a_choice_are_tried_once() -> None:
    count = 8
    plan = pairs(count)
    assert steps(plan) <= 2 * count**3 * len(plan)  # far below count!


def test_plans_of_the_tests_hold_what_they_say() -> None:
    assert Counter(label for label, _ in pairs(4)) == {"w": 10, "+": 7, "f": 6}
