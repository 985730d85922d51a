import base64
import io
import json
import math
import re

import pytest

from hotswap.codec.proto import compile as compile_proto
from hotswap.codec.text.layout import BadRow, Fault, Layout
from hotswap.codec.text.reader import read_rows
from hotswap.codec.text.writer import CsvTable, JsonTable
from hotswap.errors import UsageError
from hotswap.generation import TextOptions

PROTO = b"""
syntax = "proto3";
package t;
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
enum Colour { COLOUR_UNSPECIFIED = 0; COLOUR_RED = 1; BLUE = 2; }
message Address { string city = 1; optional int32 number = 2; }
message One {
  optional double d = 1; float f = 2; int32 i = 3; optional uint64 u = 4; optional bool b = 5; string s = 6;
  bytes raw = 7; Colour colour = 8; Address address = 9; repeated int32 many = 10; map<string, double> tags = 11;
  google.protobuf.Timestamp at = 12; google.protobuf.DoubleValue boxed = 13; optional string maybe = 14; int64 n = 15;
}
message Frame { repeated Line rows = 1; }
message Line { string a = 1; optional double x = 2; }
message Columns { repeated double x = 1; repeated string s = 2; repeated int32 n = 3; }
message Out { string label = 1; repeated double p = 2; Address address = 3; optional bool is_sure = 4; bytes raw = 5; }
message Labels { repeated string label = 1; }
service S {
  rpc One_(One) returns (Out); rpc Frame_(Frame) returns (Labels); rpc Columns_(Columns) returns (Frame);
}
"""
SCHEMA = compile_proto(PROTO, False)
ONE, FRAME, COLUMNS = (SCHEMA.operations[name].input for name in ("One_", "Frame_", "Columns_"))
OUT = SCHEMA.operations["One_"].output


def read(text, message=ONE, kind="csv", **options):
    return read_rows(io.StringIO(text, newline=""), kind, message, TextOptions(**options))


def good(text, message=ONE, kind="csv", **options):
    rows = list(read(text, message, kind, **options))
    assert not [str(row) for row in rows if isinstance(row, BadRow)]
    return [row.message for row in rows]


def lines(text, message=ONE, kind="csv", **options):
    return [str(row) for row in read(text, message, kind, **options) if isinstance(row, BadRow)]


def test_a_csv_of_rows_becomes_the_bytes_that_acumos_getbinary_returns():
    rows = read("a,x\nfirst,1.5\nsecond,\n", FRAME)
    packed = rows.layout.pack(row.message for row in rows).SerializeToString()
    # rows=1 (length 16): a=1 "first", x=2 1.5; rows=1 (length 8): a=1 "second".
    assert packed == b"\x0a\x10\x0a\x05first\x11\x00\x00\x00\x00\x00\x00\xf8\x3f\x0a\x08\x0a\x06second"


def test_every_type_is_parsed_from_text():
    text = (
        "d,f,i,u,b,s,raw,colour,address.city,address.number,tags.k,at,boxed,n\n"
        "-1.5e3,.5,-7,18446744073709551615,TRUE, spaced ,AQI=,BLUE,Lodz,4,2.5,2026-01-02T03:04:05Z,0.25,5.0\n"
    )
    (row,) = good(text)
    assert (row.d, row.f, row.i, row.u, row.b, row.s) == (-1500.0, 0.5, -7, 2**64 - 1, True, " spaced ")
    assert (row.raw, row.colour, row.address.city, row.address.number) == (b"\x01\x02", 2, "Lodz", 4)
    assert (dict(row.tags), row.at.ToJsonString(), row.boxed.value, row.n) == (
        {"k": 2.5},
        "2026-01-02T03:04:05Z",
        0.25,
        5,
    )


@pytest.mark.parametrize(("text", "number"), [("BLUE", 2), ("2", 2), ("COLOUR_RED", 1), ("red", 1)])
def test_an_enum_is_read_by_name_or_number(text, number):
    assert good(f"colour\n{text}\n")[0].colour == number


@pytest.mark.parametrize(("text", "is_true"), [("true", True), ("False", False), ("1", True), ("0", False)])
def test_a_bool_is_read_as_a_word_or_a_digit(text, is_true):
    assert good(f"b\n{text}\n")[0].b is is_true


