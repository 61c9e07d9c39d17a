"""What a proxy sees, and the fewest passes that serve all: see `hwnas.proxies.engine.scoring`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwnas.proxies.engine.scoring import score_network

__all__ = ["score_network"]


def __getattr__(name: str) -> Any:
    """Import `score_network`, and PyTorch with it, when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hwnas.proxies.engine import scoring

    return scoring.score_network
