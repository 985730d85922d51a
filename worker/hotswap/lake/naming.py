"""The mapping of a table's typed columns to fields, by the rule of codec/text/names.py."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pyarrow as pa
from google.protobuf.descriptor import Descriptor

from hotswap.codec.fields import descriptor_of
from hotswap.codec.proto import Operation
from hotswap.codec.text.cells import find_cell
from hotswap.codec.text.layout import Layout
from hotswap.codec.text.names import assign, trimmed
from hotswap.errors import UsageError
from hotswap.generation import TextOptions
from hotswap.lake.columns import ColumnMisfit, Leaf, fits, leaf_of, leaves, misfits


class NamedColumn(NamedTuple):
    """A column of the table, and the path of the field that it fills."""

    part: pa.Field
    path: str


class Naming:
    """The columns of an operation's table that fill fields, and those that do not.

    `options` are those of the CSV equivalent to the table's `leaves`.
    """

    def __init__(self, operation: Operation, schema: pa.Schema, options: TextOptions) -> None:
        """Raise UsageError if two columns have the same name, or two of the model's fill the same field."""
        names = trimmed(schema.names, options.columns)
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise UsageError(f"the input has columns {', '.join(twice)} twice, ignoring spaces around their names")
        self.layout = Layout(operation.input, names, options.columns)
        self.row: Descriptor = descriptor_of(self.layout.row)
        filled = assign(self.row, names, options.columns, self._find)
        parts = dict(zip(names, schema, strict=True))
        self.columns = [NamedColumn(parts[name], path) for name, path in filled.paths.items()]
        self.unknown = [name for name in names if name not in filled.paths and name not in filled.passed_over]
        self.notes = list(filled.notes().values())
        pairs = [(leaf, path) for column in self.columns for leaf, path in self._leaves(column)]
        if len({leaf.column for leaf, _ in pairs}) < len(pairs):  # `a.b`, and `b` of a struct `a`
            pairs = [(leaf._replace(column=path), path) for leaf, path in pairs]
        self.leaves = [leaf for leaf, _ in pairs]
        self.options = replace(options, columns=tuple((leaf.column, path) for leaf, path in pairs))

    @property
    def is_flat(self) -> bool:
        """Whether each column fills a top-level field of the row (a struct: a message)."""
        return all(self._is_own(column) for column in self.columns)

    def misfits(self) -> Iterator[ColumnMisfit]:
        """Yield the columns whose types cannot fill their fields."""
        for part, path in self.columns:
            if self._is_own(NamedColumn(part, path)):
                for one in misfits(self.row, pa.schema([part.with_name(path)])):
                    yield one._replace(column=part.name + one.column.removeprefix(path))
            elif misfit := fits(self._field(path), part, path):
                yield misfit

    def _find(self, name: str) -> str | None:
        return name if name in self.row.fields_by_name or find_cell(self.row, name) else None

    def _is_own(self, column: NamedColumn) -> bool:
        return column.path in self.row.fields_by_name

    def _field(self, path: str) -> Any:
        cell = find_cell(self.row, path)
        assert cell
        return cell.field if cell.key is None else cell.field.message_type.fields_by_name["value"]

    def _leaves(self, column: NamedColumn) -> Sequence[tuple[Leaf, str]]:
        part, path = column
        if not self._is_own(column):
            return [(leaf_of(self._field(path), part.name), path)]
        return [
            (Leaf(".".join((part.name, *leaf.path[1:])), (part.name, *leaf.path[1:]), leaf.text), leaf.column)
            for leaf in leaves(self.row, pa.schema([part.with_name(path)]))
        ]
