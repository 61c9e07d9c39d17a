"""Learned predictors of latency, energy and accuracy: reserved, this version has none yet."""
