"""Columns become the bytes that protobuf itself writes for the same rows, and answers become columns again."""

import importlib
import math
import random
from datetime import UTC, datetime

import pytest

from hotswap.batch import Code, Refusal
from hotswap.codec.packed import Packed
from hotswap.codec.packed import pack as pack_values
from hotswap.codec.proto import compile as compile_proto
from hotswap.errors import UsageError
from hotswap.generation import TextOptions

pytestmark = pytest.mark.spark

PROTO = b"""
syntax = "proto3";
import "google/protobuf/wrappers.proto";
import "google/protobuf/timestamp.proto";
enum Color { COLOR_UNSPECIFIED = 0; COLOR_RED = 1; }
message Inner { double z = 1; optional string w = 2; }
message Row {
  double b = 2;
  optional double a = 1;
  int32 c = 3;
  string d = 4;
  Color color = 5;
  optional Color other = 6;
  Inner inner = 8;
  google.protobuf.DoubleValue wrapped = 11;
  bytes raw = 12;
  uint64 u = 13;
  float f = 14;
  sint32 s = 15;
  repeated string texts = 17;
  repeated double numbers = 18;
  optional bool flag = 22;
  double absent = 23;
  google.protobuf.Timestamp at = 30;
  double last = 2000;
}
service S { rpc f(Row) returns (Row); }
"""
NAN = math.nan
AT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
VALUES = {
    "b": ("float64", [0.0, -0.0, 1.5, NAN, None]),
    "a": ("float64", [0.0, -0.0, 1.5, NAN, None]),
    "c": ("int64", [1, -1, 0, (1 << 31) - 1, -(1 << 31)]),
    "d": ("string", ["", "é", "x" * 300, 'a,"b"\n', None]),
    "color": ("string", ["COLOR_RED", "red", "COLOR_UNSPECIFIED", None]),
    "other": ("int32", [0, 1, None]),
    "raw": ("binary", [b"", b"\xff\0", None]),
    "u": ("int64", [0, 1 << 62]),
    "f": ("float64", [0.1, 0.0, -0.0, None]),
    "s": ("float64", [1.0, -7.0, 0.0]),
    "wrapped": ("float64", [1.0, None]),
    "flag": ("bool_", [True, False, None]),
    "last": ("int16", [3, 0]),
    "unknown": ("int16", [1]),
}


@pytest.fixture
def pa():
    return importlib.import_module("pyarrow")


@pytest.fixture
def proto():
    return compile_proto(PROTO)


@pytest.fixture
def encoder_of(proto):
    requests = importlib.import_module("hotswap.lake.requests")
    return lambda schema: requests.RequestEncoder(proto, proto.operations["f"], schema, TextOptions(), 900_000)


def rows_by(pa, chance, count):
    columns = {
        name: pa.array([chance.choice(values) for _ in range(count)], getattr(pa, kind)())
        for name, (kind, values) in VALUES.items()
    }
    columns["inner"] = pa.array(
        [chance.choice([{"z": 1.0, "w": None}, {"z": -0.0, "w": ""}, None]) for _ in range(count)],
        pa.struct([("z", pa.float64()), ("w", pa.string())]),
    )
    columns["texts"] = pa.array([chance.choice([[], ["a", ""], None]) for _ in range(count)], pa.list_(pa.string()))
    columns["numbers"] = pa.array([chance.choice([[], [1.0, -0.0, NAN]]) for _ in range(count)], pa.list_(pa.float64()))
    columns["at"] = pa.array([chance.choice([AT, None]) for _ in range(count)], pa.timestamp("us", "UTC"))
    return pa.record_batch(columns)


def message_of(row, proto):
    """Build the message as a publisher does, field by field; without `optional`, NaN is what is missing."""
    message = proto.operations["f"].input(absent=NAN)
    for name, value in row.items():
        if value is None and name in ("b", "f", "last"):
            setattr(message, name, NAN)
        elif value is None or name == "unknown":
            continue
        elif name == "inner":
            message.inner.z = value["z"]
            if value["w"] is not None:
                message.inner.w = value["w"]
        elif name == "wrapped":
            message.wrapped.value = value
        elif name == "at":
            message.at.FromDatetime(value)
        elif isinstance(value, list):
            getattr(message, name).extend(value)
        else:
            setattr(message, name, {"red": 1, "COLOR_RED": 1, "COLOR_UNSPECIFIED": 0}.get(value, value))
    return message


def test_rows_are_encoded_to_the_bytes_of_protobuf_wherever_their_batch_is_cut(pa, proto, encoder_of):
    batch = rows_by(pa, random.Random(7), 2_000)
    encoder = encoder_of(batch.schema)
    values, refused = encoder.encode(batch)
    assert refused == {}
    for value, row in zip(values.to_pylist(), batch.to_pylist(), strict=True):
        assert value == message_of({**row, "s": int(row["s"])}, proto).SerializeToString(), row
    part = encoder.encode(batch.slice(501, 77))
    assert part.values.to_pylist() == values.to_pylist()[501:578]


@pytest.mark.parametrize(
    ("name", "kind", "value", "told"),
    [
        ("c", "int64", 1 << 31, "row 1, column c: '2147483648'"),
        ("c", "int64", None, "write `optional` before it in the proto"),
        ("c", "float64", 1.5, "row 1, column c: '1.5' is not a whole number (int32)"),
        ("f", "float64", 1e39, "row 1, column f: '1e+39' is out of range"),
        ("color", "string", "plaid", "row 1, column color: 'plaid' is not one of COLOR_UNSPECIFIED, COLOR_RED"),
    ],
)
def test_a_value_that_its_field_cannot_hold_refuses_its_row_alone(pa, encoder_of, name, kind, value, told):
    good = VALUES[name][1][0]
    batch = pa.record_batch({name: pa.array([good, value, good], getattr(pa, kind)())})
    values, refused = encoder_of(batch.schema).encode(batch)
    assert list(refused) == [1]
    assert refused[1].code is Code.UNDECODABLE
    assert told in refused[1].message
    assert [one is None for one in values.to_pylist()] == [False, True, False]


