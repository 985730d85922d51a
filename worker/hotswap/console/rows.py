"""A form for a row typed by hand, generated from a proto, and the text of its request."""

import csv
import io
import json
import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from hotswap.batch import Format
from hotswap.client.serving import Served
from hotswap.codec.fields import type_name
from hotswap.codec.proto import Operation
from hotswap.codec.text.layout import Layout
from hotswap.gateway.documents import as_json
from hotswap.generation import TextOptions

Reads: TypeAlias = Mapping[str, Collection[str]]
"""The fields of a row that the model reads, with the known values of each, where available."""

_TRUTHS = ("", "true", "false")
_MOST_KNOWN = 200


class FormField(NamedTuple):
    """A field of a message, for a table of its columns."""

    number: int
    name: str
    type: str
    is_read: bool
    known: Sequence[str]
    depth: int = 0


class Input(NamedTuple):
    """A form field: its value and the allowed ones; `choices` empty: any text."""

    name: str
    type: str
    value: str
    choices: Sequence[str]
    known: Sequence[str]
    is_number: bool
    is_read: bool


def fields_of(message: type[Message], reads: Reads) -> list[FormField]:
    """Return the fields of a message and of the rows in it, marked if the model reads them."""
    fields: list[FormField] = []
    for part in message.DESCRIPTOR.fields:
        fields.append(_field(part, reads, 0))
        if part.message_type and not part.message_type.GetOptions().map_entry:
            fields += [_field(inner, reads, 1) for inner in part.message_type.fields]
    return fields


def _field(part: Any, reads: Reads, depth: int) -> FormField:
    known = sorted(reads.get(part.name, ()))[:_MOST_KNOWN]
    return FormField(part.number, part.name, type_name(part), part.name in reads, known, depth)


def inputs_of(operation: Operation, reads: Reads, typed: Mapping[str, str]) -> list[Input] | None:
    """Return the inputs for a row; None: it has parts that no table has, so it is typed as JSON."""
    layout = Layout(operation.input)
    parts: list[Any] = list(layout.row.DESCRIPTOR.fields)
    if not parts or any(part.message_type or (part.is_repeated and layout.shape != "columns") for part in parts):
        return None
    return [_input(part, reads, typed) for part in parts]


def _input(part: Any, reads: Reads, typed: Mapping[str, str]) -> Input:
    choices: Sequence[str] = ()
    if part.enum_type:
        choices = ("", *(value.name for value in part.enum_type.values))
    elif part.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        choices = _TRUTHS
    is_number = not choices and part.cpp_type != FieldDescriptor.CPPTYPE_STRING
    known = sorted(reads.get(part.name, ()))[:_MOST_KNOWN]
    return Input(part.name, type_name(part), typed.get(part.name, ""), choices, known, is_number, part.name in reads)


def as_text(inputs: Sequence[Input] | None, typed: str, options: TextOptions | None) -> tuple[bytes, Format]:
    """Return the typed values as the text of one row, by the model's names, without empty fields.

    So is a field with the name of a column that the model reads from another field: it would fill that one.
    """
    if inputs is None:
        return typed.encode(), Format.JSON
    fields = dict(options.columns if options else ())
    columns = {path: column for column, path in fields.items()}
    names = {one.name: columns.get(one.name, one.name) for one in inputs if one.value}
    filled = [one for one in inputs if one.value and fields.get(names[one.name], one.name) == one.name]
    text = io.StringIO()
    table = csv.writer(text, delimiter=(options or TextOptions()).delimiter, lineterminator="\n")
    table.writerow([names[one.name] for one in filled])
    table.writerow([one.value for one in filled])
    return text.getvalue().encode(), Format.CSV


def command_of(deployment: str, operation: str | None, text: bytes, content: Format, *, may_lack: bool = False) -> str:
    """Return the equivalent commands."""
    name = "row.json" if content is Format.JSON else "row.csv"
    lines = " ".join(map(shlex.quote, text.decode().splitlines()))
    options = f" --operation {shlex.quote(operation)}" if operation else ""
    options += " --allow-missing" if may_lack else ""
    return f"printf '%s\\n' {lines} > {name} && hotswap predict {shlex.quote(deployment)} {name}{options}"


def example_of(operation: Operation) -> str:
    """Return an empty row as JSON, to be filled."""
    return json.dumps(as_json(Layout(operation.input).row()), indent=2, ensure_ascii=False)


def cells_of(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Return a JSON document as names and texts, in the document's order."""
    if isinstance(value, dict):
        return [cell for key, part in value.items() for cell in cells_of(part, f"{name}.{key}" if name else str(key))]
    if isinstance(value, list):
        if len(value) == 1:
            return cells_of(value[0], name)
        return [cell for at, part in enumerate(value) for cell in cells_of(part, f"{name}[{at}]")]
    return [(name, value if isinstance(value, str) else json.dumps(value))]


def operation_in(served: Served, name: str | None) -> Operation:
    """Return the operation of that name, or the first one."""
    operations = served.schema.operations
    return operations[name] if name and name in operations else next(iter(operations.values()))
