"""Every part recovers by itself, or says why it cannot: on a real Kafka, with workers as processes."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from itertools import chain

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from harness.fleet import EXAMPLES, ROOT, Deployment, messages
from hotswap.cli.status import document
from hotswap.client.change import Change
from hotswap.client.overview import overview

SESSION_MS = 30_000


def events(deployment, worker, event):
    """Return the worker's log records of this event so far."""
    lines = [line for line in deployment.log(worker).splitlines() if line.startswith("{")]
    return [record for record in map(json.loads, lines) if record["event"] == event]


def note(figure):
    sys.stdout.write(f"{figure}\n")


def partitions(deployment, worker):
    """Return the partitions that the worker was assigned last."""
    return events(deployment, worker, "membership.assigned")[-1]["partitions"]


async def happens(deployment, worker, event, count=1):
    """Wait until the worker has logged the event so often; return its last record."""
    async with asyncio.timeout(60):
        while len(seen := events(deployment, worker, event)) < count:
            await asyncio.sleep(0.02)
    return seen[-1]


async def are_shared(deployment, *workers):
    """Wait until each of these workers has opened some partitions, and all of them together all four."""
    async with asyncio.timeout(60):
        while True:
            given = [events(deployment, worker, "membership.assigned") for worker in workers]
            shares = [seen[-1]["partitions"] if seen else [] for seen in given]
            if all(shares) and sorted(chain(*shares)) == [0, 1, 2, 3]:
                return
            await asyncio.sleep(0.05)


@pytest.fixture
async def patient(kafka, tmp_path):
    """A deployment with sessions of half a minute."""
    made = Deployment(kafka, tmp_path, session_timeout_ms=SESSION_MS)
    await made.create()
    yield made
    made.close()


def start_static(deployment, worker, name=None):
    """Start a worker with static membership; return when."""
    deployment.start(worker, HOTSWAP_GROUP_INSTANCE_ID=name or worker)
    return time.monotonic()


async def two_static_workers(deployment):
    start_static(deployment, "w1")
    start_static(deployment, "w2")
    await deployment.serve("iris_gbm", workers=())
    await are_shared(deployment, "w1", "w2")


@pytest.mark.parametrize("end", ["killed", "stopped"])
async def test_a_restarted_static_worker_gets_its_partitions_back_and_the_others_notice_nothing(patient, end):
    await two_static_workers(patient)
    before = partitions(patient, "w2"), len(events(patient, "w1", "membership.revoked"))
    count = len(events(patient, "w2", "membership.assigned"))
    if end == "killed":
        patient.kill("w2")
    else:
        assert await patient.stop("w2") == 0
    began = start_static(patient, "w2")
    await happens(patient, "w2", "membership.assigned", count + 1)
    note(f"{end}: partitions back {time.monotonic() - began:.1f} s after the start of the process")
    await patient.publish(messages("iris")[0])
    await patient.drained()
    assert (partitions(patient, "w2"), len(events(patient, "w1", "membership.revoked"))) == before
    assert (await patient.audit()).faults == {}
    assert [await patient.stop(worker) for worker in ("w1", "w2")] == [0, 0]


@pytest.mark.usefixtures("workers_by_command")
async def test_the_older_of_two_workers_with_one_name_ends_with_one_line_and_exit_code_3(patient):
    older = patient.start("older", HOTSWAP_GROUP_INSTANCE_ID="twin")
    await patient.serve("iris_gbm", workers=())
    await happens(patient, "older", "partition.opened", 4)
    start_static(patient, "newer", "twin")
    assert await asyncio.to_thread(older.wait, 30) == 3
    assert patient.log("older").splitlines()[-1] == (
        f"hotswap: another worker has joined group {patient.name} as 'twin', so this one ends: give each worker its "
        "own HOTSWAP_GROUP_INSTANCE_ID, or none"
    )
    await patient.publish(messages("iris")[0])
    await patient.drained()
    assert len(events(patient, "newer", "membership.assigned")) == 1
    assert (await patient.audit()).faults == {}
    assert await patient.stop("newer") == 0


async def test_a_static_worker_paused_past_its_session_joins_again_and_is_not_taken_for_a_second_one(deployment):
    for worker in ("w1", "w2"):
        start_static(deployment, worker)
    await deployment.serve("iris_gbm", workers=())
    await are_shared(deployment, "w1", "w2")
    os.kill(deployment.workers["w1"].pid, signal.SIGSTOP)
    await happens(deployment, "w2", "membership.assigned", len(events(deployment, "w2", "membership.assigned")) + 1)
    assert partitions(deployment, "w2") == [0, 1, 2, 3]
    os.kill(deployment.workers["w1"].pid, signal.SIGCONT)
    await are_shared(deployment, "w1", "w2")
    assert [await deployment.stop(worker) for worker in ("w1", "w2")] == [0, 0]


