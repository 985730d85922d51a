import io

import pytest
from google.protobuf.descriptor import FieldDescriptor

from hotswap.codec.columns import Decoder
from hotswap.codec.encoder import Encoder
from hotswap.codec.fields import Column
from hotswap.codec.outputs import Output
from hotswap.codec.proto import compile as compile_proto
from hotswap.errors import UsageError
from hotswap.gateway.tensors import Tensors
from hotswap.generation import Configuration, TextOptions, frozen
from hotswap.packages import draft as draft_module
from hotswap.packages.draft import Field, draft_proto, fields_of, valid_names
from hotswap.packages.sample import SAMPLES, read_sample

LABELS = ("yes", "no")
CLASSIFIER = [
    Output("predict", 0, 1, classes=LABELS),
    Output("p_yes", 1, 2),
    Output("p_no", 2, 3),
    Output("probabilities", 1, 3, is_vector=True),
    Output("score", 2, 3),
]
ODD = [
    Column(name, categories)
    for name, categories in (
        ("a-b", None), ("a_b", None), ("aB", None), ("1st Flr", None), ("年齢", ("x", "y\nz")), ("Größe", None),
        ("message", None), ("optional", None), ("x.y", None), ("", None), ("_", None),
    )
]  # fmt: skip


def draft(columns, outputs, name="model"):
    return draft_proto(name, about="it", operations=["transform"], inputs=fields_of(columns), outputs=outputs)


def problems(given, columns, outputs):
    """The errors that a model host would report for the draft, with only the draft's own configuration."""
    (operation,) = compile_proto(given.text.encode()).operations.values()
    configuration = Configuration(columns=frozen(given.columns), outputs=frozen(given.outputs))
    decoder = Decoder(message=operation.input, columns=columns, configuration=configuration)
    encoder = Encoder(message=operation.output, outputs=outputs, names=given.outputs, is_one_row=False)
    assert decoder.shape == "rows"
    return [*decoder.problems, *encoder.problems], [source.path for source in decoder.sources]


def test_a_draft_has_the_usual_shape_and_each_value_of_the_model_once():
    made = draft([Column("age"), Column("job", LABELS)], CLASSIFIER, name="churn-2")
    assert made.text == (
        "// Drafted for it\n\n"
        'syntax = "proto3";\n\n'
        "package churn_2;\n\n"
        "service Churn2 {\n  rpc transform(DataFrame) returns (Prediction);\n}\n\n"
        "message DataFrame {\n  repeated DataFrameRow rows = 1;\n}\n\n"
        "message DataFrameRow {\n  optional double age = 1;\n  optional string job = 2;  // yes, no\n}\n\n"
        "message Prediction {\n"
        "  repeated string predict = 1;\n  repeated double p_yes = 2;\n  repeated double p_no = 3;\n}\n"
    )
    assert (made.columns, made.outputs) == ({}, {})
    assert problems(made, [Column("age"), Column("job", LABELS)], CLASSIFIER)[0] == []


def test_a_flat_draft_is_a_row_of_scalars_that_v2_can_use_however_many_classes_there_are():
    many = [Output(f"p{number}", number, number + 1) for number in range(70)]
    vector = Output("probabilities", 0, 70, is_vector=True)
    made = draft_proto(
        "m", about="it", operations=["f"], inputs=[Field("x", "optional double")], outputs=[*many, vector], is_flat=True
    )
    (operation,) = compile_proto(made.text.encode()).operations.values()
    assert len(Tensors(operation.input).metadata()) == 1
    assert len(Tensors(operation.output).metadata()) == 70


def test_names_that_are_not_identifiers_are_mapped_by_the_draft():
    outputs = [Output("predict", 0, 1, classes=("a-b", "a_b")), Output("p_a-b", 1, 2), Output("p_a_b", 2, 3)]
    made = draft(ODD, outputs)
    found, paths = problems(made, ODD, outputs)
    assert found == []
    assert paths == [made.fields[column.name] for column in ODD]
    assert len(set(paths)) == len(ODD)
    assert made.columns["a-b"] == "a_b_3"
    assert "x.y" not in made.columns  # fields.py finds x_y by itself
    assert made.outputs == {"p_a_b_2": "p_a-b", "p_a_b": "p_a_b"}


def test_valid_names_keep_what_is_valid_and_differ_in_json_too():
    assert valid_names(["a b", "a_b", "aB"]) == {"a b": "a_b_3", "a_b": "a_b", "aB": "aB_2"}


def test_a_model_with_many_classes_answers_with_a_vector():
    labels = tuple(f"c{number}" for number in range(100))
    each = [Output(f"p_{label}", number, number + 1) for number, label in enumerate(labels, 1)]
    outputs = [Output("predict", 0, 1, classes=labels), *each, Output("probabilities", 1, 101, is_vector=True)]
    made = draft([Column("x")], outputs)
    assert made.text.count("repeated") == 3
    assert "repeated double probabilities = 2;" in made.text
    assert problems(made, [Column("x")], outputs)[0] == []


def test_whole_numbers_and_vectors_have_their_types():
    outputs = [Output("cluster", 0, 1, is_whole=True), Output("parts", 1, 9, is_vector=True)]
    text = draft([Column("x")], outputs).text
    assert "repeated int64 cluster = 1;" in text
    assert "repeated double parts = 2;" in text


