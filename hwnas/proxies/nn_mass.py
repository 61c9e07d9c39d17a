"""NN-Mass and NN-Degree: how densely do skip connections join the layers?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hwnas.deferred import deferred
from hwnas.errors import ProxyError
from hwnas.proxies.engine.signals import OwnSignal
from hwnas.typing import Direction, Signal, Signals

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hwnas.proxies.engine.block_trace import Block
    from hwnas.proxies.engine.subject import Subject
else:
    torch = deferred("torch")


@dataclass(frozen=True)
class DenseCell:
    """Layers of one width, each of which reads the one before it.

    Attributes:
        width: channels of each layer.
        skips: (d,) channels that each layer reads of its cell's layers before the last one.
    """

    width: int
    skips: tuple[int, ...]


@dataclass(frozen=True)
class DenseCells(OwnSignal[tuple[DenseCell, ...]]):
    """The cells of a network whose layers are joined by concatenation."""

    runs: ClassVar[bool] = False

    def measure(self, subject: Subject) -> tuple[DenseCell, ...]:
        """Trace the network once."""
        from hwnas.proxies.engine.block_trace import trace_blocks

        blocks = trace_blocks(subject.plain, subject.in_shape, subject.generator("unused"))
        if any(block.terms > 1 for block in blocks):
            raise ProxyError(
                "NN-Mass is defined for networks whose layers are joined by concatenation, but "
                "this one has sums: use `nn_degree`."
            )
        layers = [(block.nodes, _sources(block)) for block in blocks if block.kind == "convolution"]
        return tuple(_dense_cell(cell) for cell in _dense_cells(layers))


Layer = tuple[range, set[int]]
"""Nodes of a convolution, and the nodes that it reads."""


def _sources(block: Block) -> set[int]:
    found: set[int] = set()
    for nodes, _ in block.reads:
        found.update(nodes.tolist() if isinstance(nodes, torch.Tensor) else nodes)
    return found


def _dense_cells(layers: Sequence[Layer]) -> Iterator[list[Layer]]:
    cell: list[Layer] = []
    for nodes, sources in layers:
        if cell and not (len(nodes) == len(cell[-1][0]) and sources.issuperset(cell[-1][0])):
            yield cell
            cell = []
        cell.append((nodes, sources))
    if cell:
        yield cell


def _dense_cell(layers: Sequence[Layer]) -> DenseCell:
    skips = [
        sum(len(sources.intersection(earlier)) for earlier, _ in layers[: max(i - 1, 0)])
        for i, (_, sources) in enumerate(layers)
    ]
    return DenseCell(len(layers[0][0]), tuple(skips))


@dataclass(frozen=True)
class NnMass:
    """NN-Mass of a network with concatenations as in DenseNets. Larger is better.

    ``sum_c rho_c w_c d_c`` over cells c of width w and depth d; the density rho is the number of
    channels that layers 0 to d - 1 read through skip connections, divided by all that they could
    read, ``sum_(i=2)^(d-1) (i - 1) w``, those of the layers before the previous one (Bhardwaj et
    al., How does topology influence gradient propagation and model performance of deep networks
    with DenseNet-type skip connections?, CVPR 2021; Li et al., Zero-Shot Neural Architecture
    Search, 2023, Eq. 19). A cell is a longest row of convolutions of one width each of which reads
    the one before it; what is read from outside it is no skip connection.

    It needs neither a pass nor weights. No value for networks with sums, e.g. ResNets and
    NAS-Bench-201, or without skip connections in such cells, e.g. DenseNets with bottlenecks, whose
    widths alternate. The authors' code takes ``(c_in + 2 c_hid) c_in / (2 c_in + c_hid)`` for a
    block of MobileNets.
    """

    name: ClassVar[str] = "nn_mass"
    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Signal[object]]] = frozenset({DenseCells()})

    def score(self, signals: Signals) -> float:
        """Add the cells up."""
        mass = sum(_mass(cell) for cell in signals[DenseCells()])
        if not mass:
            raise ProxyError(
                "`model` must have convolutions of one width that are joined by concatenation, "
                "but has none: NN-Mass is not defined."
            )
        return mass


def _mass(cell: DenseCell) -> float:
    depth = len(cell.skips)
    possible = cell.width * (depth - 1) * (depth - 2) // 2
    return sum(cell.skips) / possible * cell.width * depth if possible > 0 else 0.0


@dataclass(frozen=True)
class ResidualUnit:
    """The convolutions between a tensor and the sum to which it comes back.

    Attributes:
        widths: output channels of each.
        in_channels: input channels of each.
        skips: channels of the sum.
    """

    widths: tuple[int, ...]
    in_channels: tuple[int, ...]
    skips: int


@dataclass(frozen=True)
class ResidualUnits(OwnSignal[tuple[ResidualUnit, ...]]):
    """The residual units of a network, in the order in which they run."""

    runs: ClassVar[bool] = False

    def measure(self, subject: Subject) -> tuple[ResidualUnit, ...]:
        """Trace the network once."""
        from hwnas.networks.meta import MetaShapes, meta_copy

        trace = _UnitTrace()
        twin, _ = meta_copy(subject.plain)
        images = torch.empty((1, *subject.in_shape), device="meta")
        with torch.no_grad(), torch.device("meta"), MetaShapes(trace.observe):
            twin(images)
        return tuple(trace.units)


class _UnitTrace:
    """Keeps the convolutions that each tensor depends on, and finds the units at sums."""

    def __init__(self) -> None:
        self.units: list[ResidualUnit] = []
        self._layers: list[tuple[int, int]] = []
        self._in_units: set[int] = set()
        self._before: dict[int, frozenset[int]] = {}
        self._alive: list[Any] = []

    def observe(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Pass the layers on, and note convolutions and sums."""
        tensors = [*_tensors(args), *_tensors(tuple(kwargs.values()))]
        name = func.overloadpacket.__name__
        maps = [t for t in tensors if id(t) in self._before and t.ndim == 4]
        if name == "cat" and len(maps) > 1:
            raise ProxyError("NN-Degree is defined for networks of sums, without concatenations.")
        if name in ("add", "add_") and len(maps) > 1 and maps[0].shape == maps[1].shape:
            self._add_unit(*maps)
        before = frozenset[int]().union(*(self._before.get(id(t), ()) for t in tensors))
        if name == "convolution":
            before |= {len(self._layers)}
            self._layers.append((args[1].shape[0], args[0].shape[1]))
        for tensor in _tensors([result]):
            self._before[id(tensor)] = before
            self._alive.append(tensor)

    def _add_unit(self, first: Tensor, second: Tensor) -> None:
        inside = self._before[id(first)] ^ self._before[id(second)]
        if not inside or inside & self._in_units:
            raise ProxyError(
                "NN-Degree is defined for residual units one after the other, but sums of this "
                "network are nested or have no convolution."
            )
        self._in_units |= inside
        widths, in_channels = zip(*(self._layers[i] for i in sorted(inside)), strict=True)
        self.units.append(ResidualUnit(widths, in_channels, first.shape[1]))


