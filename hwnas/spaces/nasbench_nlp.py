"""Recurrent cells of NAS-Bench-NLP: elementwise operations and linear maps, up to three states.

Klyuchnikov et al., NAS-Bench-NLP: Neural Architecture Search Benchmark for Natural Language
Processing, IEEE Access 2022, Section 3: at most 24 nodes, three hidden states, and three inputs of
a linear node.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from hwnas.errors import InvalidArchitectureError, InvalidValueError, unknown_name
from hwnas.graphs.arch_graph import INPUT, OUTPUT, ArchGraph
from hwnas.spaces.choices import Choose, Declared, Options
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Logits, NextToken, Task
from hwnas.typing import Choice

if TYPE_CHECKING:
    from torch import nn

MAX_NODES, MAX_STATES, MAX_LINEAR = 24, 3, 3
INPUTS: Mapping[str, int] = {
    "linear": MAX_LINEAR, "blend": 3, "prod": 2, "sum": 2, "tanh": 1, "sigm": 1, "leaky_relu": 1,
}  # fmt: skip
"""Operations and how many inputs each has; a linear one may have fewer."""
OPERATIONS = tuple(INPUTS)
PUBLISHED: Mapping[str, str] = {
    "elementwise_prod": "prod",
    "elementwise_sum": "sum",
    "activation_tanh": "tanh",
    "activation_sigm": "sigm",
    "activation_leaky_relu": "leaky_relu",
}
"""Operations that the benchmark's recipes name otherwise."""
_PORTS = ("gate", "first", "second")
"""Inputs of a blend, whose order matters: gate * first + (1 - gate) * second."""
EXAMPLE = "linear(x,h0);tanh(n0)|n1"


class Node(NamedTuple):
    """One operation.

    Attributes:
        operation: one of `OPERATIONS`.
        inputs: ``x`` (the token), ``h0`` to ``h2`` (states) or ``n0``, … (earlier nodes).
    """

    operation: str
    inputs: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.operation}({','.join(self.inputs)})"


@dataclass(frozen=True, order=True)
class RecurrentCell:
    """A cell; its text has its nodes and, behind ``|``, which of them are the new states.

    State 0 is the output, e.g. ``linear(x,h0);tanh(n0)|n1`` is a plain recurrent network.

    Attributes:
        nodes: at most 24 nodes.
        states: number of the node that is each new state, one to three.
    """

    nodes: tuple[Node, ...]
    states: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.nodes) <= MAX_NODES or not 1 <= len(self.states) <= MAX_STATES:
            raise InvalidArchitectureError(
                f"An architecture must have 1 to {MAX_NODES} nodes and 1 to {MAX_STATES} states, "
                f"as in {EXAMPLE!r}, but got {len(self.nodes)} and {len(self.states)}."
            )
        known = ["x", *(f"h{number}" for number in range(len(self.states)))]
        for number, node in enumerate(self.nodes):
            _check(number, node, known)
            known.append(f"n{number}")
        if not all(0 <= state < len(self.nodes) for state in self.states):
            raise InvalidArchitectureError(
                f"`states` must be numbers of the {len(self.nodes)} nodes, but got {self.states}."
            )

    def __str__(self) -> str:
        states = ",".join(f"n{state}" for state in self.states)
        return f"{';'.join(map(str, self.nodes))}|{states}"

    @cached_property
    def pruned(self) -> RecurrentCell:
        """Give the cell without the nodes and states that the output never depends on."""
        states = [0]
        for state in states:
            read = {name for name in self._reached(self.states[state]) if name[0] == "h"}
            states += sorted({int(name[1:]) for name in read} - set(states))
        states.sort()
        alive = set[str]().union(*(self._reached(self.states[state]) for state in states))
        kept = [number for number in range(len(self.nodes)) if f"n{number}" in alive]
        renamed = {f"n{old}": f"n{new}" for new, old in enumerate(kept)}
        renamed |= {f"h{old}": f"h{new}" for new, old in enumerate(states)} | {"x": "x"}
        nodes = (
            Node(self.nodes[n].operation, tuple(renamed[i] for i in self.nodes[n].inputs))
            for n in kept
        )
        return RecurrentCell(tuple(nodes), tuple(kept.index(self.states[s]) for s in states))

    def _reached(self, node: int) -> set[str]:
        """Give what a node is made of, itself included."""
        found, todo = set[str](), [f"n{node}"]
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo += self.nodes[int(name[1:])].inputs if name[0] == "n" else ()
        return found

    @property
    def reads_tokens(self) -> bool:
        """Whether the output depends on the tokens."""
        return any("x" in node.inputs for node in self.pruned.nodes)


