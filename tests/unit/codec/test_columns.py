"""Requests are decoded to rows and columns in every shape of message, and refused as the policies say."""

import math

import numpy as np
import pytest

from hotswap.batch import Code, Refusal
from hotswap.codec.columns import Decoder
from hotswap.codec.fields import Column
from hotswap.codec.proto import compile as compile_proto
from hotswap.generation import Configuration, Policy

AGE, COLOR = Column("age"), Column("color", ("blue", "red"))
NAN = math.nan


def decoder(messages, columns=(AGE, COLOR), names=None, **policies):
    """Return a Decoder of the message `In` in a proto text."""
    configuration = Configuration(columns=names or {}, **policies)
    text = f'syntax = "proto3"; {messages} service S {{ rpc f(In) returns (In); }}'
    message = compile_proto(text.encode()).operations["f"].input
    return Decoder(message=message, columns=columns, configuration=configuration)


def decode(made, *requests):
    return made.decode([made.message(**request).SerializeToString() for request in requests])


def assert_matrix(rows, expected):
    np.testing.assert_array_equal(rows.table.matrix, np.array(expected, dtype=float))


# ---- shapes


def test_a_message_of_scalars_is_one_row():
    made = decoder("message In { string color = 1; double age = 2; int32 other = 3; }")

    rows = decode(made, {"age": 1.5, "color": "red"}, {"age": 0, "color": "blue"})

    assert (made.problems, made.shape, rows.counts) == ([], "single", None)
    assert_matrix(rows, [[1.5, 1], [0, 0]])


def test_repeated_rows_are_all_rows_of_their_request():
    made = decoder(
        "message Row { double age = 1; string color = 2; } message In { int32 n = 1; repeated Row rows = 2; }"
    )

    rows = decode(made, {"rows": [{"age": 1, "color": "red"}, {"age": 2, "color": "blue"}]}, {}, {"rows": [{"age": 3}]})

    assert made.problems == []
    assert rows.counts.tolist() == [2, 0, 1]
    assert_matrix(rows, [[1, 1], [2, 0], [3, NAN]])


def test_repeated_scalars_are_columns_and_an_empty_one_is_missing():
    made = decoder("message In { repeated double age = 1; repeated string color = 2; }")

    rows = decode(made, {"age": [1, 2], "color": ["red", ""]}, {"color": ["blue"]}, {})

    assert made.problems == []
    assert rows.counts.tolist() == [2, 1, 0]
    assert_matrix(rows, [[1, 1], [2, NAN], [NAN, 0]])


def test_columns_of_different_lengths_refuse_their_request_only():
    made = decoder("message In { repeated double age = 1; repeated string color = 2; }")

    rows = decode(made, {"age": [1], "color": ["red"]}, {"age": [1, 2, 3], "color": ["red", "red"]}, {"age": [4]})

    assert rows.refused.keys() == {1}
    assert rows.refused[1].code is Code.MISSING_FIELD
    assert "age has 3, color has 2" in rows.refused[1].message
    assert list(rows.positions) == [0, 2]
    assert_matrix(rows, [[1, 1], [4, NAN]])


def test_a_nested_field_is_found_by_the_configuration():
    messages = "message Person { optional double years = 1; } message In { Person who = 1; string color = 2; }"

    made = decoder(messages, names={"age": "who.years"})
    rows = decode(made, {"who": {"years": 0}}, {"who": {}}, {}, {"who": {"years": 7}})

    assert made.problems == []
    assert_matrix(rows, [[0, NAN], [NAN, NAN], [NAN, NAN], [7, NAN]])
    assert "no scalar field `age`" in decoder(messages).problems[0]


def test_a_column_whose_name_is_not_an_identifier_is_found_with_underscores():
    made = decoder("message In { double sepal_length = 1; }", columns=[Column("sepal.length")])

    assert_matrix(decode(made, {"sepal_length": 2}), [[2]])


# ---- types


@pytest.mark.parametrize(
    ("kind", "value", "number"),
    [
        ("double", 1.5, 1.5),
        ("float", 0.5, 0.5),
        ("int32", -3, -3),
        ("int64", -(1 << 53), -(1 << 53)),
        ("uint32", 4_000_000_000, 4e9),
        ("uint64", 1 << 53, 1 << 53),
        ("sint32", -1, -1),
        ("sint64", -1, -1),
        ("fixed32", 7, 7),
        ("fixed64", 7, 7),
        ("sfixed32", -7, -7),
        ("sfixed64", -7, -7),
        ("bool", True, 1),
        ("E", 2, 2),
        ("string", " -1.5e3 ", -1500),
        ("string", "", NAN),
        ("string", "NA", NAN),
        ("string", "NaN", NAN),
    ],
)
def test_every_scalar_can_be_a_number(kind, value, number):
    made = decoder(f"enum E {{ A = 0; B = 2; }} message In {{ {kind} age = 1; }}", columns=[AGE])

    assert made.problems == []
    assert_matrix(decode(made, {"age": value}), [[number]])


