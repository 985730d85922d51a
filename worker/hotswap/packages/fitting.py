"""A sample by the names of a proto that is given with it."""

import io
from collections.abc import Collection, Mapping

from hotswap.codec.fields import descriptor_of
from hotswap.codec.proto import Schema
from hotswap.codec.text.layout import Layout
from hotswap.codec.text.names import assign
from hotswap.codec.text.reader import read_rows
from hotswap.generation import Configuration
from hotswap.host.facts import Description
from hotswap.packages.sample import Sample


def renamed(sample: Sample, schema: Schema, configuration: Configuration, described: Description | None) -> str:
    """Return the sample with the names of a given proto; a column that fills no field keeps its name."""
    operation = next(iter(schema.operations.values()))
    columns = configuration.table(described.fields.get(operation.name) if described else None).columns
    sample = sample.called_by(dict(columns))
    header = [part.name for part in sample.fields]
    filled = assign(descriptor_of(Layout(operation.input, header, columns).row), header, columns)
    return sample.as_csv({name: filled.paths.get(name, name) for name in header if name not in filled.passed_over})


def unfilled(samples: str, schema: Schema, reads: Mapping[str, Collection[str]]) -> list[str]:
    """Return the fields that the first operation's model reads, and no column of the samples fills."""
    name, operation = next(iter(schema.operations.items()))
    return read_rows(io.StringIO(samples, newline=""), "csv", operation.input).watch(list(reads.get(name, ())))
