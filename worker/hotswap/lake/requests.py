"""Encoding of Arrow record batches as requests, column by column: the bytes that a publisher would send.

Other rows are read by the stream's CSV reader, as requests of type text/csv with the same cells: they become the same
messages, or are refused with the same codes and reasons.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf import descriptor_pb2
from ptars import HandlerPool

from hotswap.batch import Format, Refusal
from hotswap.codec.fields import descriptor_of
from hotswap.codec.proto import Operation, Schema, load
from hotswap.codec.text import wire
from hotswap.codec.text.cells import FLOATS
from hotswap.codec.text.reader import CsvRows
from hotswap.generation import TextOptions
from hotswap.lake.columns import Flags, convert
from hotswap.lake.naming import Naming
from hotswap.pipeline.admission import too_large

RAW: Final = "_hotswap_line"
"""The column in which Spark puts a line with too few or too many cells, or one that is not CSV."""


class Requests(NamedTuple):
    """A request for each row (null: refused), and the refusals by row."""

    values: pa.BinaryArray
    refused: Mapping[int, Refusal]


class _Rows(Protocol):
    """Encodes the rows of a record batch."""

    options: TextOptions
    """The options for reading `text`."""

    def encode(self, batch: pa.RecordBatch, odd: Flags) -> pa.BinaryArray:
        """Return a serialized input message for each row; flag odd rows, whose messages are void."""

    def text(self, batch: pa.RecordBatch, row: int) -> bytes:
        """Return a row as a request of type text/csv."""


class RequestEncoder:
    """Encodes rows of one schema for one operation."""

    def __init__(
        self, proto: Schema, operation: Operation, schema: pa.Schema, options: TextOptions, most_bytes: int
    ) -> None:
        """Take a `schema` with the column RAW for a CSV's, of text columns. `most_bytes`: the maximum of a request."""
        self._operation = operation
        self._most_bytes = most_bytes
        self._rows: _Rows = (
            _TextRows(operation, schema, options)
            if RAW in schema.names
            else _TypedRows(proto, operation, schema, options)
        )

    def encode(self, batch: pa.RecordBatch) -> Requests:
        """Return the requests of a record batch's rows."""
        odd = np.zeros(batch.num_rows, np.bool_)
        values = self._rows.encode(batch, odd)
        refused: dict[int, Refusal] = {}
        if odd.any():
            values = self._read(batch, values, odd, refused)
        sizes = pc.fill_null(pc.binary_length(values), 0).to_numpy()
        if len(values) and sizes.max() > self._most_bytes:
            is_large = sizes > self._most_bytes
            refused |= {int(row): too_large(int(sizes[row]), self._most_bytes) for row in np.flatnonzero(is_large)}
            values = pc.if_else(pa.array(is_large), None, values)
        return Requests(values, refused)

    def _read(
        self, batch: pa.RecordBatch, values: pa.BinaryArray, odd: Flags, refused: dict[int, Refusal]
    ) -> pa.BinaryArray:
        """Return the values with the odd rows filled in, read one by one."""
        read: list[bytes | None] = []
        for row in map(int, np.flatnonzero(odd)):
            value = wire.read(self._rows.text(batch, row), Format.CSV, self._operation, self._rows.options)
            if isinstance(value, Refusal):
                refused[row] = value
            read.append(None if isinstance(value, Refusal) else value)
        return pc.replace_with_mask(values, pa.array(odd), pa.array(read, pa.binary()))


class _TextRows:
    """Rows of a CSV, split into cells."""

    def __init__(self, operation: Operation, schema: pa.Schema, options: TextOptions) -> None:
        self._names = [name for name in schema.names if name != RAW]
        self.options = options
        self._header = line(self._names, options)
        self._encoder = CsvRows(io.StringIO(self._header, newline=""), operation.input, options).encoder()

    def encode(self, batch: pa.RecordBatch, odd: Flags) -> pa.BinaryArray:
        odd |= np.asarray(batch.column(RAW).is_valid().to_numpy(zero_copy_only=False), np.bool_)
        if self._encoder is None or not batch.num_rows:
            odd[:] = True
            return pa.array([b""] * batch.num_rows, pa.binary())
        values, unfit = self._encoder.encode([pc.fill_null(batch[name], "").to_pylist() for name in self._names])
        odd[unfit] = True
        return pa.array(values, pa.binary())

    def text(self, batch: pa.RecordBatch, row: int) -> bytes:
        raw = batch.column(RAW)[row].as_py()
        cells = [batch[name][row].as_py() or "" for name in self._names]
        return f"{self._header}{line(cells, self.options) if raw is None else raw}".encode(errors="surrogatepass")


