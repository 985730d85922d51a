"""Saved Spark pipelines in a real Spark: the same predictions as its own `transform`, and refusals with a reason."""

import json
import math
import shutil
from collections import Counter
from pathlib import Path

import pytest

from fakes.spark_flat import CHURN, FLAT, SQL, CustomersRequests
from harness.spark_lab import assert_same, load_of, proto_of, read_rows
from hotswap.batch import Ask, Code, Refusal
from hotswap.codec.proto import compile as compile_proto
from hotswap.generation import frozen

pytestmark = pytest.mark.spark

SHARED = Path(__file__).parents[4] / "shared" / "models" / "spark"
SCHEMAS = {"sql": "a DOUBLE, b INT, c BIGINT, d BOOLEAN"}
IN_THE_JVM = "in the JVM"
PATHS = {
    "offset": "through Python: column `features` is a vector of 2 numbers, from field `features`",
    "words": "through Python: column `text` holds any text",
    "terms": "through Python: column `text` holds any text",
    "baskets": "through Python: column `items` is a list of whole numbers, from field `items`",
    "sql": "through Python: output `level` is any text",
}
REQUESTS = 300
ROW_BY_ROW = ["churn", "forest", "formula", "offset", "words", "sql", "skip", "terms", "baskets", "halves"]


def options(name):
    return {"runtime": {"schema": SCHEMAS[name]}} if name in SCHEMAS else {}


# ---- predictions


@pytest.mark.parametrize("name", ROW_BY_ROW)
def test_a_pipeline_returns_sparks_own_predictions_bit_by_bit(lab, unpacked, name):
    rows, expected = read_rows(name, "input"), read_rows(name, "pred")

    told = lab.outcome(unpacked(name), proto_of(rows, expected), rows, **options(name))

    assert told.error is None
    assert_same(told.answers, expected)
    assert told.path == PATHS.get(name, IN_THE_JVM)
    assert [path for path, known in told.reads.items() if known] == (["region"] if name in ("churn", "forest") else [])


def test_a_pipeline_that_pysparks_own_writer_saved_is_loaded_stage_by_stage(lab, unpacked):
    rows, expected = read_rows("churn", "input"), read_rows("churn", "pred")

    told = lab.outcome(unpacked("by_python"), proto_of(rows, expected), rows)

    assert told.error is None
    assert_same(told.answers, expected)


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/models/spark is not here")
@pytest.mark.parametrize("name", ["lr", "rf50", "text"])
def test_the_shared_models_return_sparks_own_predictions(lab, name):
    rows, expected = (
        [json.loads(line) for line in (SHARED / name / f"{what}.jsonl").read_text().splitlines()]
        for what in ("input", "pred")
    )

    told = lab.outcome(SHARED / name / "model", proto_of(rows, expected), rows)

    assert_same(told.answers, expected)


def test_only_outputs_that_an_answer_can_hold_are_offered(lab, unpacked):
    rows = read_rows("churn", "input")[:5]
    answers = [{"label": 0.0, "probabilities": [0.5], "churn": ""}]

    told = lab.outcome(unpacked("churn"), proto_of(rows, answers), rows)

    expected = read_rows("churn", "pred")
    assert [answer["churn"] for answer in told.answers] == [row["churn"] for row in expected[:5]]
    assert [answer["label"] for answer in told.answers] == [row["prediction"] for row in expected[:5]]
    assert "plan (" in told.description
    assert "churned" not in told.description, "the label was of use in training only"


# ---- the fast path: the lab holds each of its answers to the fallback's


@pytest.mark.parametrize("name", FLAT)
def test_the_fast_path_and_the_fallback_return_the_same_bytes_and_refusals(lab, unpacked, name):
    flat = FLAT[name]
    paths = lab.load(load_of(unpacked(flat.model), flat.proto, flat.configuration)).paths
    rpcs = compile_proto(flat.proto).operations
    for operation in flat.operations:
        requests = CustomersRequests(rpcs[operation], seed=len(operation)).take(REQUESTS)

        answers, declined = lab.answers(requests, operation)

        refused = Counter(answer.code for answer in answers if isinstance(answer, Refusal))
        assert refused[Code.UNDECODABLE] > 0
        assert refused[Code.MODEL_ERROR] + refused[Code.MISSING_FIELD] > 0, "an unseen text, a null, a dropped row"
        assert refused.total() <= declined < refused.total() + REQUESTS / 5, "good requests are answered in the JVM"

    reasons = {operation: f"through Python: {why}" for operation, (_, why) in flat.others.items()}
    expected = dict.fromkeys(flat.operations, IN_THE_JVM) | reasons
    assert [name for name, path in paths.items() if not path.startswith(expected[name])] == []


