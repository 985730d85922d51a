"""The proxy's effect on connections, with a small server; a worker's reaction to it, with a real broker."""

import asyncio
import json
import struct
from contextlib import asynccontextmanager
from itertools import islice
from types import SimpleNamespace

import pytest
from aiokafka.protocol.transaction import EndTxnRequest

from faults.brokers import proxied_kafka
from faults.proxy import END_TXN, TXN_OFFSET_COMMIT, Proxy
from faults.publisher import Publisher
from harness.audit import header
from harness.fleet import Deployment
from hotswap.local.kafka import free_ports

# A broker's answer to the EndTxn of a fenced producer: INVALID_PRODUCER_EPOCH, in newer versions
# PRODUCER_FENCED.
FENCED = {47, 90}


def frame(number, api_key=0, size=100):
    """A request: kind, version, correlation id, and its number, repeated to reach some size."""
    body = struct.pack(">hhi", api_key, 0, number).ljust(size, b"x")
    return struct.pack(">i", len(body)) + body


@asynccontextmanager
async def echoing():
    """A proxy before a server that answers each request with its correlation id, and the ids that the server got."""
    front, behind = islice(free_ports(), 2)
    came = []

    async def answer(reader, writer):
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(4), "big")
                body = await reader.readexactly(size)
                came.append(int.from_bytes(body[4:8], "big"))
                writer.write(struct.pack(">i", 6) + body[4:8] + b"ok")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", behind)
    async with server, Proxy(listen_port=front, target_port=behind) as proxy:
        yield proxy, came


async def connect(proxy):
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def ask(link, *frames):
    """Send requests and return the correlation ids of as many answers."""
    reader, writer = link
    writer.write(b"".join(frames))
    return [int.from_bytes((await reader.readexactly(10))[4:8], "big") for _ in frames]


async def test_everything_passes_in_order_also_what_is_large():
    async with echoing() as (proxy, came):
        link = await connect(proxy)
        assert await ask(link, frame(1), frame(2, size=3_000_000), frame(3)) == [1, 2, 3] == came
        link[1].close()


async def test_what_is_delayed_takes_that_long_both_ways():
    loop = asyncio.get_running_loop()
    async with echoing() as (proxy, _):
        link = await connect(proxy)
        proxy.delay(0.2)
        began = loop.time()
        await ask(link, frame(1))
        assert 0.4 <= loop.time() - began < 2
        link[1].close()


async def test_what_is_held_waits_for_the_release_on_old_and_new_connections():
    async with echoing() as (proxy, came):
        old = await connect(proxy)
        await ask(old, frame(1))
        proxy.hold()
        new = await connect(proxy)
        asking = asyncio.gather(ask(old, frame(2)), ask(new, frame(3)))
        done, _ = await asyncio.wait([asking], timeout=0.3)
        assert not done
        assert came == [1]
        proxy.release()
        assert await asking == [[2], [3]]
        for _, writer in (old, new):
            writer.close()


async def test_a_cut_ends_every_connection_and_a_new_one_works():
    async with echoing() as (proxy, _):
        links = [await connect(proxy) for _ in range(3)]
        for number, link in enumerate(links):
            await ask(link, frame(number))
        proxy.cut()
        for reader, writer in links:
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            writer.close()
        fresh = await connect(proxy)
        assert await ask(fresh, frame(9)) == [9]
        fresh[1].close()


@pytest.mark.parametrize("end", ["closes", "is cut"])
async def test_a_held_request_arrives_late_although_its_client_is_gone(end):
    async with echoing() as (proxy, came):
        link, other = await connect(proxy), await connect(proxy)
        held = proxy.hold_requests(END_TXN, count=1)
        link[1].write(frame(1) + frame(2, END_TXN) + frame(3))
        await held.full()
        if end == "closes":
            link[1].transport.abort()
        else:
            proxy.cut()
            other[1].close()
            other = await connect(proxy)
        assert await ask(other, frame(4), frame(5, END_TXN)) == [4, 5], "only so many are held, on their connection"
        assert sorted(came) == [1, 4, 5]
        proxy.release_held()
        assert await held.answered() == [b"ok"]
        assert 2 in came
        link[1].close()
        other[1].close()


@pytest.mark.parametrize(("version", "tags"), [(0, b""), (5, b"\0")])
async def test_a_question_about_rights_is_not_taken_for_a_commit_and_held(version, tags):
    question = EndTxnRequest("group-requests-0", -1, -1, False).prepare({END_TXN: (0, 99)}).encode() + tags
    async with echoing() as (proxy, _):
        link = await connect(proxy)
        held = proxy.hold_requests(END_TXN, count=1)
        body = struct.pack(">hhi", END_TXN, version, 1) + question
        async with asyncio.timeout(10):
            assert await ask(link, struct.pack(">i", len(body)) + body) == [1]
        assert held.caught == 0
        link[1].close()


