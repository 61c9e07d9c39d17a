"""Networks of TransNAS-Bench-101: sizes counted by hand, and the head of each task."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from torch import nn

from hwnas.errors import InvalidValueError
from hwnas.evaluation.sources import ProxyValues
from hwnas.proxies import make_proxies
from hwnas.proxies.engine.blocks import feature_blocks, record_maps
from hwnas.spaces.nasbench201 import Cell
from hwnas.spaces.transnasbench101.macro import TransNasMacro
from hwnas.spaces.transnasbench101.micro import TransNasMicro
from hwnas.spaces.transnasbench101.network import CellBlock, FactorizedReduce, TileNetwork
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import NextToken, Task, TensorSpec, image_task

MICRO, MACRO = TransNasMicro(), TransNasMacro()
TASKS = ("class_object", "class_scene", "room_layout", "segmentsemantic", "normal", "autoencoder")


def params(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def conv(c_in: int, c_out: int, kernel: int) -> int:
    """Weights of a convolution without bias and of its batch norm."""
    return c_in * c_out * kernel**2 + 2 * c_out


def test_parameters_of_the_largest_cell() -> None:
    # Stem, then modules 4 1 4 1 4 of two cells with six 3x3 convolutions, three out of the input.
    expected = conv(3, 32, 3) + conv(32, 64, 3)
    before = 64
    for after in (128, 128, 256, 256, 512):
        expected += 3 * conv(before, after, 3) + 9 * conv(after, after, 3)
        before = after
    expected += 512 * 75 + 75
    with torch.device("meta"):
        assert params(MICRO.build(MICRO.parse("64-41414-3_33_333"))) == expected


def test_parameters_of_a_residual_network() -> None:
    expected = conv(3, 32, 3) + conv(32, 64, 3)
    before = 64
    for after in (64, 128, 128, 128):  # 3 2 1 3
        expected += conv(before, after, 3) + 3 * conv(after, after, 3)
        before = after
    # Shortcuts of the first three changes of shape.
    expected += conv(64, 64, 1) + conv(64, 128, 1) + conv(128, 128, 1) + 128 * 75 + 75
    with torch.device("meta"):
        assert params(MACRO.build(MACRO.parse("64-3213-basic"))) == expected


@pytest.mark.parametrize("name", ["segmentsemantic", "autoencoder"])
def test_the_cells_are_blocks_beside_a_decoder(name: str) -> None:
    arch = MICRO.parse("64-41414-3_33_333")

    def blocks(task: Task) -> list[str]:
        small = replace(task, input=TensorSpec((3, 64, 64), "image"))
        model = MICRO.build(arch, small).eval()
        with record_maps(model) as maps, torch.no_grad():
            model(torch.zeros(1, 3, 64, 64))
        return feature_blocks(model, maps)

    usual = blocks(MICRO.default_task)
    assert len(usual) == 11  # the end of the stem and ten cells
    assert blocks(get_task(name)) == [*usual, "1"]


@pytest.mark.parametrize("space", [MICRO, MACRO])
def test_scores_from_before_the_cells_were_seen_are_not_found(space: Any) -> None:
    for name in TASKS:
        source = ProxyValues(space, tuple(make_proxies(["expressivity"])), get_task(name))
        decodes = name in ("segmentsemantic", "autoencoder", "normal")
        assert ('"networks":1' in source.cache_prefix("expressivity")) == decodes
        assert bool(source.former_prefixes("expressivity")) != decodes


@pytest.mark.parametrize("name", TASKS)
def test_each_task_has_its_output(name: str) -> None:
    task = get_task(name)
    task = replace(task, input=replace(task.input, shape=(3, 64, 64)))
    images = torch.randn(2, 3, 64, 64)
    spaces: list[tuple[Any, str]] = [
        (TransNasMicro(2), "2-41414-1_20_301"),
        (TransNasMacro(2), "2-4333-basic"),
    ]
    for space, text in spaces:
        network = space.build(space.parse(text), task).eval()
        expected = {"class_object": (75,), "class_scene": (47,), "room_layout": (9,)}
        size = (17 if name == "segmentsemantic" else 3, 64, 64)
        assert network(images).shape == (2, *expected.get(name, size))


def test_decoders_of_published_size() -> None:
    # 1,024 channels from 512 features, then halved to 32; the layers have biases and batch norms.
    with torch.device("meta"):
        network = MICRO.build(MICRO.parse("64-41414-0_00_100"), get_task("segmentsemantic"))
    decoder = cast(nn.Sequential, network)[1]
    widths = [512, 1024, 512, 256, 128, 64, 32, 32]
    layers = sum(a * b * 9 + 3 * b for a, b in itertools.pairwise(widths))
    assert params(decoder) == layers + 32 * 17 * 9 + 17
    doubling = [m for m in decoder.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [m.out_channels for m in doubling] == [256, 128, 64, 32, 32]


@pytest.mark.parametrize(
    ("modules", "doubling"),
    [("4111", [32, 16, 16]), ("4311", [64, 32, 16, 16]), ("4331", [256, 64, 32, 16, 16])],
)
def test_picture_decoders_double_what_the_backbone_halved(
    modules: str, doubling: list[int]
) -> None:
    with torch.device("meta"):
        network = MACRO.build(MACRO.parse(f"64-{modules}-basic"), get_task("autoencoder"))
    found = [m.out_channels for m in network.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert found == doubling
    assert isinstance(list(network.modules())[-1], nn.Tanh)


def test_a_jigsaw_is_seen_tile_by_tile() -> None:
    space = TransNasMicro(2)
    task = image_task(1000, (3, 96, 96), "jigsaw")
    network = space.build(space.parse("2-41414-3_00_030"), task).eval()
    assert isinstance(network, TileNetwork)
    seen: list[torch.Tensor] = []
    network.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    images = torch.randn(2, 3, 96, 96)
    assert network(images).shape == (2, 1000)
    assert seen[0].shape == (18, 3, 32, 32)
    assert torch.equal(seen[0][9 + 5], images[1, :, 32:64, 64:])  # row 1, column 2 of the second


def test_a_factorized_skip_sees_every_second_pixel_and_those_aside() -> None:
    layer = FactorizedReduce(1, 2, 2).eval()
    for convolution in layer.convs:
        nn.init.ones_(cast(nn.Conv2d, convolution).weight)
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    expected = torch.stack([image[0, 0, ::2, ::2], image[0, 0, 1::2, 1::2]])
    torch.testing.assert_close(layer(image)[0], expected / (1 + layer.bn.eps) ** 0.5)


def test_nodes_without_edges_are_zero_in_strided_cells() -> None:
    cell = Cell(("none", "none", "nor_conv_3x3", "none", "none", "skip_connect"))
    for stride in (1, 2):
        out = CellBlock(cell, 2, 2 * stride, stride)(torch.randn(1, 2, 5, 5))
        assert out.shape == (1, 2 * stride, *(-(-5 // stride),) * 2)
    dead = Cell(("none",) * 6)
    assert not CellBlock(dead, 2, 4, 2)(torch.randn(1, 2, 5, 5)).any()


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (Task("text", TensorSpec((8,), "tokens", 30), NextToken(30)), "must be one of images"),
        (replace(get_task("normal"), input=TensorSpec((3, 40, 40))), "multiples of 32"),
        (image_task(1000, (3, 64, 64), "jigsaw"), "3 parts"),
    ],
)
def test_other_tasks_are_one_line(task: Task, said: str) -> None:
    with pytest.raises(InvalidValueError, match=said):
        MICRO.build(MICRO.parse("64-41414-3_33_333"), task)
