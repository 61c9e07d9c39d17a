"""What a proxy sees, and the fewest passes that serve all."""

from hwnas.proxies.engine.scoring import ProxyScore, score_network

__all__ = ["ProxyScore", "score_network"]
