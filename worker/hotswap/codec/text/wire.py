"""Text on the stream: reads requests from CSV and JSON, and writes answers as CSV and JSON."""

import io
import json

from hotswap.batch import Code, Format, Refusal
from hotswap.codec import messages
from hotswap.codec.proto import Operation
from hotswap.codec.text.layout import BadRow, Layout
from hotswap.codec.text.reader import read_rows
from hotswap.codec.text.writer import CsvTable
from hotswap.errors import UsageError
from hotswap.generation import TextOptions


def read(value: bytes, content: Format, operation: Operation, options: TextOptions) -> bytes | Refusal:
    """Return the serialized input message of a text. A request has one answer, so one bad row refuses all of it.

    The refusal (UNDECODABLE) names row, column, value and reason.
    """
    try:
        # In a CSV, only the cells that fill a field must be UTF-8; the row reports a cell that is not.
        errors = "strict" if content is Format.JSON else "surrogateescape"
        text = io.StringIO(value.decode("utf-8-sig", errors=errors), newline="")
        rows = read_rows(text, "csv" if content is Format.CSV else "json", operation.input, options)
        messages_read = []
        for row in rows:
            if isinstance(row, BadRow):
                return Refusal(Code.UNDECODABLE, str(row))
            messages_read.append(row.message)
    except UnicodeDecodeError as error:
        return Refusal(Code.UNDECODABLE, f"the request is not UTF-8: {error.reason} at byte {error.start}")
    except UsageError as error:
        return Refusal(Code.UNDECODABLE, str(error))
    if not rows.layout.holds_many and len(messages_read) != 1:
        name = operation.input.DESCRIPTOR.full_name
        return Refusal(Code.UNDECODABLE, f"the request has {len(messages_read)} rows, but a {name} holds one")
    return messages.serialize(rows.layout.pack(messages_read))


def write(answer: bytes, accept: Format, operation: Operation) -> bytes:
    """Return an output message as text: CSV with a header and a line for each row, or one JSON object."""
    message = operation.output.FromString(answer)
    if accept is Format.JSON:
        return json.dumps(messages.to_document(message, has_defaults=True)).encode()
    text = io.StringIO(newline="")
    CsvTable(text, operation.output, has_rows=Layout(operation.input).holds_many).write({}, message)
    return text.getvalue().encode()
