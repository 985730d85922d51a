"""Decodes requests to the matrix that a model scores, a column at a time: nothing per record that can be per batch.

The shape of an input message is the one in which most of the model's columns are found:

    single   the columns are its own scalar fields: one row a request
    columns  the columns are its own repeated scalar fields, all of one length: a row for each element
    rows     it has a repeated field of row messages (`DataFrame{repeated DataFrameRow rows = 1}`): a row for each

A column's field is looked up, in the row message if there is one, by the first of these rules that matches:

    1. `configuration.columns`: a field, or a path (`customer.age`; `features.age`, where `features` is a map)
    2. the column's name; that name with `_` for what an identifier cannot hold; that name as a path, where it has dots
    3. the key of that name, if the row message has nothing but a map
    4. the only field of that name in the messages nested in the row message; several are reported as a problem

Types that fit:

    numeric      any number, bool, enum (its number), or string (parsed; "" and "NA" are missing)
    categorical  string, enum (the category is the value's name, in any case and with or without the enum's own prefix),
                 an integer or a bool where categories are whole numbers or true/false
    text         string, enum (the value's name)
    whole        any integer, bool, enum (its number), or string (parsed; "" and "NA" are missing)
    vector       a repeated number (in the shapes `single` and `rows`); mistyped if its length is not the model's
    list         a repeated string, enum or integer (in the same shapes)

A missing value is NaN, the model's NA; for a text, a whole number or a vector it is None. Missing are: an absent
`optional` field, alternative of a oneof, message, key of a map or whole column; an empty string, except for a text; a
NaN; an enum's zero whose name ends in UNSPECIFIED. A proto3 scalar without `optional` cannot be missing: 0 is 0. Nor
can a list: it is empty.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from operator import attrgetter
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError, Message

from hotswap.batch import Code, Refusal
from hotswap.codec.fields import Column, descriptor_of
from hotswap.codec.sources import UNKNOWN, FieldSource, find_sources
from hotswap.codec.values import Matrix, Table, join
from hotswap.generation import Configuration, Policy

_SHOWN: Final = 80


class _Lookup(dict[Any, float]):
    """Value -> the category's number; all others are `unlisted`. Known values are looked up entirely in C."""

    def __init__(self, source: FieldSource) -> None:
        super().__init__(source.lookup)
        self._unlisted = source.unlisted

    def __missing__(self, value: Any) -> float:
        return self._unlisted


@dataclass(slots=True)
class DecodedRows:
    """The rows of a batch's requests. `counts` is the number of rows per request; None: one each.

    `positions` are the indices in the batch of the requests that the rows come from; all others are in `refused`.
    """

    table: Table
    positions: Sequence[int]
    counts: npt.NDArray[np.int64] | None
    refused: dict[int, Refusal] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)

    def slices(self) -> list[slice]:
        """Return the rows of each request."""
        counts = repeat(1, len(self.positions)) if self.counts is None else self.counts.tolist()
        slices, end = [], 0
        for count in counts:
            slices.append(slice(end, end + count))
            end += count
        return slices

    def keep(self, requests: Sequence[int]) -> None:
        """Keep only the rows of these requests (indices into `positions`, ascending)."""
        of_request = self.slices()
        self.table = join([self.table.part(slice(0, 0)), *(self.table.part(of_request[index]) for index in requests)])
        self.positions = [self.positions[index] for index in requests]
        if self.counts is not None:
            self.counts = self.counts[list(requests)]


class _Violation(NamedTuple):
    """The values of a column that violate a policy or are replaced by NaN under it."""

    source: FieldSource
    code: Code
    rows: Sequence[int]
    values: Sequence[Any]


class _Read(NamedTuple):
    """The parsed messages of a batch; a source's path starts from each of the `items`."""

    items: list[Message]
    length: int
    counts: npt.NDArray[np.int64] | None


