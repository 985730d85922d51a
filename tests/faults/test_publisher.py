"""The publisher's journal is the truth about what was published: each test compares it with the topic itself."""

import asyncio
import hashlib
import itertools
import time

import pytest

from faults import publisher as module
from faults.publisher import Child, Publisher, iris, requests
from harness.audit import header, read
from harness.fleet import Deployment, messages
from hotswap.kafka.topics.admin import Admin


@pytest.fixture
async def stream(own_kafka, tmp_path):
    """Topics of the test's own on the Kafka of the module's own."""
    return await Deployment(own_kafka, tmp_path).create(3)


@pytest.fixture
def publisher(stream, tmp_path):
    made = Publisher(
        bootstrap=stream.kafka.bootstrap,
        topic=stream.settings.topics.requests,
        partitions=3,
        per_second=500,
        journal=tmp_path / "journal",
        seed=7,
        bad_share=0.1,
    )
    yield made
    made.kill()


async def published(stream):
    """Return the content of the topic and of the journal, as sets of the journal's lines, and their size.

    Without what the publisher's client has written twice (final_checks.py): each request has a key of its own, so what
    no journal has is a copy if the journal has another record with its key.
    """
    there = await asyncio.to_thread(read, stream.kafka.bootstrap, stream.settings.topics.requests)
    lines = (stream.folder / "journal").read_text().splitlines()
    found = {
        f"{m.partition()} {m.offset()} {hashlib.sha256(m.value()).hexdigest()[:16]} {header(m, 'expect') or 'good'}": m
        for m in there
    }
    known = {found[line].key() for line in lines if line in found}
    copies = {line for line in found.keys() - set(lines) if found[line].key() in known}
    return found.keys() - copies, set(lines), (len(there) - len(copies), len(lines))


async def test_the_journal_holds_exactly_what_is_in_the_topic_through_a_kill_of_the_broker(
    own_kafka, stream, publisher
):
    publisher.start()
    await publisher.reach(500)
    await asyncio.to_thread(own_kafka.kill)
    at_the_kill = publisher.acknowledged
    await asyncio.to_thread(own_kafka.start)
    await publisher.reach(500)
    await asyncio.to_thread(publisher.stop)
    found, journal, counts = await published(stream)
    assert found == journal
    assert counts == (publisher.acknowledged, publisher.acknowledged)
    assert len(journal) == publisher.acknowledged > at_the_kill >= 500
    async with Admin.connect(stream.settings) as admin:
        assert sum((await admin.end_offsets(stream.settings.topics.requests)).values()) == publisher.acknowledged


async def test_stop_waits_until_what_it_holds_is_acknowledged(own_kafka, stream, publisher):
    publisher.start()
    await publisher.reach(200)
    await asyncio.to_thread(own_kafka.stop)
    held_from = publisher.acknowledged
    await asyncio.sleep(1)
    assert publisher.acknowledged == held_from
    stopping = asyncio.create_task(asyncio.to_thread(publisher.stop))
    await asyncio.to_thread(own_kafka.start)
    await stopping
    assert publisher.acknowledged >= held_from + 300
    found, journal, _ = await published(stream)
    assert found == journal


@pytest.fixture
def stalling(own_kafka, stream, tmp_path, monkeypatch):
    """A child whose first client reaches nobody."""

    class FirstReachesNobody(module.Producer):
        made = 0

        def __init__(self, settings):
            type(self).made += 1
            super().__init__(settings | ({"bootstrap.servers": "127.0.0.1:1"} if self.made == 1 else {}))
            self.until = time.monotonic() + 60

        def flush(self, seconds):
            return self.waited(super().flush, seconds)

        def poll(self, seconds):
            return self.waited(super().poll, seconds)

        def waited(self, how, seconds):
            assert time.monotonic() < self.until, f"it still waits for client {self.made}"
            return how(seconds)

    monkeypatch.setattr(module, "Producer", FirstReachesNobody)
    topic = stream.settings.topics.requests
    return Child(
        bootstrap=own_kafka.bootstrap, topic=topic, journal=tmp_path / "journal", partitions=3, seed=7, bad_share=0.1
    )


async def test_what_a_client_that_stalls_does_not_write_another_one_does(stalling, stream, monkeypatch):
    monkeypatch.setattr(module, "_STALLED_S", 0.2)
    stalling.publish(50)
    await asyncio.to_thread(stalling.finish)
    found, journal, counts = await published(stream)
    assert (found, counts) == (journal, (50, 50))
    assert module.Producer.made > 1


async def test_a_client_that_stalls_from_the_start_is_replaced_while_requests_go_on(stalling, stream, monkeypatch):
    monkeypatch.setattr(module, "_STALLED_S", 1)

    def run():
        while not stalling._has_begun:
            stalling.publish(1)
            stalling.hear()
        stalling.finish()

    await asyncio.to_thread(run)
    found, journal, _ = await published(stream)
    assert found == journal
    assert module.Producer.made > 1


async def seconds_for(publisher, count):
    began = asyncio.get_running_loop().time()
    await publisher.reach(count)
    return asyncio.get_running_loop().time() - began


def test_good_requests_are_what_the_examples_proto_says_and_a_seed_gives_them_again():
    assert iris() == messages("iris")[0]
    given = {"partitions": 4, "bad_share": 0.2}
    first, again, other = (list(itertools.islice(requests(seed=seed, **given), 2_000)) for seed in (1, 1, 2))
    assert first == again != other
    kinds = {kind for *_, kind in first}
    assert kinds == {
        "good",
        "UNDECODABLE",
        "UNKNOWN_OPERATION",
        "EXPIRED",
        "PROTO_MISMATCH",
        "UNSUPPORTED_CONTENT_TYPE",
        "MALFORMED_HEADER",
    }
    assert 300 < sum(kind != "good" for *_, kind in first) < 500
    assert {partition for partition, *_ in first} == {0, 1, 2, 3}
