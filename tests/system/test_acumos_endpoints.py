"""Each endpoint of Acumos as the operation of ours that replaces it, on one real deployment.

Each test is named after an endpoint, and first makes its model serve: they all share one deployment.
"""

import asyncio
import csv
import io
import json

import pytest

from harness.audit import generation, header, read, source
from harness.command import hotswap
from harness.fleet import EXAMPLES, Deployment, messages
from hotswap.client.change import Change
from hotswap.client.overview import read_history
from hotswap.codec.proto import compile as compile_proto
from hotswap.codec.text.writer import CsvTable
from hotswap.generation import Configuration, Policy, Proto

MODELS = {name: EXAMPLES / "models" / f"{name}.zip" for name in ("iris_gbm", "iris_glm", "cancer_gbm")}
IRIS = EXAMPLES / "protos" / "iris.proto"
CSV = EXAMPLES / "data" / "iris.csv"
SHORT = """
syntax = "proto3";
message Iris {
  double petal_width = 1; double petal_length = 2; double sepal_width = 3; double sepal_length = 4;
}
message Answer { string species = 1; }
service Botanist { rpc Classify(Iris) returns (Answer); }
"""
TWO = SHORT.replace("returns (Answer); }", "returns (Answer); rpc Guess(Iris) returns (Answer); }")


@pytest.fixture(scope="module")
def fleet(kafka, tmp_path_factory):
    """A worker that serves the iris GBM as generation 1."""
    made = Deployment(kafka, tmp_path_factory.mktemp("endpoints"))

    made.parts = {"model": MODELS["iris_gbm"], "proto": IRIS, "configuration": Configuration()}

    async def serve():
        await made.create()
        await made.serve("iris_gbm")

    asyncio.run(serve())
    yield made
    made.close()


async def serve(fleet, **parts):
    """Make these parts serve, by a swap if necessary; return the generation, as the control log has it."""
    if parts.items() <= fleet.parts.items():
        return await newest(fleet)
    return await swap(fleet, **parts)


async def swap(fleet, **change):
    """Swap, and check that it serves; return the generation, as the control log has it."""
    fleet.parts = fleet.parts | change
    async with fleet.client() as client:
        receipt = await client.swap(Change(**change))
        answer = await client.await_swap(receipt)
        assert answer.is_good, (answer, fleet.log()[-3000:])
    made = await newest(fleet)
    assert made.number == receipt.generation
    return made


async def newest(fleet):
    timeline = (await read_history(fleet.settings)).timeline
    return timeline.swaps[timeline.newest].generation


async def ask(fleet, values, **headers):
    """Publish requests and return their answers, predictions and dead letters, in the same order."""
    places = await fleet.publish(values, **headers)
    await fleet.drained()
    topics = fleet.settings.topics
    answers = {}
    for topic in (topics.predictions, topics.dead_letters):
        answers |= {source(message): message for message in await asyncio.to_thread(read, fleet.kafka.bootstrap, topic)}
    return [answers[place.partition, place.offset] for place in places]


def as_json(folder):
    """The rows of the iris CSV as JSON."""
    with CSV.open(newline="") as file:
        rows = [{name: value for name, value in row.items() if name != "species"} for row in csv.DictReader(file)]
    path = folder / "iris.json"
    path.write_text(json.dumps(rows))
    return path


def species(stdout):
    return [row["species"] for row in csv.DictReader(io.StringIO(stdout.decode()))]


# ---- what Acumos answers and replaces


async def test_post_model_methods_operation_is_a_record_that_names_the_operation_or_leaves_it_out(fleet):
    await serve(fleet, model=MODELS["iris_gbm"], proto=IRIS)
    values, _, operation = messages("iris")
    named = await ask(fleet, values[:50], operation=b"Classify")
    left_out = await ask(fleet, values[:50])
    assert [operation.output.FromString(message.value()).species for message in named] == ["setosa"] * 50
    assert [message.value() for message in named] == [message.value() for message in left_out]


async def test_post_model_methods_of_an_unknown_operation_is_refused_with_a_list_of_the_known_ones(fleet):
    await serve(fleet, model=MODELS["iris_gbm"], proto=Proto.inline(TWO))
    unknown, left_out, right = [
        (await ask(fleet, [b""], **headers))[0]
        for headers in ({"operation": b"transform"}, {}, {"operation": b"Guess"})
    ]
    assert (header(unknown, "code"), header(left_out, "code")) == ("UNKNOWN_OPERATION", "UNKNOWN_OPERATION")
    assert "the proto has: Classify, Guess" in header(unknown, "message")
    assert header(right, "operation") == "Guess"


