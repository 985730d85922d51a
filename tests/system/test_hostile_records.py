"""Records that no client library would send, on a real Kafka: each is refused alone, and nothing stalls."""

import asyncio
import hashlib
from pathlib import Path

import cramjam

from faults import raw_batches
from faults.raw_batches import Batch, Record
from harness.audit import header, source
from harness.command import hotswap
from harness.fleet import Deployment, messages
from harness.wire import sending

MIB = 1 << 20


def record(delta, *, value=b"", **given):
    return raw_batches.record(Record(value=value, **given), delta)


def batch(body, *, count):
    return Batch(records=body, count=count).at(0)


def packed_batch(body, *, count):
    """A batch whose records are already compressed, by zstd."""
    return Batch(records=b"", count=count, codec="zstd", packed=bytes(body)).at(0)


def peak_mb(process):
    """Return the peak resident memory of a worker's own process, MB."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6


async def test_a_header_name_that_is_no_utf_8_costs_one_dead_letter_and_on_the_control_and_status_topics_a_word(
    deployment,
):
    values, _, _ = messages("iris")
    odd = [(b"\xff\xfe", b"1"), (b"request-id", b"7")]
    deployment.start()
    topics = deployment.settings.topics
    async with sending(deployment.kafka.bootstrap) as send:
        for topic in (topics.control, topics.status):
            await send(topic, 0, batch(record(0, key=b"k", value=b"v", headers=odd), count=1), count=1)
        await deployment.serve("iris_gbm", workers=("w2",))
        await deployment.publish(values)
        place = await send(
            topics.requests, 1, batch(record(0, key=b"k", value=values[0], headers=odd), count=1), count=1
        )
        await send(topics.control, 0, batch(record(0, key=b"k", value=b"v", headers=odd), count=1), count=1)
        await deployment.publish(values)
    await deployment.drained()
    result = await deployment.audit()
    assert result.faults == {}
    (letter,) = result.dead_letters
    assert source(letter) == (1, place)
    assert (letter.key(), letter.value()) == (b"k", values[0])
    assert (header(letter, "code"), header(letter, "request-id")) == ("MALFORMED_HEADER", "7")
    told = f"2 records of {topics.control} cannot be read"
    async with deployment.client() as client, asyncio.timeout(20):
        while not any("w1, w2" in warning and told in warning for warning in (await client.status()).warnings):
            await asyncio.sleep(0.1)
    assert [await deployment.stop(worker) for worker in ("w1", "w2")] == [0, 0]


async def test_a_record_that_inflates_is_refused_without_its_value_and_costs_no_memory(deployment):
    values, _, _ = messages("iris")
    await deployment.serve("iris_gbm")
    topic = deployment.settings.topics.requests
    small = bytes(cramjam.zstd.compress(record(0, key=b"k", value=bytes(3 * MIB)), level=19))
    bomb = bytes(cramjam.zstd.compress(record(0, value=values[0]) + record(1, value=bytes(1 << 30)) + record(2)))
    assert len(small) < 300
    assert len(bomb) < 40_000
    large = packed_batch(bomb, count=3)
    async with sending(deployment.kafka.bootstrap) as send:
        at = {}
        for partition in range(4):
            at[partition] = await send(topic, partition, large, count=3)
        first = await send(topic, 0, packed_batch(small, count=1), count=1)
        await deployment.publish(values)
        await deployment.drained()
        peak = peak_mb(deployment.workers["w1"])
    result = await deployment.audit()
    # The verifier's client cannot read a batch that unpacks to a gigabyte: that is the request it reports as missing.
    assert not any((result.twice, result.out_of_order, result.went_back))
    letters = {source(letter): letter for letter in result.dead_letters}
    assert letters.keys() == {(0, first), *((p, at[p] + n) for p in range(4) for n in (1, 2))}
    assert len(result.predictions) == 4 + len(values)
    kept = letters[0, first]
    assert (kept.key(), kept.value(), header(kept, "code")) == (b"k", None, "TOO_LARGE")
    assert header(kept, "value-size") == str(3 * MIB)
    assert header(kept, "value-sha256") == hashlib.sha256(bytes(3 * MIB)).hexdigest()
    cut = letters[2, at[2] + 1]
    assert (cut.value(), header(cut, "code")) == (None, "TOO_LARGE")
    assert int(header(cut, "value-size-at-least")) > 30 * MIB
    assert header(cut, "value-sha256") is None
    assert len(header(cut, "batch-sha256")) == 64
    assert peak < 300, peak


async def test_dead_letters_without_a_value_are_marked_and_not_published_again(deployment):
    await deployment.serve("iris_gbm")
    topic, packed = deployment.settings.topics.requests, cramjam.zstd.compress(record(0, value=bytes(3 * MIB)))
    async with sending(deployment.kafka.bootstrap) as send:
        await send(topic, 0, packed_batch(bytes(packed), count=1), count=1)
    await deployment.publish([b"\xff\xff"])
    await deployment.drained()
    listed = await hotswap(deployment, "dead-letters", deployment.name)
    assert "(value not kept)" in next(line for line in listed[0].decode().splitlines() if "TOO_LARGE" in line)
    published, noted = await hotswap(deployment, "dead-letters", deployment.name, "--replay", "--yes")
    assert published.decode() == f"1 requests published to {topic} again\n"
    assert f"{topic}-0-0 cannot be published again: value not kept" in noted


async def test_false_offsets_and_keys_too_large_for_an_answer_stop_no_partition(deployment):
    values, _, _ = messages("iris")
    await deployment.serve("iris_gbm")
    topic = deployment.settings.topics.requests
    lying = record(0, value=values[0]) + record(5, value=values[0]) + record(2, value=values[0])
    key = record(0, key=bytes(3 * MIB), value=values[0])
    async with sending(deployment.kafka.bootstrap) as send:
        await send(topic, 0, batch(lying, count=3), count=3)
        await send(topic, 0, packed_batch(bytes(cramjam.zstd.compress(key)), count=1), count=1)
        await deployment.publish(values)
    await deployment.drained()
    assert "recycled" not in deployment.log()


async def publish_what_rots(kafka, topic, values):
    """Publish three batches to partition 0 and one to partition 1; damage offsets 1 to 3 on the broker's disk."""
    marked = [value + b"\x9a\x06\x06rotten" for value in values[:3]]  # a field that none of our protos has
    body = b"".join(record(delta, value=value) for delta, value in enumerate(marked))
    async with sending(kafka.bootstrap) as send:
        for part in (values[3:4], marked, values[4:5]):
            rows = [record(delta, value=value) for delta, value in enumerate(part)]
            await send(topic, 0, batch(b"".join(rows), count=len(rows)), count=len(rows))
        await send(topic, 1, batch(body, count=3), count=3)
    (log,) = kafka._directory.rglob(f"{topic}-0/00000000000000000000.log")
    whole = log.read_bytes()
    with log.open("r+b") as file:
        file.seek(whole.index(b"rotten") + 2)
        file.write(b"?")


