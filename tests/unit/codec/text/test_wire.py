"""A text request is read completely or refused, and answered in the format that it asks for."""

import json

import pytest

from hotswap.batch import Code, Format, Refusal
from hotswap.codec.proto import compile as compile_proto
from hotswap.codec.text import wire
from hotswap.generation import TextOptions

PROTO = b"""
syntax = "proto3";
message Row { optional double x = 1; string s = 2; Row row = 3; }
message Frame { repeated Row rows = 1; }
message Out { string label = 1; repeated double p = 2; }
message Labels { repeated string label = 1; repeated double p = 2; repeated bool is_sure = 3; }
service S { rpc One(Row) returns (Out); rpc Many(Frame) returns (Frame); rpc Label(Frame) returns (Labels); }
"""
SCHEMA = compile_proto(PROTO)
ONE, MANY = SCHEMA.operations["One"], SCHEMA.operations["Many"]


def read(value, content=Format.CSV, operation=MANY, **options):
    return wire.read(value, content, operation, TextOptions(**options))


def rows(value, content=Format.CSV, **options):
    read_bytes = read(value, content, MANY, **options)
    assert not isinstance(read_bytes, Refusal), read_bytes
    return [(row.s, row.x) for row in MANY.input.FromString(read_bytes).rows]


def test_a_csv_request_may_have_crlf_quotes_embedded_newlines_and_a_byte_order_mark():
    value = '\ufeffs,x\r\n"a,""b""\r\nc",1\r\nü,2'.encode()
    assert rows(value) == [('a,"b"\r\nc', 1.0), ("ü", 2.0)]


def test_a_json_request_may_be_rows_lines_or_the_whole_message():
    wanted = [("p", 1.0), ("q", 2.0)]
    for text in (
        '[{"s": "p", "x": 1}, {"s": "q", "x": 2}]', '{"s": "p", "x": 1}\n{"s": "q", "x": 2}',
        '\ufeff{"rows": [{"s": "p", "x": 1}, {"s": "q", "x": "2"}]}',
    ):  # fmt: skip
        assert rows(text.encode(), Format.JSON) == wanted


@pytest.mark.parametrize(
    ("content", "value", "said"),
    [
        (Format.CSV, b"x\n1\nabc\n2\n", "row 2, column x: 'abc' is not a number"),
        (Format.CSV, b"s\nok\n\xff\n", "row 2, column s: '\\udcff' is not UTF-8"),
        (Format.CSV, b"s\xff,x\na,1\n", "the CSV's header is not UTF-8: column 's\\udcff'"),
        (Format.CSV, b'x\n"1', "row 1: is not valid CSV: unexpected end of data"),
        (
            Format.CSV,
            b"odd\n1\n",
            "none of the CSV's columns (odd) is a field of Row (x, s, row): is the header line missing?",
        ),
        (Format.CSV, b"", "the CSV is empty: its first line must be a header with the names of the fields"),
        (Format.JSON, b'[{"x": 1}, {"x": "abc"}]', "row 2, column x: 'abc' is not a number"),
        (Format.JSON, b'{"s": "\xff"}', "the request is not UTF-8: invalid start byte at byte 7"),
        (Format.JSON, b"", "row 1: is not valid JSON: Expecting value: line 1 column 1 (char 0)"),
    ],
)
def test_one_bad_row_refuses_the_request_with_row_column_value_and_reason(content, value, said):
    assert read(value, content) == Refusal(Code.UNDECODABLE, said)


def test_a_message_of_one_row_requires_a_text_of_exactly_one():
    assert read(b"x\n1\n2\n", operation=ONE).message == "the request has 2 rows, but a Row holds one"
    assert read(b"[]", Format.JSON, ONE).message == "the request has 0 rows, but a Row holds one"
    assert ONE.input.FromString(read(b"x\n1\n", operation=ONE)).x == 1.0


def test_the_delimiter_and_the_texts_for_missing_are_configurable():
    value = b"s;x\na;NA\nNA;1\n"
    first, second = rows(value, delimiter=";", missing=frozenset({"", "NA"}))
    assert (first, second) == (("a", 0.0), ("", 1.0))
    frame = MANY.input.FromString(read(value, delimiter=";", missing=frozenset({"", "NA"})))
    assert [row.HasField("x") for row in frame.rows] == [False, True]
    assert "'NA' is not a number" in read(value, delimiter=";").message


def test_unknown_json_fields_are_refused_or_ignored_as_configured():
    value = b'{"x": 1, "odd": 2}'
    assert 'no field named "odd"' in read(value, Format.JSON).message
    assert rows(value, Format.JSON, is_strict=False) == [("", 1.0)]


def test_an_answer_is_written_as_csv_with_a_header_or_as_a_json_object_with_every_field():
    answer = ONE.output(label="a,b", p=[0.25, 0.75]).SerializeToString()
    assert wire.write(answer, Format.CSV, ONE) == b'label,p\n"a,b","[0.25, 0.75]"\n'
    assert json.loads(wire.write(answer, Format.JSON, ONE)) == {"label": "a,b", "p": [0.25, 0.75]}
    assert json.loads(wire.write(b"", Format.JSON, ONE)) == {"label": "", "p": []}


def test_an_answer_of_several_rows_has_a_csv_line_for_each_in_every_shape():
    frame = MANY.output(rows=[{"x": 1, "s": "a"}, {"s": "b"}]).SerializeToString()
    assert wire.write(frame, Format.CSV, MANY) == b"x,s,row\n1.0,a,\n,b,\n"
    operation = SCHEMA.operations["Label"]
    labels = operation.output(label=["a", "b"], p=[0.5, 1]).SerializeToString()
    assert wire.write(labels, Format.CSV, operation) == b"label,p,is_sure\na,0.5,\nb,1.0,\n"
    assert wire.write(b"", Format.CSV, operation) == b"label,p,is_sure\n"
    ragged = operation.output(label=["a"], p=[0.5, 1]).SerializeToString()
    assert wire.write(ragged, Format.CSV, operation) == b'label,p,is_sure\na,"[0.5, 1.0]",[]\n'


def test_a_field_nested_too_deeply_is_refused_before_it_crashes_protobuf():
    assert "nested too deeply" in read(b"row." * 200_000 + b"x\n1\n").message
    assert "nested too deeply" in read(b'{"row":' * 200_000, Format.JSON).message
    deepest = read(b"row." * 98 + b"x\n1\n")
    assert MANY.input.FromString(deepest).rows[0].HasField("row")


def test_a_hostile_text_is_refused_in_linear_time():
    digits = b"9" * 500_000
    assert "is not a number" in read(b"x\n" + digits + b"x\n").message
    assert "is not a number" in read(b'{"x": "' + digits + b'x"}', Format.JSON).message
    names = b",".join(b"n%d,n%d" % (number, number) for number in range(50_000))
    assert "is the header line missing?" in read(names + b"\n").message
    assert "names x twice" in read(names + b",x,x\n").message
