"""Proto3's JSON mapping is enforced where google's json_format is laxer; fuzzing found most of these cases."""

import io
import json

import pytest

from hotswap.codec.proto import compile as compile_proto
from hotswap.codec.text.layout import BadRow
from hotswap.codec.text.reader import read_rows
from hotswap.generation import TextOptions

PROTO = b"""
syntax = "proto3";
import "google/protobuf/wrappers.proto";
enum Color { NONE = 0; RED = 1; }
message Place { string city = 1; Place inner = 2; }
message Row {
  double d = 1; float f = 2; int32 i = 3; uint64 u = 4; bool b = 5; string s = 6; bytes raw = 7; Color color = 8;
  Place place = 9; repeated int32 many_numbers = 10; map<int32, double> tags = 11;
  google.protobuf.DoubleValue boxed = 12;
}
message Frame { repeated Row my_rows = 1; string id = 2; }
service S { rpc One(Row) returns (Row); rpc Many(Frame) returns (Frame); }
"""
SCHEMA = compile_proto(PROTO)
ROW, FRAME = (SCHEMA.operations[name].input for name in ("One", "Many"))


def read(text, message=ROW, **options):
    return read_rows(io.StringIO(text, newline=""), "json", message, TextOptions(**options))


def only(document, message=ROW, **options):
    text = document if isinstance(document, str) else json.dumps(document)
    (row,) = read(text, message, **options)
    return row


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("d", "1_000", "is not a number"),
        ("d", "inf", "is not a number"),
        ("d", " 1", "is not a number"),
        ("d", "1e999", "is out of range"),
        ("d", 10**400, "is out of range"),
        ("d", True, "is not a number"),
        ("f", 1e39, "too large"),
        ("f", "1e39", "too large"),
        ("i", "1_000", "is not a whole number"),
        ("i", "\u0663", "is not a whole number"),
        ("i", "1.5", "is not a whole number"),
        ("i", "1e99999999999999999999", "is out of range"),
        ("i", True, "does not fit"),
        ("i", 2**31, "out of range"),
        ("u", -1, "out of range"),
        ("b", 1, "does not fit"),
        ("b", "true", "does not fit"),
        ("s", 5, "is not a string"),
        ("s", "\ud800", "surrogate"),
        ("raw", "###", "is not valid base64"),
        ("raw", "AAAA=", "is not valid base64"),
        ("color", 1.5, "is not one of NONE, RED"),
        ("color", 2**32 + 1, "is out of range"),  # google's would make a 1 of it
        ("color", 2.0**53, "is out of range"),
        ("color", -(2**31) - 1, "is out of range"),
        ("color", True, "is not one of NONE, RED"),
        ("color", "1", "is not one of NONE, RED"),
        ("color", "RED\0", "is not one of NONE, RED"),
        ("color", "BLUE", "is not one of NONE, RED"),
        ("place", [], "is not an object"),
        ("place", "", "is not an object"),
        ("boxed", "1_0", "is not a number"),
        ("many_numbers", ["1_0"], "is not a whole number"),
        ("many_numbers", [None], "null is not allowed"),
        ("tags", {"1_0": 1}, "is not a whole number"),
    ],
)
def test_a_value_that_the_json_mapping_does_not_allow_is_refused_with_its_field(field, value, reason):
    bad = only({field: value})
    assert isinstance(bad, BadRow)
    assert (bad.number, bad.column.partition(".")[0]) == (1, field)
    assert reason.lower() in bad.reason.lower()


def test_each_bad_value_of_a_row_is_named_nested_ones_too():
    bad = only({"d": "x", "place": {"city": 1, "inner": {"city": 2}}, "u": 7, "color": "PINK"})
    assert str(bad) == (
        "row 1, column d: 'x' is not a number; column place.city: '1' is not a string; "
        "column place.inner.city: '2' is not a string; column color: 'PINK' is not one of NONE, RED"
    )


def test_numbers_in_strings_follow_jsons_grammar_and_special_floats_have_names():
    row = only({"d": "1e2", "f": "-Infinity", "i": "1e2", "u": "18446744073709551615", "boxed": "NaN"}).message
    assert (row.d, row.f, row.i, row.u) == (100.0, float("-inf"), 100, 2**64 - 1)
    assert row.boxed.value != row.boxed.value
    assert only({"i": 5.0, "color": 1.0, "tags": {"7": "2.5"}}).message.tags[7] == 2.5


def test_base64_in_json_may_be_of_either_alphabet_padded_or_not():
    assert [only({"raw": text}).message.raw for text in ("-_8=", "+/8", "")] == [b"\xfb\xff", b"\xfb\xff", b""]


def test_a_duplicate_field_is_refused_and_not_overwritten():
    for text in (
        '{"i": 1, "i": 2}',
        '{"many_numbers": [1], "manyNumbers": [2]}',
        '{"place": {"city": "a", "city": "b"}}',
    ):
        assert "occurs twice" in only(text).reason


def test_null_is_missing_and_not_a_value():
    row = only({"d": None, "place": None, "many_numbers": None, "s": "x"}).message
    assert [field.name for field, _ in row.ListFields()] == ["s"]


@pytest.mark.parametrize("name", ["\\ud800", "i\\u0000"])
def test_a_name_that_is_not_valid_text_is_refused_and_does_not_break_protobuf(name):
    assert "has a name that is not valid text" in only(f'{{"{name}": 1}}', is_strict=False).reason


def test_json_that_is_nested_too_deeply_is_refused_alone():
    rows = list(read("\n".join(["[" * 100_000, '{"place":' * 300 + "{}" + "}" * 300, '{"i": 3}'])))
    assert [type(row) for row in rows[:2]] == [BadRow, BadRow]
    assert rows[2].message.i == 3
    deep = '{"place": ' + '{"inner": ' * 200 + "{}" + "}" * 201
    assert isinstance(only(deep), BadRow)


def test_a_line_separator_inside_a_text_does_not_end_the_line():
    first, second = read('{"i": \n{"s": "a\u2028b"}')
    assert isinstance(first, BadRow)
    assert second.message.s == "a\u2028b"


def test_a_whole_message_keeps_the_fields_beside_its_rows():
    rows = read('{"my_rows": [{"i": 1}, {"i": 2}], "id": "seven"}', FRAME)
    packed = rows.layout.pack(row.message for row in rows)
    assert ([row.i for row in packed.my_rows], packed.id) == ([1, 2], "seven")


def test_an_unknown_field_of_a_whole_message_is_refused_or_ignored_as_configured():
    document = {"myRows": [{"i": 1}], "odd": 1}
    assert 'no field named "odd"' in str(only(document, FRAME))
    assert only(document, FRAME, is_strict=False).message.i == 1


def test_a_whole_message_without_rows_has_none():
    for document in ({"myRows": None}, {"myRows": []}):
        assert list(read(json.dumps(document), FRAME)) == []


def test_rows_under_both_field_names_are_refused_and_not_dropped():
    assert "occurs twice" in only({"myRows": [{"i": 1}], "my_rows": [{"i": 2}]}, FRAME).reason


def test_an_empty_text_is_not_valid_json():
    assert "is not valid JSON" in str(only(""))