async def test_a_batch_whose_bytes_rot_on_the_brokers_disk_holds_its_partition_until_a_command_skips_it(
    own_kafka, tmp_path
):
    deployment = Deployment(own_kafka, tmp_path)
    await deployment.create(partitions=2)
    try:
        values, _, _ = messages("iris")
        await publish_what_rots(own_kafka, deployment.settings.topics.requests, values)
        await deployment.serve("iris_gbm")
        async with deployment.client() as client, asyncio.timeout(30):
            while not (problems := (await client.status()).problems):
                await asyncio.sleep(0.1)
        (problem,) = problems
        assert f"hotswap skip {deployment.name} --partition 0 --offset 1`" in problem
        # The other partition continues, and so does this one after the command.
        skipped, _ = await hotswap(deployment, "skip", deployment.name, "--partition", 0, "--offset", 1)
        assert b"APPLIED" in skipped
        await deployment.drained()
        async with deployment.client() as client, asyncio.timeout(10):
            while (await client.status()).problems:
                await asyncio.sleep(0.1)
        result = await deployment.audit()
        letters = {source(letter): letter for letter in result.dead_letters}
        assert letters.keys() == {(0, 1), (0, 2), (0, 3)}
        assert all(header(letter, "code") == "UNREADABLE" for letter in letters.values())
        assert all("skipped it" in header(letter, "message") for letter in letters.values())
        assert {source(answer) for answer in result.predictions} == {(0, 0), (0, 4), (1, 0), (1, 1), (1, 2)}
        assert not any((result.twice, result.out_of_order, result.went_back))
    finally:
        deployment.close()
