"""NAS-Bench-101: modules of at most seven vertices and nine edges, operations at the vertices.

Ying et al., NAS-Bench-101: Towards Reproducible Neural Architecture Search, ICML 2019, Section 2.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hwnas.errors import InvalidArchitectureError, InvalidValueError, unknown_name
from hwnas.graphs.arch_graph import INPUT, OUTPUT, ArchGraph, IntArray
from hwnas.spaces.choices import Choose, Declared, Options
from hwnas.spaces.facets import Facets, Truth
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Task, image_classes
from hwnas.typing import Choice

if TYPE_CHECKING:
    from torch import nn

OPERATIONS = ("conv3x3", "conv1x1", "maxpool3x3")
"""In the order of the published hash."""
VERTICES, MAX_EDGES = 7, 9
EDGES = tuple((s, t) for s in range(VERTICES) for t in range(s + 1, VERTICES))
OPTIONS: Mapping[str, Options[Any]] = {
    **{f"edge_{source}_{target}": Options((0, 1)) for source, target in EDGES},
    **{f"operation_{vertex}": Options(OPERATIONS) for vertex in range(1, VERTICES - 1)},
}
_EXAMPLE = "111010/00001/00001/0100/001/01/1|conv1x1,conv3x3,conv3x3,conv3x3,maxpool3x3"
_PUBLISHED = {"conv3x3-bn-relu": "conv3x3", "conv1x1-bn-relu": "conv1x1"}


@dataclass(frozen=True, order=True)
class Module101:
    """A module; its text is its rows of edges and its operations.

    ``111010/00001/0001/100/01/1|conv1x1,conv3x3,conv3x3,conv3x3,maxpool3x3`` has in row s, from 0,
    a digit for each later vertex: whether there is an edge from s to it. Vertex 0 is the input and
    the last one the output; the others have the operations. Vertices that are not between the two
    may be there, as in the published encoding; they are in no network.

    Attributes:
        edges: `(21,)` whether each of `EDGES` is there.
        operations: `(5,)` those of vertices 1 to 5.
    """

    edges: tuple[bool, ...]
    operations: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.edges) != len(EDGES) or len(self.operations) != VERTICES - 2:
            raise InvalidArchitectureError(
                f"An architecture must have {len(EDGES)} places of edges and {VERTICES - 2} "
                f"operations, but got {len(self.edges)} and {len(self.operations)}."
            )
        for operation in self.operations:
            if operation not in OPERATIONS:
                error = unknown_name("operation of NAS-Bench-101", operation, OPERATIONS)
                raise InvalidArchitectureError(str(error))
        matrix = self.pruned[0]
        if not matrix.any():
            raise InvalidArchitectureError(f"{self} must have a path from the input to the output.")
        if (edges := int(matrix.sum())) > MAX_EDGES:
            raise InvalidArchitectureError(
                f"{self} must have at most {MAX_EDGES} edges between its input and its output, but "
                f"has {edges}."
            )

    def __str__(self) -> str:
        digits = iter(self.edges)
        rows = (
            "".join(str(int(next(digits))) for _ in range(n)) for n in range(VERTICES - 1, 0, -1)
        )
        return "/".join(rows) + "|" + ",".join(self.operations)

    @cached_property
    def pruned(self) -> tuple[IntArray, tuple[str, ...]]:
        """Adjacency and operations of the vertices between the input and the output."""
        matrix = np.zeros((VERTICES, VERTICES), dtype=np.int64)
        matrix[tuple(np.transpose(EDGES))] = self.edges
        graph = ArchGraph((INPUT, *self.operations, OUTPUT), matrix).without_dead_nodes()
        return graph.adjacency, graph.operations[1:-1]


def module_of(matrix: Sequence[Sequence[int]], operations: Sequence[str]) -> Module101:
    """Make a module of a published specification.

    Args:
        matrix: `(v, v)` adjacency, upper triangular, 2 ≤ v ≤ 7.
        operations: `(v,)` published names, e.g. ``conv3x3-bn-relu``, or `(v - 2,)` of the vertices
            between the input and the output.

    Raises:
        InvalidArchitectureError: it is none of the benchmark's modules.

    Example:
        >>> str(module_of([[0, 1], [0, 0]], ["input", "output"]))
        '000001/00000/0000/000/00/0|conv3x3,conv3x3,conv3x3,conv3x3,conv3x3'
    """
    given = np.asarray(matrix)
    names = list(operations[1:-1] if len(operations) == len(given) else operations)
    if given.shape != (len(names) + 2,) * 2 or len(given) > VERTICES or np.tril(given).any():
        raise InvalidArchitectureError(
            f"`matrix` must be upper triangular, with a row for each of 2 to {VERTICES} vertices, "
            f"but got shape {given.shape} and {len(names)} operations."
        )
    if not set(given.ravel().tolist()) <= {0, 1}:
        raise InvalidArchitectureError("`matrix` must have entries 0 and 1.")
    # The output is the last vertex; what is missing stands before it, without edges.
    at = np.array([*range(len(names) + 1), VERTICES - 1])
    full = np.zeros((VERTICES, VERTICES), dtype=np.int64)
    full[np.ix_(at, at)] = given
    missing = [OPERATIONS[0]] * (VERTICES - 2 - len(names))
    return Module101(
        tuple(bool(full[edge]) for edge in EDGES),
        (*(_PUBLISHED.get(name, name) for name in names), *missing),
    )


@dataclass(frozen=True)
class NasBench101(Declared[Module101]):
    """The modules of NAS-Bench-101, 423,624 of them different networks.

    Attributes:
        channels: channels of the first stack.
        modules: modules a stack; there are three stacks.
    """

    channels: int = 128
    modules: int = 3
    name: str = field(default="nasbench101", init=False, repr=False)
    facets: ClassVar[Facets] = {Truth: "hwnas.data.nasbench101:ModuleAccuracies"}

    def __post_init__(self) -> None:
        for setting, value, least in (("channels", self.channels, 8), ("modules", self.modules, 1)):
            if value < least:
                raise InvalidValueError(f"`{setting}` must be at least {least}, but got {value}.")

    @property
    def options(self) -> Mapping[str, Options[Any]]:
        """``edge_SOURCE_TARGET`` (0 or 1) and ``operation_VERTEX``."""
        return OPTIONS

    def parse(self, text: str) -> Module101:
        """Read rows of edges and operations; `InvalidArchitectureError` says what is wrong."""
        rows, _, names = text.partition("|")
        lengths = range(VERTICES - 1, 0, -1)
        form = "/".join(f"[01]{{{length}}}" for length in lengths)
        if re.fullmatch(form, rows) is None:
            raise InvalidArchitectureError(
                f"An architecture must have rows of {', '.join(map(str, lengths))} edges and its "
                f"operations, as in {_EXAMPLE!r}, but got {text!r}."
            )
        edges = tuple(digit == "1" for digit in rows.replace("/", ""))
        return Module101(edges, tuple(names.split(",")))

    def make(self, choose: Choose) -> Module101:
        """Ask for each edge and each operation."""
        chosen = [choose(name, options) for name, options in OPTIONS.items()]
        return Module101(tuple(map(bool, chosen[: len(EDGES)])), tuple(chosen[len(EDGES) :]))

    def values(self, arch: Module101) -> Mapping[str, Choice]:
        """Give all choices."""
        return dict(zip(OPTIONS, (*map(int, arch.edges), *arch.operations), strict=True))

    def sample(self, rng: np.random.Generator) -> Module101:
        """Draw each edge and each operation with equal chances, again until it is a module.

        This is the random search of the paper: uniform over specifications of seven vertices, so a
        network's share is the number of specifications that are it. Large modules are drawn more
        often than small ones, and a network with symmetries less often than one without.
        """
        return super().sample(rng)

    def canonical_key(self, arch: Module101) -> str:
        """Give the published hash of the module without its dead vertices."""
        return published_hash(*arch.pruned)

    def representative(self, arch: Module101) -> Module101:
        """Give the module of the canonical graph, dead vertices without edges."""
        graph = self.to_graph(arch)
        return module_of(graph.adjacency.tolist(), graph.operations[1:-1])

    def to_graph(self, arch: Module101) -> ArchGraph:
        """Give the canonical graph of the module without its dead vertices."""
        matrix, operations = arch.pruned
        return ArchGraph((INPUT, *operations, OUTPUT), matrix).canonical()

    @property
    def graph_labels(self) -> tuple[str, ...]:
        """Every label in `to_graph`."""
        return OPERATIONS

    @property
    def default_task(self) -> Task:
        """CIFAR-10."""
        return get_task("cifar10")

    def build(self, arch: Module101, task: Task | None = None) -> nn.Module:
        """Build the network of the benchmark.

        Args:
            arch: the module.
            task: classes of images; they are halved twice.

        Returns:
            A network that maps `(B, C, H, W)` images to `(B, K)` logits.
        """
        from hwnas.spaces.nasbench101_network import ModuleNetwork

        classes, in_shape = image_classes(task or self.default_task, self.name)
        return ModuleNetwork(*arch.pruned, self.channels, self.modules, classes, in_shape[0])


def published_hash(matrix: IntArray, operations: Sequence[str]) -> str:
    """Give the hash by which NAS-Bench-101 tells modules apart; equal for isomorphic ones.

    As many rounds as there are vertices; in each, a vertex takes the hash of the sorted hashes
    before it, behind it, and its own.

    Args:
        matrix: `(v, v)` adjacency of the pruned module.
        operations: `(v - 2,)` names of `OPERATIONS`.
    """
    labels = [-1, *map(OPERATIONS.index, operations), -2]
    edges = np.asarray(matrix) > 0
    degrees = zip(edges.sum(axis=1).tolist(), edges.sum(axis=0).tolist(), labels, strict=True)
    hashes = [_md5(str(degree)) for degree in degrees]
    for _ in labels:
        hashes = [
            _md5(
                "".join(sorted(h for h, there in zip(hashes, edges[:, v], strict=True) if there))
                + "|"
                + "".join(sorted(h for h, there in zip(hashes, edges[v], strict=True) if there))
                + "|"
                + hashes[v]
            )
            for v in range(len(labels))
        ]
    return _md5(str(sorted(hashes)))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
