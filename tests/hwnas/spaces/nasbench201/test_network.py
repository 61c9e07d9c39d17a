"""The network of a NAS-Bench-201 cell: sizes derived by hand, and what it computes."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hwnas.errors import InvalidValueError
from hwnas.spaces.nasbench201 import Cell, NasBench201, parse_cell
from hwnas.spaces.nasbench201.network import CellBlock
from hwnas.tasks.task import image_task
from hwnas.typing import Surrogate

NONE = ("none",) * 6
INDEX_0 = (
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|"
    "+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
)
INDEX_1 = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|"
    "+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
)


def params(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def macs(cell: Cell, classes: int = 10, side: int = 32) -> int:
    with torch.device("meta"):
        model = NasBench201().build(cell, image_task(classes, (3, side, side)))
        images = torch.zeros(1, 3, side, side)
    with FlopCounterMode(display=False) as counter:
        model(images)
    return int(counter.get_total_flops()) // 2


def one_edge(operation: str) -> Cell:
    return Cell(("none", "none", "none", operation, "none", "none"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [(INDEX_0, (129_306, 135_156, 136_456)), (INDEX_1, (802_426, 808_276, 809_576))],
)
def test_official_parameter_counts(text: str, expected: tuple[int, int, int]) -> None:
    cell = parse_cell(text)
    for classes, side, count in zip((10, 100, 120), (32, 32, 16), expected, strict=True):
        assert params(NasBench201().build(cell, image_task(classes, (3, side, side)))) == count


def test_skeleton_parameters() -> None:
    stem = 3 * 16 * 9 + 2 * 16
    reductions = sum(
        9 * c * 2 * c + 2 * 2 * c + 9 * (2 * c) ** 2 + 2 * 2 * c + c * 2 * c for c in (16, 32)
    )
    head = 2 * 64 + 64 * 10 + 10
    assert params(NasBench201().build(Cell(NONE))) == stem + reductions + head


@pytest.mark.parametrize(
    ("operation", "kernel"),
    [("skip_connect", None), ("avg_pool_3x3", None), ("nor_conv_1x1", 1), ("nor_conv_3x3", 9)],
)
def test_parameters_of_an_operation(operation: str, kernel: int | None) -> None:
    skeleton = params(NasBench201().build(Cell(NONE)))
    one_cell = 0 if kernel is None else sum(kernel * c * c + 2 * c for c in (16, 32, 64))
    assert params(NasBench201().build(one_edge(operation))) - skeleton == 5 * one_cell


@pytest.mark.parametrize(
    ("operation", "kernel"), [("skip_connect", 0), ("nor_conv_1x1", 1), ("nor_conv_3x3", 9)]
)
@pytest.mark.parametrize("side", [16, 32])
def test_macs_of_an_operation(operation: str, kernel: int, side: int) -> None:
    stem = 3 * 16 * 9 * side**2
    reductions = sum(
        (9 * c * 2 * c + 9 * (2 * c) ** 2 + c * 2 * c) * s**2
        for c, s in ((16, side // 2), (32, side // 4))
    )
    cells = 5 * sum(kernel * (16 * k) ** 2 * (side // k) ** 2 for k in (1, 2, 4))
    assert macs(one_edge(operation), side=side) == stem + reductions + 64 * 10 + cells


def test_smaller_spaces_have_smaller_networks() -> None:
    stem, head = 3 * 4 * 9 + 8, 2 * 16 + 16 * 3 + 3
    reductions = sum(9 * 2 * c * c + 4 * c + 36 * c * c + 4 * c + 2 * c * c for c in (4, 8))
    cells = 2 * sum(c * c + 2 * c for c in (4, 8, 16))
    model = NasBench201(channels=4, cells=2).build(
        one_edge("nor_conv_1x1"), image_task(3, (3, 8, 8))
    )
    assert params(model) == stem + reductions + head + cells


def test_block_sums_its_edges() -> None:
    torch.manual_seed(0)
    cell = parse_cell(
        "|nor_conv_1x1~0|+|avg_pool_3x3~0|nor_conv_3x3~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
    )
    block = CellBlock(cell, 3).eval()
    x = torch.randn(2, 3, 5, 5)

    def operation(node: int, source: int) -> nn.Module:
        edges = block.nodes[node - 1]
        assert isinstance(edges, nn.ModuleDict)
        return edges[str(source)]

    node_1 = operation(1, 0)(x)
    node_2 = operation(2, 0)(x) + operation(2, 1)(node_1)
    torch.testing.assert_close(block(x), x + operation(3, 2)(node_2))


def test_pool_leaves_the_border_out_of_the_mean() -> None:
    block = CellBlock(one_edge("avg_pool_3x3"), 1)
    x = torch.arange(9.0).reshape(1, 1, 3, 3)
    corner, edge = (0 + 1 + 3 + 4) / 4, (0 + 1 + 2 + 3 + 4 + 5) / 6
    result = block(x)[0, 0]
    assert result[0, 0] == pytest.approx(corner)
    assert result[0, 1] == pytest.approx(edge)
    assert result[1, 1] == pytest.approx(4.0)


def test_convolution_is_relu_conv_norm() -> None:
    block = CellBlock(one_edge("nor_conv_3x3"), 2).eval()
    conv = next(m for m in block.modules() if isinstance(m, nn.Conv2d))
    x = torch.randn(1, 2, 4, 4)
    expected = nn.functional.conv2d(x.clamp(min=0), conv.weight, padding=1) / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(block(x), expected)


def logits(cell: Cell, images: Tensor) -> tuple[Tensor, nn.Module]:
    torch.manual_seed(1)
    model = NasBench201(channels=4, cells=1).build(cell, image_task(6, (3, 8, 8))).eval()
    with torch.no_grad():
        return model(images), model


@pytest.mark.parametrize("dead", [NONE, ("nor_conv_3x3", "avg_pool_3x3", *NONE[2:])])
def test_cell_without_a_path_ignores_its_input(dead: tuple[str, ...]) -> None:
    output, model = logits(Cell(dead), torch.randn(3, 3, 8, 8))
    assert isinstance(model.classifier, nn.Linear)
    torch.testing.assert_close(output, model.classifier.bias.expand(3, 6))


def test_live_cell_depends_on_its_input() -> None:
    output, _ = logits(one_edge("skip_connect"), torch.randn(3, 3, 8, 8))
    assert (output[0] - output[1]).abs().max() > 1e-3


def test_equal_skip_graphs_compute_the_same() -> None:
    """Only skips: the weights are those of the skeleton, drawn in the same order."""
    images = torch.randn(2, 3, 8, 8)
    direct, _ = logits(one_edge("skip_connect"), images)
    by_node_1 = Cell(("skip_connect", "none", "none", "none", "skip_connect", "none"))
    torch.testing.assert_close(logits(by_node_1, images)[0], direct)


@pytest.mark.parametrize(
    ("in_shape", "classes", "named"),
    [
        ((3, 30, 32), 10, "multiples of 4"),
        ((3, 2, 2), 10, "multiples of 4"),
        ((0, 32, 32), 10, "(0, 32, 32)"),
        ((3, 32, 32), 0, "`classes` must be at least 1, but got 0"),
    ],
)
def test_impossible_networks_are_refused(
    in_shape: tuple[int, int, int], classes: int, named: str
) -> None:
    with pytest.raises(InvalidValueError, match=re.escape(named)):
        NasBench201().build(Cell(NONE), image_task(classes, in_shape))


def test_a_surrogate_has_other_channels_cells_modules_and_no_stem() -> None:
    cell = Cell(("nor_conv_3x3", "none", "none", "skip_connect", "none", "nor_conv_1x1"))
    network = NasBench201().build_surrogate(cell, Surrogate(8, 2, 2), image_task(5, (3, 10, 10)))
    assert network(torch.zeros(2, 3, 10, 10)).shape == (2, 5)
    widths = [m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert sorted(set(widths)) == [8, 16]
    assert sum(isinstance(m, CellBlock) for m in network.modules()) == 2 * 2
    bare = NasBench201().build_surrogate(
        cell, Surrogate(1, 1, 1, stem=False), image_task(5, (1, 3, 3))
    )
    assert bare(torch.zeros(2, 1, 3, 3)).shape == (2, 5)
    assert [m.out_channels for m in bare.modules() if isinstance(m, nn.Conv2d)] == [1, 1]
    with pytest.raises(InvalidValueError, match="`channels`"):
        NasBench201().build_surrogate(
            cell, Surrogate(2, 1, 1, stem=False), image_task(5, (1, 3, 3))
        )