async def test_a_worker_that_joins_while_kafka_waits_for_a_dead_one_waits_too_and_then_serves(deployment):
    deployment.start("w1", HOTSWAP_SESSION_TIMEOUT_MS="10000")
    await deployment.serve("iris_gbm", workers=())
    await happens(deployment, "w1", "partition.opened", 4)
    os.kill(deployment.workers["w1"].pid, signal.SIGSTOP)
    deployment.start("w2", HOTSWAP_CALL_TIMEOUT_S="2")
    await happens(deployment, "w2", "membership.waiting")
    port = events(deployment, "w2", "worker.started")[-1]["http_port"]
    with pytest.raises(urllib.error.HTTPError, match="503"):
        await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{port}/readyz")
    await happens(deployment, "w2", "partition.opened", 4)
    await deployment.publish(messages("iris")[0])
    await deployment.drained()
    assert (await deployment.audit()).faults == {}
    os.kill(deployment.workers["w1"].pid, signal.SIGCONT)
    assert [await deployment.stop(worker) for worker in ("w1", "w2")] == [0, 0]


def status(deployment):
    """Return the output of `hotswap status --json`, and its exit code."""
    words = [
        sys.executable,
        "-m",
        "hotswap",
        "status",
        deployment.name,
        "--kafka",
        deployment.kafka.bootstrap,
        "--json",
    ]
    topics = {"HOTSWAP_CONTROL_TOPIC": deployment.settings.topics.control}
    topics |= {"HOTSWAP_STATUS_TOPIC": deployment.settings.topics.status}
    done = subprocess.run(words, env=os.environ | topics, cwd=ROOT, stdout=subprocess.PIPE, check=False)
    return json.loads(done.stdout)[0], done.returncode


async def says(deployment, wanted):
    """Wait until the deployment's overview satisfies a condition; return what `hotswap status` then says."""
    async with asyncio.timeout(60):
        while not wanted(document(await overview(deployment.settings))):
            await asyncio.sleep(0.1)
    return await asyncio.to_thread(status, deployment)


