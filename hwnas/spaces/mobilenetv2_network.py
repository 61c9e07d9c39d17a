"""The network of a MobileNetV2-like chain (Sandler et al., CVPR 2018)."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from hwnas.spaces.conv_bn import conv_bn
from hwnas.spaces.mobilenetv2 import STRIDES, MobileNetV2Arch


class InvertedResidual(nn.Module):
    """1x1 convolution, depthwise convolution, 1x1 convolution without an activation.

    Without an expansion the first one is left out.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, expansion: int, stride: int) -> None:
        super().__init__()
        middle = c_in * expansion
        self.residual = c_in == c_out and stride == 1
        self.layers = nn.Sequential(
            *((*conv_bn(c_in, middle, 1), nn.ReLU6()) if expansion > 1 else ()),
            *(*conv_bn(middle, middle, kernel, stride, groups=middle), nn.ReLU6()),
            *conv_bn(middle, c_out, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, C_in, H, W)` to `(B, C_out, H/stride, W/stride)`."""
        out = cast(Tensor, self.layers(x))
        return x + out if self.residual else out


class MobileNetV2Network(nn.Module):
    """Stem, seven stages, a 1x1 convolution and a linear classifier."""

    def __init__(self, arch: MobileNetV2Arch, num_classes: int, c_in: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv_bn(c_in, arch.stem, 3, 2), nn.ReLU6())
        blocks, before = [], arch.stem
        for stage, stride in zip(arch.stages, STRIDES, strict=True):
            for number in range(stage.depth):
                now = 1 if number else stride
                blocks.append(
                    InvertedResidual(before, stage.width, stage.kernel, stage.expansion, now)
                )
                before = stage.width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(*conv_bn(before, arch.head, 1), nn.ReLU6())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(arch.head, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(B, C, H, W)` images to `(B, K)` logits."""
        features = self.pool(self.head(self.blocks(self.stem(images)))).flatten(1)
        return cast(Tensor, self.classifier(self.dropout(features)))
