"""What only some search spaces can do: each is a facet, and `facet` finds it.

A space supplies a facet in one of two ways:

- it has the facet's methods itself, e.g. ``to_graph`` for `Graphs`;
- its attribute `facets` names what makes the facet of a space, as a callable or as text that is
  imported when the facet is asked for first, so that the space's own module stays light::

      class MySpace:
          facets = {Drawing: "my_package.pictures:Pictures", Truth: MyAccuracies}

A space that wraps another one has it as `wrapped`, and every facet of that one with it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from hwnas.errors import InvalidValueError
from hwnas.typing import Arch, Arch_contra, FloatArray, Surrogate

if TYPE_CHECKING:
    from torch import nn

    from hwnas.graphs.arch_graph import ArchGraph
    from hwnas.spaces.sequences import SequenceBatch
    from hwnas.tasks.task import Task

F = TypeVar("F")
Facets = Mapping[type, str | Callable[[Any], Any]]
"""What makes each facet of a space: ``"module:attribute"``, or a callable that takes the space."""


@runtime_checkable
class Graphs(Protocol[Arch_contra]):
    """Canonical computation graphs; architectures with equal canonical keys have equal ones.

    Without them nothing is drawn, and predictors see choices alone.
    """

    def to_graph(self, arch: Arch_contra) -> ArchGraph:
        """Give the canonical computation graph: one node an operation."""


@runtime_checkable
class GraphLabels(Protocol):
    """What stands in the labels of a space's graphs; graph networks need it."""

    @property
    def graph_labels(self) -> tuple[str, ...]:
        """Every part, between colons, of the labels in graphs."""


@runtime_checkable
class ExactGraphs(Protocol[Arch_contra]):
    """Graphs of exactly the given architectures, operations without effect included.

    For models of tables that were measured architecture by architecture; without them models see
    canonical graphs.
    """

    @property
    def zero_label(self) -> str:
        """Label of an operation whose value is zero whatever its input."""

    def exact_graph(self, arch: Arch_contra) -> ArchGraph:
        """Give the graph of an architecture as it is, labelled as `GraphLabels` says."""


@runtime_checkable
class Features(Protocol[Arch_contra]):
    """Features that say more than the parameters; without them there is a flag for each choice."""

    def features(self, archs: Sequence[Arch_contra]) -> FloatArray:
        """Give `(n, f)` features of exactly these architectures."""


@runtime_checkable
class Counted(Protocol[Arch_contra]):
    """Counts in closed form; without them each network is built to be counted."""

    def counts(self, arch: Arch_contra, task: Task) -> Mapping[str, int]:
        """Give ``params``, ``macs`` and ``layers`` of the network, see `hwnas.costs.counters`."""


@runtime_checkable
class Sequences(Protocol[Arch_contra]):
    """Networks that are chains of layers, for models that read layer by layer."""

    def sequences(self, archs: Sequence[Arch_contra]) -> SequenceBatch:
        """Give the layers of `(n,)` architectures."""


@runtime_checkable
class Surrogates(Protocol[Arch_contra]):
    """Smaller networks of the same cells; without them proxies of surrogates have no value."""

    def build_surrogate(self, arch: Arch_contra, surrogate: Surrogate, task: Task) -> nn.Module:
        """Build a surrogate of the network that `build` gives; the task is the surrogate's."""


@runtime_checkable
class Mutations(Protocol[Arch]):
    """Single edits drawn one at a time; without them all neighbours are listed to choose one."""

    def mutations(self, arch: Arch, rng: np.random.Generator) -> Iterator[Arch]:
        """Yield architectures of one other choice each, in random order, none of them twice."""


@runtime_checkable
class Drawing(Protocol[Arch_contra]):
    """Pictures of architectures; without them computation graphs are drawn."""

    def draw(self, arch: Arch_contra) -> str:
        """Give an `<svg>` element, e.g. of the parts in `hwnas.graphs.drawing`."""


@runtime_checkable
class Equivalence(Protocol[Arch_contra]):
    """What is known of equal networks beside their canonical keys."""

    def is_live(self, arch: Arch_contra) -> bool:
        """Tell whether every part of the architecture has an effect."""


@runtime_checkable
class Listing(Protocol):
    """A space whose architectures can be listed."""

    def __len__(self) -> int:
        """Count the architectures, equal ones under other names included."""

    def __iter__(self) -> Iterator[Any]:
        """Iterate over all architectures in a fixed order."""


@runtime_checkable
class Truth(Protocol):
    """Known accuracies of trained architectures, which rankings are compared with."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Which accuracies there are, e.g. ``validation``; the first is the usual one."""

    def accuracies(
        self, dataset: str, split: str, folder: Path | None = None
    ) -> Mapping[str, float]:
        """Give accuracies in percent by the text of the exact architecture.

        Args:
            dataset: name of the data set.
            split: one of `splits`.
            folder: data folder; None for the default one.

        Raises:
            HwnasError: there are no such accuracies; says which there are. A mapping that is no
                dict may read a value when it is asked for, and raises it then.
        """


@runtime_checkable
class SlowTruth(Truth, Protocol):
    """Accuracies of which even one takes long, since a large file is read as a whole.

    `hwnas rank` reads them when it is asked to; a search does not to annotate its members.
    """

    @property
    def reading(self) -> str:
        """What is read, in a few words."""


@runtime_checkable
class QuantityTruth(Truth, Protocol):
    """Results that are no accuracies for each data set."""

    def quantity(self, dataset: str) -> str:
        """Name what `accuracies` gives: ``accuracy`` in percent, or ``loss``, negative there."""


@runtime_checkable
class RankFigures(Protocol):
    """What papers report for rankings of the space, to print beside one's own figures."""

    def published(self, row: Mapping[str, Any], labels: int | None) -> Mapping[str, float | None]:
        """Give ``published_METRIC`` for a row of `hwnas rank`; nothing where none would be like it.

        Args:
            row: score, data set, numbers of architectures (``n``) and of live ones (``live``).
            labels: how many labels the score was learned from; None if it was not learned.
        """

    def remark(self, split: str) -> str | None:
        """Say how figures of a split compare with the published ones, if that needs a word."""


def facet(space: object, kind: type[F]) -> F | None:
    """Give a facet of a space, or None if it has none.

    Args:
        space: a search space.
        kind: one of the protocols of this module, or another package's.
    """
    make = getattr(space, "facets", {}).get(kind)
    if make is not None:
        made: F = (_imported(make) if isinstance(make, str) else make)(space)
        return made
    if isinstance(space, kind):
        return space
    wrapped = getattr(space, "wrapped", None)
    return None if wrapped is None else facet(wrapped, kind)


def require_facet(space: Any, kind: type[F]) -> F:
    """Give a facet of a space that cannot be done without.

    Raises:
        InvalidValueError: the space has none; says how it is supplied.
    """
    found = facet(space, kind)
    if found is None:
        raise InvalidValueError(
            f"`space` must have the facet {kind.__name__}, but {space.name} has none: give its "
            f'class `facets = {{{kind.__name__}: "module:Class"}}`, see {kind.__module__}.'
        )
    return found


def quantity_of(truth: Truth, dataset: str) -> str:
    """Name what a truth gives for a data set, as a `QuantityTruth` does; else ``accuracy``."""
    return truth.quantity(dataset) if isinstance(truth, QuantityTruth) else "accuracy"


def _imported(target: str) -> Callable[[Any], Any]:
    module, _, attribute = target.partition(":")
    found: Callable[[Any], Any] = getattr(importlib.import_module(module), attribute)
    return found
