"""An operation that gives zeros, as a module."""

from __future__ import annotations

from torch import Tensor, nn


class Zeros(nn.Module):
    """Gives zeros in the shape that another operation would give, whatever it gets.

    A network without it computes the same. It is there where operations are counted or drawn, as
    in the graphs of `hwnas.proxies.nasgraph`.
    """

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.channels, self.stride = channels, stride

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, C, H, W)` to zeros `(B, channels, H/stride, W/stride)`."""
        b, _, height, width = x.shape
        return x.new_zeros(b, self.channels, -(-height // self.stride), -(-width // self.stride))