def _check(number: int, node: Node, known: Sequence[str]) -> None:
    if node.operation not in INPUTS:
        error = unknown_name("operation of NAS-Bench-NLP", node.operation, OPERATIONS)
        raise InvalidArchitectureError(str(error))
    most = INPUTS[node.operation]
    least = 1 if node.operation == "linear" else most
    if not least <= len(node.inputs) <= most or not set(node.inputs) <= set(known):
        count = f"{least} to {most}" if least < most else str(most)
        raise InvalidArchitectureError(
            f"Node {number} must have {count} of the inputs {', '.join(known)}, but got {node}."
        )


def cell_of(recipe: Mapping[str, Mapping[str, Any]]) -> RecurrentCell:
    """Read a recipe of the benchmark: by name, the operation and the inputs of each node.

    Args:
        recipe: nodes by name, with ``op`` and ``input``; inputs are ``x``, ``h_prev_0`` and so on,
            or other nodes, and the new states are the nodes ``h_new_0`` and so on.

    Raises:
        InvalidArchitectureError: it is none; says what is wrong.

    Example:
        >>> plain = {"sum": {"op": "linear", "input": ["x", "h_prev_0"]},
        ...          "h_new_0": {"op": "activation_tanh", "input": ["sum"]}}
        >>> str(cell_of(plain))
        'linear(x,h0);tanh(n0)|n1'
    """
    order: list[str] = []
    left = dict(recipe)
    while left:
        ready = [n for n, node in left.items() if not set(node["input"]) & left.keys()]
        if not ready:
            raise InvalidArchitectureError(
                f"A recipe must have no circle but through states, but has one of "
                f"{', '.join(left)}."
            )
        order += ready
        left = {name: node for name, node in left.items() if name not in ready}
    names = {name: f"n{number}" for number, name in enumerate(order)}
    names |= {f"h_prev_{i}": f"h{i}" for i in range(MAX_STATES)}
    states = [f"h_new_{i}" for i in range(MAX_STATES) if f"h_new_{i}" in recipe]
    return RecurrentCell(
        tuple(
            Node(
                PUBLISHED.get(recipe[name]["op"], recipe[name]["op"]),
                tuple(names.get(source, source) for source in recipe[name]["input"]),
            )
            for name in order
        ),
        tuple(order.index(state) for state in states),
    )


def _options() -> Mapping[str, Options[Choice]]:
    found: dict[str, Options[Choice]] = {
        "states": Options(tuple(range(1, MAX_STATES + 1)), ordered=True),
        "nodes": Options(tuple(range(1, MAX_NODES + 1)), ordered=True),
    }
    sources = ["x", *(f"h{number}" for number in range(MAX_STATES))]
    for number in range(MAX_NODES):
        found[f"operation_{number}"] = Options(OPERATIONS)
        found[f"inputs_{number}"] = Options(tuple(range(1, MAX_LINEAR + 1)), ordered=True)
        found |= {f"input_{number}_{i}": Options(tuple(sources)) for i in range(MAX_LINEAR)}
        sources.append(f"n{number}")
    states = {f"state_{i}": Options(tuple(range(MAX_NODES))) for i in range(MAX_STATES)}
    return {**found, **states}


_OPTIONS = _options()


