"""Genotypes of two cells: which operations on which earlier states make each state."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hwnas.errors import InvalidArchitectureError
from hwnas.graphs.arch_graph import INPUT, OUTPUT, ArchGraph

NORMAL, REDUCE = "normal", "reduce"
INPUTS = 2
"""A cell's first states: the outputs of the two cells before it."""
NONE = "none"
EXAMPLE = "sep_conv_3x3@0+sep_conv_3x3@1/…|…"


class Term(NamedTuple):
    """One of the two addends of a state.

    Attributes:
        operation: its name.
        source: the state that it takes, from 0.
    """

    operation: str
    source: int

    def __str__(self) -> str:
        return f"{self.operation}@{self.source}"


State = tuple[Term, Term]


@dataclass(frozen=True, order=True)
class Genotype:
    """Two cells; the text has ``OPERATION@STATE+OPERATION@STATE`` for each state.

    States are separated by ``/`` and the cells by ``|``.

    Attributes:
        normal: states of the cell that keeps the image.
        reduce: states of the cell that halves it.
    """

    normal: tuple[State, ...]
    reduce: tuple[State, ...]

    def __post_init__(self) -> None:
        for name, states in self.cells():
            for number, terms in enumerate(states, start=INPUTS):
                for term in terms:
                    if not 0 <= term.source < number:
                        raise InvalidArchitectureError(
                            f"State {number} of the {name} cell must take an earlier state, but "
                            f"got {term}."
                        )

    def __str__(self) -> str:
        return "|".join("/".join(f"{a}+{b}" for a, b in states) for _, states in self.cells())

    def cells(self) -> tuple[tuple[str, tuple[State, ...]], ...]:
        """Give the name and the states of each cell."""
        return (NORMAL, self.normal), (REDUCE, self.reduce)


def genotype_of(normal: Sequence[tuple[str, int]], reduce: Sequence[tuple[str, int]]) -> Genotype:
    """Make a genotype of the published lists: two pairs of (operation, state) for each state.

    Raises:
        InvalidArchitectureError: a list has an odd number of pairs, or a later state is taken.

    Example:
        >>> str(genotype_of([("skip_connect", 0), ("sep_conv_3x3", 1)], [("skip_connect", 1)] * 2))
        'skip_connect@0+sep_conv_3x3@1|skip_connect@1+skip_connect@1'
    """
    return Genotype(_states(normal), _states(reduce))


def _states(pairs: Sequence[tuple[str, int]]) -> tuple[State, ...]:
    if len(pairs) % 2:
        raise InvalidArchitectureError(
            f"A cell must have two operations for each state, but got {len(pairs)}."
        )
    terms = [Term(str(operation), int(source)) for operation, source in pairs]
    return tuple(zip(terms[::2], terms[1::2], strict=True))


def read_genotype(text: str) -> Genotype:
    """Read the text of a genotype.

    Raises:
        InvalidArchitectureError: it is none; says what is wrong.
    """
    cells = text.split("|")
    if len(cells) != 2:
        raise InvalidArchitectureError(
            f"An architecture must have two cells with '|', as in {EXAMPLE!r}, but got {text!r}."
        )
    return Genotype(*(tuple(map(_read_state, cell.split("/"))) for cell in cells))


def _read_state(text: str) -> State:
    form = r"([a-z0-9_]+)@(\d)\+([a-z0-9_]+)@(\d)"
    found = re.fullmatch(form, text, re.ASCII)
    if found is None:
        raise InvalidArchitectureError(
            f"A state must be 'OPERATION@STATE+OPERATION@STATE', as in {EXAMPLE!r}, but got "
            f"{text!r}."
        )
    a, i, b, j = found.groups()
    return Term(a, int(i)), Term(b, int(j))


def canonical(genotype: Genotype) -> Genotype:
    """Give the same genotype for all that differ in orders alone.

    Of every order of a cell's states in which each takes earlier ones, with the two addends of
    each sorted, it is the least one. Which state a zero takes is no matter.
    """
    return Genotype(_least(genotype.normal), _least(genotype.reduce))


def _least(states: Sequence[State]) -> tuple[State, ...]:
    orders = map(list, itertools.permutations(range(len(states))))
    found = (_in_order(states, order) for order in orders)
    return min(other for other in found if other is not None)


def _in_order(states: Sequence[State], order: list[int]) -> tuple[State, ...] | None:
    place = {number: number for number in range(INPUTS)}
    ordered: list[State] = []
    for number in order:
        terms = [Term(NONE, 0) if term.operation == NONE else term for term in states[number]]
        if any(term.source not in place for term in terms):
            return None
        first, second = sorted(Term(term.operation, place[term.source]) for term in terms)
        place[number + INPUTS] = len(ordered) + INPUTS
        ordered.append((first, second))
    return tuple(ordered)


def joined_states(states: Sequence[State], every: bool) -> tuple[int, ...]:
    """Give the states whose values a cell joins: all, or those that no other state takes."""
    made = range(INPUTS, INPUTS + len(states))
    taken = set() if every else {term.source for terms in states for term in terms}
    return tuple(state for state in made if state not in taken)


def depends(states: Sequence[State], every: bool, before: tuple[bool, bool]) -> bool:
    """Tell whether a cell's output depends on the images where its two inputs do or do not."""
    known = list(before)
    for terms in states:
        known.append(any(known[t.source] for t in terms if t.operation != NONE))
    return any(known[state] for state in joined_states(states, every))


def graph_of(genotype: Genotype, every: bool) -> ArchGraph:
    """Give the canonical graph: a node for each state and each operation, labelled ``CELL:NAME``.

    Addends have no order, nor have the states that a cell joins, whose order only permutes
    channels. Operations that give zeros have no node.
    """
    labels, arrows = [INPUT], list[tuple[int, int]]()
    ends: list[int] = []
    for name, states in genotype.cells():
        at = []
        for number in range(INPUTS):
            at.append(_add(labels, arrows, f"{name}:input{number}", [0]))
        for terms in states:
            work = [
                _add(labels, arrows, f"{name}:{term.operation}", [at[term.source]])
                for term in terms
                if term.operation != NONE
            ]
            at.append(_add(labels, arrows, f"{name}:sum", work))
        ends += [at[state] for state in joined_states(states, every)]
    _add(labels, arrows, OUTPUT, ends)
    adjacency = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for source, target in arrows:
        adjacency[source, target] += 1
    return ArchGraph(tuple(labels), adjacency).canonical()


def _add(
    labels: list[str], arrows: list[tuple[int, int]], label: str, sources: Iterable[int]
) -> int:
    labels.append(label)
    arrows += [(source, len(labels) - 1) for source in sources]
    return len(labels) - 1