async def test_put_model_replaces_the_model_and_nothing_else(fleet):
    before = await serve(fleet, model=MODELS["iris_gbm"], proto=IRIS, configuration=Configuration(deadline_ms=9_000))
    after = await swap(fleet, model=MODELS["iris_glm"])
    assert after.model != before.model
    assert (after.proto, after.configuration) == (before.proto, before.configuration)
    (answer,) = await ask(fleet, messages("iris")[0][:1])
    assert (generation(answer), header(answer, "model-digest")) == (after.number, after.model.sha256)


async def test_put_proto_replaces_the_proto_and_nothing_else(fleet):
    before = await serve(fleet, model=MODELS["iris_gbm"], proto=IRIS)
    after = await swap(fleet, proto=Proto.inline(SHORT))
    assert after.proto != before.proto
    assert (after.model, after.configuration) == (before.model, before.configuration)
    operation = compile_proto(SHORT.encode()).operations["Classify"]
    value = operation.input(petal_width=0.2, petal_length=1.4, sepal_width=3.5, sepal_length=5.1).SerializeToString()
    (answer,) = await ask(fleet, [value])
    assert operation.output.FromString(answer.value()).species == "setosa"


async def test_put_model_configuration_replaces_the_configuration_and_nothing_else(fleet):
    before = await serve(fleet, model=MODELS["iris_gbm"], proto=IRIS, configuration=Configuration())
    (accepted,) = await ask(fleet, [b""])
    after = await swap(fleet, configuration=Configuration(missing=Policy.REFUSE))
    (refused,) = await ask(fleet, [b""])
    assert (after.model, after.proto) == (before.model, before.proto)
    assert (header(accepted, "code"), header(refused, "code")) == (None, "MISSING_FIELD")


async def test_what_acumos_puts_one_after_the_other_is_one_generation_and_no_request_sees_half_of_it(fleet):
    await serve(fleet, model=MODELS["iris_gbm"], proto=IRIS, configuration=Configuration())
    iris, _, flower = messages("iris")
    cancer, _, cell = messages("cancer")
    change = {"model": MODELS["cancer_gbm"], "proto": EXAMPLES / "protos" / "cancer.proto"}
    before = await ask(fleet, iris[:20])
    after = await swap(fleet, **change, configuration=Configuration(missing=Policy.REFUSE))
    late = await ask(fleet, cancer[:20])
    assert {flower.output.FromString(message.value()).species for message in before} == {"setosa"}
    assert {generation(message) for message in late} == {after.number}
    assert all(cell.output.FromString(message.value()).ListFields() for message in late)
    assert after.configuration.missing is Policy.REFUSE


# ---- getBinary…: to input messages; nothing is predicted


async def test_get_binary_is_encode_of_csv_by_a_given_proto(fleet):
    stdout, stderr = await hotswap(fleet, "encode", CSV, "--proto", IRIS)
    values = messages("iris")[0]
    assert stdout == b"".join(bytes([len(value)]) + value for value in values)
    assert "rows: 150, messages: 150 (each preceded by its length)" in stderr


async def test_get_binary_json_is_encode_of_json_by_a_given_proto(fleet, tmp_path):
    stdout, _ = await hotswap(fleet, "encode", as_json(tmp_path), "--proto", IRIS)
    assert stdout == (await hotswap(fleet, "encode", CSV, "--proto", IRIS))[0]


async def test_get_binary_default_and_get_binary_json_default_are_encode_by_the_proto_that_serves(fleet, tmp_path):
    await serve(fleet, model=MODELS["iris_gbm"], proto=Proto.inline(SHORT))
    (tmp_path / "short.proto").write_text(SHORT)
    wanted, _ = await hotswap(fleet, "encode", CSV, "--proto", tmp_path / "short.proto")
    for file in (CSV, as_json(tmp_path)):
        assert (await hotswap(fleet, "encode", file, "--deployment", fleet.name))[0] == wanted


# ---- transform…: to predictions