@pytest.mark.parametrize(
    ("kind", "value", "number"),
    [
        ("string", "red", 1),
        ("string", "", NAN),
        ("Color", 1, 1),
        ("Color", 5, 0),
        ("Color", 0, NAN),
        ("optional Color", 1, 1),
    ],
)
def test_a_category_may_be_a_string_or_an_enum(kind, value, number):
    enum = "enum Color { COLOR_UNSPECIFIED = 0; COLOR_RED = 1; Blue = 5; }"
    made = decoder(f"{enum} message In {{ {kind} color = 1; }}", columns=[COLOR])

    rows = decode(made, {"color": value})

    assert (made.problems, rows.unknown) == ([], {})
    assert_matrix(rows, [[number]])


@pytest.mark.parametrize(
    ("kind", "categories", "value", "number"),
    [("int32", ("-1", "10"), 10, 1), ("bool", ("false", "true"), True, 1), ("bool", ("0", "1"), False, 0)],
)
def test_a_category_that_is_a_number_or_a_boolean_may_be_sent_as_such(kind, categories, value, number):
    made = decoder(f"message In {{ {kind} c = 1; }}", columns=[Column("c", categories)])

    assert_matrix(decode(made, {"c": value}), [[number]])


def test_each_mismatched_column_is_reported_with_what_to_do():
    columns = [AGE, COLOR, Column("gone"), Column("size", ("s", "m")), Column("flag", ("yes", "no"))]
    made = decoder(
        "message In { bytes age = 1; double color = 2; Other size = 3; bool flag = 4; } message Other {}", columns
    )

    assert len(made.problems) == 5
    for column, problem in zip(columns, sorted(made.problems), strict=False):
        assert "column `" in problem, column
    told = "\n".join(made.problems)
    assert "`age` (numeric): field `age` is bytes; make it a number" in told
    assert "`color` (categorical: blue, red): field `color` is double; make it a string, or an enum" in told
    assert "`gone` (numeric): In has no scalar field `gone`; add it" in told


def test_a_configured_column_that_the_model_lacks_is_reported():
    made = decoder("message In { double age = 1; string color = 2; }", names={"agee": "age"})

    assert made.problems == ["configuration.columns names `agee`, which is not a column of the model"]


# ---- missing, mistyped, unknown


def test_an_absent_optional_field_is_missing_and_a_zero_is_zero():
    made = decoder("message In { optional int32 age = 1; optional string color = 2; }")

    rows = decode(made, {}, {"age": 0, "color": "red"}, {"age": 5})

    assert rows.refused == {}
    assert_matrix(rows, [[NAN, NAN], [0, 1], [5, NAN]])


def test_an_absent_enum_is_missing_and_not_its_zero():
    made = decoder("enum C { BLUE = 0; RED = 1; } message In { optional C color = 1; }", columns=[COLOR])

    assert_matrix(decode(made, {}, {"color": 0}, {"color": 1}), [[NAN], [0], [1]])


def test_an_absent_enum_whose_zero_is_not_a_category_is_missing_and_not_unknown():
    made = decoder(
        "enum C { NONE = 0; BLUE = 1; RED = 2; } message In { optional C color = 1; }",
        columns=[COLOR],
        unknown_category=Policy.REFUSE,
    )

    rows = decode(made, {}, {"color": 0})

    assert rows.refused == {1: Refusal(Code.UNKNOWN_CATEGORY, rows.refused[1].message)}
    assert_matrix(rows, [[NAN]])


def test_a_missing_value_refuses_its_request_if_the_policy_says_so():
    made = decoder(
        "message Row { optional double age = 1; string color = 2; } message In { repeated Row r = 1; }",
        missing=Policy.REFUSE,
    )

    rows = decode(made, {"r": [{"age": 1, "color": "red"}]}, {"r": [{"age": 1, "color": "red"}, {"color": "red"}]})

    assert rows.refused[1].code is Code.MISSING_FIELD
    assert rows.refused[1].message == "row 1, field `age`: there is no value, but column `age` must not be missing"
    assert_matrix(rows, [[1, 1]])