def test_only_the_requests_that_the_model_raises_on_are_declined(lab, unpacked):
    row = compile_proto(CHURN.proto).operations["rows"].input
    good = {"plan": "pro", "region": "eu", "age": 30.0}
    asked = [[good], [good, {**good, "plan": "gold"}], [good, good], [{**good, "region": "mars"}], [], [{"age": 1.0}]]
    lab.load(load_of(unpacked("churn"), CHURN.proto, CHURN.configuration))

    answers, declined = lab.answers([row(rows=rows).SerializeToString() for rows in asked], "rows")

    assert [isinstance(answer, Refusal) for answer in answers] == [False, True, False, False, False, True]
    assert "Unseen label: gold" in answers[1].message
    assert "NULL" in answers[5].message
    assert declined == 3, "one has a text that is kept, but not known"


def test_a_whole_number_that_a_double_does_not_hold_is_scored_exactly(lab, unpacked):
    rpcs = compile_proto(SQL.proto).operations
    wholes = [0, -1, 1 << 52, (1 << 53) - 1, 1 << 53, (1 << 53) + 1, -(1 << 62) - 1]
    requests = [rpcs["whole"].input(a=1.0, c=whole).SerializeToString() for whole in wholes]
    lab.load(load_of(unpacked("sql"), SQL.proto, SQL.configuration))

    exact = lab.score(requests, [Ask("whole")] * len(requests)).answers
    _, declined = lab.answers(requests, "statement")

    assert [rpcs["whole"].output.FromString(answer).next for answer in exact] == [whole + 1 for whole in wholes]
    assert declined == 3


# ---- bad requests


def test_a_row_that_makes_a_stage_raise_is_refused_alone_with_sparks_message(lab, unpacked):
    rows, expected = read_rows("churn", "input"), read_rows("churn", "pred")
    bad = [*rows[:7], {**rows[7], "plan": "gold"}, {**rows[8], "age": None}, *rows[9:]]
    proto = proto_of(rows, expected)

    told = lab.outcome(unpacked("churn"), proto, [{k: v for k, v in row.items() if v is not None} for row in bad])

    unseen, missing = told.answers[7:9]
    assert unseen[0] == missing[0] == "MODEL_ERROR"
    assert "Unseen label: gold" in unseen[1]
    assert "null" in missing[1]
    assert_same(told.answers[:7] + told.answers[9:], expected[:7] + expected[9:])


def test_a_row_that_a_filter_drops_is_refused_with_that_reason(lab, unpacked):
    rows, expected = read_rows("skip", "input"), read_rows("skip", "pred")

    told = lab.outcome(unpacked("skip"), proto_of(rows, expected), [rows[0], {"y": 1.0}, rows[2]])

    assert (told.answers[1][0], "dropped" in told.answers[1][1]) == ("MODEL_ERROR", True)
    assert_same([told.answers[0], told.answers[2]], [expected[0], expected[2]])


def test_a_value_too_large_for_its_column_is_refused(lab, unpacked):
    rows, expected = read_rows("sql", "input"), read_rows("sql", "pred")

    told = lab.outcome(unpacked("sql"), proto_of(rows, expected), [{**rows[0], "b": 2**31}, rows[1]], **options("sql"))

    assert told.answers[0][0] == "MODEL_ERROR"
    assert "2147483648 does not fit in column `b`, INT" in told.answers[0][1]
    assert told.answers[1] == expected[1]


