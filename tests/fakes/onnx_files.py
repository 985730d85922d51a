"""Models in the format of ONNX, written node by node; importing it needs onnx."""

from pathlib import Path
from typing import Any

from onnx import helper


def written(
    path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], *, domain: str = "", **more: Any
) -> Path:
    """Write a model of these nodes."""
    opsets = [
        helper.make_opsetid("", 17),
        *([helper.make_opsetid(domain, 3 if "ml" in domain else 1)] if domain else []),
    ]
    graph = helper.make_graph(nodes, "g", inputs, outputs, **more)
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    return path


def value(name: str, kind: int, *inner: int | str) -> Any:
    return helper.make_tensor_value_info(name, kind, ["N", *inner])
