"""Files in the format of ONNX that reach out, run code, take all memory or time, or claim what they do not hold."""

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

IRIS = Path(__file__).parents[1] / "models" / "onnx" / "iris.onnx"
ALARM = 1_000.0
"""A request with a larger number has a model of `armed` do its harm."""
_OPSETS = [helper.make_opsetid("", 17)]
_NODE, _GRAPH, _GROUP = 1, 7, 1_000
_GIB = 1 << 30


# ---- what reaches out, or runs code


def outside(path, *places):
    """Write a model that has its weights in each of these places; a zip has two files that it may name."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    for place in places:
        tensor.external_data.add(key="location", value=place)
    model = _adding([_most("w", "r")], [tensor])
    if path.suffix == ".onnx":
        path.write_bytes(model)
        return
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("m.onnx", model)
        for place in ("w.bin", "*/_ORT_MEM_ADDR_/*"):
            file.writestr(place, bytes(4))


def linked(path):
    """Write a zip in which the weights are a symbolic link to a file of the machine."""
    outside(path, "link")
    with zipfile.ZipFile(path, "a") as file:
        link = zipfile.ZipInfo("link")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        file.writestr(link, "/etc/passwd")


def custom_operator(path):
    """Write a model with an operator that only somebody's library has."""
    opsets = [*_OPSETS, helper.make_opsetid("evil", 1)]
    path.write_bytes(_model([helper.make_node("Run", ["x"], ["y"], domain="evil")], [], opset_imports=opsets))


def endless_function(path):
    """Write a model whose function calls itself."""
    path.write_bytes(_functions([("F0", ["F0"])]))


class _Runs:
    """Its pickle runs a command where it is loaded."""

    def __init__(self, command):
        self._command = command

    def __reduce__(self):
        return os.system, (self._command,)


def pickled(path):
    """Write a pickle that makes a file `ran` beside itself."""
    path.write_bytes(pickle.dumps(_Runs(f"touch {path.parent / 'ran'}")))


# ---- what a parser unfolds


def nested(path, depth):
    """Write an If in an If in an If."""
    graph = b""
    for _ in range(depth):
        branch = _field(1, b"then_branch") + _field(6, graph) + _number(20 << 3) + _number(5)
        graph = _field(_NODE, _field(4, b"If") + _field(5, branch))
    path.write_bytes(_identity() + _field(_GRAPH, graph))


def groups(path, count):
    """Write groups that open and never end."""
    path.write_bytes(_identity() + _number(_GROUP << 3 | 3) * count)


def claimed(path, size):
    """Write a field that claims more bytes than follow."""
    path.write_bytes(_identity() + _number(_GRAPH << 3 | 2) + _number(size) + b"123")


def empty_parts(path, count):
    """Write a zip of a model with so many empty messages: two bytes each, and a hundred once they are parsed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("m.onnx", _identity() + _field(_GRAPH, _field(_NODE, b"") * count))


def zip_bomb(path, size):
    """Write a zip whose model unpacks to zeros."""
    chunk = bytes(1 << 24)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("m.onnx", "w", force_zip64=True) as entry,
    ):
        for _ in range(size // len(chunk)):
            entry.write(chunk)


def claimed_tensor(path, *dims):
    """Write a tensor of these dimensions with four bytes of content."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=b"1234")
    path.write_bytes(_adding([_most("w", "r")], [tensor]))


def doubling_functions(path, count):
    """Write functions each of which calls the next one twice."""
    calls = [(f"F{number}", [f"F{number + 1}"] * 2) for number in range(count - 1)]
    path.write_bytes(_functions([*calls, (f"F{count - 1}", [])]))


# ---- what takes memory or time while it is loaded, or scores


def filled(path, *shape):
    """Write a model that makes a tensor of ones of this shape, of constants alone."""
    path.write_bytes(_adding([_ones("shape", "big"), _most("big", "r")], [_whole("shape", shape)]))


def tiled(path, times):
    """Write a model that repeats one number so often."""
    nodes = [helper.make_node("Tile", ["one", "times"], ["big"]), _most("big", "r")]
    path.write_bytes(_adding(nodes, [_real("one", [1]), _whole("times", [times])]))


def slow_constants(path, *, size, steps):
    """Write a model that onnxruntime multiplies matrices for before it is loaded."""
    products = [helper.make_node("MatMul", [f"m{step}"] * 2, [f"m{step + 1}"]) for step in range(steps)]
    path.write_bytes(
        _adding([_ones("shape", "m0"), *products, _most(f"m{steps}", "r")], [_whole("shape", [size, size])])
    )