class _TypedRows:
    """Rows with typed columns, as of Parquet."""

    def __init__(self, proto: Schema, operation: Operation, schema: pa.Schema, options: TextOptions) -> None:
        naming = Naming(operation, schema, options)
        self.options = naming.options
        self._row = naming.row
        self._shape, self._rows_field = naming.layout.shape, naming.layout.rows_field
        self._is_flat = naming.is_flat
        self._columns = {column.path: column.part.name for column in naming.columns}
        self._leaves = naming.leaves
        self._header = line([leaf.column for leaf in self._leaves], options)
        encoded = descriptor_of(load(_with_presence(proto)).operations[operation.name].input)
        pool: Any = HandlerPool([encoded.file])
        self._handler = pool.get_for_message(encoded)
        named = {path.partition(".")[0] for path in self._columns}
        self._absent = {
            field.name: pa.scalar(float("nan"))
            for field in self._row.fields
            if field.name not in named and not field.is_repeated and not field.has_presence and field.cpp_type in FLOATS
        }

    def encode(self, batch: pa.RecordBatch, odd: Flags) -> pa.BinaryArray:
        count = batch.num_rows
        if not self._is_flat:
            odd[:] = True
            return pa.array([b""] * count, pa.binary())
        arrays, names = convert(self._row, {path: batch[name] for path, name in self._columns.items()}, odd)
        for name, nothing in self._absent.items():
            arrays.append(pa.repeat(nothing, count))
            names.append(name)
        if self._shape == "columns":
            # Each row is a message whose fields hold one value, or the values of a list.
            arrays = [array if pa.types.is_list(array.type) else _singletons(array) for array in arrays]
        if self._rows_field:
            arrays, names = [_singletons(pa.StructArray.from_arrays(arrays, names))], [self._rows_field]
        encoded: pa.BinaryArray = self._handler.record_batch_to_array(pa.RecordBatch.from_arrays(arrays, names))
        return encoded

    def text(self, batch: pa.RecordBatch, row: int) -> bytes:
        cells = []
        for _, path, text in self._leaves:
            value = batch[path[0]][row].as_py()
            for name in path[1:]:
                value = None if value is None else value[name]
            cells.append(text(value))
        return f"{self._header}{line(cells, self.options)}".encode(errors="surrogatepass")


def _with_presence(proto: Schema) -> descriptor_pb2.FileDescriptorSet:
    """Return the descriptor set with `optional` before each number that NaN can stand for: ptars leaves out -0, too."""
    files = descriptor_pb2.FileDescriptorSet()
    files.CopyFrom(proto.files)
    waiting = [message for file in files.file if file.syntax == "proto3" for message in file.message_type]
    while waiting:
        message = waiting.pop()
        waiting.extend(message.nested_type)
        for field in message.field:
            is_single = field.label == field.LABEL_OPTIONAL and not field.HasField("oneof_index")
            if is_single and field.type in (field.TYPE_DOUBLE, field.TYPE_FLOAT) and not message.options.map_entry:
                field.proto3_optional = True
                field.oneof_index = len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field.name}")
    return files


def _singletons(array: pa.Array) -> pa.ListArray:
    """Return lists of one value each."""
    return pa.ListArray.from_arrays(pa.array(np.arange(len(array) + 1, dtype=np.int32)), array)


def line(cells: Sequence[str], options: TextOptions) -> str:
    """Return cells as a line of a CSV."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=options.delimiter, lineterminator="\n").writerow(cells)
    return text.getvalue()
