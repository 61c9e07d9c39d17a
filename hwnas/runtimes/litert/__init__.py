"""ONNX models as LiteRT's flatbuffers."""
