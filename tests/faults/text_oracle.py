"""The right reading of a CSV, JSON or protobuf request, from the rules alone: it shares no code with the worker.

CSV is RFC 4180 with a header that names fields; JSON is strictly proto3's mapping. `rows` returns the content of a
request, or raises Refused if it must be refused: one bad row refuses all of it.
"""

import math
import struct

from faults.csv_oracle import csv_rows
from faults.json_oracle import json_rows
from faults.oracle_schema import FRAME, ROW
from faults.wire_oracle import Refused, read, settled


def rows(content, operation, value):
    """Return the rows of a request; `content` is csv, json or protobuf, `operation` One (of one row) or Many."""
    if content == "protobuf":
        return [read(value, ROW)] if operation == "One" else read(value, FRAME).get("rows", [])
    found = csv_rows(value) if content == "csv" else json_rows(value, operation)
    if operation == "One" and len(found) != 1:
        raise Refused(f"{len(found)} rows")
    return found


def meaning(found):
    """Normalize rows so that equal meanings are equal: what the wire cannot express is dropped or rounded."""
    return [settled(_plain(row, ROW)) for row in found]


def _plain(row, message):
    plain = {}
    for name, value in row.items():
        field = message[name]
        if not isinstance(field.kind, str):
            plain[name] = _plain(value, field.kind)
            continue
        kept = struct.unpack("<f", struct.pack("<f", value))[0] if field.kind == "float" else value
        is_zero = kept in (0, "", b"", [], {}) and not (kept == 0 and math.copysign(1, kept) < 0)
        if field.label == "optional" or not is_zero:
            plain[name] = kept
    return plain
