"""Results as files: JSON, CSV, ONNX models and HTML reports."""