def test_columns_are_found_by_name_in_any_order_behind_a_byte_order_mark(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_bytes(b'\xef\xbb\xbfs,odd,i\r\n"a, ""b""\r\nc",?,3\r\n')
    with file.open(encoding="utf-8-sig", newline="") as text:
        rows = read_rows(text, "csv", ONE)
        (row,) = rows
    assert (row.message.s, row.message.i) == ('a, "b"\r\nc', 3)
    assert "ignored 1 of 3 columns, which match no field: odd" in rows.notes()


def test_an_empty_cell_is_missing_and_never_0():
    (row,) = good("d,f,u,s,maybe,address.number\n,,,,,\n")
    assert not any(row.HasField(name) for name in ("d", "u", "maybe", "address"))
    assert math.isnan(row.f)


def test_each_bad_cell_of_a_row_is_named():
    (bad,) = read("d,s,i,b\nabc,x,1.5,NA\n")
    assert str(bad).startswith("row 1, column d: 'abc' is not a number; column i: '1.5' is ")
    assert "; column b: 'NA' is " in str(bad)
    assert bad.hint == "if 'NA' means that a value is missing, add --missing NA"


def test_a_row_names_ten_bad_cells_and_counts_the_rest():
    told = str(BadRow.of(3, [Fault(f"c{number}", "x", "is bad") for number in range(12)]))
    assert told.endswith("; column c9: 'x' is bad; and 2 more")


def test_the_texts_for_missing_are_configurable():
    assert lines("d\nNA\n") == ["row 1, column d: 'NA' is not a number"]
    assert not good("d\nNA\n", missing=frozenset({"", "NA"}))[0].HasField("d")


def test_an_empty_cell_of_a_field_that_cannot_be_missing_is_refused_and_not_0():
    why = "is missing, which the field cannot express: write `optional` before it in the proto"
    assert lines("i,s\n,x\n7,y\n") == [f"row 1, column i: '' {why}"]
    assert good("colour,s\n,x\n")[0].colour == 0  # COLOUR_UNSPECIFIED means missing


def test_fields_without_a_column_that_are_read_as_0_are_noted():
    rows = read("s\nx\n")
    assert len(list(rows)) == 1
    assert "no column fills i, n, which will be read as 0: write `optional` before them in the proto" in rows.notes()


def test_a_repeated_header_fills_a_repeated_field():
    assert list(good("many,many,i,many\n1,,5,3\n")[0].many) == [1, 3]


def test_a_cell_that_is_a_json_array_fills_a_repeated_field():
    assert [list(row.many) for row in good('many,i\n"[1, 5]",3\n[],3\n7,3\n')] == [[1, 5], [], [7]]
    (bad,) = read('many,i\n"[1, [2]]",3\n')
    assert str(bad) == "row 1, column many: '[1, [2]]' is a list of something other than texts and numbers"


def test_a_duplicate_header_for_a_single_value_is_refused():
    with pytest.raises(UsageError, match="names i twice"):
        read("i,i\n1,2\n")


def test_a_csv_without_a_header_is_refused_with_the_known_fields():
    with pytest.raises(UsageError, match=r"none of the CSV's columns \(5.1, 3.5\) is a field of t.Line \(a, x\)"):
        read("5.1,3.5\n", FRAME)
    with pytest.raises(UsageError, match="empty"):
        read("")


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("d", "abc", "is not a number"),
        ("d", "1_000", "is not a number"),
        ("d", "1e999", "is out of range"),
        ("d", "\u0663", "is not a number"),
        ("d", "\u0131nf", "is not a number"),
        ("d", "7\u00a0", "is not a number"),
        ("f", "1e39", "is out of range"),
        ("i", "\u0663", "is not a whole number (int32)"),
        ("i", "1.5", "is not a whole number (int32)"),
        ("i", "2147483648", "out of range"),
        ("u", "-1", "out of range"),
        ("b", "yes", "is not one of true, false, 1, 0"),
        ("raw", "###", "is not valid base64"),
        ("raw", "AAAA=", "is not valid base64"),
        ("colour", "GREEN", "is not one of COLOUR_UNSPECIFIED, COLOUR_RED, BLUE"),
        ("at", "yesterday", "is not a google.protobuf.Timestamp"),
    ],
)
def test_a_bad_row_is_refused_alone_with_row_column_value_and_reason(column, value, reason):
    fine = "7" if column == "i" else ""  # `i` is not optional: it must not be empty
    rows = list(read(f"s,{column}\na,{fine}\nb,{value}\nc,{fine}\n"))
    assert [type(row) for row in rows if isinstance(row, BadRow)] == [BadRow]
    bad = rows[1]
    assert (bad.number, bad.column, bad.value) == (2, column, value)
    assert reason.lower() in bad.reason.lower()
    assert [row.number for row in rows if not isinstance(row, BadRow)] == [1, 3]


