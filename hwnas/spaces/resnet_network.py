"""The network of a ResNet (He et al., CVPR 2016)."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from hwnas.spaces.conv_bn import conv_bn
from hwnas.spaces.resnet import BASIC, EXPANSION, ResNetArch
from hwnas.typing import InShape

SMALL_IMAGE = 64
"""Images with a shorter side below this get a stem that keeps them."""


class ResidualBlock(nn.Module):
    """Convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, layers: nn.Module, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.layers = layers
        keeps = stride == 1 and c_in == c_out
        self.shortcut: nn.Module = (
            nn.Identity() if keeps else nn.Sequential(*conv_bn(c_in, c_out, 1, stride))
        )
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, C_in, H, W)` to `(B, C_out, H/stride, W/stride)`."""
        return cast(Tensor, self.relu(self.layers(x) + self.shortcut(x)))


def _block(arch: ResNetArch, c_in: int, width: int, stride: int) -> ResidualBlock:
    if arch.block == BASIC:
        layers = nn.Sequential(
            *conv_bn(c_in, width, 3, stride), nn.ReLU(), *conv_bn(width, width, 3)
        )
        return ResidualBlock(layers, c_in, width, stride)
    inner, c_out = int(width * arch.factor), EXPANSION * width
    layers = nn.Sequential(
        *conv_bn(c_in, inner, 1), nn.ReLU(),
        *conv_bn(inner, inner, 3, stride), nn.ReLU(),
        *conv_bn(inner, c_out, 1),
    )  # fmt: skip
    return ResidualBlock(layers, c_in, c_out, stride)


class ResNetNetwork(nn.Module):
    """Stem, four stages of blocks and a linear classifier."""

    def __init__(self, arch: ResNetArch, num_classes: int, in_shape: InShape) -> None:
        super().__init__()
        before = arch.width
        small = min(in_shape[1:]) < SMALL_IMAGE
        stem = conv_bn(in_shape[0], before, 3) if small else conv_bn(in_shape[0], before, 7, 2)
        pool = () if small else (nn.MaxPool2d(3, 2, 1),)
        self.stem = nn.Sequential(*stem, nn.ReLU(), *pool)
        expansion = 1 if arch.block == BASIC else EXPANSION
        blocks = []
        for stage, depth in enumerate(arch.depths):
            width = arch.width * 2**stage
            for number in range(depth):
                stride = 2 if stage and number == 0 else 1
                blocks.append(_block(arch, before, width, stride))
                before = width * expansion
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(before, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(B, C, H, W)` images to `(B, K)` logits."""
        return cast(Tensor, self.classifier(self.pool(self.blocks(self.stem(images))).flatten(1)))
