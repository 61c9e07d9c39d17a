"""NASGraph: measures of the graph of a network's channels.

Huang et al., Graph is all you need? Lightweight data-agnostic neural architecture search without
training, 2024. The nodes are the channels of blocks: convolutions and linear layers with a ReLU
after them, pools and `nn.Identity` (the `skip_connect` of cells); the channels of the image are
nodes too. Blocks are looked at one by one: channel i of the input is 1 everywhere and all others
are 0, the weights are N(0, 1), normalisations and biases are left out, and an edge leads to each
output channel that is not 0 everywhere (Eq. 2). A sum of several blocks is read from each of them,
so edges repeat, and a concatenation side by side (Appendix A.3). Weights of edges are not used.

It needs no images and no pass, not even the network's weights. In a search space the graph is that
of NASGraph(h, c, m), a surrogate of h channels, c cells a module and m modules; a network that is
given as it is has the graph of itself.

Where this differs from the authors' code: the global pool stands for the identity that they put at
the end of NAS-Bench-201's networks, and the pool of their reduction blocks is a block of its own,
not one with the convolution behind it. As there, a node without an edge is not in the graph, and a
linear layer that no block reads, the classifier, is left out.

There, an operation ``none`` is a block, too: no edge leads to its channels, but what reads the sum
that it is a part of reads them. The number of nodes hardly depends on the cell then, so that the
density, which falls with it, ranks as the average degree does. ``published=True`` has these nodes;
they are no part of what a network computes, and equal networks are scored by one of them here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from hwnas.errors import ProxyError
from hwnas.files.identity import LATER
from hwnas.proxies.engine.signals import OwnSignal
from hwnas.typing import Direction, Signal, Signals, Surrogate

if TYPE_CHECKING:
    from hwnas.proxies.engine.channel_graph import Degrees
    from hwnas.proxies.engine.subject import Subject

SURROGATE = Surrogate(channels=16, cells=1, modules=3)
"""NASGraph(16, 1, 3), the one of the paper's tables."""


@dataclass(frozen=True)
class ChannelDegrees(OwnSignal["Degrees"]):
    """Degrees of the nodes of the channel graph."""

    runs: ClassVar[bool] = False

    def measure(self, subject: Subject) -> Degrees:
        """Trace the network once."""
        from hwnas.proxies.engine.channel_graph import channel_graph

        degrees = channel_graph(subject.plain, subject.in_shape, subject.generator("nasgraph"))
        if not len(degrees.incoming):
            raise ProxyError("The channel graph of the network has no edges.")
        return degrees


@dataclass(frozen=True, repr=False)
class _GraphMeasure(ABC):
    """A measure of the channel graph. Larger is better.

    Attributes:
        surrogate: what is scored in a search space, or None for the full network.
        published: as in the authors' code; operations ``none`` are nodes of surrogates.
    """

    surrogate: Surrogate | None = SURROGATE
    published: bool = field(default=False, metadata=LATER)

    measure: ClassVar[str]
    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1
    own_images: ClassVar[int] = 0
    needs: ClassVar[frozenset[Signal[object]]] = frozenset({ChannelDegrees()})

    @property
    def scored(self) -> Surrogate | None:
        """What is built in a search space: `surrogate`, with nodes for ``none`` if `published`."""
        if self.published and self.surrogate is not None:
            return replace(self.surrogate, zeros=True)
        return self.surrogate

    def __repr__(self) -> str:
        """State what `identity` does."""
        settings = (f"{name}={value!r}" for name, value in self._stated().items())
        return f"{type(self).__name__}({', '.join(settings)})"

    def identity(self) -> Mapping[str, object]:
        """State what is scored: with ``none`` as nodes it is another value than without."""
        return {"type": type(self).__name__, **self._stated()}

    def _stated(self) -> Mapping[str, object]:
        """Leave out what an earlier version did not know, so that texts of before are found."""
        return {"surrogate": self.scored, **({"published": True} if self.published else {})}

    @property
    def name(self) -> str:
        """The measure's name, with the settings that are not the default."""
        scored = self.surrogate
        if self.published and scored is not None:
            scored = replace(scored, zeros=False)  # as `published` says already
        other = "" if scored == SURROGATE else str(scored or "full")
        parts = "-".join(filter(None, ["published" if self.published else "", other]))
        return f"{self.measure}.{parts}" if parts else self.measure

    def score(self, signals: Signals) -> float:
        """Measure the graph."""
        return self._of(signals[ChannelDegrees()])

    @abstractmethod
    def _of(self, graph: Degrees) -> float:
        """Give the measure of the graph."""