async def test_transform_csv_default_is_a_record_of_csv_and_predict_of_a_csv(fleet):
    await serve(fleet, model=MODELS["iris_gbm"], proto=IRIS, configuration=Configuration())
    values, known, operation = messages("iris")
    wanted = [operation.output.FromString(message.value()) for message in await ask(fleet, values)]
    stdout, _ = await hotswap(fleet, "predict", fleet.name, CSV)
    assert species(stdout) == [message.species for message in wanted]
    assert sum(label in truth for label, truth in zip(species(stdout), known, strict=True)) > 140
    header_line, first, *_ = CSV.read_bytes().splitlines(keepends=True)
    (answer,) = await ask(fleet, [header_line + first], content_type=b"text/csv")
    table = io.StringIO()
    CsvTable(table, operation.output).write({}, wanted[0])
    assert (header(answer, "content-type"), answer.value().decode()) == ("text/csv", table.getvalue())


async def test_transform_json_default_is_a_record_of_json_and_predict_of_a_json(fleet, tmp_path):
    await serve(fleet, model=MODELS["iris_gbm"], proto=IRIS, configuration=Configuration())
    file = as_json(tmp_path)
    assert species((await hotswap(fleet, "predict", fleet.name, file))[0]) == species(
        (await hotswap(fleet, "predict", fleet.name, CSV))[0]
    )
    row = json.loads(file.read_text())[0]
    (answer,) = await ask(fleet, [json.dumps(row).encode()], content_type=b"application/json")
    assert header(answer, "content-type") == "application/json"
    assert json.loads(answer.value())["species"] == "setosa"


async def test_transform_csv_and_transform_json_are_score_with_a_model_and_a_proto_of_ones_own_for_this_call_only(
    fleet, tmp_path
):
    await serve(fleet, model=MODELS["iris_gbm"], proto=IRIS)
    before = (await newest(fleet)).number
    words = ("--model", MODELS["iris_glm"], "--proto", IRIS)
    of_csv, of_json = [species((await hotswap(fleet, "score", file, *words))[0]) for file in (CSV, as_json(tmp_path))]
    with (EXAMPLES / "data" / "iris_glm.pred.csv").open(newline="") as file:
        assert of_csv == of_json == [row["predict"] for row in csv.DictReader(file)]
    assert (await newest(fleet)).number == before


async def test_transform_csv_with_activate_becomes_the_service_as_the_paper_promises(fleet, tmp_path):
    await serve(fleet, model=MODELS["iris_gbm"], proto=Proto.inline(SHORT))
    (tmp_path / "c.json").write_text('{"unknown_category": "refuse"}')
    words = ("--model", MODELS["iris_glm"], "--proto", IRIS, "--config", tmp_path / "c.json")
    stdout, stderr = await hotswap(fleet, "score", CSV, *words, "--activate", fleet.name)
    fleet.parts = {}
    serving = await newest(fleet)
    assert f"generation {serving.number} of {fleet.name} serves on 1 worker" in stderr
    assert serving.proto == Proto.inline(IRIS.read_bytes())
    assert serving.configuration.unknown_category is Policy.REFUSE
    values, _, operation = messages("iris")
    assert serving.samples == tuple(values)
    answers = await ask(fleet, values)
    assert [operation.output.FromString(message.value()).species for message in answers] == species(stdout)
    assert {generation(message) for message in answers} == {serving.number}


async def test_transform_csv_with_activate_changes_nothing_where_a_row_is_refused(fleet, tmp_path):
    before = (await newest(fleet)).number
    words = ("--model", MODELS["iris_glm"], "--proto", IRIS, "--activate", fleet.name, "--allow-missing")
    (tmp_path / "bad.csv").write_text("sepal_length\n5.1\nlong\n")
    (tmp_path / "none.csv").write_text("sepal_length\n")
    _, stderr = await hotswap(fleet, "score", tmp_path / "bad.csv", *words, code=1)
    assert "row 2, column sepal_length: 'long' is not a number" in stderr
    _, stderr = await hotswap(fleet, "score", tmp_path / "none.csv", *words, code=1)
    assert "no row was scored, so nothing is activated" in stderr
    assert (await newest(fleet)).number == before


async def test_no_request_of_all_these_was_lost_or_answered_twice(fleet):
    await fleet.drained()
    result = await fleet.audit()
    assert result.faults == {}
    assert result.asked > 700
