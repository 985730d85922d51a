"""A model's outputs are encoded as messages, each field filled by its name."""

import numpy as np
import pytest

from hotswap.codec.columns import DecodedRows
from hotswap.codec.encoder import Encoder
from hotswap.codec.outputs import Output, class_names, predict_names
from hotswap.codec.proto import compile as compile_proto
from hotswap.codec.values import Table

CLASSES = ("no", "yes")
OUTPUTS = (
    Output("predict", 0, 1, predict_names("response"), classes=CLASSES),
    *(Output(f"p_{name}", place, place + 1, class_names(name)) for place, name in enumerate(CLASSES, 1)),
    Output("probabilities", 1, 3, ("probs",), is_vector=True),
    Output("cluster_size", 3, 4, is_whole=True),
)
SCORES = np.array([[1, 0.25, 0.75, 7], [0, 1.0, 0.0, 0], [1, 0.5, 0.5, 3]])


def encoder(messages, outputs=OUTPUTS, names=None, *, is_one_row=True):
    text = f'syntax = "proto3"; {messages} service S {{ rpc f(Out) returns (Out); }}'
    message = compile_proto(text.encode()).operations["f"].input
    made = Encoder(message=message, outputs=outputs, names=names or {}, is_one_row=is_one_row)
    return made, message


def rows_of(*counts):
    return DecodedRows(Table(np.empty((sum(counts), 0))), range(len(counts)), np.array(counts))


ONE_EACH = DecodedRows(Table(np.empty((3, 0))), range(3), None)


def encoded(messages, rows=ONE_EACH, **options):
    made, message = encoder(messages, is_one_row=rows.counts is None, **options)
    assert made.problems == []
    answers = made.encode(Table(SCORES), rows)
    parsed = [message.FromString(answer) for answer in answers]
    # The canonical form, whichever way it was encoded.
    assert [message.SerializeToString() for message in parsed] == answers
    return parsed


@pytest.mark.parametrize(
    "field",
    ["predict", "prediction", "Label", "class", "value", "response", "result", "outcome", "predicted"],
)
def test_the_label_fills_a_field_of_any_of_its_names(field):
    assert [getattr(out, field) for out in encoded(f"message Out {{ string {field} = 1; }}")] == ["yes", "no", "yes"]


@pytest.mark.parametrize("field", ["p_yes", "pyes", "pYes", "prob_yes", "probability_yes", "yes", "YES"])
def test_a_probability_fills_a_field_of_any_of_its_names(field):
    assert [getattr(out, field) for out in encoded(f"message Out {{ double {field} = 1; }}")] == [0.75, 0.0, 0.5]


def test_a_label_and_its_probabilities_are_serialized_as_by_protobuf_including_zeros():
    first, second, _ = encoded("message Out { string label = 1; double no = 2; double yes = 300; }")

    assert (first.label, first.no, first.yes) == ("yes", 0.25, 0.75)
    assert (second.label, second.no, second.yes) == ("no", 1.0, 0.0)


def test_an_optional_zero_is_serialized():
    _, second, _ = encoded("message Out { optional string label = 1; optional double yes = 2; optional float no = 3; }")

    assert second.HasField("yes")


def test_fields_are_filled_by_name_in_any_order():
    (first, *_) = encoded("message Out { float yes = 1; string predict = 2; double no = 9; }")

    assert (first.predict, first.no, first.yes) == ("yes", 0.25, 0.75)


def test_a_repeated_field_takes_an_element_of_each_row():
    both, none, last = encoded(
        "message Out { repeated string prediction = 1; repeated double p_yes = 2; repeated double probabilities = 3; }",
        rows_of(2, 0, 1),
    )

    assert (list(both.prediction), list(both.p_yes)) == (["yes", "no"], [0.75, 0.0])
    assert list(both.probabilities) == [0.25, 0.75, 1.0, 0.0]
    assert (list(none.prediction), list(last.prediction)) == ([], ["yes"])


def test_repeated_row_messages_take_a_row_each():
    both, none, last = encoded(
        "message Row { string label = 1; double yes = 2; } message Out { repeated Row rows = 7; }", rows_of(2, 0, 1)
    )

    assert [(row.label, row.yes) for row in both.rows] == [("yes", 0.75), ("no", 0.0)]
    assert (len(none.rows), [row.label for row in last.rows]) == (0, ["yes"])


