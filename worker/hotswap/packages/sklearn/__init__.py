"""Converts models of scikit-learn to ONNX: in an environment that has its libraries, in a sandbox, and proven."""
