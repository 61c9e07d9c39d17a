"""Example inputs: what a network runs on, and what int8 is calibrated with."""

from __future__ import annotations

from dataclasses import replace

from hwnas.data.own_images import OwnImages
from hwnas.data.real_images import real_images
from hwnas.errors import InvalidValueError
from hwnas.runtimes.base import Array, RunSettings, TorchNetwork

EXAMPLES = 32
"""Images that int8 is calibrated with, and that lower precisions are compared with float32 on."""


def pinned(settings: RunSettings) -> RunSettings:
    """Give settings that find the user's own images again, and no others."""
    own = OwnImages.parse(settings.images)
    if own is None or own.checksum is not None:
        return settings
    return replace(settings, images=own.pinned(_number(settings)))


def input_batch(network: TorchNetwork, settings: RunSettings) -> Array:
    """Give the batch that a network runs on: Gaussian of the seed, or the first images."""
    if settings.images == "gaussian":
        return network.draw(settings.batch or 1, settings.seed)
    return example_batches(network, settings)[0]


def example_batches(network: TorchNetwork, settings: RunSettings) -> list[Array]:
    """Give `EXAMPLES` inputs, or as many as fill the last batch.

    Args:
        network: whose inputs they are.
        settings: batch, images and seed.

    Returns:
        Batches (B, ...).

    Raises:
        InvalidValueError: the images have another shape, or are too few.
        HwnasError: there are no such images.
    """
    size, number = settings.batch or 1, _number(settings)
    real = real_images(settings.images, number, network.spec)
    if real is None:
        return [network.draw(size, settings.seed + 1 + i) for i in range(number // size)]
    shape = tuple(real.inputs.shape[1:])
    if shape != network.in_shape:
        raise InvalidValueError(
            f"`images` must have the shape {network.in_shape} of the network's input, channels "
            f"first, but those of {settings.images} have {shape}."
        )
    real.check(network.spec)
    images = real.inputs.numpy()
    return [images[i : i + size] for i in range(0, number, size)]


def compared(
    network: TorchNetwork, settings: RunSettings
) -> tuple[list[list[Array]], dict[str, str]]:
    """Give the inputs to compare a lower precision with float32 on, and what to tell of them."""
    if settings.precision == "float32":
        return [], {}
    batches = example_batches(network, settings)
    return [[batch] for batch in batches], {"compared_on": described(settings)}


def described(settings: RunSettings) -> str:
    """Say which examples these are."""
    seed = f", seed {settings.seed}" if settings.images == "gaussian" else ""
    return f"{_number(settings)} images, {settings.images}{seed}"


def _number(settings: RunSettings) -> int:
    size = settings.batch or 1
    return size * max(1, -(-EXAMPLES // size))
