"""The rows of a text as serialized input messages."""

import io
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from google.protobuf.message import Message

from hotswap.batch import Format
from hotswap.codec import messages
from hotswap.codec.proto import Operation
from hotswap.codec.text.layout import SHOWN, BadRow, Chunk, Layout, Row
from hotswap.codec.text.reader import read_rows
from hotswap.errors import UsageError
from hotswap.gateway.problems import Problem, bad_rows, problem_of
from hotswap.gateway.work import ROWS, Work, cost_of
from hotswap.generation import TextOptions

NOTES = "Hotswap-Notes"
"""The header of a reply that says which columns filled no field, and which fields had no column."""

_ROW_MARKS = {Format.JSON: (b"{", b",", b"\n"), Format.CSV: (b"\n", b"\r")}
_MOST_NOTES, _LONGEST_NOTE = 4, 500


@dataclass(slots=True)
class Rows:
    """The good rows of a text as serialized messages, each with its number from 1; the faults of the others."""

    layout: Layout
    numbers: list[int] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    faults: list[Mapping[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """The number of rows, good and bad."""
        return len(self.values) + len(self.faults)

    def take(self, row: Row | BadRow | Chunk) -> None:
        """Take the next row, or rows."""
        if isinstance(row, Chunk):
            self.numbers.extend(range(row.number, row.number + len(row.values)))
            self.values.extend(row.values)
        elif isinstance(row, BadRow):
            self.faults.append(_fault(row))
        else:
            self.numbers.append(row.number)
            self.values.append(messages.serialize(self.layout.pack([row.message])))

    def headers(self) -> dict[str, str]:
        """Return the header of a reply that has the notes, if there are any: a JSON list of the first ones."""
        shown = [
            note if len(note) <= _LONGEST_NOTE else note[:_LONGEST_NOTE] + "…" for note in self.notes[:_MOST_NOTES]
        ]
        return {NOTES: json.dumps(shown)} if shown else {}

    async def pack(self, work: Work) -> bytes:
        """Return one input message of all rows. Raises Problem: 422, it cannot hold them, or some are bad."""
        self.check()
        if not self.layout.holds_many and len(self.values) != 1:
            name = self.layout.message.DESCRIPTOR.full_name
            detail = f"there are {len(self.values)} rows, but a message {name} holds one"
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
        cost = cost_of(sum(map(len, self.values)), len(self.values))
        return await work.do(cost, messages.join, self.layout.message, self.values)

    def check(self) -> None:
        """Raise Problem, 422, if a row is bad, or there is none."""
        if self.faults:
            raise bad_rows(self.faults, len(self.faults))
        if not self.values:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "the request has no rows")


async def read(
    text: bytes,
    content: Format,
    operation: Operation,
    options: TextOptions | None,
    work: Work,
    reads: Collection[str] = (),
) -> Rows:
    """Read CSV or JSON. Notes name the fields of `reads` that no row has.

    Raises:
        Problem: 422, the text is no such table at all; 413, it has too many rows; or as `Work.do`.

    """
    rows = sum(map(text.count, _ROW_MARKS[content]))  # at most so many, which is quickly told
    cost = cost_of(len(text), rows)
    return await work.do(cost, _read, text, content, operation.input, options, tuple(reads))


def _read(
    text: bytes, content: Format, message: type[Message], options: TextOptions | None, reads: Collection[str]
) -> Rows:
    try:
        # In a CSV, only the cells that fill a field must be UTF-8; the row reports a cell that is not.
        decoded = text.decode("utf-8-sig", errors="strict" if content is Format.JSON else "surrogateescape")
        kind = "json" if content is Format.JSON else "csv"
        if kind == "json" and decoded.count("{") > ROWS and _has_more(decoded, ROWS):
            raise _too_many()
        rows = read_rows(io.StringIO(decoded, newline=""), kind, message, options)  # type: ignore[arg-type]
        table = Rows(rows.layout)
        rows.expect(reads)
        for row in rows.in_bulk():
            table.take(row)
            if table.count > ROWS:
                raise _too_many()
        table.notes = rows.notes()
        if table.values and rows.unmet:
            lacking = ", ".join(f"`{path}`" for path in rows.unmet)
            table.notes.append(f"no column fills {lacking}, which the model reads: missing in each row")
    except UnicodeDecodeError as error:
        detail = f"the text is not UTF-8: {error.reason} at byte {error.start}"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail) from None
    except UsageError as error:
        raise problem_of(error) from None
    return table


def _has_more(text: str, rows: int) -> bool:
    """Return whether a text is a JSON list of more rows; reading them takes ten times as long as finding that."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, list) and len(document) > rows


def _too_many() -> Problem:
    detail = f"a call may have at most {ROWS:,} rows: send the others in calls of their own"
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, limit=ROWS)


def _fault(row: BadRow) -> Mapping[str, Any]:
    shown = row.value if len(row.value) <= SHOWN else row.value[:SHOWN] + "…"
    fault = {"row": row.number, "column": row.column, "value": shown, "reason": row.reason, "detail": str(row)}
    return {name: _plain(value) if isinstance(value, str) else value for name, value in fault.items()}


def _plain(text: str) -> str:
    """Replace characters that are not UTF-8."""
    return text.encode(errors="replace").decode()
