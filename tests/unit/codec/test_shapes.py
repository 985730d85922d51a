"""Messages of any shape: nested, maps, oneof, imports; and columns and outputs other than numbers."""

import numpy as np
import pytest

from hotswap.batch import Code, Refusal
from hotswap.codec.columns import DecodedRows, Decoder
from hotswap.codec.encoder import Encoder
from hotswap.codec.fields import Column
from hotswap.codec.outputs import Output, class_names, predict_names
from hotswap.codec.proto import compile as compile_proto
from hotswap.codec.values import Table
from hotswap.generation import Configuration, Policy

AGE, COLOR = Column("age"), Column("color", ("blue", "red"))
TEXT, WHOLE, VECTOR = Column("t", type="text"), Column("n", type="whole"), Column("v", type="vector")
NAN = np.nan
CLASSES = ("no", "yes")
OUTPUTS = (
    Output("predict", 0, 1, predict_names("response"), classes=CLASSES),
    *(Output(f"p_{name}", place, place + 1, class_names(name)) for place, name in enumerate(CLASSES, 1)),
    Output("probabilities", 1, 3, ("probs",), keys=CLASSES, is_vector=True),
    Output("rank", 3, 4, is_whole=True),
    Output("why", 4, 5, is_text=True),
    Output("terms", 5, 6, is_vector=True, is_object=True),
    Output("id", 6, 7, is_whole=True, is_object=True),
)
SCORES = Table(
    np.array([[1, 0.25, 0.75, 7, 0, 0, 0], [0, 1.0, 0.0, 0, 0, 0, 0]]),
    {4: ["Red", None], 5: [[1.0, 2.0], []], 6: [1 << 62, 3]},
)


def decoder(messages, *columns, names=None, **policies):
    text = f'syntax = "proto3"; {messages} service S {{ rpc f(In) returns (In); }}'
    message = compile_proto(text.encode()).operations["f"].input
    return Decoder(message=message, columns=columns, configuration=Configuration(columns=names or {}, **policies))


def decode(made, *requests):
    assert made.problems == []
    return made.decode([made.message(**request).SerializeToString() for request in requests])


def matrix(rows):
    return rows.table.matrix.tolist()


def encoder(messages, *, names=None, is_one_row=True):
    text = f'syntax = "proto3"; {messages} service S {{ rpc f(Out) returns (Out); }}'
    message = compile_proto(text.encode()).operations["f"].input
    return Encoder(message=message, outputs=OUTPUTS, names=names or {}, is_one_row=is_one_row), message


def encoded(messages, scores=SCORES, **options):
    made, message = encoder(messages, **options)
    assert made.problems == []
    assert made.is_valid(scores).all()
    rows = DecodedRows(Table(np.empty((len(scores), 0))), range(len(scores)), None)
    answers = made.encode(scores, rows)
    parsed = [message.FromString(answer) for answer in answers]
    assert [message.SerializeToString(deterministic=True) for message in parsed] == answers
    return parsed


# ---- requests


def test_a_column_is_found_in_a_nested_message():
    made = decoder(
        "message Person { optional double age = 1; } message Look { string color = 1; } "
        "message In { Person person = 1; Look look = 2; }",
        AGE,
        COLOR,
    )

    rows = decode(made, {"person": {"age": 3}, "look": {"color": "red"}}, {"person": {}}, {})

    np.testing.assert_array_equal(rows.table.matrix, [[3, 1], [NAN, NAN], [NAN, NAN]])


def test_a_field_of_the_row_takes_precedence_over_a_nested_one():
    made = decoder("message Person { double age = 1; } message In { Person person = 1; double age = 2; }", AGE)

    assert matrix(decode(made, {"person": {"age": 3}, "age": 4})) == [[4]]


def test_two_nested_fields_of_one_name_are_reported_as_ambiguous():
    messages = "message Person { double age = 1; } message In { Person buyer = 1; Person seller = 2; }"

    assert decoder(messages, AGE).problems == [
        "column `age` (numeric): could be buyer.age or seller.age; name one in configuration.columns"
    ]
    assert matrix(decode(decoder(messages, AGE, names={"age": "seller.age"}), {"seller": {"age": 5}})) == [[5]]


def test_a_column_with_dots_in_its_name_may_be_a_path():
    made = decoder("message Person { double age = 1; } message In { Person p = 1; Person q = 2; }", Column("q.age"))

    assert matrix(decode(made, {"q": {"age": 5}})) == [[5]]


