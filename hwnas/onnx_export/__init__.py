"""Torch networks as ONNX models."""
