"""What the lake is scored with: a package of each kind, rows for it in Parquet files, and their requests."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from harness.fleet import EXAMPLES
from harness.lab import TESTS
from harness.lake import Packed, pack
from harness.spark_lab import MODELS, proto_of, read_rows
from hotswap.generation import Configuration, Policy, frozen

FILES = 40
_NUMBERS = b"""
syntax = "proto3";
message Row { double a = 1; double b = 2; }
message Number { double value = 1; }
service S { rpc sum(Row) returns (Number); }
"""


@dataclass(frozen=True)
class Lake:
    """A package, and how to make rows for it: a table of so many, whose numbers vary by chance."""

    pack: Callable[[Path], Packed]
    table: Callable[[int, np.random.Generator], pa.Table]


def _mojo(folder):
    proto = (EXAMPLES / "protos" / "gbm_50x5.proto").read_bytes()
    strict = Configuration(unknown_category=Policy.REFUSE)
    return pack(folder, "h2o", EXAMPLES / "models" / "gbm_50x5.zip", proto, strict)


def _flowers(count, chance):
    given = csv.read_csv(EXAMPLES / "data" / "gbm_50x5.csv").drop_columns(["response"])
    table = given.take(pa.array(chance.integers(0, len(given), count)))
    colors = np.asarray(table["color"].to_pylist(), object)
    colors[chance.random(count) < 0.001] = "plaid"
    at = table.schema.get_field_index("color")
    return _shaken(table.set_column(at, "color", pa.array(colors, pa.string())), chance)


def _jar(folder):
    runtime = frozen({"class": "numbers.Numbers"})
    return pack(folder, "java", TESTS / "jars" / "numbers.jar", _NUMBERS, Configuration(runtime=runtime))


def _pairs(count, chance):
    return pa.table({name: chance.integers(0, 1000, count).astype(float) for name in "ab"})


def _pipeline(folder):
    proto = proto_of(read_rows("churn", "input"), read_rows("churn", "pred"))
    return pack(folder, "spark", MODELS / "churn.zip", proto, Configuration(missing=Policy.REFUSE))


def _customers(count, chance):
    given = pa.Table.from_pylist(read_rows("churn", "input"))
    table = _shaken(given.take(pa.array(chance.integers(0, len(given), count))), chance)
    ages = pa.array(table["age"].to_numpy(), mask=chance.random(count) < 0.001)  # which are refused as missing
    return table.set_column(table.schema.get_field_index("age"), "age", ages)


def _shaken(table, chance):
    """Return the table with each number a little changed, so that hardly two rows are alike."""
    for at, name in enumerate(table.column_names):
        if pa.types.is_floating(table[name].type):
            factor = pa.array(1 + 0.01 * chance.random(len(table)))
            table = table.set_column(at, name, pa.compute.multiply(table[name].combine_chunks(), factor))
    return table


LAKES = {"mojo": Lake(_mojo, _flowers), "jar": Lake(_jar, _pairs), "spark": Lake(_pipeline, _customers)}


def write(kind, count, folder, seed):
    """Write so many rows, each with its number in the column `id`, and return a table of them."""
    table = LAKES[kind].table(count, np.random.default_rng(seed))
    table = table.append_column("id", pa.array(np.arange(count)))
    folder.mkdir(parents=True)
    size = -(-count // FILES)
    for number in range(FILES):
        parquet.write_table(table.slice(number * size, size), folder / f"{number:03d}.parquet")
    return table


def requests(table, ids, operation):
    """Return the requests for these rows, as a publisher makes them."""
    fields = operation.input.DESCRIPTOR.fields_by_name
    rows = table.take(pa.array(ids)).to_pylist()
    return [
        operation.input(**{name: value for name, value in row.items() if name in fields and value is not None})
        for row in rows
    ]