def test_a_recursive_message_is_searched_once():
    assert "no scalar field `age`" in decoder("message In { In next = 1; double x = 2; }", AGE).problems[0]


def test_the_keys_of_a_lone_map_are_columns_and_an_absent_key_is_missing():
    made = decoder("message Row { map<string, double> values = 1; } message In { repeated Row rows = 1; }", AGE)

    rows = decode(made, {"rows": [{"values": {"age": 3, "other": 1}}, {"values": {"age": 0}}, {}]})

    np.testing.assert_array_equal(rows.table.matrix, [[3], [0], [NAN]])
    assert rows.counts.tolist() == [3]


def test_the_configuration_names_a_key_of_a_map_beside_other_fields():
    made = decoder(
        "message In { map<string, string> more = 1; double age = 2; }",
        AGE,
        COLOR,
        Column("size"),
        names={"color": "more.color", "size": "more.the size"},
    )

    rows = decode(made, {"age": 1, "more": {"color": "red", "the size": "2.5"}}, {"more": {"color": "green"}})

    np.testing.assert_array_equal(rows.table.matrix, [[1, 1, 2.5], [0, NAN, NAN]])
    assert rows.unknown == {"color": 1}


def test_an_alternative_of_a_oneof_that_was_not_sent_is_missing():
    made = decoder("message In { oneof which { double age = 1; string color = 2; } }", AGE, COLOR)

    np.testing.assert_array_equal(decode(made, {"age": 0}, {"color": "blue"}).table.matrix, [[0, NAN], [NAN, 0]])


def test_a_message_may_import_protobufs_own_types():
    made = decoder(
        'import "google/protobuf/wrappers.proto"; message In { google.protobuf.DoubleValue age = 1; }',
        AGE,
        names={"age": "age.value"},
    )

    np.testing.assert_array_equal(decode(made, {"age": {"value": 2}}, {}).table.matrix, [[2], [NAN]])


def test_texts_whole_numbers_and_vectors_are_decoded_as_sent():
    made = decoder(
        "enum E { A = 0; B = 1; } message In { optional string t = 1; sint64 n = 2; repeated float v = 3; E e = 4; }",
        TEXT,
        WHOLE,
        VECTOR,
        Column("e", type="text"),
    )

    rows = decode(made, {"t": "", "n": -(1 << 62), "v": [1, 2], "e": 1}, {"n": 0})

    assert rows.table.objects == {0: ["", None], 1: [-(1 << 62), 0], 2: [[1.0, 2.0], []], 3: ["B", "A"]}


def test_texts_and_whole_numbers_may_be_sent_as_columns():
    made = decoder("message In { repeated string t = 1; repeated int64 n = 2; }", TEXT, WHOLE)

    rows = decode(made, {"t": ["a", "b"], "n": [1, 2]}, {"t": ["c"]})

    assert rows.table.objects == {0: ["a", "b", "c"], 1: [1, 2, None]}


@pytest.mark.parametrize("text", ["1.5", "x", "9223372036854775808", "1_0"])
def test_a_text_that_is_not_a_whole_number_refuses_its_request_or_is_missing(text):
    messages = "message In { string n = 1; }"
    requests = [{"n": "-7"}, {"n": text}, {"n": ""}]

    strict = decode(decoder(messages, WHOLE), *requests)
    lenient = decode(decoder(messages, WHOLE, mistyped=Policy.ACCEPT), *requests)

    assert strict.table.objects == {0: [-7, None]}
    assert strict.refused == {
        1: Refusal(Code.MISTYPED_FIELD, f"row 0, field `n`: {text!r} is not a number, but column `n` is a whole number")
    }
    assert lenient.table.objects == {0: [-7, None, None]}


def test_a_missing_text_refuses_its_request_if_the_policy_says_so():
    rows = decode(decoder("message In { optional string t = 1; }", TEXT, missing=Policy.REFUSE), {"t": "a"}, {})

    assert rows.table.objects == {0: ["a"]}
    assert [refusal.code for refusal in rows.refused.values()] == [Code.MISSING_FIELD]


@pytest.mark.parametrize(
    ("column", "field", "advice"),
    [
        (TEXT, "double t", "make it a string"),
        (WHOLE, "double n", "make it an integer"),
        (VECTOR, "repeated string v", "make it repeated double"),
        (VECTOR, "double v", "no repeated scalar field `v`"),
    ],
)
def test_a_field_that_does_not_fit_its_column_is_reported(column, field, advice):
    (problem,) = decoder(f"message In {{ {field} = 1; int32 other = 2; }}", column).problems

    assert advice in problem


# ---- answers