@dataclass(frozen=True, repr=False)
class NasGraphAverageDegree(_GraphMeasure):
    """Average degree of NASGraph's channel graph, ``2 E / N``. Larger is better.

    N nodes, E edges; the direction of edges is ignored (Huang et al., 2024, Appendix A.7). It is
    the paper's score. See `hwnas.proxies.nasgraph` for the graph.

    Attributes:
        surrogate: what is scored in a search space, or None for the full network.
        published: as in the authors' code; operations ``none`` are nodes of surrogates.
    """

    measure: ClassVar[str] = "nasgraph_avg_degree"

    def _of(self, graph: Degrees) -> float:
        return float(graph.total.mean())


@dataclass(frozen=True, repr=False)
class NasGraphDensity(_GraphMeasure):
    """Density of NASGraph's channel graph, ``E / (N (N - 1))``. Larger is better.

    N nodes, E edges (Huang et al., 2024, Appendix A.7). See `hwnas.proxies.nasgraph` for the graph.

    Attributes:
        surrogate: what is scored in a search space, or None for the full network.
        published: as in the authors' code; operations ``none`` are nodes of surrogates.
    """

    measure: ClassVar[str] = "nasgraph_density"

    def _of(self, graph: Degrees) -> float:
        nodes = len(graph.total)
        return float(graph.incoming.sum() / (nodes * (nodes - 1)))


@dataclass(frozen=True, repr=False)
class NasGraphResilience(_GraphMeasure):
    """Resilience of NASGraph's channel graph. Larger is better.

    ``1^T A k_in / 1^T A 1``, the mean over the edges of the incoming degree of the node that an
    edge starts from (Huang et al., 2024, Appendix A.7, after Gao et al., Universal resilience
    patterns in complex networks, 2016: ``<k_out k_in> / <k>``). The authors' code has
    ``<k^2> / <k>`` with k the sum of both degrees instead: `published=True`. See
    `hwnas.proxies.nasgraph` for the graph.

    Attributes:
        surrogate: what is scored in a search space, or None for the full network.
        published: that formula, and operations ``none`` are nodes of surrogates.
    """

    published: bool = False

    measure: ClassVar[str] = "nasgraph_resilience"

    def _stated(self) -> Mapping[str, object]:
        """State both settings always, as an earlier version did."""
        return {"surrogate": self.scored, "published": self.published}

    def _of(self, graph: Degrees) -> float:
        if self.published:
            return float((graph.total**2).sum() / graph.total.sum())
        return float(graph.outgoing @ graph.incoming / graph.incoming.sum())


@dataclass(frozen=True, repr=False)
class NasGraphWedge(_GraphMeasure):
    """Wedges of NASGraph's channel graph, ``sum k (k - 1) / 2``. Larger is better.

    A wedge is two edges that meet in a node, their directions ignored; k are the degrees (Huang et
    al., 2024, Appendix A.7). See `hwnas.proxies.nasgraph` for the graph.

    Attributes:
        surrogate: what is scored in a search space, or None for the full network.
        published: as in the authors' code; operations ``none`` are nodes of surrogates.
    """

    measure: ClassVar[str] = "nasgraph_wedge"

    def _of(self, graph: Degrees) -> float:
        return float((graph.total * (graph.total - 1)).sum() / 2)
