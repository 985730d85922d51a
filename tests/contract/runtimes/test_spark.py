"""Saved Spark pipelines in a real Spark: the same predictions as its own `transform`, and refusals with a reason."""

import asyncio
import json
import math
import shutil
import zipfile
from pathlib import Path

import pytest
from google.protobuf import json_format

from fakes.examples import COLD
from fakes.jars import jar
from harness.spark_lab import MODELS, SparkLab, proto_of, read_rows
from hotswap.batch import Refusal
from hotswap.codec.proto import compile as compile_proto
from hotswap.generation import Configuration
from hotswap.host.load import Load
from hotswap.host.parent import ModelHost
from hotswap.host.standby import Standbys
from hotswap.local.jvm import find_java

pytestmark = pytest.mark.spark

SHARED = Path(__file__).parents[4] / "shared" / "models" / "spark"
SCHEMAS = {"sql": "a DOUBLE, b INT, c BIGINT, d BOOLEAN"}
ROW_BY_ROW = ["churn", "forest", "formula", "offset", "words", "sql", "skip"]


async def score_in_a_host(kind, model, proto, rows, **runtime):
    """Return the answers of a freshly started model host, as JSON objects."""
    (operation,) = compile_proto(proto).operations.values()
    load = Load(
        generation=1,
        kind=kind,
        model=model,
        proto=proto,
        is_descriptor_set=False,
        configuration=Configuration(runtime=runtime),
        samples=(),
        heap_mb=512,
    )
    host = ModelHost(load=load, deadline_s=60, on_restart=pytest.fail, on_unknown=pytest.fail)
    await host.start()
    try:
        answers = await host.score([operation.input(**row).SerializeToString() for row in rows])
    finally:
        await host.stop()
    assert not [answer for answer in answers if isinstance(answer, Refusal)]
    return [json_format.MessageToDict(operation.output.FromString(answer)) for answer in answers]


async def test_a_jar_that_uses_spark_has_an_active_session(tmp_path):
    path = tmp_path / "squares.jar"
    path.write_bytes(jar("spark"))
    proto = proto_of([{"x": 1.0}], [{"value": 1.0}])

    squares = await score_in_a_host(
        "spark-jar", path, proto, [{"x": 1.5}, {"x": -3}], **{"class": "sessions.Squares", "method": "square"}
    )

    assert squares == [{"value": 2.25}, {"value": 9}]


async def test_a_serving_host_can_still_run_a_job(unpacked):
    rows, expected = read_rows("ratings", "input"), read_rows("ratings", "pred")

    answers = await score_in_a_host("spark", unpacked("ratings"), proto_of(rows, expected), rows, fallback="dataframe")

    assert_same(answers, expected)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    made = SparkLab(tmp_path_factory.mktemp("lab") / "spark")
    yield made
    made.close()


@pytest.fixture
def unpacked(tmp_path):
    """Unpack a shipped model to a folder, with the model one level down."""

    def unpack(name):
        folder = tmp_path / name
        with zipfile.ZipFile(MODELS / f"{name}.zip") as archive:
            archive.extractall(folder)
        return folder

    return unpack


def options(name):
    return {"runtime": {"schema": SCHEMAS[name]}} if name in SCHEMAS else {}


def assert_same(given, expected):
    """Compare bit by bit; without the vector module that a cluster's Java has, Spark adds in another order."""
    if find_java().has_module("jdk.incubator.vector"):
        assert given == expected
        return
    assert [row.keys() for row in given] == [row.keys() for row in expected]
    for ours, theirs in zip(given, expected, strict=True):
        for name, value in ours.items():
            if isinstance(value, float | list):
                assert value == pytest.approx(theirs[name], rel=1e-12)
            else:
                assert value == theirs[name]


# ---- predictions


@pytest.mark.parametrize("name", ROW_BY_ROW)
def test_a_pipeline_returns_sparks_own_predictions_bit_by_bit(lab, unpacked, name):
    rows, expected = read_rows(name, "input"), read_rows(name, "pred")

    told = lab.outcome(unpacked(name), proto_of(rows, expected), rows, **options(name))

    assert told.error is None
    assert_same(told.answers, expected)
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


# ---- the host


@pytest.fixture
async def standbys(monkeypatch):
    monkeypatch.setattr("hotswap.host.standby._PAUSE_SECONDS", 0.0)
    made = Standbys(heap_mb=512, child=COLD)
    yield made
    await made.stop()


def host_of(name, model, **options):
    rows, expected = read_rows(name, "input"), read_rows(name, "pred")
    load = Load(
        generation=1,
        kind="spark",
        model=model,
        proto=proto_of(rows, expected),
        is_descriptor_set=False,
        configuration=Configuration(),
        samples=(),
        heap_mb=512,
    )
    return ModelHost(load=load, deadline_s=30, on_restart=pytest.fail, on_unknown=pytest.fail, child=COLD, **options)


async def answers_of(host, name, times):
    rows, expected = read_rows(name, "input"), read_rows(name, "pred")
    operation = compile_proto(proto_of(rows, expected)).operations["f"]
    answers = await host.score([operation.input(**row).SerializeToString() for row in rows] * times)
    assert not any(isinstance(answer, Refusal) for answer in answers)
    return [
        {"probability": list(message.probability), "prediction": message.prediction}
        for message in map(operation.output.FromString, answers)
    ]


async def test_a_host_and_a_standby_answer_alike_and_a_standby_skips_javas_start(unpacked, standbys):
    expected = [{key: row[key] for key in ("probability", "prediction")} for row in read_rows("forest", "pred")]
    standbys.keep("spark")
    async with asyncio.timeout(120):
        while not standbys.ready:
            await asyncio.sleep(0.05)
    hosts = [host_of("forest", unpacked("forest"), take_standby=standbys.take), host_of("forest", unpacked("forest"))]
    try:
        warm, cold = [await host.start() for host in hosts]
        for host in hosts:
            given = await answers_of(host, "forest", 50)
            assert_same(given[:60], expected)
            assert given[-60:] == given[:60]
    finally:
        for host in hosts:
            await host.stop()

    assert warm.phase_seconds["start"] < cold.phase_seconds["start"]
    assert warm.phase_seconds["load"] < cold.phase_seconds["load"] / 2
