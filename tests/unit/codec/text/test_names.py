"""Which fields the columns of a table fill: by the model's names and the proto's, in CSV and in JSON alike."""

import io
import json

import pytest

from hotswap.codec.proto import compile as compile_proto
from hotswap.codec.text.layout import BadRow, Chunk
from hotswap.codec.text.names import assign
from hotswap.codec.text.reader import read_rows
from hotswap.errors import UsageError
from hotswap.generation import Configuration, TextOptions, frozen

PROTO = b"""
syntax = "proto3";
message Place { optional string city = 1; map<string, double> more = 2; Place inner = 3; }
message Row {
  optional double age = 1; optional double age_2 = 2; optional string a_b = 3; Place place = 4;
  optional double rows_1 = 5; optional double tiny_2x = 6;
}
message Frame { repeated Row rows = 1; string id = 2; }
service S { rpc One(Row) returns (Row); rpc Many(Frame) returns (Frame); }
"""
SCHEMA = compile_proto(PROTO)
ROW, FRAME = (SCHEMA.operations[name].input for name in ("One", "Many"))
COLUMNS = {
    "Age": "age",
    "age": "age_2",
    "a b": "a_b",
    " a": "tiny_2x",
    "town": "place.city",
    "x.y": "place.more.x.y",
    "deep": "place.inner.city",
    "rows": "rows_1",
    "gone": "nothing",
}


def options(columns=COLUMNS, **more):
    return TextOptions(columns=tuple(columns.items()), **more)


def filled(*names, columns=COLUMNS):
    return assign(ROW.DESCRIPTOR, names, tuple(columns.items())).paths


@pytest.mark.parametrize(
    ("names", "paths"),
    [
        (["Age", "age"], {"Age": "age", "age": "age_2"}),  # the model's names
        (["age"], {"age": "age_2"}),
        (["age", "age_2"], {"age": "age", "age_2": "age_2"}),  # the proto's: the model's would fill one field only
        (["Age", "age", "age_2"], {"Age": "age", "age": "age_2"}),
        (["Age", "age_2"], {"Age": "age", "age_2": "age_2"}),
        (["a b", "a_b"], {"a b": "a_b"}),
        (["a_b", "a b"], {"a b": "a_b"}),
        (["a_b", "A B", "gone"], {"a_b": "a_b"}),
        (["town", "x.y", "place.inner.city"], {"town": "place.city", "x.y": "place.more.x.y",
                                               "place.inner.city": "place.inner.city"}),
        (["town", "place.city"], {"town": "place.city"}),
    ],
)  # fmt: skip
def test_the_models_column_fills_its_field_then_the_fields_own_name(names, paths):
    assert filled(*names) == paths


def test_two_columns_of_the_model_cannot_fill_one_field():
    with pytest.raises(UsageError, match="the columns x and y fill the same field, age: leave one of them out"):
        filled("x", "y", columns={"x": "age", "y": "age"})


def csv_rows(text, message=ROW, **more):
    return read_rows(io.StringIO(text, newline=""), "csv", message, options(**more))


def json_rows(*documents, message=ROW, **more):
    text = documents[0] if isinstance(documents[0], str) else "\n".join(map(json.dumps, documents))
    return read_rows(io.StringIO(text, newline=""), "json", message, options(**more))


SAID = dict(
    zip(["Age", "age", "a b", " a", "town", "x.y", "deep"], ["1", "2", "x", "3", "Rome", "4", "Ulm"], strict=True)
)
WANTED = ROW(age=1, age_2=2, a_b="x", tiny_2x=3, place={"city": "Rome", "more": {"x.y": 4}, "inner": {"city": "Ulm"}})


def test_csv_and_json_are_read_alike_by_the_models_names():
    table = csv_rows(f"{','.join(SAID)}\n{','.join(SAID.values())}\n")
    (row,) = table
    assert row.message == WANTED
    numbers = {name: float(text) if text.isdecimal() else text for name, text in SAID.items()}
    (other,) = json_rows(numbers)
    assert other.message == WANTED
    assert table.watch(["age", "place.more.x.y", "rows_1"]) == ["rows_1"]
    assert table.notes() == []


def test_columns_in_bulk_are_those_that_rows_one_by_one_have():
    text = "age,a b,ignored,Age\n1,x,0,2\n,y,0,3\n"
    one_by_one = [FRAME(rows=[row.message]).SerializeToString() for row in csv_rows(text, FRAME)]
    (chunk,) = csv_rows(text, FRAME).in_bulk(["a_b", "age_2"])
    assert isinstance(chunk, Chunk)
    assert chunk.values == one_by_one
    assert chunk.values[0] == FRAME(rows=[ROW(age=2, age_2=1, a_b="x")]).SerializeToString()
    assert {path for path, *_ in chunk.told} == {"a_b", "age_2"}


