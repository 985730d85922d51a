"""Reads golden answers from the files that people write: a CSV of inputs and expected outputs, or the document itself.

A column of a CSV is expected if its name is a field of the answer alone, or begins with `expect.`; if any begins so,
only those are. An empty cell expects nothing. The document (codec/golden.py) may have what JSON requests may have: a
row in place of a message, and the names of the model's columns.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from hotswap.batch import Format, Refusal
from hotswap.codec import messages
from hotswap.codec.fields import descriptor_of, is_map
from hotswap.codec.golden import GoldenAnswers, GoldenRow, document_of, fields_in
from hotswap.codec.proto import Operation, Schema
from hotswap.codec.text import wire
from hotswap.codec.text.cells import Cell, find_cell
from hotswap.codec.text.file import open_table
from hotswap.codec.text.layout import BadRow, Layout
from hotswap.codec.text.names import assign
from hotswap.codec.text.reader import RowReader, read_rows
from hotswap.errors import UsageError
from hotswap.generation import MAX_GOLDEN_BYTES, TextOptions

_EXPECTED: Final = "expect."


def read_golden(
    path: Path, schema: Schema, options: TextOptions, tolerances: Mapping[str, float] | None = None
) -> GoldenAnswers:
    """Read golden answers of an operation of a proto; `tolerances` are added, by the ends of their fields' paths.

    Raises:
        UsageError: the file, a row or a tolerance does not fit.

    """
    with open_table(path) as (file, kind):
        text = file.read(MAX_GOLDEN_BYTES + 1)
    if len(text) > MAX_GOLDEN_BYTES:
        raise UsageError(
            f"golden answers {path}: the file is too large: at most {MAX_GOLDEN_BYTES >> 20} MiB are allowed"
        )
    try:
        golden = _of_csv(text, schema, options) if kind == "csv" else _of_json(text, schema, options)
        golden = replace(golden, tolerances={**golden.tolerances, **_resolved(tolerances or {}, golden.rows)})
        golden.dump()  # within its limits
    except (UsageError, ValueError) as error:
        raise UsageError(f"golden answers {path}: {error}") from error
    return golden


def _of_json(text: str, schema: Schema, options: TextOptions) -> GoldenAnswers:
    golden = GoldenAnswers.parse(text.encode(errors="surrogateescape"))
    operation = _operation(schema, golden.operation)
    rows = [
        GoldenRow(_request(number, row.request, operation, options), _answer(number, row.answer, operation))
        for number, row in enumerate(golden.rows, 1)
    ]
    return replace(golden, rows=rows, operation=operation.name, tolerances=_resolved(golden.tolerances, rows))


def _operation(schema: Schema, name: str) -> Operation:
    if name and name not in schema.operations:
        raise UsageError(f"there is no operation {name!r}: the proto has {', '.join(schema.operations)}")
    return schema.operations[name or next(iter(schema.operations))]


def _request(number: int, request: Any, operation: Operation, options: TextOptions) -> Any:
    read = wire.read(json.dumps(request).encode(), Format.JSON, operation, options)
    if isinstance(read, Refusal):
        raise UsageError(f"row {number}: its request does not fit: {read.message}")
    return messages.to_document(operation.input.FromString(read))


def _answer(number: int, answer: Any, operation: Operation) -> Any:
    rows = read_rows(io.StringIO(json.dumps(answer)), "json", operation.output)
    found = []
    for row in rows:
        if isinstance(row, BadRow):
            raise UsageError(f"row {number}: its answer does not fit: {row}")
        found.append(row.message)
    field = rows.layout.rows_field
    if field and not {field, descriptor_of(operation.output).fields_by_name[field].json_name} & set(answer):
        answer = {field: [answer]}
    return _named(answer, document_of(rows.layout.pack(found)), descriptor_of(operation.output))


def _named(written: Any, document: Any, message: Descriptor) -> Any:
    """Return of a document what was written of it, under the names of the proto."""
    if not isinstance(written, dict) or not isinstance(document, dict) or message.file.name.startswith("google/"):
        return document
    kept = {}
    for part in message.fields:
        name = next((name for name in (part.name, part.json_name) if name in written), None)
        if name is None:
            continue
        value, inner = document[part.name], part.message_type
        if inner is None or is_map(part) or not value:
            kept[part.name] = value
        elif part.is_repeated:
            kept[part.name] = [_named(*both, inner) for both in zip(written[name], value, strict=True)]
        else:
            kept[part.name] = _named(written[name], value, inner)
    return kept


def _of_csv(text: str, schema: Schema, options: TextOptions) -> GoldenAnswers:
    operation = _operation(schema, "")
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=options.delimiter, strict=True))
    except csv.Error as error:
        raise UsageError(f"it is not valid CSV: {error}") from error
    header, *rows = [line for line in lines if line] or [[]]
    header = [name.strip(" \t") for name in header]
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise UsageError(f"row {number} has {len(row)} cells, but the header names {len(header)}")
    inputs, expected = _sides(header, operation, options)
    requests = _requests(header, rows, inputs, operation, options)
    answers = [_expected(number, header, row, expected, operation, options) for number, row in enumerate(rows, 1)]
    return GoldenAnswers(rows=list(map(GoldenRow, requests, answers)), operation=operation.name)


def _sides(header: Sequence[str], operation: Operation, options: TextOptions) -> tuple[list[int], list[int]]:
    """Return the places of the columns of inputs, and of those of expected outputs."""
    is_marked = any(name.startswith(_EXPECTED) for name in header)
    given = [name for name in header if not name.startswith(_EXPECTED)]
    row = descriptor_of(Layout(operation.input, given, options.columns).row)
    filled = assign(row, given, options.columns)
    known = {*filled.paths, *filled.passed_over}
    expects = [name.removeprefix(_EXPECTED) for name in header if name.startswith(_EXPECTED) or not is_marked]
    row = descriptor_of(Layout(operation.output, expects).row)
    offered = set(assign(row, expects, ()).paths)
    inputs: list[int] = []
    expected: list[int] = []
    for place, name in enumerate(header):
        is_expected = name.removeprefix(_EXPECTED) in offered and (name.startswith(_EXPECTED) or not is_marked)
        if is_expected and name in known:
            raise UsageError(
                f"column {name} is a field of the request and of the answer: call the columns of expected values "
                f"{_EXPECTED}NAME, as {_EXPECTED}{name}"
            )
        if not is_expected and (name not in known or name.startswith(_EXPECTED)):
            fields = ", ".join(part.name for part in row.fields)
            raise UsageError(f"column {name} is no field of the request, nor of the answer ({fields}): leave it out")
        (expected if is_expected else inputs).append(place)
    if not expected:
        fields = ", ".join(part.name for part in row.fields)
        raise UsageError(f"no column has expected values: the fields of the answer are {fields}")
    if not inputs:
        raise UsageError("no column has values of requests: each is an expected one")
    return inputs, expected


def _requests(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    places: Sequence[int],
    operation: Operation,
    options: TextOptions,
) -> Iterator[Any]:
    lines = [[line[place] for place in places] for line in (header, *rows)]
    reader = _reader(lines, operation.input, options)
    for row in reader:
        if isinstance(row, BadRow):
            raise UsageError(str(row))
        yield messages.to_document(reader.layout.pack([row.message]))


def _expected(
    number: int,
    header: Sequence[str],
    row: Sequence[str],
    places: Sequence[int],
    operation: Operation,
    options: TextOptions,
) -> Any:
    """Return the expected answer of a row: of the cells that are not empty."""
    filled = [place for place in places if row[place] not in options.missing]
    if not filled:
        raise UsageError(f"row {number} expects nothing: all its cells of expected values are empty")
    names = [header[place].removeprefix(_EXPECTED) for place in filled]
    reader = _reader([names, [row[place] for place in filled]], operation.output, replace(options, columns=()))
    (read,) = reader
    if isinstance(read, BadRow):
        raise UsageError(str(read._replace(number=number)))
    document = document_of(reader.layout.pack([read.message]))
    field = reader.layout.rows_field
    descriptor = descriptor_of(reader.layout.row)
    kept: dict[str, Any] = {}
    for name in names:
        cell = find_cell(descriptor, name)
        assert cell
        _put(kept, document[field][0] if field else document, cell)
    return {field: [kept]} if field else kept


def _put(kept: dict[str, Any], document: Any, cell: Cell) -> None:
    """Copy a cell's value from a document."""
    *parents, last = filter(None, (*cell.parents, cell.field.name, cell.key))
    for name in parents:
        kept, document = kept.setdefault(name, {}), document[name]
    kept[last] = document[last]


def _reader(lines: Iterable[Sequence[str]], message: type[Message], options: TextOptions) -> RowReader:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=options.delimiter).writerows(lines)
    text.seek(0)
    return read_rows(text, "csv", message, options)


def _resolved(tolerances: Mapping[str, float], rows: Iterable[GoldenRow]) -> dict[str, float]:
    """Return the tolerances by whole paths of fields."""
    if not tolerances:
        return {}
    paths = dict.fromkeys(path for row in rows for path in fields_in(row.answer))
    found: dict[str, float] = {}
    for name, tolerance in tolerances.items():
        meant = [path for path in paths if path == name or path.endswith(f".{name}")]
        if not meant:
            raise UsageError(f"the tolerance of {name} is for no expected field: these are {', '.join(paths)}")
        found |= dict.fromkeys(meant, tolerance)
    return found
