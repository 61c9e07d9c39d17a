"""The network of a ProxylessNAS chain (Cai et al., ICLR 2019)."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from hwnas.spaces.conv_bn import conv_bn
from hwnas.spaces.mobilenetv2_network import InvertedResidual
from hwnas.spaces.proxylessnas import SKIP, STRIDES, ProxylessArch, Widths


def _layer(operation: str, c_in: int, c_out: int, stride: int) -> nn.Module:
    if operation == SKIP:
        return nn.Identity()
    kernel, expansion = map(int, operation[1:].split("e"))
    return InvertedResidual(c_in, c_out, kernel, expansion, stride)


class ProxylessNetwork(nn.Module):
    """Stem, a block without expansion, six stages, a 1x1 convolution and a linear classifier."""

    def __init__(self, arch: ProxylessArch, widths: Widths, num_classes: int, c_in: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *conv_bn(c_in, widths.stem, 3, 2), nn.ReLU6(),
            InvertedResidual(widths.stem, widths.first, 3, 1, 1),
        )  # fmt: skip
        layers, before = [], widths.first
        for operations, width, stride in zip(arch.stages(), widths.stages, STRIDES, strict=True):
            for number, operation in enumerate(operations):
                layers.append(_layer(operation, before, width, 1 if number else stride))
                before = width
        self.layers = nn.Sequential(*layers)
        self.head = nn.Sequential(*conv_bn(before, widths.head, 1), nn.ReLU6())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(widths.head, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(B, C, H, W)` images to `(B, K)` logits."""
        features = self.pool(self.head(self.layers(self.stem(images))))
        return cast(Tensor, self.classifier(features.flatten(1)))
