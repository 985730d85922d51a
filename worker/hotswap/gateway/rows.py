"""Rows of a text to serialized input messages, and output messages to the body of a response."""

import asyncio
import io
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from hotswap.batch import Format
from hotswap.codec.proto import Operation
from hotswap.codec.text.layout import SHOWN, BadRow, Chunk, Layout
from hotswap.codec.text.reader import read_rows
from hotswap.codec.text.writer import CsvTable
from hotswap.errors import UsageError
from hotswap.gateway.problems import Problem, bad_rows, problem_of
from hotswap.generation import TextOptions

NOTES = "Hotswap-Notes"
"""The header of a reply that says which columns filled no field, and which fields had no column."""

_AT_ONCE_BYTES = 64 << 10
_MOST_NOTES, _LONGEST_NOTE = 4, 500


@dataclass(slots=True)
class Rows:
    """The good rows of a text as serialized messages, each with its number from 1; what is wrong with the others."""

    layout: Layout
    numbers: list[int] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    faults: list[Mapping[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def headers(self) -> dict[str, str]:
        """Return the header of a reply that has the notes, if there are any: a JSON list of the first ones."""
        shown = [
            note if len(note) <= _LONGEST_NOTE else note[:_LONGEST_NOTE] + "…" for note in self.notes[:_MOST_NOTES]
        ]
        return {NOTES: json.dumps(shown)} if shown else {}

    def pack(self) -> bytes:
        """Return one input message of all rows. Raises Problem: 422, it cannot hold them, or some are bad."""
        self.check()
        if not self.layout.holds_many and len(self.values) != 1:
            name = self.layout.message.DESCRIPTOR.full_name
            detail = f"there are {len(self.values)} rows, but a message {name} holds one"
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
        return _joined(self.layout.message, self.values)

    def check(self) -> None:
        """Raise Problem, 422, if a row is bad, or there is none."""
        if self.faults:
            raise bad_rows(self.faults, len(self.faults))
        if not self.values:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "there is no row")


async def read(
    text: bytes, content: Format, operation: Operation, options: TextOptions | None, reads: Collection[str] = ()
) -> Rows:
    """Read CSV or JSON; without blocking other calls if it is long. Notes name the fields of `reads` that no row has.

    Raises:
        Problem: 422, the text is no such table at all.

    """
    if len(text) <= _AT_ONCE_BYTES:
        return _read(text, content, operation, options, reads)
    return await asyncio.to_thread(_read, text, content, operation, options, reads)


def _read(
    text: bytes, content: Format, operation: Operation, options: TextOptions | None, reads: Collection[str]
) -> Rows:
    try:
        # In a CSV, only the cells that fill a field must be UTF-8; the row reports a cell that is not.
        decoded = text.decode("utf-8-sig", errors="strict" if content is Format.JSON else "surrogateescape")
        kind = "json" if content is Format.JSON else "csv"
        rows = read_rows(io.StringIO(decoded, newline=""), kind, operation.input, options)  # type: ignore[arg-type]
        found = Rows(rows.layout)
        rows.expect(reads)
        for row in rows.in_bulk():
            if isinstance(row, Chunk):
                found.numbers.extend(range(row.number, row.number + len(row.values)))
                found.values.extend(row.values)
            elif isinstance(row, BadRow):
                found.faults.append(_fault(row))
            else:
                found.numbers.append(row.number)
                found.values.append(rows.layout.pack([row.message]).SerializeToString())
        found.notes = rows.notes()
        if found.values and rows.unmet:
            lacking = ", ".join(f"`{path}`" for path in rows.unmet)
            found.notes.append(f"no column fills {lacking}, which the model reads: missing in each row")
    except UnicodeDecodeError as error:
        detail = f"the text is not UTF-8: {error.reason} at byte {error.start}"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail) from None
    except UsageError as error:
        raise problem_of(error) from None
    return found


def _fault(row: BadRow) -> Mapping[str, Any]:
    shown = row.value if len(row.value) <= SHOWN else row.value[:SHOWN] + "…"
    fault = {"row": row.number, "column": row.column, "value": shown, "reason": row.reason, "detail": str(row)}
    return {name: _plain(told) if isinstance(told, str) else told for name, told in fault.items()}


def _plain(text: str) -> str:
    """Return a text without what is not UTF-8 in it."""
    return text.encode(errors="replace").decode()


def write(answers: Sequence[bytes], accept: Format, operation: Operation) -> bytes:
    """Return output messages as one body: a message, or its JSON, where one message can hold all, or a table.

    Raises:
        Problem: 406, several messages are no one message.

    """
    many = Layout(operation.input).holds_many
    if accept is Format.CSV:
        text = io.StringIO(newline="")
        table = CsvTable(text, operation.output, has_rows=many)
        for answer in answers:
            table.write({}, operation.output.FromString(answer))
        return text.getvalue().encode()
    if len(answers) == 1 or many:
        whole = _joined(operation.output, answers)
        return whole if accept is Format.PROTOBUF else json.dumps(as_json(operation.output.FromString(whole))).encode()
    if accept is Format.JSON:
        return json.dumps([as_json(operation.output.FromString(answer)) for answer in answers]).encode()
    name = operation.output.DESCRIPTOR.full_name
    count = len(answers)
    detail = f"{count} rows have {count} messages {name}: accept text/csv or application/json, or send one row"
    raise Problem(HTTPStatus.NOT_ACCEPTABLE, detail)


def _joined(message: type[Message], parts: Sequence[bytes]) -> bytes:
    """Return one message with the repeated fields of all parts: joined messages are read as one (protobuf's wire)."""
    return parts[0] if len(parts) == 1 else message.FromString(b"".join(parts)).SerializeToString()


def as_json(message: Message) -> Any:
    """Return a message as a JSON document with the proto's own names, as answers on the stream have it."""
    to_dict: Callable[..., Any] = json_format.MessageToDict
    return to_dict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
