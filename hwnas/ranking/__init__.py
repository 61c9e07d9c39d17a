"""Ranks: aggregation of proxies, metrics of a ranking, graph features and learned rankings."""