def test_rows_with_too_few_or_too_many_cells_are_refused_alone():
    assert lines("a,x\n1\n1,2,3\nok,2\n", FRAME) == [
        "row 1: has 1 cells, but the header names 2",
        "row 2: has 3 cells, but the header names 2",
    ]


def test_broken_quotes_are_refused_alone_and_empty_lines_are_skipped():
    rows = list(read('a,x\n"b"c,1\n\nok,2\n', FRAME))
    assert [row.number for row in rows] == [1, 2]
    assert "is not valid CSV" in str(rows[0])
    assert rows[1].message.a == "ok"


def test_text_that_is_not_utf8_is_refused_alone(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_bytes(b"a\n\xff\xfe\nok\n")
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        rows = list(read_rows(text, "csv", FRAME))
    assert rows[0].reason == "is not UTF-8"
    assert rows[1].message.a == "ok"


def test_a_header_that_is_not_utf8_is_refused_since_its_column_would_be_missing(tmp_path):
    with pytest.raises(UsageError, match=r"the CSV's header is not UTF-8: column 'a\\udcff'"):
        read("a\udcff,x\n1,2\n", FRAME)


def test_a_header_must_be_a_fields_exact_name():
    rows = read("a\0,A,a ,x\n1,2,3,4\n", FRAME)
    assert [(row.message.a, row.message.x) for row in rows] == [("3", 4.0)]
    assert "ignored 2 of 4 columns, which match no field: a\0 (did you mean a?), A (did you mean a?)" in rows.notes()


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        ("Age,INCOME", "did you mean age by Age, income by INCOME?"),
        ("aeg", "did you mean age by aeg?"),
        ("city", "did you mean home.city by city?"),
        ("address.City", "did you mean home.city by address.City?"),
        ("rows.age,rows.home.city", "did you mean age by rows.age, home.city by rows.home.city?"),
        ("Home", "did you mean home.city or home.street by Home?"),
        (",".join(f"age{number}" for number in range(20)), "age by age7?"),
        ("age;income;city", "is the delimiter ';'?"),
        ('"age,income"', "is the delimiter ','?"),
        ("40,1000", "is the header line missing?"),
    ],
)
def test_a_header_without_any_field_is_told_what_is_probably_wrong(header, hint):
    proto = """syntax = "proto3"; message Row { double age = 1; double income = 2; Home home = 3; }
        message Home { string city = 1; string street = 2; } service S { rpc P(Row) returns (Row); }"""
    with pytest.raises(UsageError, match=re.escape(hint)):
        read(f"{header}\n1\n", compile_proto(proto.encode()).operations["P"].input)


def test_the_rows_of_a_plain_table_and_of_any_other_are_read_alike():
    plain, other = "i,n,s\n1,2,a\n-3,4.0,\u00fc\n", "i,n,s,f\n1,2,a,0\n-3,4.0,\u00fc,0\n"
    assert [(row.i, row.n, row.s) for row in good(plain)] == [(row.i, row.n, row.s) for row in good(other)]


def test_the_delimiter_is_an_option():
    assert good("i;s\n1;a,b\n", delimiter=";")[0].s == "a,b"


def test_a_row_is_an_element_of_each_field_in_a_message_of_columns():
    rows = read("x,s,n\n1,a,7\n,,8\n", COLUMNS)
    packed = rows.layout.pack(row.message for row in rows)
    assert (packed.x[0], list(packed.s), list(packed.n)) == (1.0, ["a", ""], [7, 8])
    assert math.isnan(packed.x[1])
    assert lines("x,n\n1,\n", COLUMNS) == [
        "row 1, column n: '' is missing, which a repeated field of this type cannot express"
    ]


def test_json_is_read_as_an_array_as_lines_and_as_a_whole_message():
    wanted = [("p", 1.0), ("q", 2.0)]
    array = json.dumps([{"a": "p", "x": 1}, {"a": "q", "x": 2}])
    indented = json.dumps(json.loads(array), indent=2)
    by_line = '{"a": "p", "x": 1}\n\n{"a": "q", "x": "2"}\n'
    whole = json.dumps({"rows": json.loads(array)}, indent=2)
    for text in (array, indented, by_line, whole):
        assert [(row.a, row.x) for row in good(text, FRAME, "json")] == wanted


