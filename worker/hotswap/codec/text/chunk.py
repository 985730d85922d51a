"""Encodes a chunk of a CSV column by column: the bytes that its rows have when they are read one by one.

Only what is plainly good is encoded here. A row with any other cell is odd, and left to the reader of rows, which
alone knows what is wrong with it, if anything.
"""

import math
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from hotswap.codec.fields import descriptor_of, is_alternative
from hotswap.codec.messages import serialize
from hotswap.codec.text.cells import FLOAT_MAX, Cell, is_utf8
from hotswap.codec.text.layout import Layout

Fill: TypeAlias = Callable[[Cell, Message, str], None]
"""Sets a row's field to what a text means. Raises ValueError or TypeError if the text does not fit."""
Flags: TypeAlias = npt.NDArray[np.bool_]

_IN_FLOATS = b"0123456789+-.eE, \t"  # of these characters, float() reads what a cell may be, and nothing else
_WHOLES = re.compile(r"(?:(?:[+-]?[0-9]+(?:\.0+)?)?,)*")
_EXACT = 1 << 53  # as floats, larger whole numbers may not be exact
_RANGES = {
    FieldDescriptor.TYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.TYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.TYPE_INT64: (1 - _EXACT, _EXACT - 1),
    FieldDescriptor.TYPE_UINT64: (0, _EXACT - 1),
}
_LONGEST = 512  # bytes of a cell: each row of the chunk takes the room of the longest
_KEPT = 4_096  # different cells of a column


class _Part(NamedTuple):
    """Some bytes of each row: the first `lengths[row]` of `table[row]`."""

    table: npt.NDArray[np.uint8]
    lengths: npt.NDArray[np.int64]


class _Column(Protocol):
    """Encodes a field of each row; an empty text is a missing value."""

    def encode(self, texts: Sequence[str], odd: Flags) -> Iterator[_Part]:
        """Yield the field's bytes, one part after the other; flag the rows that are odd."""


class ChunkEncoder:
    """Encodes rows of scalar fields, each in a message of its own."""

    def __init__(self, layout: Layout, columns: Sequence[tuple[int, _Column]], missing: Collection[str]) -> None:
        self._columns = columns
        self._missing = dict.fromkeys(missing, "") if len(missing) > 1 else {}
        # A message of one empty row is the row's tag and its length, 0.
        self._tag = serialize(layout.pack([layout.row()]))[:-1] if layout.rows_field else None

    @classmethod
    def of(
        cls,
        layout: Layout,
        cells: Sequence[Cell | None],
        absent: Sequence[Cell],
        missing: Collection[str],
        fill: Fill,
    ) -> Self | None:
        """Return the encoder for a header's cells; None if its rows are to be read one by one.

        `absent` are the numbers that no column fills, and that are missing in each row.
        """
        used = [(at, cell) for at, cell in enumerate(cells) if cell]
        is_simple = all(cell.is_plain and not is_alternative(cell.field) for _, cell in used)
        if "" not in missing or not is_simple or any(part.is_required for part in descriptor_of(layout.row).fields):
            return None
        columns = {cell.field.number: (at, _column(layout, cell, fill)) for at, cell in used}
        columns |= {cell.field.number: (0, _Same(_one(layout.row(), cell, "", fill))) for cell in absent}
        return cls(layout, [column for _, column in sorted(columns.items())], missing)

    def encode(self, columns: Sequence[Sequence[str]]) -> tuple[list[bytes], list[int]]:
        """Return a serialized input message for each row of these columns, and which rows are odd (theirs is void)."""
        count = len(columns[0])
        odd = np.zeros(count, np.bool_)
        parts = [part for at, column in self._columns for part in column.encode(self._texts(columns[at]), odd)]
        if self._tag is not None:
            size = _varints(np.sum([part.lengths for part in parts], axis=0, dtype=np.uint64))
            parts = [_repeated(self._tag, np.ones(count, np.bool_)), size, *parts]
        lengths = np.stack([part.lengths for part in parts], axis=1).astype(np.uint16)
        widths = [part.table.shape[1] for part in parts]
        place = np.concatenate([np.arange(width, dtype=np.uint16) for width in widths])
        is_used = place < lengths[:, np.repeat(np.arange(len(parts)), widths)]
        joined = np.hstack([part.table for part in parts])[is_used].tobytes()
        ends = np.cumsum(lengths.sum(axis=1, dtype=np.int64)).tolist()
        return [joined[begin:end] for begin, end in pairwise([0, *ends])], np.flatnonzero(odd).tolist()

    def _texts(self, texts: Sequence[str]) -> Sequence[str]:
        return list(map(self._missing.get, texts, texts)) if self._missing else texts


def _column(layout: Layout, cell: Cell, fill: Fill) -> _Column:
    def serialized(value: Any) -> bytes:
        return serialize(layout.row(**{cell.field.name: value}))

    if cell.is_float:
        return _Floats(cell, serialized(1.0))
    if cell.field.type in _RANGES:
        return _Wholes(cell, serialized(1))
    if cell.field.type == FieldDescriptor.TYPE_STRING:
        return _Texts(serialized("x"))
    return _Others(lambda text: _one(layout.row(), cell, text, fill))


def _one(row: Message, cell: Cell, text: str, fill: Fill) -> bytes:
    fill(cell, row, text)
    return serialize(row)


