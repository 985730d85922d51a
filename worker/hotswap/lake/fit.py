"""Checks a table's columns against the proto and the model before anything is scored."""

import io
from collections.abc import Collection, Mapping
from typing import Any

import pyarrow as pa

from hotswap.codec.fields import descriptor_of, may_be_absent, type_name
from hotswap.codec.proto import Operation
from hotswap.codec.text.layout import Layout
from hotswap.codec.text.reader import CsvRows
from hotswap.errors import UsageError
from hotswap.generation import TextOptions
from hotswap.lake.answers import OURS
from hotswap.lake.columns import leaves, misfits
from hotswap.lake.plan import PARTITION
from hotswap.lake.requests import RAW, line


def check_columns(
    operation: Operation,
    schema: pa.Schema,
    reads: Mapping[str, Collection[str]],
    options: TextOptions,
    *,
    may_lack: bool,
) -> list[str]:
    """Return notes on columns that match no field, and on fields that no column fills.

    `reads`: the paths of the fields that the model reads. Those that the proto does not call optional must be filled,
    unless the table `may_lack` some.

    Raises:
        UsageError: the table is no input of the operation; the message names columns and fields.

    """
    names = [name for name in schema.names if name != RAW]
    if taken := sorted({*OURS, PARTITION} & set(names)):
        raise UsageError(f"the input has columns {', '.join(taken)}, which the output has of its own: rename them")
    message = Layout(operation.input, names).row
    row = descriptor_of(message)
    is_typed = RAW not in schema.names
    if is_typed and (wrong := list(misfits(row, schema))):
        raise UsageError(f"the input does not fit {row.full_name}: {'; '.join(map(str, wrong))}")
    header = [leaf.column for leaf in leaves(row, schema)] if is_typed else names
    unknown = [name for name in names if is_typed and name not in row.fields_by_name]
    rows = CsvRows(io.StringIO(line([*header, *unknown], options), newline=""), operation.input, options)
    lacking = rows.watch(list(reads))
    notes = rows.notes()
    if needed := [path for path in lacking if not may_be_absent(message, path)]:
        listed = ", ".join(f"{path} ({_type(row, path)})" for path in needed)
        what = (
            f"no column fills {listed} of {row.full_name}, which the model reads and the proto does not call optional"
        )
        if not may_lack:
            more = "".join(f" ({note})" for note in notes)
            raise UsageError(f"{what}{more}: add the columns, or --allow-missing")
        notes.append(what)
    return notes


def _type(message: Any, path: str) -> str:
    *parents, last = path.split(".")
    for name in parents:
        message = message.fields_by_name[name].message_type
    return type_name(message.fields_by_name[last])
