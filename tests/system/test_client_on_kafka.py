"""The client and the command line against a real worker on a real Kafka."""

import csv
import io
import json
import os
import subprocess
import sys

import pytest
from confluent_kafka import Producer

from harness.audit import read as read_topic
from harness.fleet import EXAMPLES, ROOT, messages
from hotswap.client.answers import Outgoing, Prediction, Refused
from hotswap.client.client import Change, Cut
from hotswap.kafka.topics.admin import Admin

IRIS = EXAMPLES / "data" / "iris.csv"
PROTOS, MODELS = EXAMPLES / "protos", EXAMPLES / "models"
UNUSED = "127.0.0.1:1"


@pytest.fixture
async def deployment(deployment):
    """The deployment, whose workers are stopped cleanly at the end."""
    yield deployment
    for worker in list(deployment.workers):
        assert await deployment.stop(worker) == 0


class Hotswap:
    """The command, as a process with a deployment's settings."""

    def __init__(self, deployment):
        given = deployment.settings.model_dump(mode="json", include=deployment.settings.model_fields_set)
        self.environment = os.environ | {f"HOTSWAP_{key.upper()}": str(value) for key, value in given.items()}
        self.name = deployment.name

    def __call__(self, *words, code=0, **environment):
        done = subprocess.run(
            [sys.executable, "-m", "hotswap", *map(str, words)],
            env=self.environment | environment, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    def complaint(self, *words, code, **environment):
        (line,) = self(*words, code=code, **environment).stderr.splitlines()
        assert line.startswith("hotswap: ")
        return line


async def test_answers_come_in_the_order_of_the_requests_from_every_partition(deployment):
    await deployment.serve("iris_gbm")
    values, known, operation = messages("iris")
    values[70:70] = [b"\xff\xff"]
    async with deployment.client() as client:
        answers = [a async for a in client.predict((Outgoing(value) for value in values), window=40)]
    refused = answers.pop(70)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.generation) == ("UNDECODABLE", 1)
    assert all(isinstance(answer, Prediction) for answer in answers)
    species = [operation.output.FromString(answer.value).species for answer in answers]
    assert sum(map(str.__eq__, species, known)) >= 145
    assert {answer.generation for answer in answers} == {1}


async def test_each_request_is_at_its_place_and_a_key_has_the_partition_that_any_client_gives_it(deployment):
    keys = [None, b"a", b"\xff\x00", b"customer-17", b""]
    sent = [Outgoing(b"%d " % number * (number % 97 + 1), keys[number % 5]) for number in range(2_500)]
    sent[7] = Outgoing(b"x" * 500_000, b"a")  # larger than the limit of a batch
    many = [Outgoing(b"%d " % number * (number % 97 + 1)) for number in range(12_500)]
    async with deployment.client() as client:
        places = [*await client.publish(sent), *(of_many := await client.publish(iter(many)))]
    assert (len(set(places)), len(of_many), of_many[-1]) == (15_000, 12_500, places[-1])
    sent += many
    lies = {
        (record.partition(), record.offset()): record
        for record in read_topic(deployment.kafka.bootstrap, deployment.settings.topics.requests)
    }
    for place, request in zip(places, sent, strict=True):
        record = lies[place.partition, place.offset]
        assert (record.value(), record.key()) == (request.value, request.key)
    offsets = [place.offset for place in places[2_500:] if place.partition == 0]
    assert offsets == sorted(offsets)
    offsets = [place.offset for place, request in zip(places, sent, strict=True) if request.key == b"a"]
    assert offsets == sorted(offsets)
    others = Producer({"bootstrap.servers": deployment.kafka.bootstrap, "partitioner": "murmur2"})
    theirs = {}
    for key in keys[1:]:
        others.produce(
            deployment.settings.topics.requests, b"", key, callback=lambda _, m: theirs.update({m.key(): m.partition()})
        )
    others.flush(30)
    assert {place.partition for place, request in zip(places, sent, strict=True) if request.key is None} == {0, 1, 2, 3}
    assert {(request.key, place.partition) for place, request in zip(places, sent, strict=True) if request.key} == {
        (key, partition) for key, partition in theirs.items() if key
    }


async def test_the_whole_fleet_is_awaited_and_a_failed_swap_changes_nothing(deployment, tmp_path):
    await deployment.serve("iris_gbm", workers=("w1", "w2"))
    garbage = tmp_path / "garbage.zip"
    garbage.write_bytes(b"garbage")
    async with deployment.client() as client:
        failed = await client.await_swap(await client.swap(Change(model=garbage, kind="h2o")))
        assert {told.outcome for told in failed.told.values()} == {"FAILED"}
        good = await client.await_swap(await client.swap(Change(model=MODELS / "iris_glm.zip")))
        assert (set(good.told), good.is_good) == ({"w1", "w2"}, True)
        back = await client.rollback()
        assert (await client.await_swap(back)).is_good
        view = await client.status()
    assert (back.generation, view.newest) == (4, 4)
    digests = {entry.entry.verdict.generation: entry for entry in view.commands}
    assert digests[4].entry.command.to == 1


async def test_a_pause_holds_the_answers_until_the_resume(deployment):
    await deployment.serve("iris_gbm")
    values, *_ = messages("iris")
    async with deployment.client() as client:
        assert (await client.await_swap(await client.pause())).is_good
        await client.publish(Outgoing(value) for value in values)
        receipt = await client.swap(Change(model=MODELS / "iris_glm.zip", cut=Cut.AFTER_BACKLOG))
        assert sum(receipt.cut.values()) == len(values)
        assert (await client.await_swap(await client.resume())).is_good
        assert (await client.await_swap(receipt)).is_good
    await deployment.drained()
    assert (await deployment.audit()).faults == {}