def test_an_accepted_unknown_category_is_not_missing():
    made = decoder("message In { double age = 1; string color = 2; }", missing=Policy.REFUSE)

    rows = decode(made, {"age": 1, "color": "green"})

    assert rows.refused == {}
    assert_matrix(rows, [[1, NAN]])


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("optional string color", ("red", "mauve", "", None)),
        ("optional Color color", (1, 2, 0, None)),
        ("optional string color", ("red", "blue", "", None)),
    ],
    ids=["text", "enum", "its own name"],
)
def test_a_column_with_a_category_for_the_rest_knows_every_value(field, values):
    enum = "enum Color { COLOR_UNSPECIFIED = 0; COLOR_RED = 1; COLOR_MAUVE = 2; }"
    column = Column("color", ("red", "blue"), other=1)
    made = decoder(f"{enum} message In {{ {field} = 1; }}", [column], unknown_category=Policy.REFUSE)

    rows = decode(made, *({} if value is None else {"color": value} for value in values))

    assert (rows.refused, rows.unknown) == ({}, {})
    assert_matrix(rows, [[0], [1], [NAN], [NAN]])
    assert [source.known for source in made.sources] == [()]


def test_unknown_categories_are_scored_as_missing_and_counted_by_column():
    made = decoder("message In { double age = 1; string color = 2; }")

    rows = decode(made, {"color": "green"}, {"color": "red"}, {"color": "GREEN"}, {"color": ""})

    assert rows.unknown == {"color": 2}
    assert_matrix(rows, [[0, NAN], [0, 1], [0, NAN], [0, NAN]])


def test_an_unknown_category_refuses_its_request_if_the_policy_says_so():
    made = decoder("message In { double age = 1; string color = 2; }", unknown_category=Policy.REFUSE)

    rows = decode(made, {"color": "red"}, {"color": "green"})

    assert rows.unknown == {}
    assert rows.refused[1].code is Code.UNKNOWN_CATEGORY
    assert "row 0, field `color`: 'green' is not one of the categories" in rows.refused[1].message
    assert_matrix(rows, [[0, 1]])


@pytest.mark.parametrize("text", ["abc", "1,5", "1_000", "0x10", "null"])
def test_text_that_is_not_a_number_refuses_its_request(text):
    made = decoder("message In { string age = 1; string color = 2; }")

    rows = decode(made, {"age": "1"}, {"age": text}, {"age": ""})

    assert rows.refused[1].code is Code.MISTYPED_FIELD
    assert f"row 0, field `age`: {text!r} is not a number" in rows.refused[1].message
    assert list(rows.positions) == [0, 2]
    assert_matrix(rows, [[1, NAN], [NAN, NAN]])


def test_text_that_is_not_a_number_is_missing_if_the_policy_says_so():
    made = decoder("message In { string age = 1; string color = 2; }", mistyped=Policy.ACCEPT)

    rows = decode(made, {"age": "abc"}, {"age": "2"})

    assert rows.refused == {}
    assert_matrix(rows, [[NAN, NAN], [2, NAN]])


def test_the_first_violation_of_a_request_is_reported_and_a_long_value_is_truncated():
    made = decoder("message In { string age = 1; string color = 2; }", unknown_category=Policy.REFUSE)

    rows = decode(made, {"age": "x" * 10_000, "color": "green"})

    assert rows.refused[0].code is Code.MISTYPED_FIELD
    assert len(rows.refused[0].message) < 300


def test_bytes_that_do_not_parse_refuse_their_request_only():
    made = decoder("message In { double age = 1; string color = 2; }")
    good = made.message(age=3, color="red").SerializeToString()

    rows = made.decode([b"\xff\xff", good, None, good[:-1], b"\x12\x01\xff"])

    assert {position: refusal.code for position, refusal in rows.refused.items()} == dict.fromkeys(
        (0, 2, 3, 4), Code.UNDECODABLE
    )
    assert "5 bytes" not in rows.refused[0].message
    assert "2 bytes" in rows.refused[0].message
    assert_matrix(rows, [[3, 1]])


def test_an_empty_batch_is_a_matrix_without_rows():
    for messages in (
        "message In { double age = 1; string color = 2; }",
        "message In { repeated double age = 1; repeated string color = 2; }",
        "message Row { double age = 1; string color = 2; } message In { repeated Row rows = 1; }",
    ):
        assert decoder(messages).decode([b"\xff"]).table.matrix.shape == (0, 2)