def test_a_nested_message_is_filled_like_the_answer():
    first, second = encoded(
        "message P { double no = 1; double yes = 2; } message Out { string label = 1; P of = 2; int64 rank = 3; }"
    )

    assert (first.label, first.of.no, first.of.yes, first.rank) == ("yes", 0.25, 0.75, 7)
    assert (second.label, second.of.no, second.of.yes, second.rank) == ("no", 1.0, 0.0, 0)


def test_the_configuration_names_a_nested_field_by_its_path():
    messages = "message P { double best = 1; } message Out { P of = 1; }"

    first, _ = encoded(messages, names={"of.best": "p_yes"})

    assert first.of.best == 0.75
    assert (
        encoder(messages, names={"of.worst": "p_no"})[0]
        .problems[-1]
        .startswith("configuration.outputs names `of.worst`, which is not a field")
    )


def test_a_map_holds_a_probability_for_each_class_by_its_name():
    first, second = encoded("message Out { map<string, double> probabilities = 1; string label = 2; }")

    assert dict(first.probabilities) == {"no": 0.25, "yes": 0.75}
    assert dict(second.probabilities) == {"no": 1.0, "yes": 0.0}


def test_the_alternative_of_a_oneof_that_has_an_output_is_filled():
    first, _ = encoded("message Out { oneof result { string label = 1; string error = 2; } }")

    assert first.WhichOneof("result") == "label"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            "string label = 1; double p_yes = 2;",
            "`which`: label and p_yes can be filled, but it holds exactly one of label, p_yes",
        ),
        (
            "string colour = 1; double size = 2;",
            "`which`: nothing can be filled, but it holds exactly one of colour, size",
        ),
    ],
)
def test_a_oneof_with_two_outputs_or_none_is_reported(fields, told):
    made, _ = encoder(f"message Out {{ oneof which {{ {fields} }} }}")

    assert told in made.problems[0]


def test_an_empty_output_in_the_configuration_leaves_a_field_out():
    messages = (
        "message Out { string label = 1; optional string comment = 2; oneof w { double no = 3; double yes = 4; } }"
    )

    first, _ = encoded(messages, names={"comment": "", "no": ""})

    assert not first.HasField("comment")
    assert first.yes == 0.75


def test_texts_vectors_and_whole_numbers_are_encoded_unchanged():
    first, second = encoded("message Out { optional string why = 1; repeated double terms = 2; int64 id = 3; }")

    assert (first.why, list(first.terms), first.id) == ("Red", [1.0, 2.0], 1 << 62)
    assert (second.HasField("why"), list(second.terms), second.id) == (False, [], 3)


def test_a_text_fits_an_enum_unless_it_is_not_one_of_its_names():
    messages = "enum E { E_UNSPECIFIED = 0; E_RED = 1; } message Out { E why = 1; }"
    odd = Table(SCORES.matrix, {**SCORES.objects, 4: ["red", "blue"]})
    made, _ = encoder(messages)

    assert [out.why for out in encoded(messages)] == [1, 0]
    assert made.is_valid(odd).tolist() == [True, False]
    assert made.explain(odd, 1) == "the model returned blue, which is not a valid value of field `why`"


@pytest.mark.parametrize("fields", ["string label = 1;", "repeated double probs = 1;", "string why = 1; int64 id = 2;"])
def test_a_batch_of_no_rows_is_valid_and_has_no_answers(fields):
    nothing = Table(np.empty((0, 7)), {4: [], 5: [], 6: []})
    made, _ = encoder(f"message Out {{ {fields} }}")

    assert made.is_valid(nothing).tolist() == []
    assert made.encode(nothing, DecodedRows(nothing, range(0), None)) == []


def test_a_missing_whole_number_is_invalid():
    made, _ = encoder("message Out { int32 rank = 1; int64 id = 2; }")
    odd = Table(np.array([[0, 0, 0, NAN, 0, 0, 0], [0] * 7]), {**SCORES.objects, 6: [1, None]})

    assert made.is_valid(odd).tolist() == [False, False]
    assert made.explain(odd, 1) == "the model returned None, which is not a valid value of field `id`"


def test_answers_of_several_rows_hold_texts_and_vectors_row_after_row():
    made, message = encoder("message Out { repeated string label = 1; repeated double terms = 2; }", is_one_row=False)
    rows = DecodedRows(Table(np.empty((2, 0))), range(1), np.array([2]))

    (answer,) = made.encode(SCORES, rows)

    assert message.FromString(answer) == message(label=["yes", "no"], terms=[1.0, 2.0])
