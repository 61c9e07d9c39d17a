"""The network of an FBNet architecture, with the sizes of HW-NAS-Bench (Li et al., ICLR 2021)."""

from __future__ import annotations

import re
from typing import cast

from torch import Tensor, nn

from hwnas.spaces.conv_bn import conv_bn
from hwnas.spaces.fbnet import POSITIONS, SKIP, STEM_CHANNELS, FBNetArch, setting_for
from hwnas.typing import InShape

_BLOCK = re.compile(r"k(\d)_e(\d)(?:_g(\d))?")


class InvertedResidual(nn.Module):
    """1x1 convolution, depthwise convolution, 1x1 convolution without an activation.

    The first one is there without an expansion too. With groups, both 1x1 convolutions are
    grouped and the channels are shuffled between the first one and the depthwise one (Zhang et
    al., ShuffleNet, 2018).
    """

    def __init__(
        self, c_in: int, c_out: int, kernel: int, expansion: int, stride: int, groups: int
    ) -> None:
        super().__init__()
        middle = c_in * expansion
        self.residual = c_in == c_out and stride == 1
        shuffle = (nn.ChannelShuffle(groups),) if groups > 1 else ()
        self.layers = nn.Sequential(
            *conv_bn(c_in, middle, 1, groups=groups), nn.ReLU(), *shuffle,
            *conv_bn(middle, middle, kernel, stride, groups=middle), nn.ReLU(),
            *conv_bn(middle, c_out, 1, groups=groups),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, C_in, H, W)` to `(B, C_out, H/stride, W/stride)`."""
        out = cast(Tensor, self.layers(x))
        return x + out if self.residual else out


def block_numbers(operation: str) -> tuple[int, int, int]:
    """Give kernel, expansion and groups of an operation that is no skip."""
    found = _BLOCK.fullmatch(operation)
    assert found is not None
    kernel, expansion, groups = (int(digits or 1) for digits in found.groups())
    return kernel, expansion, groups


def _layer(operation: str, c_in: int, c_out: int, stride: int) -> nn.Module:
    if operation == SKIP:
        if c_in == c_out and stride == 1:
            return nn.Identity()
        return nn.Sequential(*conv_bn(c_in, c_out, 1, stride), nn.ReLU())
    kernel, expansion, groups = block_numbers(operation)
    return InvertedResidual(c_in, c_out, kernel, expansion, stride, groups)


class FBNetNetwork(nn.Module):
    """Stem, 22 layers, a 1x1 convolution and a linear classifier."""

    def __init__(self, arch: FBNetArch, num_classes: int, in_shape: InShape) -> None:
        super().__init__()
        setting = setting_for(in_shape)
        self.stem = nn.Sequential(
            *conv_bn(in_shape[0], STEM_CHANNELS, 3, setting.stem_stride), nn.ReLU()
        )
        self.layers = nn.Sequential(
            *(
                _layer(o, p.c_in, p.c_out, setting.strides[p.stage] if p.first else 1)
                for p, o in zip(POSITIONS, arch.operations, strict=True)
            )
        )
        width = setting.header_channels
        self.header = nn.Sequential(*conv_bn(POSITIONS[-1].c_out, width, 1), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(B, C, H, W)` images to `(B, K)` logits."""
        features = self.header(self.layers(self.stem(images)))
        return cast(Tensor, self.classifier(self.pool(features).flatten(1)))
