"""A walk through the layers of a network, which counts what it passes."""

from __future__ import annotations

from dataclasses import dataclass, field

Place = tuple[int, int, int]
"""C, H and W of an image."""


@dataclass
class Walk:
    """What layers hold and do, while an image goes through them.

    Convolutions are padded so that stride 1 keeps the size (odd kernels), as `conv_bn` does.

    Attributes:
        channels: C of the image at this point.
        height: H.
        width: W.
        params: elements of all parameters so far.
        macs: multiply-accumulates so far, of one image.
        layers: convolutions and linear layers so far.
    """

    channels: int
    height: int
    width: int
    params: int = field(default=0, init=False)
    macs: int = field(default=0, init=False)
    layers: int = field(default=0, init=False)

    def conv(
        self, c_out: int, kernel: int = 1, stride: int = 1, groups: int = 1, norm: bool = True
    ) -> None:
        """Go through a convolution without a bias, and a batch norm."""
        self.height, self.width = -(-self.height // stride), -(-self.width // stride)
        weights = c_out * (self.channels // groups) * kernel**2
        self.channels = c_out
        self.layers += 1
        self.macs += self.height * self.width * weights
        self.params += weights + (2 * c_out if norm else 0)

    def inverted_residual(
        self,
        c_out: int,
        kernel: int,
        middle: int | None,
        stride: int = 1,
        groups: int = 1,
        squeeze: int = 0,
    ) -> None:
        """Go through 1x1, depthwise and 1x1 convolutions; without `middle` the first is absent.

        `squeeze` are the channels inside of a gate behind the depthwise one, 0 where there is none.
        """
        if middle is not None:
            self.conv(middle, groups=groups)
        inside = self.channels
        self.conv(inside, kernel, stride, groups=inside)
        if squeeze:
            self._gate(inside, squeeze)
        self.conv(c_out, groups=groups)

    def _gate(self, channels: int, squeezed: int) -> None:
        """Squeeze and excitation: two 1x1 convolutions with biases of the means of the channels."""
        weights = 2 * channels * squeezed
        self.params += weights + channels + squeezed
        self.macs += weights
        self.layers += 2

    @property
    def place(self) -> Place:
        """Where the walk is; another walk, or this one, goes on from there."""
        return self.channels, self.height, self.width

    @place.setter
    def place(self, place: Place) -> None:
        self.channels, self.height, self.width = place

    def beside(self, c_out: int, kernel: int = 1, stride: int = 1, norm: bool = True) -> None:
        """Count a convolution from here, and stay here."""
        here = self.place
        self.conv(c_out, kernel, stride, norm=norm)
        self.place = here

    def pooled(self) -> None:
        """Go on with the means of the channels."""
        self.height = self.width = 1

    def linear(self, c_out: int) -> None:
        """Go through a linear layer with a bias."""
        self.conv(c_out, norm=False)
        self.params += c_out
