"""The FBNet space: text, classes of equal chains, and networks against published sizes."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hwnas.costs.counters import count
from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.spaces.fbnet import OPERATIONS, POSITIONS, SKIP, FBNet, FBNetArch, Position
from hwnas.spaces.fbnet_network import InvertedResidual
from hwnas.tasks.task import image_task
from hwnas.testing import SearchSpaceContract

SPACE = FBNet()
ARCHS = st.tuples(*[st.sampled_from(OPERATIONS)] * len(POSITIONS)).map(FBNetArch)
# Wu et al., 2019, Figure 4.
FBNET_C = FBNet().parse(
    "k3_e1,k3_e6,skip,k3_e1,k3_e1,k5_e6,k5_e3,k5_e6,k3_e6,k5_e6,k5_e3,k5_e6,k5_e6,k5_e6,k5_e6,"
    "k5_e6,k5_e3,k5_e6,k5_e6,k5_e6,k5_e6,k3_e6"
)


class TestContract(SearchSpaceContract):
    @pytest.fixture
    def space(self) -> FBNet:
        return SPACE


def filled(operation: str = "k3_e1", **layers: str) -> FBNetArch:
    """Make an architecture of one operation, with others by layer, e.g. `l4="skip"`."""
    return FBNetArch(tuple(layers.get(f"l{i}", operation) for i in range(len(POSITIONS))))


def test_layers_of_the_stages() -> None:
    assert len(POSITIONS) == 22
    assert [p.stage for p in POSITIONS if p.first] == list(range(7))
    assert POSITIONS[0] == Position(0, True, 16, 16)
    assert POSITIONS[5] == Position(2, True, 24, 32)
    assert POSITIONS[8] == Position(2, False, 32, 32)
    assert POSITIONS[21] == Position(6, True, 184, 352)


def test_identities_have_no_place() -> None:
    a, b = filled(l2=SKIP, l3="k5_e6"), filled(l2="k5_e6", l4=SKIP)
    assert SPACE.canonical_key(a) == SPACE.canonical_key(b)
    assert SPACE.representative(a) == b
    assert SPACE.to_graph(a).operations.count("k3_e1:24>24") == 1


def test_skips_that_change_the_shape_do_count() -> None:
    for layer in (1, 5, 9, 13, 17, 21):
        arch = filled(**{f"l{layer}": SKIP})
        position = POSITIONS[layer]
        assert f"skip:{position.c_in}>{position.c_out}" in SPACE.to_graph(arch).operations
        assert SPACE.representative(arch) == arch
    assert SPACE.canonical_key(filled(l0=SKIP)) != SPACE.canonical_key(filled())


@settings(deadline=None)
@given(ARCHS, st.integers(0, 2**32 - 1))
def test_moving_identities_keeps_the_class(arch: FBNetArch, seed: int) -> None:
    rng = np.random.default_rng(seed)
    operations = list(arch.operations)
    for start in (2, 6, 10, 14, 18):
        rest = [o for o in operations[start : start + 3] if o != SKIP]
        for _ in range(3 - len(rest)):
            rest.insert(rng.integers(len(rest) + 1), SKIP)
        operations[start : start + 3] = rest
    moved = FBNetArch(tuple(operations))
    assert SPACE.canonical_key(moved) == SPACE.canonical_key(arch)
    assert SPACE.to_graph(moved).digest() == SPACE.to_graph(arch).digest()


@settings(deadline=None)
@given(ARCHS)
def test_graph_labels_are_listed(arch: FBNetArch) -> None:
    labels = SPACE.to_graph(arch).operations[1:-1]
    assert {part for label in labels for part in label.split(":")} <= set(SPACE.graph_labels)


def test_176_neighbours() -> None:
    neighbours = SPACE.neighbours(FBNET_C)
    assert len(set(neighbours)) == 22 * 8


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("k3_e1,skip", "22 entries, one a layer, but got 2"),
        (",".join(["k3_e1"] * 21 + ["k3_e2"]), "operation of layer 21"),
    ],
)
def test_parse_error_names_what_is_wrong(text: str, named: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=re.escape(named)):
        SPACE.parse(text)


def test_decode_names_missing_layers() -> None:
    parameters = SPACE.encode(FBNET_C)
    del parameters["layer_7"]
    with pytest.raises(InvalidArchitectureError, match="layer_7, but it is missing"):
        SPACE.decode(parameters)


def block_size(c_in: int, c_out: int, kernel: int, expansion: int, groups: int) -> int:
    """Count the weights of convolutions and norms by hand."""
    middle = c_in * expansion
    convolutions = (c_in * middle + middle * c_out) // groups + kernel**2 * middle
    return convolutions + 2 * (middle + middle + c_out)


def test_fbnet_c_has_the_published_size() -> None:
    # 5.5 M in the paper, 5.57 M in the table of timm, whose head has the 1,984 channels as well.
    counts = count(SPACE.build(FBNET_C, image_task(1000, (3, 224, 224))), (3, 224, 224))
    assert round(counts.params / 1e6, 2) == 5.57
    # 375 M in the paper.
    assert counts.macs == pytest.approx(375e6, rel=0.03)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_size_of_every_operation(operation: str) -> None:
    stem = 3 * 16 * 9 + 2 * 16
    head = 352 * 1504 + 2 * 1504 + 1504 * 100 + 100
    if operation == SKIP:
        changing = [(p.c_in, p.c_out) for p in POSITIONS if p.c_in != p.c_out]
        body = sum(a * b + 2 * b for a, b in changing)
    else:
        kernel, expansion, groups = (int(n) for n in re.findall(r"\d", f"{operation}_g1")[:3])
        body = sum(block_size(p.c_in, p.c_out, kernel, expansion, groups) for p in POSITIONS)
    model = SPACE.build(filled(operation), image_task(100, (3, 32, 32)))
    assert sum(p.numel() for p in model.parameters()) == stem + body + head


@pytest.mark.parametrize(("side", "strides"), [(32, 8), (224, 32)])
def test_strides_follow_the_image(side: int, strides: int) -> None:
    model = SPACE.build(filled(SKIP), image_task(10, (3, side, side)))
    with torch.no_grad():
        features = model.layers(model.stem(torch.zeros(1, 3, side, side)))  # type: ignore[operator]
    assert features.shape == (1, 352, side // strides, side // strides)


def test_groups_are_shuffled_before_the_depthwise_convolution() -> None:
    block = InvertedResidual(6, 6, 3, 1, 1, 2)
    kinds = [type(module) for module in block.layers]
    conv, norm = nn.Conv2d, nn.BatchNorm2d
    assert kinds == [conv, norm, nn.ReLU, nn.ChannelShuffle, conv, norm, nn.ReLU, conv, norm]
    assert [m.groups for m in block.layers if isinstance(m, conv)] == [2, 6, 2]


@pytest.mark.parametrize(("c_out", "stride"), [(8, 1), (8, 2), (16, 1)])
def test_residual_only_where_the_shape_is_kept(c_out: int, stride: int) -> None:
    block = InvertedResidual(8, c_out, 3, 3, stride, 1).eval()
    norm = block.layers[-1]
    assert isinstance(norm, nn.BatchNorm2d)
    nn.init.zeros_(norm.weight)
    x = torch.randn(2, 8, 4, 4)
    kept = (c_out, stride) == (8, 1)
    assert torch.equal(block(x), x if kept else torch.zeros(2, c_out, 4 // stride, 4 // stride))


def test_identities_leave_the_function_alone() -> None:
    first, second = (
        SPACE.build(arch, image_task(5, (3, 16, 16))).eval()
        for arch in (filled(l2=SKIP), filled(l4=SKIP))
    )
    for source, target in zip(first.parameters(), second.parameters(), strict=True):
        target.data.copy_(source.data)
    x = torch.randn(2, 3, 16, 16)
    assert torch.allclose(first(x), second(x))


def test_empty_image_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="with positive numbers"):
        SPACE.build(FBNET_C, image_task(10, (3, 0, 32)))
