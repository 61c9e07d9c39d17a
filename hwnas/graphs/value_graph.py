"""Graphs of values with a name for each isomorphism class.

A value is what an operator makes of other values. Operators of equal values are one value, but a
*source*, such as a weight, is a value of its own, however it looks: a weight that is used twice is
told from two weights of one shape.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Value:
    """An operator and its inputs.

    Attributes:
        label: the operator with everything that is no value.
        inputs: numbers of the values that it is applied to.
        unordered: whether its inputs may stand in any order.
        associative: whether ``f(f(a, b), c)`` is ``f(a, f(b, c))``; the label says of which shape.
    """

    label: str
    inputs: tuple[int, ...] = ()
    unordered: bool = False
    associative: bool = False


@dataclass
class ValueGraph:
    """Values, each after its inputs.

    Attributes:
        values: the values by number.
    """

    values: list[Value] = field(default_factory=list)
    _numbers: dict[Value, int] = field(default_factory=dict)
    _sources: set[int] = field(default_factory=set)

    def source(self, label: str) -> int:
        """Add a value that equals no other one."""
        number = len(self.values)
        self.values.append(Value(f"source {label}"))
        self._sources.add(number)
        return number

    def apply(
        self, label: str, inputs: Sequence[int], unordered: bool = False, associative: bool = False
    ) -> int:
        """Give the value of an operator, which is a known one if its inputs are the same."""
        given = tuple(sorted(inputs)) if unordered else tuple(inputs)
        value = Value(label, given, unordered, associative)
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = len(self.values)
            self.values.append(value)
        return number

    def reached(self, outputs: Sequence[int]) -> set[int]:
        """Give the values that outputs depend on, themselves included."""
        found, left = set(outputs), list(outputs)
        while left:
            new = set(self.values[left.pop()].inputs) - found
            found |= new
            left += new
        return found

    def digest(self, outputs: Sequence[int]) -> str:
        """Give 32 hexadecimal digits that are equal exactly for isomorphic graphs.

        Values that no output depends on are left out. A sum of which nothing else uses the partial
        sums is one sum, in whatever order it was added up; so is every associative operator.

        The time is about linear in the number of values: see `CanonicalForm`.
        """
        return CanonicalForm(*self._flat(outputs)).digest()

    def _flat(self, outputs: Sequence[int]) -> tuple[ValueGraph, int]:
        """Copy what the outputs depend on, with partial sums in place, below one last value."""
        kept = sorted(self.reached(outputs))
        partial = self._partial(kept, outputs)
        flat, new = ValueGraph(), dict[int, int]()
        for number in (n for n in kept if n not in partial):
            value = self.values[number]
            if number in self._sources:
                new[number] = len(flat.values)
                flat.values.append(value)
                continue
            inputs: list[int] = []
            left = list(reversed(value.inputs))
            while left:
                i = left.pop()
                if i in partial:
                    left += reversed(self.values[i].inputs)
                else:
                    inputs.append(new[i])
            new[number] = flat.apply(value.label, inputs, value.unordered, value.associative)
        last = flat.apply("outputs", [new[number] for number in outputs])
        return flat, last

    def _partial(self, kept: Sequence[int], outputs: Sequence[int]) -> set[int]:
        """Give the values that are used once, by an associative operator like theirs."""
        uses = Counter(i for number in kept for i in self.values[number].inputs)
        uses.update(outputs)
        return {
            i
            for number in kept
            for i in self.values[number].inputs
            if self.values[number].associative
            and self.values[i].label == self.values[number].label
            and uses[i] == 1
        }


class CanonicalForm:
    """The name of the isomorphism class of a graph of values.

    Colours are hashes of what is known of a value: its operator, then its inputs' colours, then
    those of its users, until no further values are told apart (colour refinement). Sweeps along the
    graph and back do that in a few rounds where neighbours alone would take as many as it is deep.

    Values whose colour is theirs alone are named by it. The others fall into parts that are
    connected only by way of named values, so the graph is these names and the *multiset* of its
    parts: of equal branches it does not matter which is which, and each costs its own size. Inside
    a part values that still look alike are told apart one after another, and the smallest form
    wins; one whose first form below equals that of a former is its image, and skipped (exact;
    McKay and Piperno, Practical graph isomorphism II, 2014).

    Attributes:
        steps: values coloured so far, the measure of the work.
    """

    LIMIT = 600_000
    """Steps after which the first of tied values is taken: still no two graphs have one name, but
    equal ones may have two. Only constructed graphs come there."""

    def __init__(self, graph: ValueGraph, last: int) -> None:
        """Take a graph of which everything is used by its value `last`."""
        kept = graph.reached([last])
        self._values = graph.values
        self._nodes = sorted(kept)
        self._users: dict[int, list[tuple[int, int]]] = {number: [] for number in kept}
        for number in self._nodes:
            value = self._values[number]
            for position, i in enumerate(value.inputs):
                self._users[i].append((number, -1 if value.unordered else position))
        self.steps = 0

    def digest(self) -> str:
        """Give 32 hexadecimal digits."""
        labels = {number: _hash(self._values[number].label.encode()) for number in self._nodes}
        return self._form(self._nodes, labels, False).hex()

    def _form(self, nodes: list[int], colours: dict[int, bytes], first: bool) -> bytes:
        """Give the form of a part; colours around it are names.

        Args:
            nodes: its values, each after its inputs.
            colours: of these and all around; left as they are.
            first: whether the first of tied values is taken, whatever the others give.
        """
        colours = self._refined(nodes, colours)
        count = Counter(colours[number] for number in nodes)
        tied = [number for number in nodes if count[colours[number]] > 1]
        named = sorted(
            b"".join((colours[number], *self._of_inputs(number, colours)))
            for number in nodes
            if count[colours[number]] == 1
        )
        parts = sorted(self._part(part, colours, first) for part in self._parts(tied))
        return _hash(b"".join((_hash(b"".join(named)), *parts)))

    def _part(self, nodes: list[int], colours: dict[int, bytes], first: bool) -> bytes:
        """Give the form of a part whose values each look like one elsewhere, or in it."""
        count = Counter(colours[number] for number in nodes)
        ties = [(n, colour) for colour, n in count.items() if n > 1]
        if not ties:
            return self._form(nodes, colours, first)
        _, colour = min(ties)
        forms: dict[bytes, bytes] = {}
        for number in (n for n in nodes if colours[n] == colour):
            split = colours | {number: _hash(colour + b"first")}
            sketch = self._form(nodes, split, True)
            if first or self.steps > self.LIMIT:
                return sketch
            if sketch not in forms:
                forms[sketch] = self._form(nodes, split, False)
        return min(forms.values())

    def _refined(self, nodes: list[int], colours: dict[int, bytes]) -> dict[int, bytes]:
        colours = dict(colours)
        count, before = len({colours[number] for number in nodes}), 0
        while before < count < len(nodes) or not before:
            before = count
            for number in nodes:
                colours[number] = _hash(
                    b"".join((colours[number], *self._of_inputs(number, colours)))
                )
            for number in reversed(nodes):
                users = sorted(colours[u] + b"%d" % place for u, place in self._users[number])
                colours[number] = _hash(b"".join((colours[number], *users)))
            self.steps += 2 * len(nodes)
            count = len({colours[number] for number in nodes})
        return colours

    def _of_inputs(self, number: int, colours: dict[int, bytes]) -> list[bytes]:
        value = self._values[number]
        found = [colours[i] for i in value.inputs]
        return sorted(found) if value.unordered else found

    def _parts(self, nodes: list[int]) -> list[list[int]]:
        """Split values into those that are connected, each part in the order of the whole."""
        left, found = set(nodes), []
        for start in nodes:
            if start not in left:
                continue
            part, todo = {start}, [start]
            while todo:
                number = todo.pop()
                around = {*self._values[number].inputs, *(u for u, _ in self._users[number])}
                new = (around & left) - part
                part |= new
                todo += new
            left -= part
            found.append(sorted(part))
        return found


def _hash(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=16).digest()
