"""The real situation that each alert of ops/ is for: a context manager, in which it lasts, and after which it is over.

Each yields the labels by which its alert is known. Those that are over at once (a swap that failed) leave their mark in
a counter, and their alerts resolve once that is out of the rule's window.
"""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from urllib.request import Request, urlopen

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it exports them without saying so
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from fakes.hostile_child import KILLS
from fakes.later import of_unknown_kind
from fakes.signing import lasting
from faults.alert_field import Field
from faults.proxy import END_TXN
from faults.raw_batches import Record, batch
from harness.fleet import EXAMPLES, HOSTILE, messages
from harness.wire import sending
from hotswap.client.change import Change
from hotswap.trust.keys import Signer

Labels = Mapping[str, str]
Fault = Callable[[Field], AbstractAsyncContextManager[Labels]]

_ODD = ((b"\xff\xfe", b"1"),)
_HELD_S = 3.0


@asynccontextmanager
async def worker_down(field: Field) -> AsyncIterator[Labels]:
    """A worker is killed."""
    made = await field.serve("down")
    made.kill("w1")
    yield {"instance": field.instance("down", "w1")}
    field.start(made, "w1")


@asynccontextmanager
async def lag_growing(field: Field) -> AsyncIterator[Labels]:
    """The model stands still under a stream: its host is stopped, and has a deadline of ten minutes."""
    made = await field.serve("lagging", deadline_ms=600_000)
    hosts = field.hosts(made)
    for host in hosts:
        os.kill(host, signal.SIGSTOP)
    await made.publish(messages("iris")[0] * 8)
    async with field.streaming(made, per_second=20):
        yield {"deployment": made.name}
    for host in hosts:
        os.kill(host, signal.SIGCONT)


@asynccontextmanager
async def lag_old(field: Field) -> AsyncIterator[Labels]:
    """The model stands still, and no further request comes: the lag is small, and does not grow."""
    made = await field.serve("ageing", deadline_ms=600_000)
    hosts = field.hosts(made)
    for host in hosts:
        os.kill(host, signal.SIGSTOP)
    await made.publish(messages("iris")[0])
    yield {"deployment": made.name}
    for host in hosts:
        os.kill(host, signal.SIGCONT)


@asynccontextmanager
async def nothing_scores(field: Field) -> AsyncIterator[Labels]:
    """The store is out of reach after a restart, and the worker's cache is gone."""
    made = await field.serve("storeless")
    assert await made.stop() == 0
    store, away = made.folder / "store", made.folder / "away"
    store.rename(away)
    shutil.rmtree(made.settings.cache)
    field.start(made, "w1")
    await made.publish(messages("iris")[0])
    yield {"deployment": made.name}
    away.rename(store)


@asynccontextmanager
async def partition_held(field: Field) -> AsyncIterator[Labels]:
    """The deployment is paused, and somebody has forgotten it."""
    made = await field.serve("paused")
    async with made.client() as client:
        await client.pause()
    await made.publish(messages("iris")[0])  # a partition with nothing to score is not held
    yield {"deployment": made.name}
    async with made.client() as client:
        await client.resume()


@asynccontextmanager
async def topic_fault(field: Field) -> AsyncIterator[Labels]:
    """The requests topic gets more partitions, and the topics of the answers do not."""
    made = await field.serve("widened")
    topics = made.settings.topics
    await field.widen(topics.requests, 5)
    yield {"deployment": made.name}
    for topic in (topics.predictions, topics.dead_letters):
        await field.widen(topic, 5)


@asynccontextmanager
async def requests_deleted(field: Field) -> AsyncIterator[Labels]:
    """Retention deletes requests while no worker runs."""
    made = await field.serve("expired")
    await made.publish(messages("iris")[0])
    await made.drained()
    assert await made.stop() == 0
    await made.publish(messages("iris")[0])
    admin = AdminClient({"bootstrap.servers": made.kafka.bootstrap})
    ends = [TopicPartition(made.settings.topics.requests, number, -1) for number in range(4)]
    for deleted in admin.delete_records(ends).values():
        await asyncio.to_thread(deleted.result, 10)
    field.start(made, "w1")
    yield {"deployment": made.name}


