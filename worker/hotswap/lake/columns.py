"""Conversion of typed Arrow columns to the types of a proto's fields, flagging rows whose values do not fit.

A value that a column's type allows and its field's does not (a null in a field that is not `optional`, an integer out
of range) makes its row odd. An odd row is read like a row of a CSV, whose reader reports the error.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.descriptor import FieldDescriptor

from hotswap.codec.fields import INTEGERS, is_map, names_of, type_name
from hotswap.codec.text.cells import FLOAT_MAX, FLOATS, find_cell

Flags = npt.NDArray[np.bool_]

_WRAPPERS: Final = frozenset(
    f"google.protobuf.{name}Value"
    for name in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
)
_TIMESTAMP: Final = "google.protobuf.Timestamp"
_BITS: Final = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1, pa.int32()),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1, pa.uint32()),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1, pa.int64()),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 63) - 1, pa.uint64()),
}


class ColumnMisfit(NamedTuple):
    """A column whose type cannot fill the field of its name."""

    column: str
    type: str
    field: str

    def __str__(self) -> str:
        """`column age (string) cannot fill the field age (double)`."""
        return f"column {self.column} ({self.type}) cannot fill the field {self.field}"


def misfits(message: Any, schema: pa.Schema | pa.StructType, above: str = "") -> Iterator[ColumnMisfit]:
    """Yield the columns that cannot fill the fields of their names, in a message or a nested one."""
    for part in schema:
        field = message.fields_by_name.get(part.name)
        if field is None:
            continue
        path = f"{above}{part.name}"
        if is_nested(field) and pa.types.is_struct(part.type):
            yield from misfits(field.message_type, part.type, f"{path}.")
        elif not _fits(field, part.type):
            yield ColumnMisfit(path, str(part.type), f"{path} ({type_name(field)})")


def fits(field: Any, part: pa.Field, path: str) -> ColumnMisfit | None:
    """Return the misfit of a column and a field, or None if the column can fill it."""
    return None if _fits(field, part.type) else ColumnMisfit(part.name, str(part.type), f"{path} ({type_name(field)})")


def is_nested(field: Any) -> bool:
    """Return whether the field holds a message that the proto defines."""
    kind = field.message_type
    return bool(kind) and not field.is_repeated and not kind.file.name.startswith("google/protobuf/")


def _fits(field: Any, kind: pa.DataType) -> bool:
    if field.is_repeated:
        is_list = pa.types.is_list(kind) and not is_map(field) and field.message_type is None
        return is_list and _fits_one(field, kind.value_type)
    return _fits_one(field, kind)


def _fits_one(field: Any, kind: pa.DataType) -> bool:
    if field.message_type:
        name = field.message_type.full_name
        if name == _TIMESTAMP:
            return bool(pa.types.is_timestamp(kind))
        return name in _WRAPPERS and _fits_one(field.message_type.fields_by_name["value"], kind)
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if field.enum_type:
        return bool(pa.types.is_string(kind) or pa.types.is_integer(kind))
    if field.cpp_type in FLOATS or field.cpp_type in INTEGERS:
        return bool(is_number)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return bool(pa.types.is_boolean(kind))
    is_bytes = field.type == FieldDescriptor.TYPE_BYTES
    return bool(pa.types.is_binary(kind) if is_bytes else pa.types.is_string(kind))


def convert(message: Any, columns: Mapping[str, pa.Array], odd: Flags) -> tuple[list[pa.Array], list[str]]:
    """Return the columns that fill fields of a message, converted for encoding, and the names of these fields."""
    used = [(name, message.fields_by_name[name], column) for name, column in columns.items()]
    return [_convert(field, column, odd) for _, field, column in used], [name for name, _, _ in used]


def _convert(field: Any, column: pa.Array, odd: Flags) -> pa.Array:
    if field.is_repeated:
        return _convert_list(field, column, odd)
    if is_nested(field):
        inner = {part.name: column.field(part.name) for part in column.type if part.name in _names(field)}
        is_null = column.is_null()
        inner_odd = np.zeros(len(column), np.bool_)
        arrays, names = convert(field.message_type, inner, inner_odd)
        odd |= inner_odd & ~_flags(is_null)
        return pa.StructArray.from_arrays(arrays, names, mask=is_null)
    if field.message_type and field.message_type.full_name == _TIMESTAMP:
        return column.cast(pa.timestamp("ns", "UTC"), safe=False)
    inner = field.message_type.fields_by_name["value"] if field.message_type else field
    return _convert_one(inner, column, odd, has_presence=bool(field.has_presence))


def _names(field: Any) -> Sequence[str]:
    return list(field.message_type.fields_by_name)


def _convert_list(field: Any, column: pa.Array, odd: Flags) -> pa.Array:
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    values = column.flatten()
    odd_values = _flags(values.is_null())
    items = _convert_one(field, values, odd_values, has_presence=True)
    if odd_values.any():
        odd[np.repeat(np.arange(len(column)), lengths)[odd_values]] = True
        items = pc.fill_null(items, _zero(items.type))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), items)


def _zero(kind: pa.DataType) -> pa.Scalar:
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return pa.scalar("" if pa.types.is_string(kind) else b"", kind)
    return pa.scalar(0).cast(kind)


def _convert_one(field: Any, column: pa.Array, odd: Flags, *, has_presence: bool) -> pa.Array:
    if field.cpp_type in FLOATS:
        return _floats(field, column, odd, has_presence=has_presence)
    if not has_presence and _is_zero_when_absent(field):
        odd |= _flags(column.is_null())
    if field.enum_type:
        return _enums(field, column, odd)
    if field.cpp_type in INTEGERS:
        return _integers(field, column, odd)
    return column


def _is_zero_when_absent(field: Any) -> bool:
    cell = find_cell(field.containing_type, field.name)
    return cell is None or cell.is_zero_when_absent


def _floats(field: Any, column: pa.Array, odd: Flags, *, has_presence: bool) -> pa.Array:
    numbers = column.cast(pa.float64(), safe=False)
    values = numbers.to_numpy(zero_copy_only=False)  # a null is NaN
    if field.type == FieldDescriptor.TYPE_FLOAT:
        odd |= np.isfinite(values) & (np.abs(values) > FLOAT_MAX)
    if not has_presence:  # encoded as if it had presence: protobuf leaves out 0, but not -0 and not NaN
        is_zero = (values == 0) & ~np.signbit(values)
        numbers = pc.if_else(pa.array(is_zero), None, pc.fill_null(numbers, np.nan))
    return numbers if field.type == FieldDescriptor.TYPE_DOUBLE else numbers.cast(pa.float32(), safe=False)


def _integers(field: Any, column: pa.Array, odd: Flags) -> pa.Array:
    least, most, kind = _BITS[field.cpp_type]
    if pa.types.is_integer(column.type):
        is_fit = pc.and_(
            pc.greater_equal(column.cast(pa.int64()), max(least, -(1 << 63))),
            pc.less_equal(column.cast(pa.int64()), most),
        )
        whole = column
    else:  # a table with missing values has 5 as 5.0
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        fits = (values == np.trunc(values)) & (values >= least) & (values < float(most) + 1)
        whole = pa.array(np.where(fits, values, 0).astype(np.int64), mask=np.isnan(values))
        is_fit = pa.array(fits, mask=np.isnan(values))
    odd |= ~_flags(pc.fill_null(is_fit, True))
    return whole.cast(kind, safe=False)


def _enums(field: Any, column: pa.Array, odd: Flags) -> pa.Array:
    if pa.types.is_integer(column.type):
        return column.cast(pa.int32(), safe=False)
    numbers = {value.name: value.number for value in field.enum_type.values} | dict(names_of(field))
    places = pc.index_in(column, pa.array(list(numbers)))
    odd |= _flags(places.is_null()) & ~_flags(column.is_null())
    return pa.array(list(numbers.values()), pa.int32()).take(places)


def _flags(array: pa.Array) -> Flags:
    return np.asarray(array.to_numpy(zero_copy_only=False), np.bool_)


class Leaf(NamedTuple):
    """A column of the equivalent CSV: its name, and a function from a value to the text of its cell."""

    column: str
    path: tuple[str, ...]
    text: Callable[[Any], str]


def leaves(message: Any, schema: pa.Schema | pa.StructType, above: tuple[str, ...] = ()) -> Iterator[Leaf]:
    """Yield the columns of the equivalent CSV."""
    for part in schema:
        field = message.fields_by_name.get(part.name)
        if field is None:
            continue
        path = (*above, part.name)
        if is_nested(field):
            yield from leaves(field.message_type, part.type, path)
        else:
            yield Leaf(".".join(path), path, _text_of(field))


def leaf_of(field: Any, column: str) -> Leaf:
    """Return the CSV column equivalent to a column of that name that fills this field."""
    return Leaf(column, (column,), _text_of(field))


def _text_of(field: Any) -> Callable[[Any], str]:
    return _list_text if field.is_repeated else _number_text if field.cpp_type in FLOATS else _text


def _number_text(value: Any) -> str:
    return "" if value is None else str(value)


def _text(value: Any) -> str:
    if value is None or value != value:  # noqa: PLR0124 - NaN: of a column of integers with missing values
        return ""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _list_text(values: Any) -> str:
    return "" if values is None else json.dumps([value if value is None else _text(value) for value in values])
