"""CSV and JSON requests on a real Kafka: each is answered once, in the format it asks for, or refused unchanged."""

import csv
import io
import json

from confluent_kafka import Producer

from harness.audit import header, source
from harness.fleet import EXAMPLES
from hotswap.client.change import Change
from hotswap.codec.proto import compile as compile_proto
from hotswap.generation import Configuration, Proto, TextOptions

PROTO = b"""
syntax = "proto3";
message Iris {
  optional double sepal_length = 1; optional double sepal_width = 2; optional double petal_length = 3;
  optional double petal_width = 4;
}
message Flowers { repeated Iris flowers = 1; }
message Species { repeated string species = 1; repeated double setosa = 2; }
service Botanist { rpc Classify(Flowers) returns (Species); }
"""
OPERATION = compile_proto(PROTO).operations["Classify"]
CONTENTS = {"csv": b"text/csv; charset=utf-8", "json": b"application/json", "protobuf": b"application/x-protobuf"}
ROWS = 150


def flowers():
    with (EXAMPLES / "data" / "iris.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: value for name, value in row.items() if name != "species"} for row in rows]


def written(rows, form):
    """Encode rows as a request; a CSV is quoted, with CRLF, its columns in another order, and an unknown one."""
    if form == "csv":
        file = io.StringIO(newline="")
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        names = [*reversed(rows[0]), "remark"]
        writer.writerows([names, *([row.get(name, "a,\n") for name in names] for row in rows)])
        return b"\xef\xbb\xbf" + file.getvalue().encode()
    if form == "json":
        return json.dumps({"flowers": [{"sepalLength": row["sepal_length"], **_rest(row)} for row in rows]}).encode()
    return OPERATION.input(
        flowers=[{name: float(value) for name, value in row.items()} for row in rows]
    ).SerializeToString()


def _rest(row):
    return {name: float(value) for name, value in row.items() if name != "sepal_length"}


def read(message):
    """Return an answer's species and probabilities, by its content type; without one it is protobuf."""
    form, value = header(message, "content-type"), message.value()
    if form == "text/csv":
        lines = list(csv.DictReader(io.StringIO(value.decode(), newline="")))
        return [line["species"] for line in lines], [float(line["setosa"]) for line in lines]
    if form == "application/json":
        found = json.loads(value)
        return found["species"], found["setosa"]
    assert form == "application/x-protobuf"
    found = OPERATION.output.FromString(value)
    return list(found.species), list(found.setosa)


def publish(deployment, requests):
    """Publish requests (value, headers) to one partition, so that they are one batch; return offset -> request."""
    producer, placed = Producer({"bootstrap.servers": deployment.kafka.bootstrap}), {}
    for request in requests:

        def note(error, message, request=request):
            assert error is None, error
            placed[message.partition(), message.offset()] = request

        value, headers = request
        producer.produce(
            deployment.settings.topics.requests, value, key=b"k", partition=0, headers=headers, callback=note
        )
    producer.flush(30)
    return placed


async def serve(deployment, **configuration):
    """Start a worker that finds all the requests at its start, so that it reads them as one batch, or a few."""
    deployment.start()
    async with deployment.client() as client:
        change = Change(
            model=EXAMPLES / "models" / "iris_gbm.zip",
            proto=Proto.inline(PROTO),
            configuration=Configuration(**configuration),
        )
        answer = await client.await_swap(await client.swap(change))
        assert answer.is_good, (answer, deployment.log()[-3000:])


async def test_protobuf_csv_and_json_in_one_batch_are_each_answered_once_and_alike_in_the_format_asked_for(deployment):
    rows, requests = flowers(), []
    parts = [rows[start : start + 5] for start in range(0, ROWS, 5)] + [[row] for row in rows[:10]]
    for part in parts:
        for content, name in CONTENTS.items():
            for accept in (None, "csv", "json", "protobuf"):
                headers = [("content-type", name), ("x", b"mine")]
                if accept:
                    headers.append(("accept", CONTENTS[accept].split(b";")[0] + b", */*;q=0.1"))
                requests.append((written(part, content), headers))
    placed = publish(deployment, requests)
    await serve(deployment)
    await deployment.drained()
    assert await deployment.stop() == 0
    result = await deployment.audit()
    assert (result.faults, result.dead_letters) == ({}, [])
    answers = {source(message): message for message in result.predictions}
    assert answers.keys() == placed.keys()
    said = [answers[place] for place in placed]
    for number in range(0, len(requests), 12):
        same = [read(message) for message in said[number : number + 12]]
        assert all(answer == same[0] for answer in same), same
        assert len(same[0][0]) == len(parts[number // 12])
    wanted = [accept or content for content in CONTENTS for accept in (None, "csv", "json", "protobuf")]
    names = {form: value.decode().split(";")[0] for form, value in CONTENTS.items()}
    assert [header(message, "content-type") for message in said[:12]] == [names[form] for form in wanted]
    assert all([value for name, value in message.headers() if name == "content-type"][1:] == [] for message in said)
    assert {header(message, "x") for message in said} == {"mine"}


async def test_a_bad_row_refuses_its_request_with_row_column_value_and_reason_and_its_bytes_as_they_came(deployment):
    good = b"sepal_length;petal_length;petal_width;sepal_width\n5,1;NA;0,2;3\n".replace(b",", b".")
    cases = {
        "good": (good, "csv", None),
        "bad cell": (good.replace(b"0.2", b"wide"), "csv", "row 1, column petal_width: 'wide' is not a number"),
        "short row": (good + b"1;2\n", "csv", "row 2: has 2 cells, but the header names 4"),
        "open quote": (good + b'"1;2;3;4\n', "csv", "row 2: is not valid CSV: unexpected end of data"),
        "no UTF-8": (good.replace(b"0.2", b"\xff"), "csv", "row 1, column petal_width: '\\udcff' is not a number"),
        "no header": (b"5.1;1.4;0.2;3\n", "csv", "is the header line missing?"),
        "empty": (b"", "csv", "the CSV is empty"),
        "no JSON": (b'[{"sepal_length": 1}', "json", "row 1: is not valid JSON"),
        "bad value": (b'[{"sepal_length": 1}, {"sepal_length": "long"}]', "json", "row 2, column sepal_length: 'long'"),
        "unknown field": (b'{"sepal_lenght": 1}', "json", 'no field named "sepal_lenght"'),
        "a flower": (b'{"sepal_length": 1}', "json", None),
        "no protobuf": (b"\xff\xff", "protobuf", "does not parse"),
    }
    requests = [
        (value, [("content-type", CONTENTS[form]), ("request-id", name.encode()), ("trace", b"t")])
        for name, (value, form, _) in cases.items()
    ] * 20
    placed = publish(deployment, requests)
    await serve(deployment, text=TextOptions(delimiter=";", missing=frozenset({"", "NA"})))
    await deployment.drained()
    assert await deployment.stop() == 0
    result = await deployment.audit()
    assert result.faults == {}
    assert {header(message, "request-id") for message in result.predictions} == {"good", "a flower"}
    assert len(result.predictions) == 40
    assert len(result.dead_letters) == len(requests) - 40
    for letter in result.dead_letters:
        value, headers = placed[source(letter)]
        name = header(letter, "request-id")
        assert (letter.value(), letter.key(), header(letter, "code")) == (value, b"k", "UNDECODABLE")
        assert cases[name][2] in header(letter, "message"), name
        assert [pair for pair in letter.headers() if pair in headers] == headers
