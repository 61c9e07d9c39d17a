"""Parameters, multiply-accumulates and layers of transformers in closed form, without a network.

See `hwnas.spaces.chain_counts`. A map of tokens is an image of one column here.
"""

from __future__ import annotations

from hwnas.spaces.autoformer import PATCH, AutoFormer, AutoFormerArch, patches_of
from hwnas.spaces.autoformer_network import FARTHEST, HEAD_CHANNELS
from hwnas.spaces.chain_counts import ChainCounts
from hwnas.spaces.pit import Pit, PitArch
from hwnas.spaces.walk import Walk


def autoformer(space: AutoFormer) -> ChainCounts:
    """Count as `AutoFormerNetwork` is built."""
    return ChainCounts(space, _autoformer)


def pit(space: Pit) -> ChainCounts:
    """Count as `PitNetwork` is built."""
    return ChainCounts(space, _pit)


def _autoformer(
    _: object, arch: AutoFormerArch, walk: Walk, in_shape: tuple[int, int, int]
) -> None:
    rows, columns = patches_of(in_shape)
    _patches(walk, arch.width, PATCH, rows, columns)
    walk.params += walk.height * arch.width  # positions of the patches and of the class token
    for layer in arch.layers:
        # Keys and values are shifted, both by a table of vertical and one of horizontal distances.
        walk.params += 4 * (2 * FARTHEST + 2) * HEAD_CHANNELS
        _encoder_layer(walk, layer.heads * HEAD_CHANNELS, int(arch.width * layer.ratio), 4)
    _head(walk)


def _pit(space: Pit, arch: PitArch, walk: Walk, in_shape: tuple[int, int, int]) -> None:
    rows, columns = space.patches_of(in_shape)
    _patches(walk, arch.widths[0], space.patch, rows, columns)
    walk.params += rows * columns * arch.widths[0]  # positions of the patches
    for number, stage in enumerate(arch.stages):
        if number:
            rows, columns = -(-rows // 2), -(-columns // 2)
            _pooling(walk, rows, columns)
        for _ in range(stage.depth):
            _encoder_layer(walk, walk.channels, stage.ratio * walk.channels, 2)
    _head(walk)


def _patches(walk: Walk, width: int, side: int, rows: int, columns: int) -> None:
    """Go through a convolution with a bias to patches, and put a class token before them."""
    weights = walk.channels * side**2 * width
    walk.params += weights + width + width
    walk.macs += rows * columns * weights
    walk.layers += 1
    walk.place = width, 1 + rows * columns, 1


def _encoder_layer(walk: Walk, attended: int, inside: int, products: int) -> None:
    """Go through attention and a perceptron, each behind a layer norm.

    Args:
        walk: where the tokens are.
        attended: channels of all heads.
        inside: channels inside of the perceptron.
        products: numbers that a head multiplies for two tokens, as a multiple of its channels.
    """
    width, tokens, _ = walk.place
    walk.params += 2 * 2 * width
    walk.linear(3 * attended)
    walk.channels = attended
    walk.macs += products * tokens**2 * attended
    for channels in (width, inside, width):
        walk.linear(channels)


def _pooling(walk: Walk, rows: int, columns: int) -> None:
    """Double the channels: of patches by a depthwise convolution, of the token by a linear one."""
    width = walk.channels
    weights = 2 * width * 3**2
    walk.params += weights + 2 * width
    walk.macs += rows * columns * weights
    walk.layers += 1
    walk.pooled()
    walk.linear(2 * width)
    walk.height = 1 + rows * columns


def _head(walk: Walk) -> None:
    """Go through the last norm, and on with the class token."""
    walk.params += 2 * walk.channels
    walk.pooled()