async def test_the_commands_tell_the_story_from_the_first_swap_to_the_replay(deployment, tmp_path):
    hotswap, name = Hotswap(deployment), deployment.name
    deployment.start()
    hotswap("swap", name, "--model", MODELS / "iris_gbm.zip", "--proto", PROTOS / "iris.proto", "--samples", IRIS)
    rows = list(csv.DictReader(io.StringIO(hotswap("predict", name, IRIS).stdout)))
    assert [row["row"] for row in rows] == [str(number) for number in range(1, 151)]

    mixed = ("--model", MODELS / "mixed_glm.zip", "--proto", PROTOS / "mixed_glm.proto")
    swapped = hotswap("swap", name, *mixed, "--json")
    assert json.loads(swapped.stdout)["incompatible"] == ["operation Classify is gone"]
    (tmp_path / "odd.csv").write_text("x0,color,country\n1,mauve,PL\n1,red,PL\n")
    for command in (("predict", name), ("score", *mixed)):
        said = hotswap(*command, tmp_path / "odd.csv", "--allow-missing").stderr
        assert "`color`: the model does not know 'mauve' (1 row): scored as missing or unknown\n" in said, command
    stale = hotswap("predict", name, IRIS, "--proto", PROTOS / "iris.proto", code=1)
    assert stale.stderr.count("PROTO_MISMATCH") == 150
    hotswap("rollback", name)

    listed = hotswap("dead-letters", name, "--code", "PROTO_MISMATCH", "--json").stdout.splitlines()
    assert len(listed) == 150
    assert json.loads(hotswap("dead-letters", name, "--replay", "--yes", "--json").stdout) == {"published": 150}
    await deployment.drained()
    (view,) = json.loads(hotswap("status", name, "--json").stdout)
    assert (view["accepted"], view["lag"]) == (3, 0)
    # The replayed requests are for the proto that serves again, so they are answered now.
    assert (await deployment.audit()).faults == {}


async def test_a_packed_model_is_swapped_in_by_its_package_and_predicts_what_h2o_does(deployment, tmp_path):
    hotswap, name = Hotswap(deployment), deployment.name
    deployment.start()
    hotswap("pack", MODELS / "iris_gbm.zip", "--sample", IRIS, "--out", tmp_path)
    swapped = hotswap("swap", name, "--package", tmp_path / "modeldump.zip", "--json")
    assert json.loads(swapped.stdout)["is_good"]
    rows = list(csv.DictReader(io.StringIO(hotswap("predict", name, IRIS).stdout)))
    with (EXAMPLES / "data" / "iris_gbm.pred.csv").open() as file:
        wanted = list(csv.DictReader(file))
    assert [row["predict"] for row in rows] == [row["predict"] for row in wanted]
    differences = [
        abs(float(row[f"p_{label}"]) - float(want[label]))
        for row, want in zip(rows, wanted, strict=True)
        for label in ("setosa", "versicolor", "virginica")
    ]
    assert max(differences) < 1e-9
    scored = hotswap("score", IRIS, "--package", tmp_path / "modeldump.zip").stdout
    assert [row["predict"] for row in csv.DictReader(io.StringIO(scored))] == [row["predict"] for row in wanted]
    await deployment.drained()
    assert (await deployment.audit()).faults == {}


def test_score_is_what_the_deployment_would_answer_and_needs_no_kafka(tmp_path):
    command = [
        sys.executable, "-m", "hotswap", "score", IRIS,
        "--model", MODELS / "iris_glm.zip", "--proto", PROTOS / "iris.proto",
    ]  # fmt: skip
    environment = os.environ | {"HOTSWAP_KAFKA": UNUSED}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    with (EXAMPLES / "data" / "iris_glm.pred.csv").open() as file:
        wanted = list(csv.DictReader(file))
    assert [row["species"] for row in rows] == [row["predict"] for row in wanted]
    assert all(abs(float(row["setosa"]) - float(want["setosa"])) < 1e-9 for row, want in zip(rows, wanted, strict=True))


@pytest.mark.parametrize("command", ["run", "status", "rollback", "dead-letters", "topics create"])
def test_an_unreachable_kafka_is_one_clear_line(deployment, command):
    line = Hotswap(deployment).complaint(*command.split(), "d", code=3, HOTSWAP_KAFKA=UNUSED)
    assert f"no Kafka answers at {UNUSED}" in line
    assert "HOTSWAP_KAFKA" in line


def test_a_wrong_address_is_one_clear_line(deployment):
    line = Hotswap(deployment).complaint("status", "d", code=3, HOTSWAP_KAFKA="no-such-host.invalid:9092")
    assert "no Kafka answers at no-such-host.invalid:9092" in line


@pytest.mark.parametrize("command", ["run", "status", "dead-letters"])
def test_missing_topics_are_one_clear_line(deployment, command):
    line = Hotswap(deployment).complaint(command, "nobody", code=3)
    assert "nobody." in line
    assert "hotswap topics create" in line


async def test_a_control_topic_with_two_partitions_is_one_clear_line(deployment):
    hotswap, control = Hotswap(deployment), f"{deployment.name}.two"
    async with Admin.connect(deployment.settings.model_copy(update={"requests_topic": control})) as admin:
        await admin.create_topics(partitions=2)
    for command in (("run", deployment.name), ("swap", deployment.name, "--model", MODELS / "iris_gbm.zip")):
        assert "must have one" in hotswap.complaint(*command, code=3, HOTSWAP_CONTROL_TOPIC=control)