class Decoder:
    """Decodes the requests of one operation to a model's columns, under a generation's policies."""

    def __init__(self, *, message: type[Message], columns: Sequence[Column], configuration: Configuration) -> None:
        """Find each column's field. `problems` has a line for each mismatch; if there are any, do not call decode."""
        match = find_sources(descriptor_of(message), columns, configuration.columns)
        self.problems: Final[Sequence[str]] = match.problems
        self.shape: Final = match.shape
        self.rows_field: Final = match.rows_field
        self.sources: Final[Sequence[FieldSource]] = match.sources
        self.fields: Final[Mapping[str, str]] = match.fields
        self.message: Final = message
        self._width = len(columns)
        self.policies: Final = configuration
        self._numbers = [source for source in match.sources if source.kind == "number" and source.key is None]
        self._mapped = [source for source in match.sources if source.kind == "number" and source.key is not None]
        self._texts = [source for source in match.sources if source.kind == "text"]
        self._lookups = [(source, _Lookup(source)) for source in match.sources if source.kind == "lookup"]
        has_presence = self.shape != "columns"
        self._optional = [
            source
            for source in match.sources
            if has_presence and source.has_presence and source.kind in ("number", "lookup")
        ]
        self._objects = [source for source in match.sources if source.kind == "object"]
        self._defaults = np.array([_default(source) for source in self._optional])
        self._take_numbers = attrgetter(*(source.path for source in self._numbers)) if self._numbers else None

    def decode(self, values: Sequence[bytes]) -> DecodedRows:
        """Decode a batch of requests to rows x columns; a bad request is refused with all of its rows."""
        refused: dict[int, Refusal] = {}
        messages, positions = self._parse(values, refused)
        read, positions = self._take_apart(messages, positions, refused)
        matrix = np.empty((read.length, self._width))
        self._fill_numbers(matrix, read)
        violations = [*self._fill_texts(matrix, read), *self._fill_lookups(matrix, read)]
        self._mark_absent(matrix, read)
        table = Table(matrix, {source.index: self._object(source, read, violations) for source in self._objects})
        if self.policies.missing is Policy.REFUSE:
            violations += self._missing(table)
        rows = DecodedRows(table, positions, read.counts, refused)
        if violations:
            self._apply_policies(rows, violations)
        return rows

    # ---- from bytes to messages to items

    def _parse(self, values: Sequence[bytes], refused: dict[int, Refusal]) -> tuple[list[Message], Sequence[int]]:
        parse = self.message.FromString
        try:
            return list(map(parse, values)), range(len(values))
        except (DecodeError, TypeError):
            pass  # one of them is bad: parse them one at a time to find it
        messages, positions = [], []
        for position, value in enumerate(values):
            try:
                messages.append(parse(value))
                positions.append(position)
            except (DecodeError, TypeError):
                what = "has no value" if value is None else f"({len(value)} bytes) does not parse"
                message = f"the request {what}; it must be a serialized {descriptor_of(self.message).full_name}"
                refused[position] = Refusal(Code.UNDECODABLE, message)
        return messages, positions

    def _take_apart(
        self, messages: list[Message], positions: Sequence[int], refused: dict[int, Refusal]
    ) -> tuple[_Read, Sequence[int]]:
        if self.shape == "single":
            return _Read(messages, len(messages), None), positions
        if self.rows_field:
            groups = list(map(attrgetter(self.rows_field), messages))
            counts = np.fromiter(map(len, groups), np.int64, len(groups))
            items = list(chain.from_iterable(groups))
            return _Read(items, len(items), counts), positions
        lengths = np.array(
            [list(map(len, map(attrgetter(source.path), messages))) for source in self.sources], np.int64
        )
        counts = lengths.max(axis=0, initial=0)
        # A column that is empty while others are not is missing; in a shorter one, the missing rows are not known.
        is_ragged = ((lengths != counts) & (lengths != 0)).any(axis=0)
        for index in np.flatnonzero(is_ragged).tolist():
            lengths_told = ", ".join(
                f"{source.path} has {length}" for source, length in zip(self.sources, lengths[:, index], strict=True)
            )
            message = f"the columns of the request differ in length: {lengths_told}"
            refused[positions[index]] = Refusal(Code.MISSING_FIELD, message)
        good = np.flatnonzero(~is_ragged).tolist()
        read = _Read([messages[index] for index in good], int(counts[good].sum()), counts[good])
        return read, [positions[index] for index in good]

    def _values(self, read: _Read, source: FieldSource, absent: Any) -> Iterable[Any]:
        values = source.values(read.items)
        if self.shape != "columns":
            return values
        counts = [] if read.counts is None else read.counts.tolist()
        return chain.from_iterable(
            column or repeat(absent, count) for column, count in zip(values, counts, strict=True)
        )

    # ---- from items to columns

    def _fill_numbers(self, matrix: Matrix, read: _Read) -> None:
        if self.shape == "columns":
            for source in self._numbers:
                matrix[:, source.index] = np.fromiter(self._values(read, source, np.nan), np.float64, read.length)
        elif self._take_numbers:
            numbers: Iterable[Any] = map(self._take_numbers, read.items)
            width = len(self._numbers)
            flat = np.fromiter(numbers if width == 1 else chain.from_iterable(numbers), np.float64, read.length * width)
            matrix[:, [source.index for source in self._numbers]] = flat.reshape(read.length, width)
        for source in self._mapped:
            values = (np.nan if value is None else value for value in source.values(read.items))
            matrix[:, source.index] = np.fromiter(values, np.float64, read.length)

    def _fill_texts(self, matrix: Matrix, read: _Read) -> Iterable[_Violation]:
        for source in self._texts:
            values = [value or "" for value in self._values(read, source, "")]
            try:
                matrix[:, source.index] = [_number(value) for value in values]
            except ValueError:
                parsed = [_number_or_none(value) for value in values]
                bad = [row for row, number in enumerate(parsed) if number is None]
                # Not NaN, which would mean missing.
                matrix[:, source.index] = [0.0 if number is None else number for number in parsed]
                yield _Violation(source, Code.MISTYPED_FIELD, bad, [values[row] for row in bad])

    def _fill_lookups(self, matrix: Matrix, read: _Read) -> Iterable[_Violation]:
        for source, lookup in self._lookups:
            numbers = map(lookup.__getitem__, self._values(read, source, None))
            matrix[:, source.index] = column = np.fromiter(numbers, np.float64, read.length)
            bad = np.flatnonzero(column == UNKNOWN).tolist()
            if bad:
                # Skip absent values: the default they read as (an enum's 0, a bool's false) may not be a category.
                if source.has_presence and self.shape != "columns":
                    bad = [row for row in bad if not source.is_absent(read.items[row])]
                rows = set(bad)
                values = [value for row, value in enumerate(self._values(read, source, None)) if row in rows]
                yield _Violation(source, Code.UNKNOWN_CATEGORY, bad, values)

    def _mark_absent(self, matrix: Matrix, read: _Read) -> None:
        if not self._optional:
            return
        # An absent field reads as its default: compare all columns at once, and test presence only where they match.
        is_default = matrix[:, [source.index for source in self._optional]] == self._defaults
        for row, place in np.argwhere(is_default).tolist():
            source = self._optional[place]
            if source.is_absent(read.items[row]):
                matrix[row, source.index] = np.nan

    def _object(self, source: FieldSource, read: _Read, violations: list[_Violation]) -> list[Any]:
        """Return a column of objects, None for a missing value."""
        assert source.convert
        values = list(self._values(read, source, None))
        if source.has_presence and self.shape != "columns":
            absent = map(source.is_absent, read.items)
            values = [None if is_absent else value for value, is_absent in zip(values, absent, strict=True)]
        converted: list[Any] = [None] * len(values)
        bad = []
        for row, value in enumerate(values):
            try:
                converted[row] = None if value is None else source.convert(value)
            except ValueError:
                bad.append(row)
        if bad:
            violations.append(_Violation(source, Code.MISTYPED_FIELD, bad, [values[row] for row in bad]))
        return converted

    def _missing(self, table: Table) -> Iterable[_Violation]:
        is_missing = np.isnan(table.matrix)
        for index, values in table.objects.items():
            is_missing[:, index] = [value is None for value in values]
        for source in self.sources:
            rows = np.flatnonzero(is_missing[:, source.index]).tolist()
            if rows:
                yield _Violation(source, Code.MISSING_FIELD, rows, [None] * len(rows))

    # ---- policies

    def _apply_policies(self, rows: DecodedRows, violations: Sequence[_Violation]) -> None:
        policies = {
            Code.MISSING_FIELD: self.policies.missing,
            Code.MISTYPED_FIELD: self.policies.mistyped,
            Code.UNKNOWN_CATEGORY: self.policies.unknown_category,
        }
        to_refuse: list[tuple[int, int, _Violation, Any]] = []
        for violation in violations:
            source, code, at, values = violation
            if policies[code] is Policy.REFUSE:
                to_refuse += [(row, source.index, violation, value) for row, value in zip(at, values, strict=True)]
                continue
            rows.table.matrix[at, source.index] = np.nan  # an object is None already
            if code is Code.UNKNOWN_CATEGORY and at:
                rows.unknown[source.column.name] = len(at)
        if to_refuse:
            self._refuse(rows, to_refuse)

    def _refuse(self, rows: DecodedRows, to_refuse: list[tuple[int, int, _Violation, Any]]) -> None:
        starts = [part.start for part in rows.slices()]
        ends = np.array([part.stop for part in rows.slices()])
        bad: dict[int, Refusal] = {}
        for row, _, violation, value in sorted(to_refuse, key=lambda entry: entry[:2]):
            request = int(np.searchsorted(ends, row, side="right"))
            if request not in bad:  # report only the first violation of a request
                bad[request] = Refusal(violation.code, _explain(violation, row - starts[request], value))
        rows.refused.update({rows.positions[request]: refusal for request, refusal in bad.items()})
        rows.keep([request for request in range(len(rows.positions)) if request not in bad])