def test_lists_are_answered_by_a_message_for_each_row():
    columns = [Column("words", type="texts"), Column("items", type="wholes"), Column("v", type="vector", width=3)]
    outputs = [
        Output("cluster", 0, 1, is_whole=True),
        Output("grams", 1, 2, is_vector=True, is_list=True, is_text=True, is_object=True),
    ]
    made = draft(columns, outputs, name="prediction_row")
    assert problems(made, columns, outputs)[0] == []
    assert made.text.endswith(
        "message DataFrameRow {\n  repeated string words = 1;\n  repeated int64 items = 2;\n"
        "  repeated double v = 3;  // a vector of 3 numbers\n}\n\n"
        "message Prediction {\n  repeated PredictionRow rows = 1;\n}\n\n"
        "message PredictionRow {\n  optional int64 cluster = 1;\n  repeated string grams = 2;\n}\n"
    )


def test_steps_towards_other_outputs_are_left_out_unless_asked_for_or_all_that_there_is():
    steps = [Output(name, place, place + 1, is_vector=True, is_inner=True) for place, name in enumerate(("tf", "idf"))]
    made = draft([Column("x")], [*steps, Output("p", 2, 3)])
    asked = draft_proto(
        "m", about="it", operations=["f"], inputs=[], outputs=[*steps, Output("p", 2, 3)], asked={"idf"}
    )
    assert ("double p = 1;" in made.text, "tf" in made.text) == (True, False)
    assert (list(made.left_out), list(asked.left_out)) == (steps, steps[:1])
    assert "repeated double idf = 2;" in asked.text
    assert draft([Column("x")], steps).answered == steps


def test_a_model_with_unknown_outputs_answers_with_a_string():
    made = draft_proto("m", about="it", operations=["predict"], inputs=[Field("x", "int64")], outputs=None)
    assert "repeated string prediction = 1;" in made.text
    assert "rpc predict(DataFrame)" in made.text


def test_each_of_several_operations_has_its_own_answer():
    made = draft_proto("m", about="it", operations=["score", "explain"], inputs=[Field("x", "bool")], outputs=None)
    outputs = {name: rpc.output.DESCRIPTOR.name for name, rpc in compile_proto(made.text.encode()).operations.items()}
    assert outputs == {"score": "scoreOut", "explain": "explainOut"}


def test_field_numbers_skip_those_that_protobuf_reserves(monkeypatch):
    first, last = FieldDescriptor.FIRST_RESERVED_FIELD_NUMBER, FieldDescriptor.LAST_RESERVED_FIELD_NUMBER
    assert range(first, last + 1) == draft_module._RESERVED
    monkeypatch.setattr(draft_module, "_RESERVED", range(19, 30))
    text = draft([Column(f"x{number}") for number in range(22)], CLASSIFIER).text
    assert "x17 = 18;" in text
    assert "x18 = 30;" in text


@pytest.mark.parametrize("name", ["DataFrame", "data frame", "data_frame", "Prediction", "7", "é"])
def test_whatever_a_model_is_called_the_draft_compiles(name):
    assert compile_proto(draft([Column("x")], CLASSIFIER, name).text.encode()).default == "transform"


# ---- types from a sample


def types(text, **options):
    return {
        part.name: part.type for part in read_sample(io.StringIO(text, newline=""), "s", TextOptions(**options)).fields
    }


def test_types_are_those_of_all_rows_and_not_of_the_first():
    text = "whole,number,truth,text,late\r\n1,1,true,1,1\r\n-2,-.5,FALSE,x,\r\n+3,1e9,true,2,1.5\r\n"
    assert types(text) == {
        "whole": "int64", "number": "double", "truth": "bool", "text": "string", "late": "optional double",
    }  # fmt: skip


def test_what_only_looks_like_a_number_is_a_string():
    for cell in ("007", "1_000", "0x10", "1,5", "nan", "1\N{ARABIC-INDIC DIGIT ONE}", "--1", "1" * 5_000):
        assert types(f'x\n"{cell}"\n') == {"x": "string"}, cell
    assert types("x\n9223372036854775808\n") == {"x": "double"}
    assert types("x\n-9223372036854775808\n") == {"x": "int64"}
    assert types("zero,one\n0,1\n") == {"zero": "int64", "one": "int64"}


def test_an_empty_column_is_an_optional_string_and_configured_texts_count_as_missing():
    assert types("a;b\nNA;1\n;NA\n", delimiter=";", missing=frozenset({"", "NA"})) == {
        "a": "optional string",
        "b": "optional int64",
    }


def test_an_empty_line_is_a_missing_value_of_a_single_column_only():
    assert types("x\n1\n\n2\n") == {"x": "optional int64"}
    assert types("x,y\n1,2\n\n3,4\n") == {"x": "int64", "y": "int64"}


def test_the_first_rows_are_kept_under_the_names_of_the_fields():
    text = 'Größe,"a ""b""",drop\n' + '1,"x, y",0\n' * (SAMPLES + 5)
    sample = read_sample(io.StringIO(text, newline=""), "s", TextOptions())
    lines = sample.as_csv({"Größe": "size", 'a "b"': "a_b"}).splitlines()
    assert lines[:2] == ["size,a_b", '1,"x, y"']
    assert len(lines) == SAMPLES + 1


def test_an_invalid_sample_names_the_row():
    for text, reason in (
        ("", "a header that names each column once"),
        ("a,a\n1,2\n", "a header that names each column once"),
        ("a,b\n", "has no rows below its header"),
        ("a,b\n1,2\n1\n", "row 2 has 1 cells, but the header names 2"),
        ('a,b\n1,"2', "line 2 is not valid CSV"),
    ):
        with pytest.raises(UsageError, match=reason):
            types(text)
