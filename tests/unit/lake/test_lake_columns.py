"""Which columns fill which fields, which of their values do not, and what a value is in a CSV; without Spark."""

import importlib
import math
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from hotswap.codec.fields import descriptor_of
from hotswap.codec.proto import compile as compile_proto

pytestmark = pytest.mark.spark

PROTO = b"""
syntax = "proto3";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
enum Color { COLOR_UNSPECIFIED = 0; COLOR_RED = 1; }
message Inner { optional double z = 1; }
message Row {
  double d = 1; optional double od = 2; float f = 3; int32 i = 4; optional int64 oi = 5; uint32 u = 6; bool b = 7;
  string s = 8; bytes raw = 9; Color color = 10; google.protobuf.Timestamp at = 11;
  google.protobuf.Int32Value wrapped = 12; repeated int32 many = 13; map<string, double> map = 14;
  Inner inner = 15; repeated Inner inners = 16;
}
service S { rpc f(Row) returns (Row); }
"""
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def pa():
    return importlib.import_module("pyarrow")


@pytest.fixture
def columns():
    return importlib.import_module("hotswap.lake.columns")


@pytest.fixture(scope="module")
def row():
    return descriptor_of(compile_proto(PROTO).operations["f"].input)


KINDS = {
    "a number": ("d", "f", "i", "oi", "u"),
    "a flag": ("b",),
    "a text": ("s", "color"),
    "bytes": ("raw",),
    "a time": ("at",),
    "numbers": ("many",),
    "a struct": ("inner",),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_fills_the_fields_of_its_type(pa, columns, row, kind):
    type_ = {
        "a number": pa.decimal128(9, 2),
        "a flag": pa.bool_(),
        "a text": pa.string(),
        "bytes": pa.binary(),
        "a time": pa.timestamp("us"),
        "numbers": pa.list_(pa.int64()),
        "a struct": pa.struct([("z", pa.float32())]),
    }[kind]
    names = [field.name for field in row.fields if field.name not in ("od", "wrapped")]
    wrong = {one.column for one in columns.misfits(row, pa.schema([(name, type_) for name in names]))}
    assert {*names} - wrong == {*KINDS[kind]}


def test_a_misfit_says_where_it_is_in_which_message(pa, columns, row):
    schema = pa.schema([("inner", pa.struct([("z", pa.string()), ("unknown", pa.string())])), ("nothing", pa.int8())])
    assert [str(one) for one in columns.misfits(row, schema)] == [
        "column inner.z (string) cannot fill the field inner.z (double)"
    ]


@pytest.mark.parametrize(
    ("name", "kind", "values", "odd"),
    [
        ("d", "float64", [0.0, None, math.nan, math.inf], []),
        ("f", "float64", [3.4e38, 3.5e38, math.inf, -3.5e38], [1, 3]),
        ("i", "int64", [-(1 << 31), 1 << 31, None], [1, 2]),
        ("oi", "int64", [-(1 << 63), None], []),
        ("i", "float64", [5.0, 5.5, math.nan, 2.0**31], [1, 3]),
        ("u", "int64", [-1, 0, 1 << 32], [0, 2]),
        ("b", "bool_", [True, None], [1]),
        ("s", "string", ["", None], []),
        ("color", "string", ["COLOR_RED", "red", "plaid", None], [2]),
        ("wrapped", "int64", [1 << 31, None], [0]),
    ],
)
def test_a_value_that_its_field_cannot_hold_makes_its_row_odd(pa, columns, row, name, kind, values, odd):
    flags = importlib.import_module("numpy").zeros(len(values), bool)
    columns.convert(row, {name: pa.array(values, getattr(pa, kind)())}, flags)
    assert flags.nonzero()[0].tolist() == odd


def test_a_list_is_odd_where_one_of_its_values_is(pa, columns, row):
    flags = importlib.import_module("numpy").zeros(4, bool)
    lists = pa.array([[1, 2], [], [3, None], None], pa.list_(pa.int64()))
    (found,), names = columns.convert(row, {"many": lists}, flags)
    assert (names, flags.tolist(), found.to_pylist()) == (
        ["many"],
        [False, False, True, False],
        [[1, 2], [], [3, 0], []],
    )


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("d", 1.5, "1.5"),
        ("d", None, ""),
        ("d", math.nan, "nan"),
        ("i", math.nan, ""),
        ("i", Decimal(5), "5"),
        ("b", True, "true"),
        ("raw", b"\xff\0", "/wA="),
        ("at", AT, "2026-01-02T03:04:05+00:00"),
        ("at", date(2026, 1, 2), "2026-01-02"),
        ("many", [1, None], '["1", null]'),
        ("many", None, ""),
    ],
)
def test_a_value_has_a_cell_of_a_csv_that_says_the_same(columns, row, name, value, text):
    assert columns.leaf_of(row.fields_by_name[name], name).text(value) == text


def test_a_struct_has_a_cell_for_each_of_its_fields(pa, columns, row):
    schema = pa.schema([("d", pa.int8()), ("inner", pa.struct([("z", pa.int8()), ("unknown", pa.int8())]))])
    found = [(leaf.column, leaf.path) for leaf in columns.leaves(row, schema)]
    assert found == [("d", ("d",)), ("inner.z", ("inner", "z"))]
