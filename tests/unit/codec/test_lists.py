"""Lists: columns and outputs of which a row has any number of values."""

import numpy as np
import pytest

from hotswap.batch import Code, Refusal
from hotswap.codec.columns import DecodedRows, Decoder
from hotswap.codec.encoder import Encoder
from hotswap.codec.fields import Column
from hotswap.codec.outputs import Output
from hotswap.codec.proto import compile as compile_proto
from hotswap.codec.values import Table
from hotswap.generation import Configuration, Policy
from hotswap.runtimes.rows import RowPlan

WORDS, ITEMS = Column("words", type="texts"), Column("items", type="wholes")
PAIR = Column("pair", type="vector", width=2)
GRAMS = Output("grams", 0, 1, is_vector=True, is_list=True, is_text=True, is_object=True)
COUNTS = Output("counts", 1, 2, is_vector=True, is_list=True, is_whole=True, is_object=True)
WHY, VECTOR = Output("why", 0, 1, is_text=True), Output("terms", 1, 2, is_vector=True, is_object=True)


def message_of(messages):
    text = f'syntax = "proto3"; {messages} service S {{ rpc f(M) returns (M); }}'
    return compile_proto(text.encode()).operations["f"].input


def decoder(messages, *columns, **policies):
    return Decoder(message=message_of(messages), columns=columns, configuration=Configuration(**policies))


def decode(made, *requests):
    assert made.problems == []
    return made.decode([made.message(**request).SerializeToString() for request in requests])


def encoder(messages, *outputs, is_one_row=False):
    return Encoder(message=message_of(messages), outputs=outputs, names={}, is_one_row=is_one_row)


def encoded(made, objects):
    """Encode rows as one request, and parse its answer."""
    rows = len(next(iter(objects.values())))
    table = Table(np.zeros((rows, 2)), objects)
    assert made.is_valid(table).all()
    (answer,) = made.encode(table, DecodedRows(Table(np.empty((rows, 0))), range(1), np.array([rows])))
    return made._message.FromString(answer)


def test_lists_of_texts_and_of_whole_numbers_are_decoded_as_sent():
    made = decoder(
        "enum E { A = 0; B = 1; } message M { repeated string words = 1; repeated int32 items = 2; }", WORDS, ITEMS
    )
    by_name = decoder("enum E { A = 0; B = 1; } message M { repeated E words = 1; }", WORDS)

    rows = decode(made, {"words": ["b", "", "a"], "items": [3, -1]}, {})

    assert rows.table.objects == {0: [["b", "", "a"], []], 1: [[3, -1], []]}
    assert decode(by_name, {"words": [1, 0]}).table.objects == {0: [["B", "A"]]}


@pytest.mark.parametrize(
    ("column", "field", "advice"),
    [
        (WORDS, "repeated double words", "make it repeated string"),
        (WORDS, "string words", "M has no repeated scalar field `words`"),
        (ITEMS, "repeated string items", "make it repeated int64"),
    ],
)
def test_a_field_that_cannot_hold_the_list_is_reported(column, field, advice):
    (problem,) = decoder(f"message M {{ {field} = 1; }}", column).problems
    assert advice in problem


def test_a_vector_of_another_length_is_mistyped():
    messages = "message Row { repeated double pair = 1; } message M { repeated Row rows = 1; }"
    requests = [{"rows": [{"pair": [1, 2]}]}, {"rows": [{"pair": [1, 2]}, {"pair": [1, 2, 3]}]}, {"rows": [{}]}]

    rows = decode(decoder(messages, PAIR), *requests)
    lenient = decode(decoder(messages, PAIR, mistyped=Policy.ACCEPT), *requests)

    why = "row {}, field `pair`: it has {} numbers, but column `pair` is a vector of 2 numbers"
    assert rows.table.objects == {0: [[1.0, 2.0]]}
    assert rows.refused == {
        1: Refusal(Code.MISTYPED_FIELD, why.format(1, 3)),
        2: Refusal(Code.MISTYPED_FIELD, why.format(0, 0)),
    }
    assert lenient.table.objects == {0: [[1.0, 2.0], [1.0, 2.0], None, None]}


def test_made_up_requests_have_vectors_of_the_right_length_and_lists():
    class Model:
        columns, outputs = (PAIR, WORDS), (WHY,)

    messages = "message M { repeated double pair = 1; repeated string words = 2; optional string why = 3; }"
    operation = compile_proto(
        f'syntax = "proto3"; {messages} service S {{ rpc f(M) returns (A); }} message A {{ string why = 1; }}'.encode()
    ).operations["f"]
    (made_up,) = map(operation.input.FromString, RowPlan(Model, operation, Configuration()).invent(1))
    assert (len(made_up.pair), len(made_up.words)) == (2, 1)


def test_each_rows_lists_are_in_a_message_of_its_own():
    made = encoder(
        "message M { repeated Row rows = 1; } message Row { repeated string grams = 1; repeated int64 counts = 2; }",
        GRAMS,
        COUNTS,
    )

    answer = encoded(made, {0: [["a b", "b c"], [], None], 1: [[1], [1 << 62, 2], []]})

    assert [list(row.grams) for row in answer.rows] == [["a b", "b c"], [], []]
    assert [list(row.counts) for row in answer.rows] == [[1], [1 << 62, 2], []]


def test_lists_of_several_rows_in_one_field_are_reported_since_nobody_could_tell_them_apart():
    message = "message M { repeated string grams = 1; }"

    assert encoder(message, GRAMS).problems == [
        (
            "output field `grams` (repeated string): `grams` is a list of texts of any length; answer with a repeated "
            "message, one for each row"
        )
    ]
    assert encoder(message, GRAMS, is_one_row=True).problems == []


def test_a_list_fits_an_enum_unless_one_of_its_texts_is_none_of_the_names():
    made = encoder(
        "enum E { A = 0; B = 1; } message M { repeated Row rows = 1; } message Row { repeated E grams = 1; }", GRAMS
    )

    assert [list(row.grams) for row in encoded(made, {0: [["b", "a"], None]}).rows] == [[1, 0], []]
    bad = Table(np.zeros((2, 1)), {0: [["a"], ["a", "c"]]})
    assert made.is_valid(bad).tolist() == [True, False]
    assert "['a', 'c'], which is not a valid value of field `grams`" in made.explain(bad, 1)


def test_in_answers_by_column_a_missing_text_is_empty_and_a_missing_vector_invalid():
    made = encoder("message M { repeated string why = 1; repeated double terms = 2; }", WHY, VECTOR)

    answer = encoded(made, {0: ["a", None, "b"], 1: [[1.0], [2.0], [3.0]]})

    assert list(answer.why) == ["a", "", "b"]
    without = Table(np.zeros((2, 2)), {0: ["a", None], 1: [[1.0], None]})
    assert made.is_valid(without).tolist() == [True, False]
    assert made.explain(without, 1) == "the model returned None, which is not a valid value of field `terms`"
