"""What a proxy sees, and the fewest passes that serve all: see `hwnas.proxies.engine.scoring`."""
