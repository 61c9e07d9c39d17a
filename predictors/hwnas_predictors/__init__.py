"""Learned predictors of latency, energy and accuracy."""
