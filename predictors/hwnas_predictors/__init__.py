"""Learned predictors of latency, energy and accuracy, and the encodings they read."""