def _default(source: FieldSource) -> float:
    """Return the number in the matrix that an absent field of this source reads as."""
    value = source.leaf.default_value
    return float(value if source.kind == "number" else source.lookup.get(value, source.unlisted))


def _number(text: str) -> float:
    # float() alone would accept 1_000 and reject the empty string.
    if "_" in text:
        raise ValueError(text)
    return float(text) if text and text != "NA" else np.nan


def _number_or_none(text: str) -> float | None:
    try:
        return _number(text)
    except ValueError:
        return None


def _explain(violation: _Violation, row: int, value: Any) -> str:
    source, code, *_ = violation
    place = f"row {row}, field `{source.path}`"
    shown = value[:_SHOWN] + "…" if isinstance(value, str) and len(value) > _SHOWN else value
    if code is Code.MISSING_FIELD:
        return f"{place}: there is no value, but column `{source.column.name}` must not be missing"
    if code is Code.MISTYPED_FIELD and source.column.type == "vector":
        return f"{place}: it has {len(value):,} numbers, but column `{source.column.name}` is {source.column.kind}"
    if code is Code.MISTYPED_FIELD:
        return f"{place}: {shown!r} is not a number, but column `{source.column.name}` is {source.column.kind}"
    return f"{place}: {shown!r} is not one of the categories of column `{source.column.name}` ({source.column.kind})"
