"""Record batches of predictions that are alike, column by column (numpy) instead of record by record.

The records of a *run* differ in the bytes of a few columns only: key, value, offset delta, and the last digits of the
header `source`. A run ends where the length of the offset delta, or of the offset, changes. Within it, rows whose keys
and values have the same lengths have records of the same length, and are written together.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from hotswap.batch import Alike, RecordBatch, Stamp
from hotswap.recordbatch.header import SEQUENCES, SIZE, TRANSACTIONAL, Header
from hotswap.recordbatch.writer import Crc32c, finish, record_field, record_headers, zigzag

_Bytes: TypeAlias = npt.NDArray[np.uint8]
_Numbers: TypeAlias = npt.NDArray[np.int64]

_DELTA_BYTES: Final = (1 << 6, 1 << 13, 1 << 20, 1 << 27)
"""From these offset deltas on, one takes another byte."""
_LOW: Final = 10_000
_MORE_DIGITS: Final = (10, 100, 1_000)
"""From these offsets on, below 10,000, one has another digit."""
_DIGITS: Final = np.array([list(b"%04d" % number) for number in range(_LOW)], np.uint8)
_FEW: Final = 256
"""Fewer predictions than this are made faster one by one."""
_LENGTHS: Final = 64
"""As many different pairs of lengths, of key and value, at most: each is a pass over the rows."""
_SHORT: Final = 256
"""Keys and values of different lengths may have as many bytes at most: to gather them takes eight times the memory."""
_MOST_BESIDE: Final = 64
"""Bytes of a record beside its key, its value and its headers, at most."""


class _Strings:
    """Byte strings joined, any of which may be null."""

    def __init__(self, lengths: _Numbers, joined: bytes | memoryview) -> None:
        self.lengths = lengths
        """-1: null."""
        self._joined = np.frombuffer(joined, np.uint8)
        sizes = np.maximum(lengths, 0)
        self._begins = np.cumsum(sizes) - sizes

    def table(self, rows: _Numbers, length: int, *, are_all: bool) -> _Bytes:
        """Return the strings of some rows, all of this length; `are_all`: of the rows from the first to the last."""
        begins = self._begins[rows]
        if are_all:
            return self._joined[begins[0] : begins[0] + len(rows) * length].reshape(len(rows), length)
        return self._joined[begins[:, np.newaxis] + np.arange(length)]


class _Columns(NamedTuple):
    """Predictions by their columns."""

    keys: _Strings
    values: _Strings
    offsets: _Numbers
    headers: bytes
    """Their number, and the headers before the value of `source`, encoded."""
    place: bytes


def record_batches(alike: Alike, stamp: Stamp, now_ms: int, crc32c: Crc32c) -> Sequence[RecordBatch] | None:
    """Return finished record batches; None: there are too few predictions, or their lengths differ too much."""
    if len(alike.keys) < _FEW:
        return None
    columns = _columns(alike)
    keys, values = columns.keys.lengths, columns.values.lengths
    if not (_is_constant(keys) and _is_constant(values)) and (
        keys.max() > _SHORT or values.max() > _SHORT or len(_pairs(keys, values)[1]) > _LENGTHS
    ):
        return None
    beside = _MOST_BESIDE + len(columns.headers) + len(columns.place)
    ends = np.cumsum(np.maximum(keys, 0) + values + beside)
    attributes = TRANSACTIONAL if stamp.is_transactional else 0
    batches, begin, sequence = list[RecordBatch](), 0, stamp.sequence
    while begin < len(alike.keys):
        full = (ends[begin - 1] if begin else 0) + stamp.max_bytes - SIZE
        end = max(int(np.searchsorted(ends, full, "right")), begin + 1)
        batch = bytearray().join([bytes(SIZE), *_records(columns, begin, end)])
        producer = stamp.producer_id, stamp.producer_epoch, sequence
        finish(batch, Header.produced(end - begin, producer, attributes=attributes, at_ms=now_ms), crc32c)
        batches.append(RecordBatch(memoryview(batch), end - begin))
        begin, sequence = end, (sequence + end - begin) % SEQUENCES
    return batches


def _columns(alike: Alike) -> _Columns:
    count = len(alike.keys)
    if alike.keys.count(None) == count:
        keys = _Strings(np.full(count, -1, np.int64), b"")
    else:
        lengths = [-1 if key is None else len(key) for key in alike.keys]
        keys = _Strings(np.array(lengths, np.int64), b"".join(filter(None, alike.keys)))
    buffer = memoryview(alike.values.buffer)
    values = _Strings(np.frombuffer(buffer, "<u4", count, 4).astype(np.int64), buffer[4 * (count + 1) :])
    encoded = zigzag(len(alike.headers) + 1) + record_headers(alike.headers) + record_field(b"source")
    sources = alike.offsets
    offsets = np.arange(sources.start, sources.stop) if isinstance(sources, range) else np.array(sources, np.int64)
    return _Columns(keys, values, offsets, encoded, alike.place)


def _is_constant(numbers: _Numbers) -> bool:
    return bool((numbers == numbers[0]).all())


def _pairs(keys: _Numbers, values: _Numbers) -> tuple[_Numbers, list[int]]:
    """Number the pairs of lengths, none of which is above _SHORT: return each row's number, and the numbers there are.

    Counting is five times as fast as np.unique, which sorts.
    """
    least = values.min()
    numbers = (keys - keys.min()) * (values.max() - least + 1) + values - least
    return numbers, np.flatnonzero(np.bincount(numbers)).tolist()


def _records(columns: _Columns, begin: int, end: int) -> Iterator[bytes | memoryview]:
    """Yield the records of a batch, of predictions `begin` to `end`."""
    offsets, count = columns.offsets[begin:end], end - begin
    longer = np.searchsorted(offsets, _MORE_DIGITS).tolist()
    higher = (np.flatnonzero(np.diff(offsets // _LOW)) + 1).tolist()
    edges = sorted({0, count, *(edge for edge in (*_DELTA_BYTES, *longer, *higher) if edge < count)})
    for first, last in pairwise(edges):
        yield from _run(columns, begin, first, last)


def _run(columns: _Columns, begin: int, first: int, last: int) -> Iterator[bytes | memoryview]:
    """Yield the records with the offset deltas from `first` up to `last`."""
    rows = np.arange(begin + first, begin + last)
    keys, values = columns.keys.lengths[rows], columns.values.lengths[rows]
    if _is_constant(keys) and _is_constant(values):
        yield _table(columns, begin, rows, are_all=True).data.cast("B")
        return
    numbers, pairs = _pairs(keys, values)
    records = np.empty(len(rows), object)
    for pair in pairs:
        places = np.flatnonzero(numbers == pair)
        table = _table(columns, begin, rows[places], are_all=False)
        records[places] = table.view(f"V{table.shape[1]}").ravel().tolist()
    yield b"".join(records.tolist())


def _table(columns: _Columns, begin: int, rows: _Numbers, *, are_all: bool) -> _Bytes:
    """Return the records of some rows of a run, whose keys and values have the same lengths, one in a line."""
    key, value = int(columns.keys.lengths[rows[0]]), int(columns.values.lengths[rows[0]])
    source = columns.place + b"%d" % columns.offsets[rows[0]]
    deltas = rows - begin
    delta = zigzag(int(deltas[0]))
    # Each is (the bytes of the first record, what differs in the others): the template, and the columns to fill in.
    parts: list[tuple[bytes, _Bytes | None]] = [
        (b"\0\0", None),
        (delta, _zigzags(deltas, len(delta))),
        (zigzag(key), None),
        (bytes(max(key, 0)), columns.keys.table(rows, key, are_all=are_all) if key > 0 else None),
        (zigzag(value), None),
        (bytes(value), columns.values.table(rows, value, are_all=are_all) if value else None),
        (columns.headers + record_field(source), None),
    ]
    body = b"".join([part for part, _ in parts])
    at = len(length := zigzag(len(body)))
    table = np.empty((len(rows), at + len(body)), np.uint8)
    table[:] = np.frombuffer(length + body, np.uint8)
    for part, column in parts:
        if column is not None:
            table[:, at : at + len(part)] = column
        at += len(part)
    digits = min(len(source) - len(columns.place), _DIGITS.shape[1])
    table[:, -digits:] = _DIGITS[columns.offsets[rows] % _LOW, -digits:]
    return table


def _zigzags(numbers: _Numbers, length: int) -> _Bytes:
    """Encode numbers, none of them negative, whose zigzag varints have the same length."""
    more = np.array([0x80] * (length - 1) + [0], np.int64)
    return (2 * numbers[:, np.newaxis] >> 7 * np.arange(length) & 0x7F | more).astype(np.uint8)