@asynccontextmanager
async def foreign_answers(field: Field) -> AsyncIterator[Labels]:
    """A stranger writes to the predictions what looks like an answer, while no worker runs."""
    made = await field.serve("forged")
    await made.publish(messages("iris")[0])
    await made.drained()
    assert await made.stop() == 0
    producer = Producer({"bootstrap.servers": made.kafka.bootstrap})
    headers = {"source": f"{made.settings.topics.requests}-0-0", "generation": "1"}
    producer.produce(made.settings.topics.predictions, b"", partition=0, headers=headers)
    assert producer.flush(30) == 0
    field.start(made, "w1")
    yield {"deployment": made.name}


@asynccontextmanager
async def batch_damaged(field: Field) -> AsyncIterator[Labels]:
    """A batch has a wrong checksum however often it is fetched."""
    made = await field.serve("rotten", is_proxied=True)
    topic = made.settings.topics.requests
    field.proxy.change = lambda where, _, data: data[:-1] + bytes([data[-1] ^ 1]) if where == topic else data
    await made.publish(messages("iris")[0])
    yield {"deployment": made.name}
    field.proxy.change = None


@asynccontextmanager
async def control_unreadable(field: Field) -> AsyncIterator[Labels]:
    """Somebody writes to the control topic what no client can read."""
    made = await field.serve("scribbled")
    async with sending(made.kafka.bootstrap) as send:
        await send(made.settings.topics.control, 0, batch([Record(value=b"x", key=b"k", headers=_ODD)]).at(0), count=1)
    yield {"topic": made.settings.topics.control}


@asynccontextmanager
async def swap_failed(field: Field) -> AsyncIterator[Labels]:
    """A swap to a model that cannot be loaded."""
    made = await field.serve("unswapped")
    broken = made.folder / "broken.zip"
    broken.write_bytes((EXAMPLES / "models" / "iris_gbm.zip").read_bytes()[:1000])
    async with made.client() as client:
        assert not (await client.await_swap(await client.swap(Change(model=broken, kind="h2o")))).is_good
    yield {"deployment": made.name}


@asynccontextmanager
async def host_restarting(field: Field) -> AsyncIterator[Labels]:
    """Requests keep killing the model's host."""
    made = await field.serve("crashing", child=HOSTILE)
    operation = messages("iris")[2]
    for _ in range(3):
        await made.publish([operation.input(sepal_length=KILLS).SerializeToString()])
        await made.drained()
    yield {"deployment": made.name}


@asynccontextmanager
async def transactions_recycling(field: Field) -> AsyncIterator[Labels]:
    """Kafka's transaction coordinator takes longer over one commit after the other than a call may take."""
    made = await field.serve("doubted", is_proxied=True, call_timeout_s=1.0)

    async def hold() -> None:
        while True:
            commit = field.proxy.hold_requests(END_TXN)
            await commit.full()
            await asyncio.sleep(_HELD_S)
            field.proxy.release_held()

    async with field.streaming(made, per_second=50):
        holding = asyncio.create_task(hold())
        yield {"deployment": made.name}
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
        field.proxy.release_held()


@asynccontextmanager
async def dead_letters_rising(field: Field) -> AsyncIterator[Labels]:
    """A publisher sends what is no message."""
    made = await field.serve("misfed")
    async with field.streaming(made, per_second=5, values=[b"\xff\xff"]):
        yield {"deployment": made.name}


@asynccontextmanager
async def generations_differ(field: Field) -> AsyncIterator[Labels]:
    """One of two workers has no room in its cache for the next generation."""
    cache = field.folder / "second"
    made = await field.serve("divided", workers=("w1", "w2"), w2={"HOTSWAP_CACHE": str(cache)})
    artifacts, away = cache / "artifacts", cache / "away"
    artifacts.rename(away)
    artifacts.write_text("no folder")
    async with made.client() as client:
        await client.await_swap(await client.swap(Change(model=EXAMPLES / "models" / "iris_glm.zip")))
    await made.publish(messages("iris")[0])
    yield {"deployment": made.name}
    with contextlib.suppress(FileNotFoundError):
        artifacts.unlink()
    away.rename(artifacts)