@dataclass(frozen=True)
class NasBenchNlp(Declared[RecurrentCell]):
    """Recurrent networks of one cell, for next tokens or classes of texts.

    Attributes:
        channels: channels of tokens and states.
        layers: cells one above another.
    """

    new_changes: ClassVar[int] = 1
    channels: int = 200
    layers: int = 1
    name: str = field(default="nasbench-nlp", init=False, repr=False)

    def __post_init__(self) -> None:
        for setting, value in (("channels", self.channels), ("layers", self.layers)):
            if value < 1:
                raise InvalidValueError(f"`{setting}` must be at least 1, but got {value}.")

    def parse(self, text: str) -> RecurrentCell:
        """Read the text; `InvalidArchitectureError` says what is wrong."""
        nodes, _, states = text.partition("|")
        found = [re.fullmatch(r"([a-z_]+)\(([a-z0-9,]*)\)", part) for part in nodes.split(";")]
        made = tuple(Node(m[1], tuple(m[2].split(","))) for m in found if m is not None)
        numbers = re.fullmatch(r"n(0|[1-9]\d?)(,n(0|[1-9]\d?))*", states, re.ASCII)
        if len(made) < len(found) or numbers is None:
            raise InvalidArchitectureError(
                f"An architecture must be nodes and states, as in {EXAMPLE!r}, but got {text!r}."
            )
        return RecurrentCell(made, tuple(int(state[1:]) for state in states.split(",")))

    @property
    def options(self) -> Mapping[str, Options[Choice]]:
        """``states``, ``nodes``, ``operation_N``, ``inputs_N``, ``input_N_I`` and ``state_I``."""
        return _OPTIONS

    def make(self, choose: Choose) -> RecurrentCell:
        """Ask for the numbers of states and nodes, for each node, and for the new states.

        States and nodes that are not there make no architecture.
        """

        def ask(name: str) -> Any:
            return choose(name, _OPTIONS[name])

        states, count = ask("states"), ask("nodes")
        nodes: list[Node] = []
        for number in range(count):
            operation = ask(f"operation_{number}")
            linear = operation == "linear"
            inputs = ask(f"inputs_{number}") if linear else INPUTS[operation]
            nodes.append(Node(operation, tuple(ask(f"input_{number}_{i}") for i in range(inputs))))
        return RecurrentCell(tuple(nodes), tuple(ask(f"state_{i}") for i in range(states)))

    def values(self, arch: RecurrentCell) -> Mapping[str, Choice]:
        """Give the answers that make a cell."""
        found: dict[str, Choice] = {"states": len(arch.states), "nodes": len(arch.nodes)}
        for number, node in enumerate(arch.nodes):
            found[f"operation_{number}"] = node.operation
            if node.operation == "linear":
                found[f"inputs_{number}"] = len(node.inputs)
            found |= {f"input_{number}_{i}": source for i, source in enumerate(node.inputs)}
        return found | {f"state_{i}": state for i, state in enumerate(arch.states)}

    def sample(self, rng: np.random.Generator) -> RecurrentCell:
        """Draw numbers of states and nodes, then operations, inputs and states from what there is.

        Each is uniform, so most nodes of a large cell are in no path to its output.
        """
        states, count = int(rng.integers(1, MAX_STATES + 1)), int(rng.integers(1, MAX_NODES + 1))
        known = ["x", *(f"h{number}" for number in range(states))]
        nodes: list[Node] = []
        for number in range(count):
            operation = OPERATIONS[rng.integers(len(OPERATIONS))]
            linear = operation == "linear"
            inputs = int(rng.integers(1, MAX_LINEAR + 1)) if linear else INPUTS[operation]
            nodes.append(
                Node(operation, tuple(known[i] for i in rng.integers(len(known), size=inputs)))
            )
            known.append(f"n{number}")
        return RecurrentCell(tuple(nodes), tuple(rng.integers(count, size=states).tolist()))

    def is_valid(self, arch: RecurrentCell) -> bool:
        """Tell whether the output depends on the tokens."""
        return arch.reads_tokens

    def canonical_key(self, arch: RecurrentCell) -> str:
        """Give the hash of the graph: the order of nodes and of addends is no matter."""
        return self.to_graph(arch).digest()

    def representative(self, arch: RecurrentCell) -> RecurrentCell:
        """Leave out what the output never depends on."""
        return arch.pruned

    @property
    def graph_labels(self) -> tuple[str, ...]:
        """Every part, between colons, of the labels in `to_graph`."""
        states = (f"{what}{i}" for what in ("h", "new") for i in range(MAX_STATES))
        return ("x", *states, *OPERATIONS, *_PORTS)

    def to_graph(self, arch: RecurrentCell) -> ArchGraph:
        """Give the canonical graph of one step: from tokens and states to new states."""
        cell = arch.pruned
        labels, arrows, at = [INPUT], list[tuple[int, int]](), dict[str, int]()

        def add(label: str, sources: Iterator[int] | Sequence[int]) -> int:
            labels.append(label)
            arrows.extend((source, len(labels) - 1) for source in sources)
            return len(labels) - 1

        for name in ("x", *(f"h{number}" for number in range(len(cell.states)))):
            at[name] = add(name, [0])
        for number, node in enumerate(cell.nodes):
            sources = [at[name] for name in node.inputs]
            if node.operation == "blend":
                ports = zip(_PORTS, sources, strict=True)
                sources = [add(port, [source]) for port, source in ports]
            at[f"n{number}"] = add(node.operation, sources)
        ends = [add(f"new{i}", [at[f"n{state}"]]) for i, state in enumerate(cell.states)]
        add(OUTPUT, ends)
        adjacency = np.zeros((len(labels), len(labels)), dtype=np.int64)
        for source, target in arrows:
            adjacency[source, target] += 1
        return ArchGraph(tuple(labels), adjacency).canonical()

    @property
    def default_task(self) -> Task:
        """The next word behind each of 35 in Penn Treebank."""
        return get_task("ptb")

    def build(self, arch: RecurrentCell, task: Task | None = None) -> nn.Module:
        """Build the network.

        Args:
            arch: the cell.
            task: next tokens or classes of texts.

        Returns:
            A network that maps `(B, T)` tokens to `(B, T, V)` logits of the tokens that follow, or
            to `(B, K)` logits of the classes of texts.

        Raises:
            InvalidValueError: the task is neither.
        """
        from hwnas.spaces.nasbench_nlp_network import RecurrentNetwork

        wanted = task or self.default_task
        vocabulary, output = wanted.input.vocabulary, wanted.output
        if vocabulary is None or not isinstance(output, Logits | NextToken):
            raise InvalidValueError(
                f"`task` must be next tokens or classes of texts for {self.name}, but got {wanted}."
            )
        classes = output.classes if isinstance(output, Logits) else None
        return RecurrentNetwork(arch.pruned, self.channels, self.layers, vocabulary, classes)