def test_a_vector_of_another_length_than_the_models_is_refused_with_both_lengths(lab, unpacked):
    rows, expected = read_rows("offset", "input"), read_rows("offset", "pred")
    bad = [{**rows[0], "features": [1.0]}, rows[1], {**rows[2], "features": []}]

    told = lab.outcome(unpacked("offset"), proto_of(rows, expected), bad)

    why = "row 0, field `features`: it has {} numbers, but column `features` is a vector of 2 numbers"
    assert told.answers[0] == ("MISTYPED_FIELD", why.format(1))
    assert told.answers[2] == ("MISTYPED_FIELD", why.format(0))
    assert_same([told.answers[1]], [expected[1]])


# ---- what is refused at the swap


def rewrite(folder, old, new):
    for file in folder.rglob("metadata/part-*"):
        file.write_text(file.read_text().replace(old, new))


def test_a_class_other_than_sparks_own_is_refused_before_anything_is_loaded(lab, unpacked):
    model = unpacked("churn")
    rewrite(model, "org.apache.spark.ml.feature.VectorAssembler", "com.example.Evil")
    proto = proto_of(read_rows("churn", "input"), read_rows("churn", "pred"))

    code, message = lab.outcome(model, proto, []).error
    trusted, _ = lab.outcome(model, proto, [], runtime={"allow": "com.example."}).error

    assert (code, "com.example.Evil" in message) == ("MODEL_UNSUPPORTED", True)
    assert trusted == "MODEL_INVALID", "it is trusted, but nowhere to be found"


def test_a_class_in_a_file_of_any_other_name_is_refused_too(lab, unpacked):
    model = unpacked("churn")
    (next(model.rglob("metadata")) / "a-first").write_text('{"class": "com.example.Evil"}')

    code, message = lab.outcome(model, proto_of([{"a": 1.0}], [{"b": 1.0}]), []).error

    assert (code, "com.example.Evil" in message) == ("MODEL_UNSUPPORTED", True)


def test_a_pipeline_that_cannot_be_scored_row_by_row_is_refused_or_scored_by_jobs_as_configured(lab, unpacked):
    rows, expected = read_rows("ratings", "input"), read_rows("ratings", "pred")
    proto = proto_of(rows, expected)

    code, message = lab.outcome(unpacked("ratings"), proto, rows).error
    told = lab.outcome(unpacked("ratings"), proto, [*rows, {"user": 99, "item": 1}], runtime={"fallback": "dataframe"})

    assert (code, "Join" in message, "fallback" in message) == ("MODEL_UNSUPPORTED", True, True)
    assert told.error is None
    assert told.path == "through Python: the pipeline is scored by Spark jobs"
    assert told.answers[:-1] == expected
    assert math.isnan(told.answers[-1]["prediction"]), "of an unknown user ALS knows nothing"


def test_columns_whose_types_are_not_known_must_be_configured(lab, unpacked):
    code, message = lab.outcome(
        unpacked("sql"), proto_of(read_rows("sql", "input"), read_rows("sql", "pred")), []
    ).error

    assert (code, "SQLTransformer" in message, "`schema`" in message) == ("SCHEMA_MISMATCH", True, True)


def test_a_schema_that_the_pipeline_rejects_is_refused_with_sparks_reason(lab, unpacked):
    proto = proto_of(read_rows("churn", "input"), read_rows("churn", "pred"))

    code, message = lab.outcome(unpacked("churn"), proto, [], runtime={"schema": "age STRING"}).error

    assert (code, "age" in message) == ("SCHEMA_MISMATCH", True)


def test_a_proto_of_another_domain_is_refused_with_every_column(lab, unpacked):
    code, message = lab.outcome(unpacked("churn"), proto_of([{"x": 1.0}], [{"cluster_of": 1.0}]), []).error

    assert code == "SCHEMA_MISMATCH"
    assert message.count("f: column `") == 5
    assert "f: output field `cluster_of`" in message


@pytest.mark.parametrize(
    ("how", "told"),
    [("empty", "no folder `metadata`"), ("garbage", "cannot be read"), ("no data", "not a readable Spark model")],
)
def test_an_artifact_that_is_not_a_saved_model_is_refused(lab, unpacked, how, told):
    model = unpacked("churn")
    if how == "empty":
        shutil.rmtree(model / "model")
    elif how == "garbage":
        rewrite(model, "{", "<")
    else:
        shutil.rmtree(next(model.rglob("data")))

    code, message = lab.outcome(model, proto_of([{"a": 1.0}], [{"b": 1.0}]), []).error

    assert (code, told in message) == ("MODEL_INVALID", True)


