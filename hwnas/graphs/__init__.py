"""Computation graphs of architectures."""
