"""What people look at: the folder of results, report, drawings, plots, members as ONNX files."""