def test_json_accepts_camel_case_and_original_names():
    proto = b'syntax="proto3"; message A { int32 my_field = 1; } service S { rpc P(A) returns (A); }'
    message = compile_proto(proto, False).operations["P"].input
    assert [row.my_field for row in good('{"myField": 1}\n{"my_field": 2}', message, "json")] == [1, 2]


def test_a_bad_json_object_is_refused_alone():
    text = '{"i": 1}\n{"i": "x"}\n{"odd": 1}\n[1]\nnope\n{"i": 3}\n'
    rows = list(read(text, ONE, "json"))
    assert [row.number for row in rows if isinstance(row, BadRow)] == [2, 3, 4, 5]
    assert (rows[1].column, rows[1].value) == ("i", "x")
    assert 'no field named "odd"' in str(rows[2])
    assert "is not a JSON object" in str(rows[3])
    assert "is not valid JSON" in str(rows[4])
    assert rows[5].message.i == 3


def test_unknown_json_fields_are_ignored_if_configured():
    assert good('{"odd": 1, "i": 2}', ONE, "json", is_strict=False)[0].i == 2


def test_the_first_broken_line_of_json_does_not_hide_the_others():
    rows = list(read('{"i": \n{"i": 2}\n', ONE, "json"))
    assert isinstance(rows[0], BadRow)
    assert rows[1].message.i == 2


def test_the_layout_is_the_one_whose_fields_the_header_names():
    proto = b"""syntax="proto3"; message R { int32 x = 1; } message A { repeated R rows = 1; string id = 2; }
    service S { rpc P(A) returns (A); }"""
    message = compile_proto(proto, False).operations["P"].input
    assert Layout(message, ["x"]).shape == "rows"
    assert Layout(message, ["id"]).shape == "single"


def test_predictions_are_written_as_csv_by_field():
    file = io.StringIO()
    table = CsvTable(file, OUT)
    message = OUT(label="a,b", p=[0.25, 0.75], is_sure=False, raw=b"\x01")
    message.address.city = "Lodz"
    table.write({"row": 1}, message)
    table.write({"row": 2}, OUT(label="c", p=[1.0]))
    assert file.getvalue().splitlines() == [
        "row,label,p,address.city,address.number,is_sure,raw",
        '1,"a,b","[0.25, 0.75]",Lodz,,false,' + base64.b64encode(b"\x01").decode(),
        "2,c,1.0,,,,",
    ]


def test_a_prediction_of_rows_is_a_line_of_csv_for_each():
    file = io.StringIO()
    frame = SCHEMA.operations["Columns_"].output
    message = frame()
    message.rows.add(a="p")
    message.rows.add(a="q", x=1)
    CsvTable(file, frame).write({"row": 7}, message)
    assert file.getvalue().splitlines() == ["row,a,x", "7,p,", "7,q,1.0"]


def test_predictions_are_written_as_one_json_object_per_line():
    file = io.StringIO()
    JsonTable(file).write({"row": 1, "generation": 3}, OUT(label="ü", p=[0.5]))
    assert json.loads(file.getvalue()) == {"row": 1, "generation": 3, "prediction": {"label": "ü", "p": [0.5]}}


def test_plain_fields_are_written_as_any_other():
    proto = b"""syntax = "proto3";
    message Flat { string s = 1; double d = 2; float f = 3; int64 n = 4; }
    message Optional { optional string s = 1; optional double d = 2; optional float f = 3; optional int64 n = 4; }
    service S { rpc A(Flat) returns (Flat); rpc B(Flat) returns (Optional); }"""
    outputs = [operation.output for operation in compile_proto(proto, False).operations.values()]
    rows = [("a,b", 0.1, 0.1, -5), ('say "x"', -0.0, 1e-9, 2**62), (" ", math.nan, math.inf, 0), ("", 1e300, 3.0, 1)]
    texts = [io.StringIO(newline="") for _ in outputs]
    for text, output in zip(texts, outputs, strict=True):
        table = CsvTable(text, output)
        for row in rows:
            table.write({"row": 1}, output(**dict(zip("sdfn", row, strict=True))))
    assert texts[0].getvalue() == texts[1].getvalue()
    assert '"a,b",0.1,' in texts[0].getvalue()
