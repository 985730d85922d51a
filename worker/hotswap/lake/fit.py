"""The check of a table's columns against the proto and the model, before scoring."""

import io
from collections.abc import Collection, Mapping
from typing import Any

import pyarrow as pa

from hotswap.codec.fields import descriptor_of, type_name
from hotswap.codec.proto import Operation
from hotswap.codec.text.cells import find_cell
from hotswap.codec.text.layout import Layout
from hotswap.codec.text.reader import CsvRows
from hotswap.errors import UsageError
from hotswap.generation import TextOptions
from hotswap.lake.answers import OURS
from hotswap.lake.naming import Naming
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

    `reads`: the paths of the fields that the model reads; each needs a column, unless the table `may_lack` some.

    Raises:
        UsageError: the table does not fit the operation; the message names columns and fields.

    """
    names = [name for name in schema.names if name != RAW]
    if reserved := sorted({*OURS, PARTITION} & set(names)):
        raise UsageError(f"the input has columns {', '.join(reserved)}, whose names the output reserves: rename them")
    is_typed = RAW not in schema.names
    if is_typed:
        naming = Naming(operation, schema, options)
        row = naming.row
        if misfits := list(naming.misfits()):
            raise UsageError(f"the input does not fit {row.full_name}: {'; '.join(map(str, misfits))}")
        header, options = [*(leaf.column for leaf in naming.leaves), *naming.unknown], naming.options
    else:
        row, header = descriptor_of(Layout(operation.input, names, options.columns).row), names
    rows = CsvRows(io.StringIO(line(header, options), newline=""), operation.input, options)
    lacking = rows.watch(list(reads))
    notes = [*(naming.notes if is_typed else ()), *rows.notes()]
    if lacking:
        listed = ", ".join(f"{path} ({_type(row, path)})" for path in lacking)
        gap = f"no column fills {listed} of {row.full_name}, which the model reads"
        if not may_lack:
            more = "".join(f" ({note})" for note in notes)
            raise UsageError(f"{gap}{more}: add the columns, or --allow-missing")
        notes.append(f"{gap}: missing in each row")
    return notes


def _type(message: Any, path: str) -> str:
    cell = find_cell(message, path)
    return type_name(cell.field) if cell else "a field"
