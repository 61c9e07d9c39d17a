"""Parameters, multiply-accumulates and layers of chains in closed form, without a network.

`hwnas.costs.counters` counts any network on tensors without numbers, which takes .1 to .3 s for a
chain of 30 blocks. A search within tight bounds looks at many chains for each that it evaluates,
so the facet `Counted` of these spaces gives the same numbers in some 50 microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hwnas.spaces import fbnet_network, mobilenetv3_network
from hwnas.spaces.fbnet import POSITIONS, SKIP, STEM_CHANNELS, FBNetArch, setting_for
from hwnas.spaces.mobilenetv2 import STRIDES, MobileNetV2Arch
from hwnas.spaces.mobilenetv3 import MobileNetV3, MobileNetV3Arch
from hwnas.spaces.mobilenetv3_network import multiple_of_8
from hwnas.spaces.nasbench201 import parse_cell
from hwnas.spaces.nasbench_macro import BLOCKS, HEAD_CHANNELS, MacroChain
from hwnas.spaces.nasbench_macro import STEM_CHANNELS as MACRO_CHANNELS
from hwnas.spaces.natsbench_size import CELL, LAYERS, SizeArch, check_sides
from hwnas.spaces.proxylessnas import DEVICES, ProxylessArch, ProxylessNas
from hwnas.spaces.proxylessnas import STRIDES as PROXYLESS_STRIDES
from hwnas.spaces.resnet import BASIC, EXPANSION, ResNet, ResNetArch
from hwnas.spaces.resnet_network import SMALL_IMAGE
from hwnas.spaces.walk import Walk
from hwnas.tasks.task import Task, image_classes
from hwnas.typing import Arch, SearchSpace

Layers = Callable[[Any, Any, Walk, tuple[int, int, int]], None]
"""Walks through the layers of an architecture of a space up to the classifier, pooling included."""


@dataclass(frozen=True)
class ChainCounts:
    """The facet `Counted` of a space of chains for classes of images.

    Attributes:
        space: search space.
        layers: what walks through its networks.
    """

    space: SearchSpace[Any]
    layers: Layers

    def counts(self, arch: Arch, task: Task) -> Mapping[str, int]:
        """Give ``params``, ``macs`` of one image, and ``layers``."""
        classes, in_shape = image_classes(task, self.space.name)
        walk = Walk(*in_shape)
        self.layers(self.space, arch, walk, in_shape)
        walk.linear(classes)
        return {"params": walk.params, "macs": walk.macs, "layers": walk.layers}


def mobilenetv2(space: SearchSpace[MobileNetV2Arch]) -> ChainCounts:
    """Count as `MobileNetV2Network` is built."""
    return ChainCounts(space, _mobilenetv2)


def proxylessnas(space: ProxylessNas) -> ChainCounts:
    """Count as `ProxylessNetwork` is built."""
    return ChainCounts(space, _proxylessnas)


def fbnet(space: SearchSpace[FBNetArch]) -> ChainCounts:
    """Count as `FBNetNetwork` is built."""
    return ChainCounts(space, _fbnet)


def mobilenetv3(space: MobileNetV3) -> ChainCounts:
    """Count as `MobileNetV3Network` is built."""
    return ChainCounts(space, _mobilenetv3)


def resnet(space: ResNet) -> ChainCounts:
    """Count as `ResNetNetwork` is built."""
    return ChainCounts(space, _resnet)


def nasbench_macro(space: SearchSpace[MacroChain]) -> ChainCounts:
    """Count as `MacroNetwork` is built."""
    return ChainCounts(space, _nasbench_macro)


def natsbench_size(space: SearchSpace[SizeArch]) -> ChainCounts:
    """Count as `SizedNetwork` is built."""
    return ChainCounts(space, _natsbench_size)


def _mobilenetv2(_: object, arch: MobileNetV2Arch, walk: Walk, in_shape: object) -> None:
    del in_shape
    walk.conv(arch.stem, 3, 2)
    for stage, stride in zip(arch.stages, STRIDES, strict=True):
        for number in range(stage.depth):
            middle = None if stage.expansion == 1 else walk.channels * stage.expansion
            walk.inverted_residual(stage.width, stage.kernel, middle, 1 if number else stride)
    walk.conv(arch.head)
    walk.pooled()


def _proxylessnas(space: ProxylessNas, arch: ProxylessArch, walk: Walk, in_shape: object) -> None:
    del in_shape
    widths = DEVICES[space.device]
    walk.conv(widths.stem, 3, 2)
    walk.inverted_residual(widths.first, 3, None)
    for layers, width, stride in zip(arch.stages(), widths.stages, PROXYLESS_STRIDES, strict=True):
        for number, layer in enumerate(layers):
            if layer != SKIP:
                kernel, expansion = map(int, layer[1:].split("e"))
                middle = walk.channels * expansion
                walk.inverted_residual(width, kernel, middle, 1 if number else stride)
    walk.conv(widths.head)
    walk.pooled()


def _fbnet(_: object, arch: FBNetArch, walk: Walk, in_shape: tuple[int, int, int]) -> None:
    setting = setting_for(in_shape)
    walk.conv(STEM_CHANNELS, 3, setting.stem_stride)
    for position, operation in zip(POSITIONS, arch.operations, strict=True):
        stride = setting.strides[position.stage] if position.first else 1
        if operation != SKIP:
            kernel, expansion, groups = fbnet_network.block_numbers(operation)
            middle = position.c_in * expansion
            walk.inverted_residual(position.c_out, kernel, middle, stride, groups)
        elif not position.keeps_shape:
            walk.conv(position.c_out, 1, stride)
    walk.conv(setting.header_channels)
    walk.pooled()


def _mobilenetv3(space: MobileNetV3, arch: MobileNetV3Arch, walk: Walk, in_shape: object) -> None:
    del in_shape
    walk.height = walk.width = arch.resolution
    widths = mobilenetv3_network.widths(space.width)
    walk.conv(widths.stem, 3, 2)
    walk.inverted_residual(widths.first, 3, None)
    for stage, (c_out, layers) in enumerate(zip(widths.stages, arch.stages, strict=True)):
        for number, layer in enumerate(layers):
            middle = multiple_of_8(walk.channels * layer.expansion)
            squeeze = multiple_of_8(middle // 4) if mobilenetv3_network.SQUEEZE[stage] else 0
            stride = 1 if number else mobilenetv3_network.STRIDES[stage]
            walk.inverted_residual(c_out, layer.kernel, middle, stride, squeeze=squeeze)
    walk.conv(widths.expanded)
    walk.pooled()
    walk.conv(widths.mixed, norm=False)


def _resnet(_: object, arch: ResNetArch, walk: Walk, in_shape: tuple[int, int, int]) -> None:
    if min(in_shape[1:]) < SMALL_IMAGE:
        walk.conv(arch.width, 3)
    else:
        walk.conv(arch.width, 7, 2)
        walk.height, walk.width = -(-walk.height // 2), -(-walk.width // 2)  # the pooling
    for stage, depth in enumerate(arch.depths):
        for number in range(depth):
            _residual(arch, walk, arch.width * 2**stage, 2 if stage and number == 0 else 1)
    walk.pooled()


def _residual(arch: ResNetArch, walk: Walk, width: int, stride: int) -> None:
    c_out = width if arch.block == BASIC else EXPANSION * width
    if stride != 1 or walk.channels != c_out:
        walk.beside(c_out, stride=stride)
    if arch.block == BASIC:
        walk.conv(width, 3, stride)
        walk.conv(width, 3)
    else:
        inner = int(width * arch.factor)
        walk.conv(inner)
        walk.conv(inner, 3, stride)
        walk.conv(c_out)


def _nasbench_macro(_: object, arch: MacroChain, walk: Walk, in_shape: object) -> None:
    del in_shape
    walk.conv(MACRO_CHANNELS, 3)
    for digits in arch.stages:
        width = 2 * walk.channels
        for number, digit in enumerate(digits):
            stride = 1 if number else 2
            if digit in BLOCKS:
                kernel, expansion = BLOCKS[digit]
                walk.inverted_residual(width, kernel, walk.channels * expansion, stride)
            elif not number:
                walk.conv(width, 1, stride)
    walk.conv(HEAD_CHANNELS)
    walk.pooled()


def _natsbench_size(_: object, arch: SizeArch, walk: Walk, in_shape: tuple[int, int, int]) -> None:
    check_sides(in_shape)
    walk.conv(arch.channels[0], 3)
    for layer, channels in zip(LAYERS, arch.channels, strict=True):
        if layer == "cell":
            _cell(walk, channels)
        else:
            walk.beside(channels, stride=2, norm=False)
            walk.conv(channels, 3, 2)
            walk.conv(channels, 3)
    walk.params += 2 * walk.channels  # the last norm
    walk.pooled()


def _cell(walk: Walk, channels: int) -> None:
    before = walk.channels
    for (source, _), operation in parse_cell(CELL).edges():
        walk.channels = channels if source else before
        if operation == "nor_conv_3x3":
            walk.beside(channels, 3)
        elif walk.channels != channels:  # a skip that changes them
            walk.beside(channels)
    walk.channels = channels