@asynccontextmanager
async def trust_differs(field: Field) -> AsyncIterator[Labels]:
    """One of two workers has a trust file, and the other has none."""
    signer, path = Signer.new(), field.folder / "trust.toml"
    path.write_text(lasting(signer).document())
    made = await field.serve("distrusted", workers=("w1", "w2"), w2={"HOTSWAP_TRUST": str(path)})
    yield {"deployment": made.name}
    assert await made.stop() == 0
    field.start(made, "w1", HOTSWAP_TRUST=str(path))


@asynccontextmanager
async def worker_too_old(field: Field) -> AsyncIterator[Labels]:
    """A newer client writes a command that only newer workers can read."""
    made = await field.serve("outdated")
    producer = Producer({"bootstrap.servers": field.kafka.bootstrap})
    producer.produce(made.settings.topics.control, of_unknown_kind(deployment=made.name))
    await asyncio.to_thread(producer.flush, 10)
    yield {"deployment": made.name, "instance": field.instance("outdated", "w1")}
    assert await made.stop() == 0  # there is none to put in its place


@asynccontextmanager
async def gateway_down(field: Field) -> AsyncIterator[Labels]:
    """A gateway is killed."""
    gateway = await field.gateway(await field.serve("ungated"))
    gateway.kill()
    yield {"job": "hotswap-gateway", "instance": f"127.0.0.1:{gateway.port}"}
    await gateway.start()


@asynccontextmanager
async def gateway_failing(field: Field) -> AsyncIterator[Labels]:
    """The only worker hangs, so calls of a gateway have no answer in time."""
    made = await field.serve("unanswered")
    gateway = await field.gateway(made, "--timeout", "1")
    field.go_on(_calls(f"http://127.0.0.1:{gateway.port}/v1/{made.name}/predict"))
    made.workers["w1"].send_signal(signal.SIGSTOP)
    yield {"instance": f"127.0.0.1:{gateway.port}"}
    made.workers["w1"].send_signal(signal.SIGCONT)


async def _calls(url: str) -> None:
    row = b'{"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}'
    while True:
        with contextlib.suppress(OSError):
            await asyncio.to_thread(urlopen, Request(url, row, {"Content-Type": "application/json"}))
        await asyncio.sleep(1)


@asynccontextmanager
async def right_missing(field: Field) -> AsyncIterator[Labels]:
    """Somebody denies everyone to write the predictions."""
    made = await field.serve("denied")
    topic = made.settings.topics.predictions
    place = (ResourceType.TOPIC, topic, ResourcePatternType.LITERAL)
    denial = (*place, "User:ANONYMOUS", "*", AclOperation.WRITE, AclPermissionType.DENY)
    # Where a topic has an ACL, nobody else may do anything with it.
    others = (*place, "User:*", "*", AclOperation.ALL, AclPermissionType.ALLOW)
    admin = AdminClient({"bootstrap.servers": field.kafka.bootstrap})
    for done in admin.create_acls([AclBinding(*others), AclBinding(*denial)]).values():
        await asyncio.to_thread(done.result)
    yield {"deployment": made.name, "right": "Write", "resource": f"topic {topic}"}
    (found,) = admin.delete_acls([AclBindingFilter(*denial)]).values()
    await asyncio.to_thread(found.result)


FAULTS: Mapping[str, Fault] = {
    # Rules that look back 15 and 10 minutes come first: it takes so long until their alerts resolve.
    "HotswapRequestsDeleted": requests_deleted,
    "HotswapForeignAnswers": foreign_answers,
    "HotswapControlUnreadable": control_unreadable,
    "HotswapSwapFailed": swap_failed,
    "HotswapHostRestarting": host_restarting,
    "HotswapTransactionsRecycling": transactions_recycling,
    "HotswapDeadLettersRising": dead_letters_rising,
    "HotswapLagGrowing": lag_growing,
    "HotswapLagOld": lag_old,
    "HotswapPartitionHeld": partition_held,
    "HotswapTrustDiffers": trust_differs,
    "HotswapWorkerTooOld": worker_too_old,
    "HotswapGenerationsDiffer": generations_differ,
    "HotswapNothingScores": nothing_scores,
    "HotswapTopicFault": topic_fault,
    "HotswapRightMissing": right_missing,
    "HotswapBatchDamaged": batch_damaged,
    "HotswapWorkerDown": worker_down,
    "HotswapGatewayDown": gateway_down,
    "HotswapGatewayFailing": gateway_failing,
}
