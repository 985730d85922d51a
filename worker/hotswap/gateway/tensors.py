"""Flat messages as the tensors of the Open Inference Protocol: each scalar field of a message is a tensor of N values.

In JSON, `null` is a missing value, and a number that JSON lacks is a text: `"NaN"`, `"Infinity"`. Binary values are
those of Triton's binary tensor data extension: little-endian, without padding, a text after its length.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from hotswap.codec.fields import descriptor_of, is_alternative
from hotswap.codec.messages import has, serialize
from hotswap.codec.text.cells import FLOAT_MAX
from hotswap.codec.text.names import Columns, Filled, assign
from hotswap.errors import UsageError
from hotswap.gateway.problems import Problem

_SHOWN = 60
_LENGTH = struct.Struct("<I")
_DATATYPES = {
    FieldDescriptor.CPPTYPE_BOOL: "BOOL",
    FieldDescriptor.CPPTYPE_INT32: "INT32",
    FieldDescriptor.CPPTYPE_ENUM: "INT32",
    FieldDescriptor.CPPTYPE_INT64: "INT64",
    FieldDescriptor.CPPTYPE_UINT32: "UINT32",
    FieldDescriptor.CPPTYPE_UINT64: "UINT64",
    FieldDescriptor.CPPTYPE_FLOAT: "FP32",
    FieldDescriptor.CPPTYPE_DOUBLE: "FP64",
    FieldDescriptor.CPPTYPE_STRING: "BYTES",
}
_NUMPY = {"BOOL": "u1", "INT32": "<i4", "INT64": "<i8", "UINT32": "<u4", "UINT64": "<u8", "FP32": "<f4", "FP64": "<f8"}
_NAMED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    datatype: str
    is_text: bool
    """Whether BYTES are UTF-8."""
    has_presence: bool
    is_optional: bool

    def parse(self, value: Any) -> Any:
        """Return a value of a JSON document as the field's. Raises ValueError: it is none, and says why."""
        if value is None and self.is_optional:
            return None
        if self.datatype == "BYTES":
            return self._text(value)
        if self.datatype == "BOOL":
            if type(value) is bool:
                return value
        elif self.datatype in ("FP32", "FP64"):
            return self._float(value)
        elif type(value) is int:
            limits = np.iinfo(_NUMPY[self.datatype])
            if limits.min <= value <= limits.max:
                return value
        raise ValueError(f"is no {self.datatype}")

    def _text(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError("is no text, as JSON has BYTES")  # noqa: TRY004 - each value that is wrong is one
        encoded = value.encode()  # raises UnicodeEncodeError, a ValueError
        return value if self.is_text else encoded

    def _float(self, value: Any) -> float:
        if isinstance(value, str) and value in _NAMED:
            return _NAMED[value]
        if type(value) not in (int, float):
            raise ValueError(f"is no {self.datatype}")
        try:
            number = float(value)
        except OverflowError:
            raise ValueError(f"is larger than any {self.datatype}") from None
        if self.datatype == "FP32" and math.isfinite(number) and abs(number) > FLOAT_MAX:
            raise ValueError("is larger than any FP32")
        return number

    def unpack(self, data: bytes, count: int) -> list[Any]:
        """Return binary values. Raises Problem: 400, they are not so many."""
        if self.datatype == "BYTES":
            return self._unpack_texts(data, count)
        kind = np.dtype(_NUMPY[self.datatype])
        if len(data) != count * kind.itemsize:
            wanted = f"{count} values of {self.datatype} have {count * kind.itemsize}"
            raise _wrong(f"input {self.name}: there are {len(data)} bytes, but {wanted}")
        values: list[Any] = np.frombuffer(data, kind).tolist()
        return list(map(bool, values)) if self.datatype == "BOOL" else values

    def _unpack_texts(self, data: bytes, count: int) -> list[Any]:
        values: list[Any] = []
        at = 0
        while at + _LENGTH.size <= len(data) and len(values) < count:
            begin = at + _LENGTH.size
            at = begin + _LENGTH.unpack_from(data, at)[0]
            values.append(data[begin:at])
        if at != len(data) or len(values) != count:
            raise _wrong(f"input {self.name}: {len(data)} bytes are not {count} values of BYTES, each after its length")
        if not self.is_text:
            return values
        try:
            return [value.decode() for value in values]
        except UnicodeDecodeError as error:
            row = values.index(error.object) + 1
            raise _wrong(f"row {row}, input {self.name}: it is not UTF-8, as the proto's strings are") from None

    def as_json(self, values: Sequence[Any]) -> list[Any]:
        """Return values as a JSON document has them. Raises Problem: 400, it cannot."""
        if self.datatype == "FP32":  # as text, the shortest one that is the same FP32
            values = [value if value is None else float(str(np.float32(value))) for value in values]
        if self.datatype in ("FP32", "FP64"):
            return [value if value is None or math.isfinite(value) else _named(value) for value in values]
        if self.datatype == "BYTES" and not self.is_text:
            try:
                return [value if value is None else value.decode() for value in values]
            except UnicodeDecodeError:
                raise _wrong(f"output {self.name} is not UTF-8: ask for it with the parameter binary_data") from None
        return list(values)

    def pack(self, values: Sequence[Any]) -> bytes:
        """Return values as bytes; a missing one is NaN, 0 or empty."""
        if self.datatype == "BYTES":
            texts = [value.encode() if isinstance(value, str) else value or b"" for value in values]
            return b"".join(part for text in texts for part in (_LENGTH.pack(len(text)), text))
        absent = math.nan if self.datatype in ("FP32", "FP64") else 0
        return np.array([absent if value is None else value for value in values], _NUMPY[self.datatype]).tobytes()


class Tensors:
    """The scalar fields of a message as tensors, by name and in the proto's order."""

    def __init__(self, message: type[Message]) -> None:
        """Raises Problem: 501, the message is not flat."""
        self._message = message
        self._fields = {field.name: _field(field) for field in descriptor_of(message).fields}
        if not self._fields:
            raise _not_flat(f"{descriptor_of(message).full_name} has no fields")

    def metadata(self) -> list[dict[str, Any]]:
        """Return their names, datatypes and shapes."""
        return [{"name": one.name, "datatype": one.datatype, "shape": [-1]} for one in self._fields.values()]

    def check(self, names: Sequence[str]) -> None:
        """Raise Problem, 400, if there is no tensor of one of these names."""
        if unknown := [name for name in names if name not in self._fields]:
            raise _wrong(f"there is no output {unknown[0]!r}: the proto has {', '.join(self._fields)}")

    def read(self, tensors: Sequence[Mapping[str, Any]], binary: bytes, models: Columns = ()) -> list[bytes]:
        """Return a serialized message for each row of these tensors, which have the proto's names or the `models`.

        Raises:
            Problem: 400, a tensor is unknown, missing, of another type or length, or a value does not fit.

        """
        columns: dict[str, list[Any]] = {}
        at = 0
        filled = self._assign(tensors, models)
        for tensor in tensors:
            name = tensor["name"]
            field = self._fields[filled.paths[filled.passed_over.get(name, name)]]
            values, at = _read(replace(field, name=name), tensor, binary, at)
            if name in filled.passed_over:
                continue
            if field.name in columns:
                raise _wrong(f"input {name} is there twice")
            columns[field.name] = values
        if at != len(binary):
            raise _wrong(f"after the JSON there are {len(binary)} bytes, of which the inputs name {at}")
        if absent := [one.name for one in self._fields.values() if not one.is_optional and one.name not in columns]:
            raise _wrong(f"input {absent[0]} is missing, and the proto does not call it optional")
        if len(counts := {len(values) for values in columns.values()}) != 1 or counts == {0}:
            counted = ", ".join(f"{name} has {len(values)}" for name, values in columns.items())
            raise _wrong(f"each input has a value for each row, of which there is at least one: {counted or 'none'}")
        return [self._serialized(row, values) for row, values in _rows(columns)]

    def _assign(self, tensors: Sequence[Mapping[str, Any]], models: Columns) -> Filled:
        """Return which field each tensor fills, by the rule of codec/text/names.py. Raises Problem: 400, none."""
        names = [tensor.get("name") for tensor in tensors]
        try:
            filled = assign(descriptor_of(self._message), [name for name in names if isinstance(name, str)], models)
        except UsageError as error:
            raise _wrong(str(error)) from None
        for name in names:
            if not isinstance(name, str) or (name not in filled.paths and name not in filled.passed_over):
                raise _wrong(f"there is no input {_shown(name)}: the proto has {', '.join(self._fields)}")
        return filled

    def _serialized(self, row: int, values: Mapping[str, Any]) -> bytes:
        try:
            return serialize(self._message(**values))
        except (ValueError, TypeError) as error:
            raise _wrong(f"row {row}: {error}") from None

    def write(self, messages: Sequence[bytes], outputs: Mapping[str, bool]) -> tuple[list[dict[str, Any]], bytes]:
        """Return the named tensors of serialized messages, and the binary values of those that map to True."""
        read = [self._message.FromString(message) for message in messages]
        tensors: list[dict[str, Any]] = []
        binary: list[bytes] = []
        for name, is_binary in outputs.items():
            one = self._fields[name]
            values = [None if one.has_presence and not has(row, name) else getattr(row, name) for row in read]
            tensor = {"name": name, "datatype": one.datatype, "shape": [len(read)]}
            if is_binary:
                binary.append(one.pack(values))
                tensors.append(tensor | {"parameters": {"binary_data_size": len(binary[-1])}})
            else:
                tensors.append(tensor | {"data": one.as_json(values)})
        return tensors, b"".join(binary)


def _field(field: FieldDescriptor) -> _Field:
    if field.is_repeated or field.message_type:
        raise _not_flat(f"{field.full_name} is {'repeated' if field.is_repeated else 'a message'}")
    if is_alternative(field):
        raise _not_flat(f"{field.full_name} belongs to a oneof")
    has_presence = field.has_presence
    is_text = field.type == FieldDescriptor.TYPE_STRING
    datatype = _DATATYPES[field.cpp_type]
    return _Field(field.name, datatype, is_text, has_presence, has_presence and not field.is_required)


def _read(field: _Field, tensor: Mapping[str, Any], binary: bytes, at: int) -> tuple[list[Any], int]:
    """Return the values of a tensor, and where the binary values of the next one begin."""
    name, datatype, shape = field.name, tensor.get("datatype"), tensor.get("shape")
    if datatype != field.datatype:
        raise _wrong(f"input {name} is {field.datatype}, not {_shown(datatype)}")
    if (
        not isinstance(shape, list)
        or not shape
        or shape[1:] not in ([], [1])
        or any(type(one) is not int for one in shape)
    ):
        raise _wrong(f"input {name} has the shape [rows] or [rows, 1], not {_shown(shape)}")
    count, parameters = shape[0], tensor.get("parameters", {})
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is None:
        data = tensor.get("data")
        values = _flattened(data) if isinstance(data, list) else []
        if len(values) != count:
            raise _wrong(f"input {name} has {len(values)} values in `data`, but the shape {shape}")
        return [_parsed(field, row, value) for row, value in enumerate(values, 1)], at
    if type(size) is not int or not 0 <= size <= len(binary) - at:
        raise _wrong(f"input {name} has no {_shown(size)} bytes after the JSON, where {len(binary) - at} are left")
    return field.unpack(binary[at : at + size], count), at + size


def _parsed(field: _Field, row: int, value: Any) -> Any:
    try:
        return field.parse(value)
    except UnicodeEncodeError:
        raise _wrong(f"row {row}, input {field.name}: {_shown(value)} is not UTF-8") from None
    except ValueError as error:
        raise _wrong(f"row {row}, input {field.name}: {_shown(value)} {error}") from None


def _flattened(data: Sequence[Any]) -> list[Any]:
    """Return the values of data of the shape [N] or, nested, [N, 1]."""
    return [item[0] if isinstance(item, list) and len(item) == 1 else item for item in data]


def _rows(columns: Mapping[str, Sequence[Any]]) -> Any:
    names = list(columns)
    return enumerate((dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)), 1)


def _named(number: float) -> str:
    return next(name for name, value in _NAMED.items() if str(value) == str(number))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _wrong(detail: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, detail)


def _not_flat(why: str) -> Problem:
    return Problem(
        HTTPStatus.NOT_IMPLEMENTED, f"the Open Inference Protocol has tensors only, for flat messages, but {why}"
    )