def test_a_row_longer_than_127_bytes_has_the_right_length_prefix():
    long = (Output("predict", 0, 1, classes=("n" * 200, "y" * 40_000)),)

    (first, second, _) = encoded(
        "message Row { string predict = 1; } message Out { repeated Row rows = 1; }", rows_of(1, 1, 1), outputs=long
    )

    assert (len(first.rows[0].predict), len(second.rows[0].predict)) == (40_000, 200)


@pytest.mark.parametrize(
    ("kind", "field", "values"),
    [
        ("string", "p_yes", ["0.75", "0.0", "0.5"]),
        ("int32", "cluster_size", [7, 0, 3]),
        ("uint64", "cluster_size", [7, 0, 3]),
        ("string", "cluster_size", ["7", "0", "3"]),
        ("float", "p_yes", [0.75, 0.0, 0.5]),
    ],
)
def test_a_number_fits_floats_strings_and_whole_ones_integers(kind, field, values):
    assert [getattr(out, field) for out in encoded(f"message Out {{ {kind} {field} = 1; }}")] == values


def test_a_label_fits_an_enum_with_all_classes():
    enum = "enum Answer { ANSWER_UNSPECIFIED = 0; ANSWER_YES = 1; ANSWER_NO = 2; }"

    assert [out.label for out in encoded(enum + "message Out { Answer label = 1; double yes = 2; }")] == [1, 2, 1]


@pytest.mark.parametrize(
    ("kind", "classes", "values"), [("int32", ("-1", "1"), [1, -1, 1]), ("bool", ("0", "1"), [1, 0, 1])]
)
def test_a_label_that_is_a_number_or_a_boolean_fits_such_a_field(kind, classes, values):
    outputs = (Output("predict", 0, 1, classes=classes),)

    assert [out.predict for out in encoded(f"message Out {{ {kind} predict = 1; }}", outputs=outputs)] == values


def test_the_configuration_takes_precedence_over_the_names():
    (first, *_) = encoded(
        "message Out { double label = 1; string yes = 2; }", names={"label": "p_no", "yes": "predict"}
    )

    assert (first.label, first.yes) == (0.25, "yes")


def test_a_name_of_two_outputs_is_reported_as_ambiguous():
    classes = ("-1", "1")
    outputs = tuple(Output(f"p_{name}", place, place + 1, class_names(name)) for place, name in enumerate(classes, 1))

    vague, _ = encoder("message Out { double P1 = 1; }", outputs)

    assert [out.p_1 for out in encoded("message Out { double p_1 = 1; }", outputs=outputs)] == [0.75, 0.0, 0.5]
    assert "could be p_-1 or p_1" in vague.problems[0]


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ("message Out { string colour = 1; }", "has no output `colour`; name one of predict, p_no, p_yes"),
        ("message Out { double predict = 1; }", "`predict` does not fit into it; make it a string"),
        ("message Out { int32 p_yes = 1; }", "`p_yes` does not fit into it; make it a double"),
        ("message Out { double probabilities = 1; }", "`probabilities` has several values; make it repeated"),
        ("enum E { YES = 0; } message Out { E predict = 1; }", "does not fit"),
        ("message Out {}", "Out has no field"),
        ("message Inner {} message Out { Inner predict = 1; }", "does not fit"),
        ("message Out { map<string, string> predict = 1; }", "does not fit"),
    ],
)
def test_a_field_that_cannot_be_filled_is_reported_with_what_to_do(messages, told):
    made, _ = encoder(messages)

    assert told in made.problems[0]


def test_a_singular_field_cannot_hold_several_rows():
    made, _ = encoder("message Out { string predict = 1; }", is_one_row=False)

    assert "a request may have several rows; make it repeated" in made.problems[0]


def test_a_configured_output_field_that_does_not_exist_is_reported():
    made, _ = encoder("message Out { string predict = 1; }", names={"predict": "nothing", "gone": "predict"})

    assert "has no output `nothing`" in made.problems[0]
    assert "configuration.outputs names `gone`, which is not a field of Out" in made.problems[1]


def test_a_row_without_a_class_is_invalid():
    made, _ = encoder("message Out { string predict = 1; }")

    assert made.is_valid(Table(np.array([[0.0], [np.nan], [2.0], [-1.0]]))).tolist() == [True, False, False, False]
