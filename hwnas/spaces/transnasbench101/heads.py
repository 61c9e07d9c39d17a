"""What stands behind the backbone of TransNAS-Bench-101's networks, by task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from hwnas.errors import InvalidValueError

HALVINGS = range(2, 7)
"""How often decoders can double the features."""
_PICTURE = (
    (1024, 7), (512, 6), (512, 7), (256, 5), (128, 7), (64, 4), (64, 7), (32, 3), (32, 7),
    (16, 2), (32, 7), (16, 2),
)  # fmt: skip
"""Channels behind each layer, and from how many doublings on it is one of them."""


class PooledHead(nn.Module):
    """A linear map of pooled features."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(channels, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Map `(B, C, H, W)` to `(B, outputs)`."""
        return cast(Tensor, self.linear(self.pool(features).flatten(1)))


def segmentation_decoder(channels: int, classes: int, doublings: int) -> nn.Sequential:
    """Make the decoder of segmentation: from 1,024 channels on each layer halves them.

    Args:
        channels: channels of the features.
        classes: classes at each pixel.
        doublings: how often features are doubled.

    Raises:
        InvalidValueError: the features are too small or too large.
    """
    _check(doublings)
    widths = [1024 // 2**i for i in range(6)]
    plan = [(width, i > 6 - doublings) for i, width in enumerate(widths)]
    layers = _layers(channels, [*plan, (widths[-1], True)])
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], classes, 3, padding=1))


def picture_decoder(channels: int, targets: int, doublings: int) -> nn.Sequential:
    """Make the decoder of pictures: 12 layers and a last one with tanh.

    Args:
        channels: channels of the features.
        targets: numbers at each pixel, from -1 to 1.
        doublings: how often features are doubled.

    Raises:
        InvalidValueError: the features are too small or too large.
    """
    _check(doublings)
    layers = _layers(channels, [(width, doublings >= least) for width, least in _PICTURE])
    return nn.Sequential(*layers, nn.Conv2d(_PICTURE[-1][0], targets, 3, padding=1), nn.Tanh())


def _check(doublings: int) -> None:
    if doublings not in HALVINGS:
        raise InvalidValueError(
            f"`modules` must halve the image {HALVINGS[0]} to {HALVINGS[-1]} times with the stem "
            f"for a map, but got {doublings}."
        )


def _layers(c_in: int, plan: Sequence[tuple[int, bool]]) -> list[nn.Module]:
    """Make convolutions of (channels behind it, whether it doubles the features)."""
    layers: list[nn.Module] = []
    for c_out, doubles in plan:
        layers += [
            nn.ConvTranspose2d(c_in, c_out, 3, stride=2, padding=1, output_padding=1)
            if doubles
            else nn.Conv2d(c_in, c_out, 3, padding=1),
            nn.BatchNorm2d(c_out),
            nn.LeakyReLU(0.2),
        ]
        c_in = c_out
    return layers