async def test_a_question_about_rights_is_not_told_to_a_tap_as_the_end_of_a_transaction_is():
    told = []

    async def requested(request):
        told.append(request.transactional_id)

    async with echoing() as (proxy, _):
        proxy.tap = SimpleNamespace(requested=requested)
        link = await connect(proxy)
        for name, producer in (("asks", -1), ("ends", 7)):
            end = EndTxnRequest(name, producer, -1, False).prepare({END_TXN: (0, 0)}).encode()
            body = struct.pack(">hhih1s", END_TXN, 0, 1, 1, b"c") + end
            link[1].write(struct.pack(">i", len(body)) + body)
        async with asyncio.timeout(10):
            while "ends" not in told:
                await asyncio.sleep(0)
        assert told == ["ends"]
        link[1].close()


@pytest.fixture
async def behind(tmp_path):
    """A worker with a short bound on its calls behind a proxy, a publisher that is not behind it, and the proxy."""
    async with proxied_kafka() as (kafka, proxy):
        deployment = await Deployment(kafka, tmp_path, call_timeout_s=2).create()
        publisher = Publisher(
            bootstrap=kafka.bootstrap,
            topic=deployment.settings.topics.requests,
            partitions=4,
            per_second=300,
            journal=tmp_path / "journal",
            seed=1,
            bad_share=0.02,
        )
        try:
            deployment.start("w1", HOTSWAP_KAFKA=proxy.bootstrap)
            await deployment.serve("iris_gbm", workers=())
            publisher.start()
            await publisher.reach(300)
            yield deployment, proxy, publisher
        finally:
            publisher.kill()
            deployment.close()


async def is_answered_once(deployment, publisher):
    """Check that everything published has one answer, and each bad request the right refusal."""
    await asyncio.to_thread(publisher.stop)
    await deployment.drained(timeout=90)
    result = await deployment.audit()
    assert result.faults == {}
    assert result.asked == publisher.acknowledged
    assert [header(m, "expect") for m in result.predictions if header(m, "expect")] == []
    assert all(header(m, "code") == header(m, "expect") for m in result.dead_letters)
    assert await deployment.stop() == 0


async def opened(deployment, lines):
    """Wait until the worker has opened each of the four partitions behind so many lines of its log."""
    async with asyncio.timeout(30):
        while True:
            whole, _, _ = deployment.log().rpartition("\n")  # the last line may still be being written
            told = [json.loads(line) for line in whole.splitlines()[lines:] if '"partition.opened"' in line]
            if {event["partition"] for event in told} == {0, 1, 2, 3}:
                return
            await asyncio.sleep(0.02)


async def test_a_worker_behind_a_slow_held_or_cut_connection_loses_nothing_and_answers_nothing_twice(behind):
    deployment, proxy, publisher = behind
    proxy.delay(0.02)
    await publisher.reach(300)
    proxy.delay(0)
    proxy.hold()
    await asyncio.sleep(3)
    proxy.release()
    await publisher.reach(300)
    for _ in range(3):
        proxy.cut()
        await publisher.reach(100)
    for _ in range(3):
        proxy.hold(share=0.3)
        await publisher.reach(100)
        proxy.cut()
        proxy.release()
        await publisher.reach(100)
    await asyncio.to_thread(deployment.kafka.kill)
    await asyncio.to_thread(deployment.kafka.start)
    await publisher.reach(100)
    await is_answered_once(deployment, publisher)


async def test_a_commit_that_arrives_after_its_producer_was_discarded_is_refused_by_the_broker(behind):
    # 1. The EndTxn of all four partitions does not arrive; after 2 s the worker discards the producers.
    # 2. It opens the partitions again, reads the offsets (nothing was committed) and scores the same requests again.
    # 3. In the middle of that second transaction, answers written and offset not, the first EndTxn arrives. Were it
    #    obeyed, it would commit the first transaction too, or half of the second: answers twice.
    deployment, proxy, publisher = behind
    zombies = proxy.hold_requests(END_TXN, count=4)
    await zombies.full()
    before = len(deployment.log().splitlines())
    offsets = proxy.hold_requests(TXN_OFFSET_COMMIT, count=4)
    # One that opens twice does not stand for another whose own producer is not fenced yet: CONCURRENT_TRANSACTIONS.
    await opened(deployment, before)
    await offsets.full()
    zombies.release()
    answers = await zombies.answered()
    offsets.release()
    assert {struct.unpack_from(">xih", answer)[1] for answer in answers} <= FENCED  # flexible: behind its tags
    await publisher.reach(300)
    assert deployment.log().count("partition.recycled") >= 4
    await is_answered_once(deployment, publisher)
