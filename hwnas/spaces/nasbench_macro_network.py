"""The network of a NAS-Bench-Macro chain (Su et al., CVPR 2021)."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from hwnas.spaces.conv_bn import conv_bn
from hwnas.spaces.fbnet_network import InvertedResidual
from hwnas.spaces.nasbench_macro import BLOCKS, HEAD_CHANNELS, STEM_CHANNELS, MacroChain


def _layer(digit: str, c_in: int, c_out: int, stride: int) -> nn.Module:
    if digit in BLOCKS:
        kernel, expansion = BLOCKS[digit]
        return InvertedResidual(c_in, c_out, kernel, expansion, stride, 1)
    if c_in == c_out and stride == 1:
        return nn.Identity()
    return nn.Sequential(*conv_bn(c_in, c_out, 1, stride))


class MacroNetwork(nn.Module):
    """Stem, three stages, a 1x1 convolution and a linear classifier."""

    def __init__(self, arch: MacroChain, num_classes: int, c_in: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv_bn(c_in, STEM_CHANNELS, 3), nn.ReLU())
        layers, width = [], STEM_CHANNELS
        for digits in arch.stages:
            layers.append(_layer(digits[0], width, 2 * width, 2))
            width *= 2
            layers += [_layer(digit, width, width, 1) for digit in digits[1:]]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Sequential(*conv_bn(width, HEAD_CHANNELS, 1), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(HEAD_CHANNELS, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(B, C, H, W)` images to `(B, K)` logits."""
        features = self.pool(self.head(self.layers(self.stem(images))))
        return cast(Tensor, self.classifier(features.flatten(1)))
