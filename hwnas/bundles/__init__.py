"""Measuring on another machine: bundles of models, their runner, and what it brings back."""
