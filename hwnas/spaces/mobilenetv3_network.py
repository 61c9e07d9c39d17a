"""The network of a once-for-all MobileNetV3 architecture (Cai et al., ICLR 2020).

Blocks are those of Howard et al., Searching for MobileNetV3, ICCV 2019: squeeze-and-excitation in
stages 2, 4 and 5, h-swish from stage 3 on. The published classifier has a dropout of 0.1, which
changes nothing in evaluation mode and is left out, so that scores in training mode do not depend
on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

from torch import Tensor, nn

from hwnas.spaces.conv_bn import conv_bn
from hwnas.spaces.mobilenetv3 import MobileNetV3Arch
from hwnas.typing import InShape

_STEM, _FIRST_BLOCK, _EXPANDED, _MIXED = 16, 16, 960, 1280
_CHANNELS = (24, 40, 80, 112, 160)
STRIDES = (2, 2, 2, 1, 2)
_HARD_SWISH = (False, False, True, True, True)
SQUEEZE = (False, True, False, True, True)


def multiple_of_8(channels: float) -> int:
    """Round to a multiple of 8, at least 8 and not below 90 % of the number (Howard et al.)."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


class Widths(NamedTuple):
    """Channels of a network.

    Attributes:
        stem: behind the first convolution.
        first: behind the first block.
        stages: behind each of the five stages.
        expanded: before the pooling.
        mixed: behind it.
    """

    stem: int
    first: int
    stages: tuple[int, ...]
    expanded: int
    mixed: int


def widths(multiplier: float) -> Widths:
    """Give the channels of a network of another width."""
    stem, first, *stages, expanded, mixed = (
        multiple_of_8(c * multiplier) for c in (_STEM, _FIRST_BLOCK, *_CHANNELS, _EXPANDED, _MIXED)
    )
    return Widths(stem, first, tuple(stages), expanded, mixed)


class SqueezeExcitation(nn.Module):
    """Scale each channel by a gate that the means of all channels decide."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = multiple_of_8(channels // 4)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, C, H, W)` to the same shape."""
        return x * cast(Tensor, self.gate(x))


class MobileBlock(nn.Module):
    """Inverted residual block; without an expansion it has no first 1x1 convolution."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        stride: int = 1,
        middle: int | None = None,
        *,
        hard_swish: bool = False,
        squeeze: bool = False,
    ) -> None:
        super().__init__()
        activation = nn.Hardswish if hard_swish else nn.ReLU
        expand = () if middle is None else (*conv_bn(c_in, middle, 1), activation())
        inner = c_in if middle is None else middle
        self.residual = c_in == c_out and stride == 1
        self.layers = nn.Sequential(
            *expand,
            *conv_bn(inner, inner, kernel, stride, groups=inner), activation(),
            *((SqueezeExcitation(inner),) if squeeze else ()),
            *conv_bn(inner, c_out, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, C_in, H, W)` to `(B, C_out, H/stride, W/stride)`."""
        out = cast(Tensor, self.layers(x))
        return x + out if self.residual else out


class MobileNetV3Network(nn.Module):
    """Resize, stem, a first block, five stages, and a head that mixes after pooling."""

    def __init__(
        self, arch: MobileNetV3Arch, width: float, num_classes: int, in_shape: InShape
    ) -> None:
        super().__init__()
        side = arch.resolution
        self.resize = (
            nn.Identity()
            if in_shape[1:] == (side, side)
            else nn.Upsample((side, side), mode="bilinear", align_corners=False)
        )
        stem, first, stages, expanded, mixed = widths(width)
        self.stem = nn.Sequential(*conv_bn(in_shape[0], stem, 3, 2), nn.Hardswish())
        self.blocks = nn.Sequential(MobileBlock(stem, first, 3), *_blocks(arch, first, stages))
        self.expand = nn.Sequential(*conv_bn(stages[-1], expanded, 1), nn.Hardswish())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.mix = nn.Sequential(nn.Conv2d(expanded, mixed, 1, bias=False), nn.Hardswish())
        self.classifier = nn.Linear(mixed, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(B, C, H, W)` images to `(B, K)` logits."""
        features = self.expand(self.blocks(self.stem(self.resize(images))))
        return cast(Tensor, self.classifier(self.mix(self.pool(features)).flatten(1)))


def _blocks(arch: MobileNetV3Arch, c_in: int, channels: Sequence[int]) -> Iterator[MobileBlock]:
    for stage, (c_out, layers) in enumerate(zip(channels, arch.stages, strict=True)):
        for number, layer in enumerate(layers):
            yield MobileBlock(
                c_in,
                c_out,
                layer.kernel,
                STRIDES[stage] if number == 0 else 1,
                multiple_of_8(c_in * layer.expansion),
                hard_swish=_HARD_SWISH[stage],
                squeeze=SQUEEZE[stage],
            )
            c_in = c_out
