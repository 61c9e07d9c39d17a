import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.files.identity import identity_text
from hwnas.proxies import make_proxies, make_proxy
from hwnas.proxies.engine.channel_graph import Degrees, channel_graph
from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.nasgraph import (
    SURROGATE,
    ChannelDegrees,
    NasGraphAverageDegree,
    NasGraphResilience,
)
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.tasks.task import image_task
from hwnas.typing import InShape, Surrogate

SHAPE = (3, 8, 8)
NAMES = ["nasgraph_avg_degree", "nasgraph_density", "nasgraph_resilience", "nasgraph_wedge"]


@dataclass
class Block:
    """A layer to be run on its own.

    Attributes:
        layer: a convolution, pool, identity or linear layer.
        in_shape: shape of its input, without the batch.
        parents: positions in the input that each channel of a parent fills, by the parent's name.
    """

    layer: nn.Module
    in_shape: tuple[int, ...]
    parents: dict[str, Sequence[Sequence[int]]]


def after(**parents: int) -> dict[str, Sequence[Sequence[int]]]:
    """Let each parent fill the whole input, channel by channel: numbers of channels by name."""
    return {name: [[i] for i in range(channels)] for name, channels in parents.items()}


def slow_degrees(blocks: dict[str, Block]) -> list[tuple[int, int]]:
    """Run each layer on one channel of ones after the other, as the paper does; count edges."""
    generator = torch.Generator().manual_seed(5)
    incoming: dict[str, int] = {}
    outgoing: dict[str, int] = {}
    for name, block in blocks.items():
        weight = getattr(block.layer, "weight", None)
        if weight is not None:
            turned = isinstance(block.layer, nn.Linear)
            drawn = torch.randn((weight.T if turned else weight).shape, generator=generator)
            weight.data = drawn.T if turned else drawn
        for parent, channels in block.parents.items():
            for i, positions in enumerate(channels):
                image = torch.zeros(1, *block.in_shape)
                image[:, positions] = 1
                output = block.layer(image)[0].detach()
                for j, feature in enumerate(output if weight is None else output.relu()):
                    if float(feature.sum()) != 0:
                        source, target = f"{parent} {i}", f"{name} {j}"
                        outgoing[source] = outgoing.get(source, 0) + 1
                        incoming[target] = incoming.get(target, 0) + 1
    nodes = {*incoming, *outgoing}
    return sorted((incoming.get(node, 0), outgoing.get(node, 0)) for node in nodes)


def degrees(network: nn.Module, in_shape: InShape = SHAPE) -> list[tuple[int, int]]:
    graph = channel_graph(network, in_shape, torch.Generator().manual_seed(5))
    return sorted(zip(graph.incoming.tolist(), graph.outgoing.tolist(), strict=True))


