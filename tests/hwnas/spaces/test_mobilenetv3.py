"""The once-for-all MobileNetV3 space: text, depths, and networks against published sizes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hwnas.costs.counters import count
from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.spaces.mobilenetv3 import (
    DEPTHS,
    EXPANSIONS,
    KERNELS,
    RESOLUTIONS,
    Layer,
    MobileNetV3,
    MobileNetV3Arch,
)
from hwnas.spaces.mobilenetv3_network import MobileBlock, SqueezeExcitation, multiple_of_8
from hwnas.tasks.task import image_task
from hwnas.testing import SearchSpaceContract
from hwnas.typing import Choice

SPACE = MobileNetV3()
SMALLEST = MobileNetV3Arch(128, ((Layer(3, 3),) * 2,) * 5)
LARGEST = MobileNetV3Arch(224, ((Layer(7, 6),) * 4,) * 5)


class TestContract(SearchSpaceContract):
    samples = 10

    @pytest.fixture
    def space(self) -> MobileNetV3:
        return MobileNetV3(width=1.0)


def all_parameters(**changed: str) -> dict[str, Choice]:
    return {name: choices[0] for name, choices in SPACE.parameters.items()} | changed


def test_46_parameters() -> None:
    parameters = SPACE.parameters
    assert len(parameters) == 1 + 5 + 20 + 20
    assert parameters["depth_3"] == ("2", "3", "4")
    assert parameters["kernel_5_4"] == ("3", "5", "7")
    assert parameters["expansion_1_1"] == ("3", "4", "6")
    assert parameters["resolution"][:2] == ("128", "132")
    assert parameters["resolution"][-1] == "224"


def test_layers_beyond_the_depth_do_not_count() -> None:
    arch = SPACE.decode(all_parameters())
    same = SPACE.decode(all_parameters(kernel_2_3="7", expansion_2_4="6", learning_rate="0.1"))
    other = SPACE.decode(all_parameters(kernel_2_2="7"))
    assert SPACE.canonical_key(arch) == SPACE.canonical_key(same)
    assert SPACE.canonical_key(arch) != SPACE.canonical_key(other)
    assert "kernel_2_3" not in SPACE.encode(arch)
    assert SPACE.encode(SPACE.decode(all_parameters(depth_2="3")))["kernel_2_3"] == "3"


def test_text() -> None:
    arch = SPACE.decode(all_parameters(depth_2="3", kernel_2_3="7", expansion_5_2="6"))
    assert str(arch) == "r128|k3e3,k3e3|k3e3,k3e3,k7e3|k3e3,k3e3|k3e3,k3e3|k3e3,k3e6"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("r224|k3e3,k3e3", "`stages` must be 5, but got 1"),
        (str(SMALLEST).replace("r128", "r130"), "`resolution` must be one of 128, 132"),
        (str(SMALLEST).replace("r128", "128"), "but got '128'"),
        (str(SMALLEST)[:-5], "`depth of stage 5` must be one of 2, 3, 4, but got 1"),
        (str(SMALLEST)[:-4] + "k4e3", "`kernel in stage 5` must be one of 3, 5, 7, but got 4"),
        (str(SMALLEST)[:-1] + "5", "`expansion in stage 5` must be one of 3, 4, 6, but got 5"),
    ],
)
def test_parse_error_names_what_is_wrong(text: str, named: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=re.escape(named)):
        SPACE.parse(text)


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"depth_1": "5"}, "`depth_1` must be one of 2, 3, 4"), ({"kernel_1_1": "4"}, "kernel_1_1")],
)
def test_decode_names_foreign_choices(changed: dict[str, str], named: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=named):
        SPACE.decode(all_parameters(**changed))


def test_decode_names_a_missing_parameter() -> None:
    parameters = all_parameters(depth_1="3")
    del parameters["kernel_1_3"]
    with pytest.raises(InvalidArchitectureError, match="kernel_1_3, but it is missing"):
        SPACE.decode(parameters)


def test_number_of_neighbours() -> None:
    # 24 resolutions; 4 other choices in each of 10 layers; 9 longer versions of each stage.
    assert len(SPACE.neighbours(SMALLEST)) == 24 + 10 * 4 + 5 * 9
    assert len(SPACE.neighbours(LARGEST)) == 24 + 20 * 4 + 5


def test_every_choice_is_drawn() -> None:
    rng = np.random.default_rng(0)
    archs = [SPACE.sample(rng) for _ in range(300)]
    layers = {layer for arch in archs for stage in arch.stages for layer in stage}
    assert layers == {Layer(k, e) for k in KERNELS for e in EXPANSIONS}
    assert {len(stage) for arch in archs for stage in arch.stages} == set(DEPTHS)
    assert {arch.resolution for arch in archs} == set(RESOLUTIONS)


def test_graph_labels_are_listed() -> None:
    rng = np.random.default_rng(0)
    for arch in (SMALLEST, LARGEST, *(SPACE.sample(rng) for _ in range(50))):
        labels = SPACE.to_graph(arch).operations[1:-1]
        assert {part for label in labels for part in label.split(":")} <= set(SPACE.graph_labels)
        assert len(labels) == 1 + sum(map(len, arch.stages))


@pytest.mark.parametrize(
    ("channels", "rounded"), [(16, 16), (19.2, 24), (28.8, 32), (134.4, 136), (4, 8), (1152, 1152)]
)
def test_rounding_of_channels(channels: float, rounded: int) -> None:
    assert multiple_of_8(channels) == rounded


# Howard et al., ICCV 2019, Table 1: kernel, inside, out, squeeze, h-swish, stride.
LARGE: list[tuple[int, int, int, bool, bool, int]] = [
    (3, 64, 24, False, False, 2), (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2), (5, 120, 40, True, False, 1), (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2), (3, 200, 80, False, True, 1), (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1), (3, 480, 112, True, True, 1), (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2), (5, 960, 160, True, True, 1), (5, 960, 160, True, True, 1),
]  # fmt: skip


def test_blocks_make_mobilenetv3_large() -> None:
    blocks: list[nn.Module] = [MobileBlock(16, 16, 3)]
    c_in = 16
    for kernel, inside, c_out, squeeze, swish, stride in LARGE:
        blocks.append(
            MobileBlock(c_in, c_out, kernel, stride, inside, hard_swish=swish, squeeze=squeeze)
        )
        c_in = c_out
    norm, mixer = nn.BatchNorm2d, nn.Linear(960, 1280)
    stem = (nn.Conv2d(3, 16, 3, 2, 1, bias=False), norm(16), nn.Hardswish())
    last = (nn.Conv2d(160, 960, 1, bias=False), norm(960), nn.Hardswish())
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), mixer, nn.Hardswish(), nn.Linear(1280, 1000))
    counts = count(nn.Sequential(*stem, *blocks, *last, *head), (3, 224, 224))
    # 5.4 M and 219 M MACs in the paper; torchvision's network has 5,483,032 parameters.
    assert counts.params == 5_483_032
    assert counts.macs == pytest.approx(219e6, rel=0.02)


# A quarter of the channels inside, rounded by hand to a multiple of 8 not below 90 % of it.
SQUEEZED = {
    72: 24, 96: 24, 120: 32, 144: 40, 192: 48, 240: 64, 288: 72, 336: 88, 408: 104, 480: 120,
    576: 144, 672: 168, 816: 208, 960: 240, 1152: 288,
}  # fmt: skip


def size_by_hand(arch: MobileNetV3Arch, channels: list[int], classes: int) -> int:
    """Count weights from the published table; `channels` are all rounded already."""
    stem, first, *stages, expanded, mixed = channels
    total = 27 * stem + 2 * stem + 9 * stem + 2 * stem + stem * first + 2 * first
    c_in = first
    for stage, (c_out, layers) in enumerate(zip(stages, arch.stages, strict=True)):
        for kernel, expansion in layers:
            inside = expansion * c_in
            total += c_in * inside + kernel**2 * inside + inside * c_out
            total += 2 * (inside + inside + c_out)
            if stage in (1, 3, 4):
                squeezed = SQUEEZED[inside]
                total += 2 * inside * squeezed + inside + squeezed
            c_in = c_out
    return total + c_in * expanded + 2 * expanded + expanded * mixed + mixed * classes + classes


@pytest.mark.parametrize("arch", [SMALLEST, LARGEST], ids=["smallest", "largest"])
@pytest.mark.parametrize(
    ("width", "channels"),
    [
        (1.0, [16, 16, 24, 40, 80, 112, 160, 960, 1280]),
        (1.2, [24, 24, 32, 48, 96, 136, 192, 1152, 1536]),
    ],
)
def test_sizes_of_both_widths(arch: MobileNetV3Arch, width: float, channels: list[int]) -> None:
    model = MobileNetV3(width).build(arch, image_task(1000, (3, 224, 224)))
    assert sum(p.numel() for p in model.parameters()) == size_by_hand(arch, channels, 1000)


def test_macs_grow_with_the_resolution() -> None:
    def macs(resolution: int) -> Any:
        arch = MobileNetV3Arch(resolution, SMALLEST.stages)
        return count(SPACE.build(arch, image_task(10, (3, 32, 32))), (3, 32, 32)).macs

    # Everything before the pooling is proportional to the area; 128 and 224 divide by 32.
    head = 1152 * 1536 + 1536 * 10
    insides = [3 * c for c in (32, 48, 96, 136, 136, 192)]
    gates = sum(2 * inside * SQUEEZED[inside] for inside in insides)
    assert (macs(224) - head - gates) * 128**2 == (macs(128) - head - gates) * 224**2


def test_image_of_the_resolution_is_not_resized() -> None:
    model = SPACE.build(SMALLEST, image_task(10, (3, 128, 128)))
    assert not any(isinstance(module, nn.Upsample) for module in model.modules())


def test_strides_and_activations() -> None:
    model = SPACE.build(SMALLEST, image_task(10, (3, 128, 128))).eval()
    with torch.no_grad():
        features = model.blocks(model.stem(torch.zeros(1, 3, 128, 128)))  # type: ignore[operator]
    assert features.shape == (1, 192, 4, 4)
    blocks = list(model.blocks)  # type: ignore[arg-type]
    swish = [any(isinstance(m, nn.Hardswish) for m in block.modules()) for block in blocks]
    squeeze = [any(isinstance(m, SqueezeExcitation) for m in block.modules()) for block in blocks]
    assert swish == [False] * 5 + [True] * 6
    assert squeeze == [False] * 3 + [True] * 2 + [False] * 2 + [True] * 4


def test_gate_scales_channels() -> None:
    layer = SqueezeExcitation(8)
    last = layer.gate[3]
    assert isinstance(last, nn.Conv2d)
    nn.init.zeros_(last.weight)
    assert last.bias is not None
    last.bias.data = torch.tensor([-3.0, 0.0, 3.0, 9.0] * 2)
    x = torch.randn(2, 8, 3, 3)
    gate = torch.tensor([0.0, 0.5, 1.0, 1.0] * 2).view(8, 1, 1)
    assert torch.allclose(layer(x), gate * x)


def test_width_must_be_published() -> None:
    with pytest.raises(InvalidValueError, match=r"`width` must be one of 1.0, 1.2"):
        MobileNetV3(1.1)
