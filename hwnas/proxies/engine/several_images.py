"""What scores that compare images with each other need."""

from __future__ import annotations

from hwnas.errors import ProxyError


def insist_on_several(images: int) -> None:
    """Insist on two images: of one alone such a formula is the same for every network.

    Raises:
        ProxyError: there are fewer.
    """
    if images < 2:
        raise ProxyError(
            f"`batch_size` must be at least 2 for a score that compares images with each other, "
            f"but got {images}."
        )