@pytest.mark.parametrize(
    ("runtime", "told"),
    [
        ({"fall": "x"}, "allow, fallback, schema"),
        ({"fallback": "yes"}, '`fallback` is "yes"; make it "dataframe"'),
        ({"schema": "age of x"}, "`schema` cannot be read"),
    ],
)
def test_an_unknown_option_is_refused_with_the_known_ones(lab, unpacked, runtime, told):
    code, message = lab.outcome(unpacked("churn"), proto_of([{"a": 1.0}], [{"b": 1.0}]), [], runtime=runtime).error

    assert (code, told in message) == ("CONFIGURATION_INVALID", True)


# ---- what `hotswap pack` drafts


def fields(content):
    message = next(iter(content.schema.operations.values())).output.DESCRIPTOR
    if message.fields[0].message_type:
        message = message.fields[0].message_type
    return [part.name for part in message.fields]


async def test_a_text_pipelines_draft_answers_what_it_predicts_and_names_the_steps_that_it_leaves_out(pack, unpacked):
    content, (left_out,) = await pack(unpacked("words"), "text\nslow and rude\nkind\n")
    asked, _ = await pack(unpacked("words"), outputs=frozen({"words": "words"}))
    wide, notes = await pack(unpacked("words"), outputs=frozen({"features": "features"}))

    assert fields(content) == ["prediction", "rawPrediction", "probability"]
    assert "words (a list of texts), features (a vector of 262,144 numbers)" in left_out
    assert """configuration's `outputs`, as by --config file.json with {"outputs": {"words": "words"}}""" in left_out
    assert fields(asked) == ["prediction", "words", "rawPrediction", "probability"]
    assert "features" in fields(wide)
    assert notes[-1].startswith(
        "the answer to a row has 2,097,184 bytes, but a predictions topic usually allows 2,031,"
    )


async def test_lists_are_drafted_and_read_from_a_sample(pack, unpacked):
    content, notes = await pack(unpacked("baskets"), 'items\n"[1, 2]"\n3\n[]\n')

    assert notes == []
    assert "message DataFrameRow {\n  repeated int64 items = 1;\n}" in content.proto.source.decode()
    assert "message PredictionRow {\n  repeated int64 prediction = 1;\n}" in content.proto.source.decode()


async def test_the_types_that_sql_reads_are_those_of_the_sample_and_what_no_field_can_hold_is_named(pack, unpacked):
    model = unpacked("sql")
    rewrite(model, "c + 1 AS next", "array(array(a)) AS next")

    content, notes = await pack(model, "a,b,c,d\n1.5,2,3,true\n")

    schema = "`a` DOUBLE, `b` BIGINT, `c` BIGINT, `d` BOOLEAN"
    assert content.configuration.runtime == {"schema": schema}
    assert fields(content) == ["positive", "level", "cluster"]
    assert f"option `schema` is {schema}; " in notes[0]
    assert notes[1] == "left out of the answer, since no field can hold it: next (array<array<double>>)"


async def test_the_length_of_a_vector_is_the_models_or_the_one_that_sparks_schema_states(pack, unpacked):
    names = {"class": "org.apache.spark.ml.linalg.VectorUDT", "pyClass": "pyspark.ml.linalg.VectorUDT"}
    vector = {"type": "udt", **names, "sqlType": {"type": "struct", "fields": []}}
    stated = {"name": "features", "type": vector, "nullable": True, "metadata": {"ml_attr": {"num_attrs": 3}}}
    schema = json.dumps({"type": "struct", "fields": [stated]})

    fitted, _ = await pack(unpacked("offset"))
    given, _ = await pack(unpacked("offset"), runtime=frozen({"schema": schema}))

    assert "repeated double features = 1;  // a vector of 2 numbers" in fitted.proto.source.decode()
    assert "repeated double features = 1;  // a vector of 3 numbers" in given.proto.source.decode()