def test_answers_and_refusals_go_back_to_their_rows(pa, proto):
    decoder_of = importlib.import_module("hotswap.lake.answers").AnswerDecoder
    operation = proto.operations["f"]
    first, second = (operation.output(c=number, color=1).SerializeToString() for number in (1, 2))
    no = Refusal(Code.MODEL_ERROR, "no")
    large = Refusal(Code.TOO_LARGE, "much")
    decoder = decoder_of(operation, 7, "digest")

    def rows(*given):
        schema = pa.schema(list(decoder.fields))
        return pa.RecordBatch.from_arrays(list(decoder.decode(*given)), schema=schema).to_pylist()

    mixed = rows(4, [first, no, second], {1: large})
    assert [row["answer_message"] for row in mixed] == [first, None, None, second]
    assert [row["refusal_code"] for row in mixed] == [None, "TOO_LARGE", "MODEL_ERROR", None]
    assert [row["answer"] and (row["answer"]["c"], row["answer"]["color"]) for row in mixed] == [
        (1, "COLOR_RED"),
        None,
        None,
        (2, "COLOR_RED"),
    ]
    plain = rows(2, Packed(pack_values([first, second])), {})
    assert [row["answer"]["c"] for row in plain] == [1, 2]
    assert {(row["generation"], row["package_digest"]) for row in plain} == {(7, "digest")}
    with pytest.raises(ValueError, match="failed to decode"):
        rows(1, [b"\xff"], {})


NAMED = b"""
syntax = "proto3";
message Inner { optional string city = 1; }
message Row {
  optional double age = 1; optional double age_2 = 2; optional string a_b = 3; Inner inner = 4;
  map<string, double> more = 5;
}
message Rows { repeated Row rows = 1; }
service S { rpc f(Rows) returns (Rows); }
"""
COLUMNS = {"Age": "age", "age": "age_2", "a b": "a_b"}


def named(pa, columns, values, *, may_lack=True):
    """Encode one row of these columns, and return its message, what is refused, and the notes on the columns."""
    fit = importlib.import_module("hotswap.lake.fit")
    requests = importlib.import_module("hotswap.lake.requests")
    proto = compile_proto(NAMED)
    operation, options = proto.operations["f"], TextOptions(columns=tuple(columns.items()))
    batch = pa.record_batch({name: pa.array([value]) for name, value in values.items()})
    reads = ["age", "age_2", "a_b"]
    notes = fit.check_columns(operation, batch.schema, reads, options, may_lack=may_lack)
    encoded = requests.RequestEncoder(proto, operation, batch.schema, options, 900_000).encode(batch)
    (value,) = encoded.values.to_pylist()
    return value and operation.input.FromString(value).rows[0], encoded.refused, notes


@pytest.mark.parametrize(
    ("values", "row", "notes"),
    [
        ({"Age": 1.0, "age": 2.0, "a b": "x"}, {"age": 1, "age_2": 2, "a_b": "x"}, []),
        ({"age": 1.0, "age_2": 2.0, "a_b": "x"}, {"age": 1, "age_2": 2, "a_b": "x"}, []),
        (
            {"Age": 1.0, "age": 2.0, "a b": "x", "a_b": "y"},
            {"age": 1, "age_2": 2, "a_b": "x"},
            ["ignored a_b, since the model's column a b fills the same field"],
        ),
        (
            {" Age": 1.0, "a_b ": "x", "a-b": 1.0},
            {"age": 1, "a_b": "x"},
            [
                "ignored 1 of 3 columns, which match no field: a-b (did you mean a_b?)",
                "no column fills age_2 (double) of Row, which the model reads: missing in each row",
            ],
        ),
    ],
)
def test_typed_columns_fill_fields_by_the_models_names_or_the_protos(pa, values, row, notes):
    message, refused, said = named(pa, COLUMNS, values)
    assert ({part.name: value for part, value in message.ListFields()}, refused) == (row, {})
    assert said == notes


def test_a_column_may_fill_a_field_of_a_message_or_an_entry_of_a_map(pa):
    columns = {**COLUMNS, "town": "inner.city", "x.y": "more.x.y"}
    message, refused, _ = named(pa, columns, {"Age": 1.0, "town": "Rome", "x.y": 3.0})
    assert (message.age, message.inner.city, dict(message.more), refused) == (1, "Rome", {"x.y": 3}, {})
    with pytest.raises(UsageError, match=r"column town \(double\) cannot fill the field inner.city \(string\)"):
        named(pa, columns, {"town": 1.0})


def test_a_missing_column_is_refused_unless_it_is_meant_although_its_field_is_optional(pa):
    with pytest.raises(
        UsageError, match=r"no column fills a_b \(string\) of Row, which the model reads.*--allow-missing"
    ):
        named(pa, COLUMNS, {"Age": 1.0, "age": 2.0}, may_lack=False)


def test_two_columns_that_differ_by_the_spaces_around_them_are_refused(pa):
    with pytest.raises(UsageError, match="the input has columns a_b twice"):
        named(pa, COLUMNS, {"a_b": "x", "a_b ": "y"})