def _tensors(value: Any) -> Iterator[Tensor]:
    for item in value:
        if isinstance(item, torch.Tensor):
            yield item
        elif isinstance(item, (list, tuple)):
            yield from _tensors(item)


@dataclass(frozen=True)
class NnDegree:
    """NN-Degree of a network with residual connections. Larger is better.

    ``sum_c (w_c + skip connections / input channels)`` over residual units c: the mean width of the
    convolutions between a tensor and the sum to which it comes back, those of a projection
    included, and the channels of the sum over the input channels of these convolutions (Li et al.,
    Zero-Shot Neural Architecture Search: Challenges, Solutions, and Opportunities, 2023, Eq. 20,
    after Li et al., FLASH: Fast Neural Architecture Search with Hardware Optimization, 2021).
    Convolutions outside units, such as stem and transitions, do not count.

    It needs neither a pass nor weights. No value for networks without sums, with concatenations, or
    with sums inside units, e.g. most cells of NAS-Bench-201.
    """

    name: ClassVar[str] = "nn_degree"
    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Signal[object]]] = frozenset({ResidualUnits()})

    def score(self, signals: Signals) -> float:
        """Add the units up."""
        units = signals[ResidualUnits()]
        if not units:
            raise ProxyError(
                "`model` must have residual connections, but has none: NN-Degree is not defined."
            )
        return sum(
            sum(unit.widths) / len(unit.widths) + unit.skips / sum(unit.in_channels)
            for unit in units
        )
