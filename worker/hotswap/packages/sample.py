"""Detects the types of a CSV's columns from all of its rows, for the proto of a model that has no type information."""

import csv
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from hotswap.codec.text.file import open_table
from hotswap.errors import UsageError
from hotswap.generation import TextOptions
from hotswap.packages.draft import Field

SAMPLES: Final = 100
"""The most rows that are kept as samples: they go into every swap command."""

_WHOLE: Final = re.compile(r"[+-]?(0|[1-9]\d{0,18})", re.ASCII)  # 007 is a name made of digits
_NUMBER: Final = re.compile(r"[+-]?(0|[1-9]\d*|(?=\.\d))(\.\d*)?([eE][+-]?\d+)?", re.ASCII)
_INT64: Final = range(-(1 << 63), 1 << 63)
_TRUTHS: Final = {"true", "false"}
_DDL: Final = {"bool": "BOOLEAN", "int64": "BIGINT", "double": "DOUBLE", "string": "STRING"}


@dataclass(slots=True)
class _Type:
    """The common properties of a column's cells so far."""

    is_truth: bool = True
    is_whole: bool = True
    is_number: bool = True
    is_empty: bool = True
    has_gaps: bool = False

    def take(self, text: str) -> None:
        self.is_empty = False
        self.is_truth = self.is_truth and text.lower() in _TRUTHS
        self.is_whole = self.is_whole and bool(_WHOLE.fullmatch(text)) and int(text) in _INT64
        self.is_number = self.is_number and bool(_NUMBER.fullmatch(text)) and math.isfinite(float(text))

    def __str__(self) -> str:
        types = (("bool", self.is_truth), ("int64", self.is_whole), ("double", self.is_number))
        name = "string" if self.is_empty else next((name for name, fits in types if fits), "string")
        return f"optional {name}" if self.has_gaps or self.is_empty else name


@dataclass(slots=True)
class Sample:
    """The content of a CSV: its columns with their types, and its first rows; an empty string is a missing value."""

    fields: list[Field]
    rows: list[Sequence[str]] = field(default_factory=list)
    header: Sequence[str] = ()
    """The columns as the CSV has them: `fields` are called the same, without spaces around it."""
    most: int = SAMPLES
    """How many rows are kept."""

    def called_by(self, columns: Collection[str]) -> "Sample":
        """Return the same with the spaces around the names that these columns have."""
        names = [whole if whole in columns else part.name for whole, part in zip(self.header, self.fields, strict=True)]
        return replace(self, fields=[part._replace(name=name) for part, name in zip(self.fields, names, strict=True)])

    @property
    def schema(self) -> str:
        """The columns and their types as Spark's DDL."""
        return ", ".join(f"`{part.name.replace('`', '``')}` {_DDL[part.type.split()[-1]]}" for part in self.fields)

    def as_csv(self, names: Mapping[str, str]) -> str:
        """Return the first rows as CSV, with only the columns of `names`, under the names there."""
        kept = [(place, names[part.name]) for place, part in enumerate(self.fields) if part.name in names]
        lines = [[name for _, name in kept], *([row[place] for place, _ in kept] for row in self.rows)]
        return "".join(",".join(map(_quoted, line)) + "\n" for line in lines)


def open_sample(path: Path, options: TextOptions, most: int = SAMPLES) -> Sample:
    """Read a whole CSV file, and keep its first rows. Raises UsageError: it cannot be read, or as `read_sample`."""
    try:
        with open_table(path, name=f"sample {path}", errors="strict") as (lines, _):
            return read_sample(lines, str(path), options, most)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"sample {path} cannot be read: {error}") from error


def read_sample(lines: Iterable[str], name: str, options: TextOptions, most: int = SAMPLES) -> Sample:
    """Read a whole CSV; errors call it `name`.

    Raises:
        UsageError: it has no header or no rows, two columns of the same name, or a row of a different length.

    """
    reader = csv.reader(lines, delimiter=options.delimiter, strict=True)
    try:
        whole = next(reader, [])
        header = [column.strip() for column in whole]
        if len(set(header)) < len(header):  # two may differ by the spaces alone
            header = whole
        if not header or len(set(header)) < len(header):
            raise UsageError(f"sample {name}: its first line must be a header that names each column once")
        types = [_Type() for _ in header]
        sample = Sample([], header=whole, most=most)
        is_narrow = len(header) == 1  # an empty line is then a row whose only value is missing
        for number, row in enumerate((row for row in reader if row or is_narrow), 1):
            _take(row or [""], number, types, sample, name, options)
    except csv.Error as error:
        raise UsageError(f"sample {name}: line {reader.line_num} is not valid CSV: {error}") from error
    if not sample.rows:
        raise UsageError(
            f"sample {name} has no rows below its header, so the types of its columns are unknown: add rows"
        )
    sample.fields = [Field(column, str(kind)) for column, kind in zip(header, types, strict=True)]
    return sample


def _take(row: list[str], number: int, types: list[_Type], sample: Sample, name: str, options: TextOptions) -> None:
    if len(row) != len(types):
        raise UsageError(f"sample {name}: row {number} has {len(row)} cells, but the header names {len(types)}")
    texts = ["" if text in options.missing else text.strip() for text in row]
    for kind, text in zip(types, texts, strict=True):
        if text:
            kind.take(text)
        else:
            kind.has_gaps = True
    if len(sample.rows) < sample.most:
        sample.rows.append(texts)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if re.search(r'[",\r\n]', text) else text
