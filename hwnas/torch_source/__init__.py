"""Torch networks as plain PyTorch code, and what trains them."""
