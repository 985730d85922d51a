"""Reads the file of an ONNX model before its runtime does: refuses what reaches beyond it, and learns its class labels.

A classifier's ZipMap, which makes a dictionary of each row, is removed: its input has the same numbers as a tensor.
"""

import json
import locale
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

import onnx
from google.protobuf.message import DecodeError, Message

from hotswap.errors import SwapCode, SwapError

_BUILT_IN: Final = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
"""The domains of the operators that onnxruntime brings."""
_LABELS: Final = ("classlabels_strings", "classlabels_int64s")
_SELECTS: Final = {"ArrayFeatureExtractor", "Gather"}
_LABEL_TYPES: Final = {onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.STRING}
_KEEPS_VALUES: Final = {"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze"}
_KEEPS_ELEMENTS: Final = _KEEPS_VALUES | {"Normalizer", "Sigmoid", "Softmax"}
_IDENTITY_OPSET: Final = 13
_COLUMNS: Final = "hotswap.columns"
_CLASSES: Final = "hotswap.classes"
_DEFAULT_LOCALE: Final = "en_US.UTF-8"  # onnxruntime's
_EVERYWHERE: Final = "C.UTF-8"


@dataclass(frozen=True, slots=True)
class Graph:
    """A model that may be loaded: its bytes, the folder of its external data, its producer, and its versions.

    `labels`: the labels of an output that is one of them, by the output's name. `classes`: the classes of the elements
    of an output that has a number for each, from the operators or, as a JSON object, the model's metadata. `columns`:
    the names of a vector's elements, if the metadata have them, separated by commas.
    """

    content: bytes
    folder: Path
    producer: str
    versions: str
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    columns: str = ""

    @property
    def about(self) -> str:
        """Its producer and versions."""
        return f"by {self.producer}, {self.versions}"


def read(path: Path) -> Graph:
    """Read a model from its file, or from a folder with one .onnx file and its external data.

    Raises SwapError: MODEL_INVALID if it is not a model in the format of ONNX, MODEL_UNSUPPORTED if it has custom
    operators, or data outside of the artifact.
    """
    file = _find(path)
    try:
        return _read(file, file.parent if path.is_dir() else None)
    except (
        DecodeError,
        ValueError,
        TypeError,
        RecursionError,
    ) as error:  # its texts, its attributes or its constants are malformed
        raise SwapError(SwapCode.MODEL_INVALID, f"the artifact is no model in the format of ONNX: {error}") from error


def _read(file: Path, data: Path | None) -> Graph:
    model = onnx.ModelProto.FromString(file.read_bytes())
    if not model.graph.output:
        raise ValueError("it has no outputs")
    _check_operators(model)
    _check_data(model, data)
    labels, classes = _classes(model.graph)
    is_changed = _remove_zip_maps(model, classes)
    is_changed |= _replace_locales(model)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    for output, names in dict(json.loads(metadata.get(_CLASSES, "{}"))).items():
        classes[output] = _texts(names)
    content = model.SerializeToString() if is_changed else file.read_bytes()
    producer = " ".join(filter(None, [model.producer_name, model.producer_version])) or "an unknown producer"
    return Graph(content, file.parent, producer, _versions(model), labels, classes, metadata.get(_COLUMNS, ""))


def _versions(model: Any) -> str:
    opsets = [f"{opset.domain or 'ai.onnx'} {opset.version}" for opset in model.opset_import]
    return f"IR {model.ir_version}, opsets {', '.join(dict.fromkeys(opsets))}"


def _find(path: Path) -> Path:
    if not path.is_dir():
        return path
    files = sorted(path.rglob("*.onnx"))
    if len(files) != 1:
        names = ", ".join(file.name for file in files[:5]) or "none"
        raise SwapError(SwapCode.MODEL_INVALID, f"the artifact must hold one .onnx file; it holds {names}")
    return files[0]


def _check_operators(model: Any) -> None:
    own = {function.domain for function in model.functions}
    for node in _messages(model, onnx.NodeProto):
        if node.domain not in _BUILT_IN | own:
            raise SwapError(
                SwapCode.MODEL_UNSUPPORTED,
                f"node `{node.name}` is the custom operator {node.domain}.{node.op_type}, which is code of its own: "
                "export the model with the operators of ONNX alone",
            )


def _check_data(model: Any, folder: Path | None) -> None:
    for tensor in _messages(model, onnx.TensorProto):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        places = [entry.value for entry in tensor.external_data if entry.key == "location"]
        if folder is None:
            raise SwapError(
                SwapCode.MODEL_UNSUPPORTED,
                f"tensor `{tensor.name}` is in another file, `{', '.join(places)}`: put it into the same folder, and "
                "pass the folder",
            )
        if len(places) != 1 or not _is_inside(folder, places[0]):
            raise SwapError(
                SwapCode.MODEL_UNSUPPORTED,
                f"tensor `{tensor.name}` is in `{', '.join(places)}`, which is not a file of the artifact",
            )


