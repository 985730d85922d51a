"""Values of answers are read row by row: of messages of every shape, and of the text that they are written as."""

import pytest

from hotswap.batch import Format
from hotswap.codec.proto import compile as compile_proto
from hotswap.codec.text import wire
from hotswap.codec.text.answered import AnswerReader

PROTO = """
syntax = "proto3";
service S {
  rpc one(In) returns (One);
  rpc many(Ins) returns (Many);
  rpc columns(Ins) returns (Columns);
}
message In { double x = 1; }
message Ins { repeated In rows = 1; }
enum Kind { NONE = 0; SOME = 1; }
message Inner { double deep = 1; }
message One {
  string label = 1; double p = 2; bool is_good = 3; Kind kind = 4; optional int32 maybe = 5; Inner inner = 6;
  repeated double list = 7; bytes raw = 8;
}
message Row { string label = 1; double p = 2; }
message Many { repeated Row rows = 1; }
message Columns { repeated string label = 1; repeated double p = 2; }
"""


@pytest.fixture(scope="module")
def operations():
    return compile_proto(PROTO.encode(), False).operations


def read(operation, message, content=""):
    reader = AnswerReader(operation)
    return [part.path for part in reader.fields], [list(row) for row in reader.rows(message, content)]


def test_every_field_of_a_row_is_read_and_what_is_unset_is_nothing(operations):
    one = operations["one"]
    message = one.output(label="a", p=0.5, is_good=True, kind=1, list=[1, 2], raw=b"x")
    paths, rows = read(one, message.SerializeToString())
    assert paths == ["label", "p", "is_good", "kind", "maybe", "inner.deep", "list", "raw"]
    assert rows == [["a", 0.5, "true", "SOME", None, None, "[1.0, 2.0]", "b'x'"]]
    message.maybe, message.inner.deep, message.kind = 0, 2.5, 7
    assert read(one, message.SerializeToString())[1][0][3:6] == ["7", 0, 2.5]


def test_numbers_and_labels_are_told_apart(operations):
    fields = {part.path: (part.is_number, part.is_label) for part in AnswerReader(operations["one"]).fields}
    numbers = {path for path, (is_number, _) in fields.items() if is_number}
    labels = {path for path, (_, is_label) in fields.items() if is_label}
    assert (numbers, labels) == ({"p", "maybe", "inner.deep"}, {"label", "is_good", "kind"})


def test_an_answer_of_many_rows_has_them_all(operations):
    many, columns = operations["many"], operations["columns"]
    message = many.output(rows=[{"label": "a", "p": 0.1}, {"label": "b", "p": 0.2}])
    assert read(many, message.SerializeToString()) == (["label", "p"], [["a", 0.1], ["b", 0.2]])
    packed = columns.output(label=["a", "b"], p=[0.1, 0.2])
    assert read(columns, packed.SerializeToString()) == (["label", "p"], [["a", 0.1], ["b", 0.2]])
    packed = columns.output(label=["a", "b"])
    assert read(columns, packed.SerializeToString())[1] == [["a", None], ["b", None]]


@pytest.mark.parametrize("accept", [Format.JSON, Format.CSV])
@pytest.mark.parametrize("name", ["many", "columns"])
def test_an_answer_in_text_has_the_values_of_the_message(operations, name, accept):
    operation = operations[name]
    rows = [{"label": "a", "p": 0.1}, {"label": "b", "p": 0.2}]
    given = {"rows": rows} if name == "many" else {"label": ["a", "b"], "p": [0.1, 0.2]}
    value = operation.output(**given).SerializeToString()
    assert read(operation, wire.write(value, accept, operation), str(accept)) == read(operation, value)


@pytest.mark.parametrize(
    ("value", "content"),
    [(b"\xff", ""), (b"\xff", "application/json"), (b"{", "application/json"), (b'{"rows": 1}', "application/json"),
     (b"label,p\na,b\n", "text/csv")],
    ids=["message", "not UTF-8", "not JSON", "another type", "no number"],
)  # fmt: skip
def test_what_is_no_answer_of_the_operation_is_said(operations, value, content):
    with pytest.raises(ValueError, match=r"."):
        read(operations["many"], value, content)
