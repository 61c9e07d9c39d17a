"""What a proxy sees, and the fewest passes that serve all."""

from hwnas.proxies.engine.scoring import score_network

__all__ = ["score_network"]