def conv(c_in: int, c_out: int, kernel: int = 3, **settings: Any) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, kernel, **{"padding": kernel // 2, "bias": False} | settings)


class Network(nn.Module):
    """Layers by name, joined by a function."""

    run: Any

    def __init__(self, run: Callable[[Any, Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.run = run
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.run(self, x))


def test_sums_pools_and_identities_against_running_layer_by_layer() -> None:
    a, b, c, d = conv(3, 4, stride=2), conv(4, 4, groups=2), conv(4, 5, 1), conv(3, 4, 1)

    def run(net: Any, x: Tensor) -> Tensor:
        y = F.relu(net.norm(net.a(x)), inplace=True)
        z = net.b(y).add_(net.d(F.avg_pool2d(x, 2))) + net.skip(y)
        return cast(Tensor, net.fc(F.adaptive_avg_pool2d(net.c(z), 1).flatten(1)))

    norm, skip, fc = nn.BatchNorm2d(4), nn.Identity(), nn.Linear(5, 7)
    network = Network(run, a=a, norm=norm, b=b, c=c, d=d, skip=skip, fc=fc)
    blocks = {
        "a": Block(a, (3, 8, 8), after(image=3)),
        "b": Block(b, (4, 4, 4), after(a=4)),
        "pool": Block(nn.AvgPool2d(2), (3, 8, 8), after(image=3)),
        "d": Block(d, (3, 4, 4), after(pool=3)),
        "skip": Block(skip, (4, 4, 4), after(a=4)),
        "c": Block(c, (4, 4, 4), after(b=4, d=4, skip=4)),
        "global pool": Block(nn.AdaptiveAvgPool2d(1), (5, 4, 4), after(c=5)),
    }
    assert degrees(network) == slow_degrees(blocks)


def test_concatenations_and_linear_layers_against_running_layer_by_layer() -> None:
    a, b, c = conv(3, 4), conv(3, 2, 1), conv(6, 3, stride=2)
    fc, head = nn.Linear(12, 5, bias=False), nn.Linear(5, 2)

    def run(net: Any, x: Tensor) -> Tensor:
        y = F.max_pool2d(net.c(torch.cat([net.a(x), net.b(x)], dim=1)), 2)
        return cast(Tensor, net.head(F.relu(net.fc(y.flatten(1)))))

    blocks = {
        "a": Block(a, (3, 8, 8), after(image=3)),
        "b": Block(b, (3, 8, 8), after(image=3)),
        "c": Block(c, (6, 8, 8), {**after(a=4), "b": [[4], [5]]}),
        "pool": Block(nn.MaxPool2d(2), (3, 4, 4), after(c=3)),
        "fc": Block(fc, (12,), {"pool": [range(4 * i, 4 * i + 4) for i in range(3)]}),
    }
    assert degrees(Network(run, a=a, b=b, c=c, fc=fc, head=head)) == slow_degrees(blocks)


def test_moved_channels_and_odd_convolutions_against_running_layer_by_layer() -> None:
    a, b, c = conv(3, 4), conv(4, 4), nn.ConvTranspose2d(4, 2, 3, stride=2, bias=False)

    def run(net: Any, x: Tensor) -> Tensor:
        y = net.a(x).unflatten(1, (2, 2)).transpose(1, 2).flatten(1, 2)  # channels 0, 2, 1, 3
        return cast(Tensor, net.c(F.conv2d(F.pad(y, (1, 1, 1, 1)), net.b.weight)))

    blocks = {
        "a": Block(a, (3, 8, 8), after(image=3)),
        "b": Block(b, (4, 8, 8), {"a": [[0], [2], [1], [3]]}),
        "c": Block(c, (4, 8, 8), after(b=4)),
    }
    assert degrees(Network(run, a=a, b=b, c=c)) == slow_degrees(blocks)


def cell_blocks(network: Any, in_shape: InShape) -> Iterator[tuple[str, Block]]:
    """List the blocks of a NAS-Bench-201 network in the order in which they run."""
    channels, size = network.stem[0].out_channels, in_shape[1:]
    yield "stem", Block(network.stem[0], in_shape, after(image=in_shape[0]))
    here = {"stem": channels}
    for number, block in enumerate(network.blocks):
        shape = (channels, *size)
        if hasattr(block, "downsample"):
            pool, shortcut = block.downsample
            (_, first, _), (_, second, _) = block.conv_a, block.conv_b
            wide, size = 2 * channels, (size[0] // 2, size[1] // 2)
            yield f"{number} pool", Block(pool, shape, after(**here))
            yield (
                f"{number} shortcut",
                Block(shortcut, (channels, *size), after(**{f"{number} pool": channels})),
            )
            yield f"{number} a", Block(first, shape, after(**here))
            yield f"{number} b", Block(second, (wide, *size), after(**{f"{number} a": wide}))
            channels, here = wide, {f"{number} shortcut": wide, f"{number} b": wide}
            continue
        values = [here]
        for target, node in enumerate(block.nodes, start=1):
            ends = {}
            for source, operation in node.items():
                layer = operation[1] if isinstance(operation, nn.Sequential) else operation
                name = f"{number} {source}>{target}"
                yield name, Block(layer, shape, after(**values[int(source)]))
                ends[name] = channels
            values.append(ends)
        here = values[-1]
    yield "end", Block(nn.AdaptiveAvgPool2d(1), (channels, *size), after(**here))


@pytest.mark.parametrize(
    "cell",
    [
        "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|none~1|nor_conv_3x3~2|",
        "|skip_connect~0|+|none~0|nor_conv_1x1~1|+|avg_pool_3x3~0|skip_connect~1|skip_connect~2|",
    ],
)
@pytest.mark.parametrize("zeros", [False, True])
def test_cells_against_running_layer_by_layer(cell: str, zeros: bool) -> None:
    space = NasBench201()
    surrogate = Surrogate(channels=3, cells=2, modules=2, zeros=zeros)
    network = space.build_surrogate(space.parse(cell), surrogate, image_task(10, SHAPE))
    assert degrees(network) == slow_degrees(dict(cell_blocks(network, SHAPE)))


def test_measures_of_a_graph_of_three_edges() -> None:
    # a > b, a > c, b > c: all degrees are 2; b alone has edges of both directions.
    graph: Any = {ChannelDegrees(): Degrees(np.array([0, 1, 2]), np.array([2, 1, 0]))}
    scores = {proxy.name: proxy.score(graph) for proxy in make_proxies(NAMES)}
    assert scores == {
        "nasgraph_avg_degree": 2.0,
        "nasgraph_density": 0.5,
        "nasgraph_resilience": 1 / 3,
        "nasgraph_wedge": 3.0,
    }
    assert NasGraphResilience(published=True).score(graph) == 2.0


def test_resilience_is_the_papers_matrix_product() -> None:
    generator = np.random.default_rng(0)
    adjacency = np.triu(generator.random((9, 9)) < 0.5, k=1).astype(int)
    ones, incoming = np.ones(9), adjacency.sum(axis=0)
    graph: Any = {ChannelDegrees(): Degrees(incoming, adjacency.sum(axis=1))}
    # The paper's matrix has the edge from j to i in row i and column j.
    expected = ones @ adjacency.T @ incoming / (ones @ adjacency.T @ ones)
    assert math.isclose(NasGraphResilience().score(graph), expected)


def test_weights_are_drawn_by_the_seed_and_not_read() -> None:
    space, cell = NasBench201(channels=4, cells=1), Cell(("nor_conv_1x1",) * 6)
    first, second = (space.build(cell) for _ in range(2))

    def score(network: nn.Module, seed: int) -> list[float]:
        found = score_network(network, (3, 32, 32), make_proxies(NAMES), seed=seed)
        return [score.value for score in found.values()]

    assert score(first, 1) == score(second, 1) != score(first, 2)


def test_a_layer_that_runs_twice_has_one_weight() -> None:
    a = conv(3, 3, 1)
    twice = Network(lambda net, x: net.a(net.a(x)), a=a)
    blocks = {"a": Block(a, SHAPE, after(image=3))}
    once = slow_degrees(blocks)
    assert sum(edges for edges, _ in degrees(twice)) == 2 * sum(edges for edges, _ in once)


@pytest.mark.parametrize(
    ("run", "text"),
    [
        (lambda net, x: net.a(x).flatten(2) @ x.flatten(2).transpose(1, 2), "the operator bmm"),
        (lambda net, x: net.fc(x[0, :, 0].T), r"\(B, C, ...\) tensors, but one gives"),
        (lambda net, x: x.zero_().copy_(net.a(x)), "the operator"),
        (
            lambda net, x: torch.zeros_like(x)[:, :2].add_(net.a(x)[:, :2]),
            "must not write into views",
        ),
        (lambda net, x: net.a(x).softmax(dim=1), "the operator _softmax"),
        (lambda net, x: net.a(x).mean(dim=1), "over positions only"),
        (lambda net, x: net.fc(x[:, :, 0, 0]), "no edges"),
    ],
)
def test_other_networks_have_no_graph(run: Callable[[Any, Tensor], Tensor], text: str) -> None:
    network = Network(run, a=conv(3, 3), fc=nn.Linear(3, 2))
    score = score_network(network, SHAPE, [NasGraphAverageDegree()])["nasgraph_avg_degree"]
    assert math.isnan(score.value)
    assert score.error is not None
    assert re.search(text, score.error)


def test_published_measures_have_a_node_for_none() -> None:
    # Out of a cell that is one 1x1 convolution the surrogate of one module leads to the pool.
    space = NasBench201()
    cell = space.parse("|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|")
    kinds = [NasGraphAverageDegree(Surrogate(2, 1, 1), published) for published in (False, True)]
    networks = [space.build_surrogate(cell, kind.scored, image_task(10, SHAPE))
                for kind in kinds if kind.scored]  # fmt: skip
    without, with_none = (degrees(network) for network in networks)
    # The pool reads three terms rather than one, and two nodes each have no edge into them.
    assert len(with_none) - len(without) == 4
    assert sum(into for into, _ in with_none) - sum(into for into, _ in without) == 4
    assert with_none.count((0, 1)) - without.count((0, 1)) == 4


@pytest.mark.parametrize("name", NAMES)
def test_published_can_be_taken_back(name: str) -> None:
    usual, published = (make_proxy(name, published=value) for value in (False, True))
    back = replace(cast(Any, published), published=False)
    assert back == usual
    assert (back.name, back.scored) == (name, SURROGATE)
    assert cast(Any, published).scored == replace(SURROGATE, zeros=True)


def test_published_values_are_not_those_of_the_formula_alone() -> None:
    # Earlier versions knew `published` of the resilience without nodes for none.
    size = '"cells":1,"channels":16,"in_shape":null,"modules":3,"stem":true,"type":"Surrogate"'
    text = identity_text(proxy=NasGraphResilience(published=True))
    settings = f'"published":true,"surrogate":{{{size},"zeros":true}},"type":"NasGraphResilience"'
    assert text == f'{{"proxy":{{{settings}}},"schema":1}}'
    shown = "Surrogate(channels=16, cells=1, modules=3, stem=True, in_shape=None, zeros=True)"
    expected = f"NasGraphResilience(surrogate={shown}, published=True)"
    assert repr(NasGraphResilience(published=True)) == expected


def test_names_state_the_surrogate() -> None:
    assert make_proxy("nasgraph_wedge", surrogate=None).name == "nasgraph_wedge.full"
    small = Surrogate(8, 1, 3)
    assert NasGraphAverageDegree(small).name == "nasgraph_avg_degree.h8-c1-m3"
    assert NasGraphResilience(published=True).name == "nasgraph_resilience.published"
    assert NasGraphResilience(small, True).name == "nasgraph_resilience.published-h8-c1-m3"
    assert make_proxy("nasgraph_density", published=True).name == "nasgraph_density.published"
    assert str(replace(small, zeros=True)) == "h8-c1-m3-zeros"