def metric(deployment, worker, series):
    """Return the value of a series that the worker exports."""
    port = events(deployment, worker, "worker.started")[-1]["http_port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return float(next(line for line in lines if line.startswith(series)).rpartition(" ")[2])


def newest(deployment, worker, state):
    return metric(deployment, worker, f'hotswap_newest_generation{{deployment="{deployment.name}",state="{state}"}}')


async def swap(deployment, model, proto=None, timeout_s=None, **change):
    """Publish a swap; return the fleet's answer."""
    files = {"model": EXAMPLES / "models" / f"{model}.zip", "proto": proto and EXAMPLES / "protos" / f"{proto}.proto"}
    async with deployment.client() as client:
        return await client.await_swap(await client.swap(Change(**files, **change)), timeout_s)


async def holds(deployment, partitions):
    """Publish requests, and wait until w2 reports these partitions as held, since it lacks generation 2."""
    await deployment.publish(messages("iris")[0])
    said, code = await says(deployment, lambda said: [row["held"] for row in said["workers"]][1] == partitions)
    waits = "waits for generation 2, which is not ready on this worker"
    assert code == 1
    assert said["problems"][1] == f"w2 holds partitions {', '.join(map(str, partitions))}: {waits}"
    assert metric(deployment, "w2", "hotswap_held_partitions") == len(partitions)


async def test_a_worker_that_cannot_load_a_generation_says_so_at_once_and_loads_it_once_the_cause_is_fixed(
    deployment, tmp_path
):
    deployment.start("w1")
    deployment.start("w2", HOTSWAP_CACHE=str(tmp_path / "second"))
    await deployment.serve("iris_gbm", workers=())
    await are_shared(deployment, "w1", "w2")
    cache, away = tmp_path / "second" / "artifacts", tmp_path / "away"
    cache.rename(away)
    cache.write_text("no folder: nothing can be kept here")
    answer = await swap(deployment, "iris_glm")
    assert {name: (told.outcome, told.code) for name, told in answer.told.items()} == {
        "w1": ("SERVING", ""),
        "w2": ("FAILED", "CACHE_FAILED"),
    }
    await deployment.publish(messages("iris")[0])
    await deployment.drained()
    said, code = await says(deployment, lambda said: [row["generation"] for row in said["workers"]] == [2, 1])
    assert code == 1
    assert {row["generation"] for row in said["partitions"]} == {1, 2}
    (line,) = said["problems"]
    assert line.startswith("w2 cannot load generation 2: CACHE_FAILED ")
    assert [[told["code"] for told in row["failed"]] for row in said["workers"]] == [[], ["CACHE_FAILED"]]
    async with asyncio.timeout(30):
        while newest(deployment, "w2", "scored") != 2:
            await asyncio.sleep(0.1)
    assert [newest(deployment, "w2", state) for state in ("accepted", "loaded")] == [2, 1]

    # What w1 has scored with the new generation must not go back: w2 holds it, and continues with the rest.
    deployment.kill("w1")
    await holds(deployment, [row["partition"] for row in said["partitions"] if row["generation"] == 2])
    tries = len(events(deployment, "w2", "swap.failed"))
    await happens(deployment, "w2", "swap.failed", tries + 1)

    cache.unlink()
    away.rename(cache)
    began = time.monotonic()
    await deployment.drained()
    note(f"all answered {time.monotonic() - began:.1f} s after the cache was mended")
    said, code = await says(deployment, lambda said: not said["problems"])
    assert (said["workers"][1]["generation"], code) == (2, 0)
    assert (await deployment.audit()).faults == {}
    assert await deployment.stop("w2") == 0


async def test_a_control_topic_that_was_emptied_holds_every_partition_until_a_whole_higher_generation_comes(deployment):
    await deployment.serve("iris_gbm")
    assert (await swap(deployment, "iris_glm")).is_good
    await deployment.publish(messages("iris")[0])
    await deployment.drained()
    assert await deployment.stop() == 0
    empty(deployment, deployment.settings.topics.control)
    deployment.start("w2")
    why = (await happens(deployment, "w2", "worker.join_deferred"))["why"]
    assert why.endswith(
        "publish a whole generation (model and proto) with a higher number, `hotswap swap --generation 3`"
    )
    said, code = await says(deployment, lambda said: said["workers"][-1]["worker"] == "w2")
    assert code == 1
    assert said["problems"][0].startswith(
        "partitions 0, 1, 2, 3: last scored by generation 2, but the control topic has no"
    )

    # Reusing a number does not help: nothing is scored with another model under the same number.
    await deployment.publish(messages("iris")[0])
    answer = await swap(deployment, "iris_gbm", "iris", generation=1, timeout_s=5)
    assert (answer.told, answer.missing) == ({}, ("w2",)), "ready is not serving"
    said, code = await says(deployment, lambda said: said["workers"][-1]["held"] == [0, 1, 2, 3])
    assert (said["lag"], code) == (len(messages("iris")[0]), 1)
    assert all(row["held"] == why.partition(" 0 ")[2] for row in said["partitions"])
    assert metric(deployment, "w2", "hotswap_held_partitions") == 4

    assert (await swap(deployment, "iris_gbm", "iris", generation=3)).is_good
    await deployment.drained()
    said, code = await says(deployment, lambda said: not said["problems"])
    assert ({row["generation"] for row in said["partitions"]}, code) == ({3}, 0)
    assert (await deployment.audit()).faults == {}
    assert await deployment.stop("w2") == 0


def empty(deployment, topic):
    """Delete every record of a topic's only partition, as an operator's tool or retention does."""
    consumer = Consumer({"bootstrap.servers": deployment.kafka.bootstrap, "group.id": "none"})
    _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
    consumer.close()
    admin = AdminClient({"bootstrap.servers": deployment.kafka.bootstrap})
    for deleted in admin.delete_records([TopicPartition(topic, 0, end)]).values():
        assert deleted.result(10).low_watermark == end


async def test_only_the_partitions_of_a_killed_worker_are_opened_anew_once_its_session_has_expired(deployment):
    await deployment.serve("iris_gbm", workers=("w1", "w2"))
    await are_shared(deployment, "w1", "w2")
    await deployment.publish(messages("iris")[0])
    await deployment.drained()
    heirs, orphans = partitions(deployment, "w1"), partitions(deployment, "w2")
    seen = len(deployment.log("w1"))
    deployment.kill("w2")
    began = time.monotonic()
    await are_shared(deployment, "w1")
    await deployment.publish(messages("iris")[0])
    await deployment.drained()
    note(f"partitions {orphans} answered again {time.monotonic() - began:.1f} s after the kill; the session is 6 s")
    records = [json.loads(line) for line in deployment.log("w1")[seen:].splitlines()]
    story = [record for record in records if record["event"].startswith(("membership", "partition.opened"))]
    assert [record["event"] for record in story] == [
        "membership.revoked",
        "membership.assigned",
        *["partition.opened"] * len(orphans),
    ]
    assert [story[0]["partitions"], story[1]["partitions"]] == [heirs, [0, 1, 2, 3]]
    assert sorted(record["partition"] for record in story[2:]) == orphans
    assert (await deployment.audit()).faults == {}
    assert await deployment.stop("w1") == 0


async def test_nobody_waits_for_a_killed_worker_longer_than_three_reports(deployment):
    await deployment.serve("iris_gbm", workers=("w1", "w2"))
    await are_shared(deployment, "w1", "w2")
    deployment.kill("w2")
    began = time.monotonic()
    answer = await swap(deployment, "iris_glm")
    note(f"the swap was answered {time.monotonic() - began:.1f} s after the kill")
    assert (answer.is_good, set(answer.told)) == (True, {"w1"})
    assert await deployment.stop("w1") == 0


async def test_a_worker_that_is_asked_to_stop_while_its_broker_is_down_ends_cleanly(own_kafka, tmp_path):
    deployment = await Deployment(own_kafka, tmp_path).create()
    try:
        await deployment.serve("iris_gbm")
        await happens(deployment, "w1", "partition.opened", 4)
        await asyncio.to_thread(own_kafka.kill)
        async with asyncio.timeout(60):
            while "Connect call failed" not in deployment.log("w1"):
                await asyncio.sleep(0.02)
        assert await deployment.stop("w1") == 0
        assert "Traceback" not in deployment.log("w1")
    finally:
        deployment.close()