def _is_inside(folder: Path, place: str) -> bool:
    parts = PurePosixPath(place).parts
    file = folder.joinpath(*parts)
    # By a folder `*`, onnxruntime means its own memory: the offset is an address. Not all versions refuse that.
    is_reachable = bool(parts) and not {"..", "*"} & {*parts} and not place.startswith("/")
    return is_reachable and not file.is_symlink() and file.is_file()


def _messages(message: Message, kind: type[Message]) -> Iterator[Any]:
    """Yield each message of a kind within a message, at any depth."""
    waiting = [message]
    while waiting:
        one = waiting.pop()
        if isinstance(one, kind):
            yield one
        for part, value in one.ListFields():
            if part.message_type:
                waiting.extend(value if part.is_repeated else [value])


def _remove_zip_maps(model: Any, classes: Mapping[str, tuple[str, ...]]) -> bool:
    """Have a ZipMap pass its input on; return whether there is one."""
    nodes = [node for node in model.graph.node if node.op_type == "ZipMap" and node.output]
    for node in nodes:
        output = node.output[0]
        node.CopyFrom(onnx.helper.make_node("Identity", node.input, [output], name=node.name))
        for value in model.graph.output:
            if value.name == output:
                shape = [None, len(classes.get(output, ())) or None]
                value.CopyFrom(onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, shape))
    if nodes and not any(opset.domain in ("", "ai.onnx") for opset in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid("", _IDENTITY_OPSET))
    return bool(nodes)


def _replace_locales(model: Any) -> bool:
    """Have C.UTF-8 take the place of a locale that is not installed here; return whether any is.

    Both lower every letter of Unicode; containers often have no other locale.
    """
    is_changed = False
    for node in _messages(model, onnx.NodeProto):
        if node.op_type != "StringNormalizer":
            continue
        asked = [attribute for attribute in node.attribute if attribute.name == "locale"]
        name = asked[0].s.decode() if asked else _DEFAULT_LOCALE
        if not _is_installed(name):
            for attribute in asked:
                node.attribute.remove(attribute)
            node.attribute.append(onnx.helper.make_attribute("locale", _EVERYWHERE))
            is_changed = True
    return is_changed


def _is_installed(name: str) -> bool:
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, name)
    except locale.Error:
        return False
    locale.setlocale(locale.LC_CTYPE, before)
    return True


def _classes(graph: Any) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Return the labels that each tensor is one of, and the classes that it has a number for each of."""
    constants = {tensor.name: tensor for tensor in graph.initializer if _may_be_labels(tensor)}
    labels: dict[str, tuple[str, ...]] = {}
    classes: dict[str, tuple[str, ...]] = {}
    for node in graph.node:
        if not node.input or not node.output:
            continue
        first, output = node.input[0], node.output[0]
        names = _attribute(node, *_LABELS)
        if names and node.op_type == "ZipMap":
            classes[output] = names
        elif names:
            labels[output] = names
            classes.update(dict.fromkeys(node.output[1:2], names))
        elif node.op_type in _SELECTS and first in constants:
            labels[output] = _texts(onnx.numpy_helper.to_array(constants[first]).tolist())
        elif node.op_type == "LabelEncoder":
            labels[output] = _encoded(node)
        else:
            labels[output] = labels.get(first, ()) if node.op_type in _KEEPS_VALUES else ()
            classes[output] = classes.get(first, ()) if node.op_type in _KEEPS_ELEMENTS else ()
    return labels, classes


def _may_be_labels(tensor: Any) -> bool:
    return len(tensor.dims) == 1 and tensor.data_type in _LABEL_TYPES and tensor.data_location != tensor.EXTERNAL


def _encoded(node: Any) -> tuple[str, ...]:
    """Return the labels that a LabelEncoder returns, that of unknown values last."""
    for suffix, default in (("string", "_Unused"), ("int64", "-1")):
        if values := _attribute(node, f"values_{suffix}s"):
            return tuple(dict.fromkeys([*values, *(_attribute(node, f"default_{suffix}") or (default,))]))
    return ()


def _attribute(node: Any, *names: str) -> tuple[str, ...]:
    for attribute in node.attribute:
        if attribute.name in names:
            value = onnx.helper.get_attribute_value(attribute)
            return _texts(value if isinstance(value, Sequence) and not isinstance(value, bytes) else [value])
    return ()


def _texts(values: Iterable[Any]) -> tuple[str, ...]:
    """Return each distinct value as a text."""
    return tuple(dict.fromkeys(value.decode() if isinstance(value, bytes) else str(value) for value in values))