def test_what_is_wrong_is_told_by_the_tables_own_name():
    (bad,) = csv_rows("Age,a b\nold,x\n")
    assert str(bad) == "row 1, column Age: 'old' is not a number"
    (bad,) = json_rows({"Age": "old"})
    assert str(bad) == "row 1, column Age: 'old' is not a number"
    with pytest.raises(UsageError, match="names Age twice"):
        csv_rows("Age,Age\n1,2\n")
    with pytest.raises(UsageError, match=r"did you mean a_b by a-b\?"):
        csv_rows("a-b\nx\n")


def test_a_column_that_another_one_beats_is_noted():
    note = "ignored a_b, since the model's column a b fills the same field"
    table = csv_rows("a_b,a b\nx,y\n")
    assert [row.message.a_b for row in table] == ["y"]
    assert table.notes() == [note]
    table = json_rows({"a_b": "x", "a b": "y"}, {"aB": "x", "a b": "y"})
    assert [row.message.a_b for row in table] == ["y", "y"]
    assert table.notes() == [note, note.replace("a_b", "aB")]
    (bad,) = json_rows({"x": 1, "y": 2}, columns={"x": "age", "y": "age"})
    assert "the columns x and y fill the same field" in str(bad)


def test_json_keeps_the_protos_names_and_what_is_refused():
    (row,) = json_rows({"aB": "x", "tiny2x": 1, "place": {"city": "Rome"}, "town": "Ulm", "x.y": None, "deep": "Bonn"})
    assert row.message == ROW(a_b="x", tiny_2x=1, place={"city": "Ulm", "inner": {"city": "Bonn"}})
    for document, why in (
        ('{"Age": 1, "Age": 2}', "occurs twice"),
        ('{"a_b": "x", "aB": "y"}', "occurs twice, as a_b and as aB"),
        ('{"Age": 1, "unknown": 2}', "has no field named"),
        ('{"town": "Rome", "place": 5}', "is not an object"),
    ):
        (bad,) = json_rows(document)
        assert isinstance(bad, BadRow)
        assert why in str(bad)


@pytest.mark.parametrize(
    "document", [{"rows": [{"Age": 1}, {"age": 2}]}, {"rows": [{"Age": 1}, {"age": 2}], "id": "7"}]
)
def test_whole_messages_have_rows_by_the_models_names(document):
    rows = list(json_rows(document, message=FRAME))
    assert not any(isinstance(row, BadRow) for row in rows)
    packed = json_rows(document, message=FRAME).layout.pack([row.message for row in rows])
    assert [(row.age, row.age_2) for row in packed.rows] == [(1, 0), (0, 2)]


def test_a_row_may_have_a_column_that_is_called_as_the_field_of_the_rows():
    (row,) = json_rows({"rows": 5, "Age": 1}, message=FRAME)
    assert row.message == ROW(rows_1=5, age=1)


def test_json_tells_which_fields_no_row_has_before_it_is_read_and_after():
    table = json_rows({"Age": 1}, {"a b": None}, {"place": {"more": {"x.y": 1}}})
    asked = ["age", "a_b", "place.more.x.y", "place.city", "age_2"]
    assert table.look_ahead(asked) == ["place.city", "age_2"]
    table.expect(asked)
    table.watch(["age"])
    assert [row.lacks for row in table] == [[], ["age"], ["age"]]
    assert table.unmet == ["place.city", "age_2"]
    assert json_rows("").look_ahead(asked) == []


def test_what_cannot_be_read_twice_is_not_looked_into():
    class Pipe(io.StringIO):
        def seekable(self):
            return False

    rows = read_rows(Pipe('{"Age": 1}'), "json", ROW, options())
    assert rows.look_ahead(["age_2"]) == []
    assert len(list(rows)) == 1


def test_a_table_has_the_configurations_columns_and_what_a_host_has_found():
    configuration = Configuration(columns=frozen({"a": "x", "b": "y"}), text=TextOptions(delimiter=";"))
    assert configuration.table().columns == (("a", "x"), ("b", "y"))
    assert configuration.table({"b": "z", "c": "c_1"}) == TextOptions(
        delimiter=";", columns=(("a", "x"), ("b", "z"), ("c", "c_1"))
    )
