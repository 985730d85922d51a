"""Models in the format of ONNX."""
