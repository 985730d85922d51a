"""Requests of flat rows: describes to the JVM how each column is read (RowReader.java)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import jpype
import numpy as np
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from hotswap.codec.columns import Decoder
from hotswap.codec.fields import descriptor_of
from hotswap.codec.sources import FieldSource
from hotswap.generation import Policy
from hotswap.runtimes.flat.bridge import (
    LAST_FIELD,
    SIZED,
    WIRE_TYPES,
    NotFlat,
    check_proto3,
    is_unusual,
    java_map,
    own,
    rows_tag,
)

_UNKNOWN: Final = -np.inf  # a row with it is declined, so a genuine -inf is scored correctly too


def as_number(source: FieldSource) -> FieldSource | None:
    """Return the source that reads its column as a number; None if the column holds other values."""
    if source.kind != "object":
        return source
    if source.column.type != "whole" or source.leaf.type == FieldDescriptor.TYPE_STRING:
        return None
    return replace(source, kind="number", convert=None)


def is_text(source: FieldSource) -> bool:
    """Return whether a column holds any text, which a Texts of the JVM numbers; those of a lookup are known."""
    is_any = source.column.type == "text" and source.kind != "lookup"
    return is_any and source.leaf.type == FieldDescriptor.TYPE_STRING


def width_of(source: FieldSource) -> int:
    """Return how many numbers a column has that is a vector of one length; 0 if it is none."""
    is_vector = source.column.type in ("vector", "wholes") and source.leaf.type != FieldDescriptor.TYPE_STRING
    return source.column.width or 0 if is_vector and source.leaf.is_packed else 0


def row_reader(decoder: Decoder, sources: Sequence[FieldSource], texts: Any = None) -> Any:
    """Return the RowReader of requests whose columns come from `sources`; `texts` numbers those of text columns.

    A row has a number for each column, and behind them those of each vector in turn. Raises NotFlat.
    """
    fields = _fields(decoder, sources)
    may_miss = decoder.policies.missing is not Policy.REFUSE
    tag = rows_tag(decoder.message, decoder.rows_field)
    return own("flat.RowReader")(fields, may_miss, len(sources), texts or own("flat.Texts")(), tag)


def _fields(decoder: Decoder, sources: Sequence[FieldSource]) -> Any:
    """Describe the fields of a row, as RowReader.Fields. Raises NotFlat."""
    if decoder.shape == "columns":
        raise NotFlat("the columns of a request are repeated fields")
    row = _row_of(decoder)
    check_proto3(row)
    by_number = _by_number(sources)
    known = [
        part
        for part in row.fields
        if (part.number in by_number or not part.is_repeated) and not part.message_type and part.number <= LAST_FIELD
    ]
    size = 1 + max((part.number for part in known), default=0)
    tags, types, columns, widths = [0] * size, [0] * size, [-1] * size, [0] * size
    lookups = jpype.JArray(jpype.JClass("java.util.Map"))(size)
    for part in known:
        tags[part.number] = part.number << 3 | (SIZED if part.is_repeated else WIRE_TYPES.get(part.type, 0))
        types[part.number] = part.type
    defaults = np.zeros(len(by_number))
    for number, source in by_number.items():
        if width := width_of(source):
            columns[number], widths[number] = len(defaults), width
            defaults = np.append(defaults, np.full(width, _UNKNOWN))
            continue
        columns[number] = source.index
        if is_text(source):
            defaults[source.index] = np.nan if source.has_presence else _UNKNOWN
            continue
        value = source.leaf.default_value
        if source.kind == "lookup":
            lookups[number] = java_map(_numbers(source.lookup))
            value = source.lookup.get(value, _UNKNOWN)
        defaults[source.index] = np.nan if source.has_presence else value
    ints = jpype.JArray(jpype.JInt)
    return own("flat.RowReader$Fields")(
        ints(tags), ints(types), ints(columns), ints(widths), lookups, jpype.JArray.of(defaults), float(_UNKNOWN)
    )


def _by_number(sources: Sequence[FieldSource]) -> Mapping[int, FieldSource]:
    """Return the sources by their field numbers. Raises NotFlat."""
    by_number: dict[int, FieldSource] = {}
    for source in sources:
        part = source.fields[0]
        is_flat = source.kind in ("number", "lookup") or is_text(source) or width_of(source)
        if len(source.fields) > 1 or source.key is not None or not is_flat:
            raise NotFlat(f"column `{source.column.name}` comes from `{source.path}`, which is nested or parsed")
        if is_unusual(part):
            raise NotFlat(f"field `{source.path}` is in a oneof, or a closed enum")
        if by_number.setdefault(part.number, source) is not source:
            raise NotFlat(f"field `{source.path}` fills two columns")
        if part.number > LAST_FIELD:
            raise NotFlat(f"field number {part.number} is beyond {LAST_FIELD}")
    return by_number


def _row_of(decoder: Decoder) -> Descriptor:
    message = descriptor_of(decoder.message)
    row = message.fields_by_name[decoder.rows_field].message_type if decoder.rows_field else message
    assert row
    return row


def _numbers(lookup: Mapping[Any, float]) -> Mapping[Any, Any]:
    return {value: jpype.JClass("java.lang.Double")(number) for value, number in lookup.items() if value is not None}