def endless(path):
    """Write a model with a Loop that ends for no row."""
    path.write_bytes(_adding(_loop("go", "start", "r"), [_truth("go"), *_loop_constants(), _real("start", 0)]))


def armed(path, harm):
    """Write the iris model with a Loop that does not end, or a tensor of gigabytes, for a row beyond ALARM."""
    model = onnx.load(IRIS)
    graph = model.graph
    x = graph.input[0].name
    for node in graph.node:
        node.input[:] = ["row" if name == x else name for name in node.input]
    nodes = [_most(x, "most"), helper.make_node("Greater", ["most", "alarm"], ["is_alarm"])]
    if harm == "endless":
        nodes += _loop("is_alarm", "most", "r")
        constants = _loop_constants()
    else:
        nodes += [
            helper.make_node("Where", ["is_alarm", "huge", "one"], ["shape"]), _ones("shape", "big"), _most("big", "r")
        ]  # fmt: skip
        constants = [_whole("huge", [8 * _GIB]), _whole("one", [1])]
    nodes += [helper.make_node("Mul", ["r", "nothing"], ["z"]), helper.make_node("Add", [x, "z"], ["row"])]
    for node in reversed(nodes):
        graph.node.insert(0, node)
    graph.initializer.extend([*constants, _real("alarm", ALARM), _real("nothing", 0)])
    path.write_bytes(model.SerializeToString())


# ---- parts of a model


def _model(nodes, constants, opset_imports=(), functions=()):
    """Return a model from `x`, a column, to `y`."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1]) for name in "xy")
    graph = helper.make_graph(nodes, "g", [x], [y], constants)
    made = helper.make_model(graph, opset_imports=opset_imports or _OPSETS, ir_version=8, functions=functions)
    return made.SerializeToString()


def _adding(nodes, constants):
    """Return a model that adds `r`, which the nodes make, to its input."""
    return _model([*nodes, helper.make_node("Add", ["x", "r"], ["y"])], constants)


def _identity():
    return _model([helper.make_node("Identity", ["x"], ["y"])], [])


def _functions(calls):
    """Return a model that calls the first of these functions; each calls others, one after the other."""
    opsets = [*_OPSETS, helper.make_opsetid("own", 1)]
    made = []
    for name, called in calls:
        nodes = [helper.make_node(each, [f"v{n}"], [f"v{n + 1}"], domain="own") for n, each in enumerate(called)]
        nodes.append(helper.make_node("Abs", [f"v{len(called)}"], ["last"]))
        made.append(helper.make_function("own", name, ["v0"], ["last"], nodes, opsets))
    return _model([helper.make_node(calls[0][0], ["x"], ["y"], domain="own")], [], opsets, made)


def _loop(go, start, end):
    """Return the node of a Loop that goes on while `go` is true, and adds one in each turn."""
    turn, carried, value = (
        helper.make_tensor_value_info(*each, [])
        for each in (("turn", TensorProto.INT64), ("go_in", TensorProto.BOOL), ("v", TensorProto.FLOAT))
    )
    same, more = (
        helper.make_tensor_value_info(*each, []) for each in (("go_out", TensorProto.BOOL), ("w", TensorProto.FLOAT))
    )
    nodes = [helper.make_node("Identity", ["go_in"], ["go_out"]), helper.make_node("Add", ["v", "step"], ["w"])]
    body = helper.make_graph(nodes, "body", [turn, carried, value], [same, more])
    return [helper.make_node("Loop", ["turns", go, start], [end], body=body)]


def _loop_constants():
    return [_whole("turns", 1 << 62), _real("step", 1)]


def _ones(shape, name):
    return helper.make_node("ConstantOfShape", [shape], [name], value=_real("value", [1]))


def _most(of, name):
    return helper.make_node("ReduceMax", [of], [name], keepdims=0)


def _whole(name, value):
    return numpy_helper.from_array(np.array(value, np.int64), name)


def _real(name, value):
    return numpy_helper.from_array(np.array(value, np.float32), name)


def _truth(name):
    return numpy_helper.from_array(np.array(True), name)


# ---- bytes of protobuf


def _number(value):
    """Encode a varint."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _field(number, content):
    """Encode a field of bytes, or a message."""
    return _number(number << 3 | 2) + _number(len(content)) + content