class _Same:
    """A field that has the same value in each row."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def encode(self, texts: Sequence[str], odd: Flags) -> Iterator[_Part]:  # noqa: ARG002 - as a _Column
        yield _repeated(self._content, np.ones(len(texts), np.bool_))


class _Floats:
    def __init__(self, cell: Cell, one: bytes) -> None:
        self._cell = cell
        self._type = np.dtype("<f8" if cell.field.type == FieldDescriptor.TYPE_DOUBLE else "<f4")
        self._most = math.inf if cell.field.type == FieldDescriptor.TYPE_DOUBLE else np.nextafter(FLOAT_MAX, math.inf)
        self._tag = one[: -self._type.itemsize]

    def encode(self, texts: Sequence[str], odd: Flags) -> Iterator[_Part]:
        numbers = _numbers(self._cell, texts, lambda joined: not joined.encode().translate(None, _IN_FLOATS))
        odd |= np.abs(numbers) >= self._most
        with np.errstate(over="ignore"):
            values = numbers.astype(self._type).view(np.uint8).reshape(len(texts), -1)
        is_there = ~np.isnan(numbers) if self._cell.field.has_presence else values.any(axis=1)
        tags = np.tile(np.frombuffer(self._tag, np.uint8), (len(texts), 1))
        yield _Part(np.hstack([tags, values]), np.where(is_there, len(self._tag) + self._type.itemsize, 0))


class _Wholes:
    def __init__(self, cell: Cell, one: bytes) -> None:
        self._cell = cell
        self._least, self._most = _RANGES[cell.field.type]
        self._tag = one[:-1]

    def encode(self, texts: Sequence[str], odd: Flags) -> Iterator[_Part]:
        numbers = _numbers(self._cell, texts, lambda joined: bool(_WHOLES.fullmatch(joined + ",")))
        is_fit = (numbers >= self._least) & (numbers <= self._most)
        values = np.where(is_fit, numbers, 0).astype(np.int64)
        if self._cell.field.has_presence:
            odd |= ~(is_fit | np.isnan(numbers))
            is_there = is_fit
        else:
            odd |= ~is_fit
            is_there = values != 0
        yield _repeated(self._tag, is_there)
        table, lengths = _varints(values.view(np.uint64))
        yield _Part(table, lengths * is_there)


class _Texts:
    def __init__(self, one: bytes) -> None:
        self._tag = one[: -len("?x")]

    def encode(self, texts: Sequence[str], odd: Flags) -> Iterator[_Part]:
        values: list[Any] = list(texts)
        if not "".join(texts).isascii():
            values = [text.encode(errors="surrogatepass") for text in texts]
            odd |= [not is_utf8(text) for text in texts]
        content = _ragged(values, odd)
        is_there = content.lengths > 0
        yield _repeated(self._tag, is_there)
        table, lengths = _varints(content.lengths.astype(np.uint64))
        yield _Part(table, lengths * is_there)
        yield content


class _Others(dict[str, bytes]):
    """Fields of all other types: each different text is encoded once."""

    def __init__(self, encode: Callable[[str], bytes]) -> None:
        super().__init__()
        self._encode = encode

    def __missing__(self, text: str) -> bytes:
        encoded = self._encode(text)
        if len(self) < _KEPT and len(text) < _LONGEST:
            self[text] = encoded
        return encoded

    def encode(self, texts: Sequence[str], odd: Flags) -> Iterator[_Part]:
        try:
            values = list(map(self.__getitem__, texts))
        except (ValueError, TypeError):
            values = [self._encoded(row, text, odd) for row, text in enumerate(texts)]
        yield _ragged(values, odd)

    def _encoded(self, row: int, text: str, odd: Flags) -> bytes:
        try:
            return self[text]
        except (ValueError, TypeError):
            odd[row] = True
            return b""


def _numbers(cell: Cell, texts: Sequence[str], is_plain: Callable[[str], bool]) -> npt.NDArray[np.float64]:
    """Return the numbers of the texts: NaN for a missing one, infinity for an odd or too large one."""
    try:
        if is_plain(",".join(texts)):
            return np.fromiter(map(float, [text or "nan" for text in texts]), np.float64, len(texts))
    except ValueError:
        pass  # parse one at a time
    return np.fromiter((_number(cell, text) for text in texts), np.float64, len(texts))


def _number(cell: Cell, text: str) -> float:
    if not text:
        return math.nan
    try:
        number = float(cell.parse(text))
    except (ValueError, OverflowError):
        return math.inf
    return number if math.isfinite(number) else math.inf


def _repeated(content: bytes, is_there: Flags) -> _Part:
    """Return the same bytes for each row that has them."""
    table = np.tile(np.frombuffer(content, np.uint8), (len(is_there), 1))
    return _Part(table, is_there * len(content))


def _ragged(values: Sequence[str] | Sequence[bytes], odd: Flags) -> _Part:
    """Return the values as they are; those that are too long make their rows odd."""
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    if lengths.max() > _LONGEST:
        odd |= lengths > _LONGEST
        values = [value if len(value) <= _LONGEST else value[:0] for value in values]  # type: ignore[assignment]
        lengths[lengths > _LONGEST] = 0
    table = np.array(values, dtype=f"S{max(lengths.max(), 1)}").view(np.uint8).reshape(len(values), -1)
    return _Part(table, lengths)


def _varints(numbers: npt.NDArray[np.uint64]) -> _Part:
    """Encode each number as a varint."""
    width = max((int(numbers.max()).bit_length() + 6) // 7, 1)
    groups = numbers[:, None] >> np.arange(0, 7 * width, 7, dtype=np.uint64)
    lengths = np.maximum((groups > 0).sum(axis=1), 1)
    table = (groups & np.uint64(0x7F)).astype(np.uint8)
    table[np.arange(width) < lengths[:, None] - 1] |= 0x80
    return _Part(table, lengths)
