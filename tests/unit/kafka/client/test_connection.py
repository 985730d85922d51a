"""A failed connection gives one line and restores aiokafka's log; a client can always be ended."""

import asyncio
import contextlib
import logging
from contextlib import ExitStack

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import NodeNotReadyError, RequestTimedOutError

from hotswap.errors import StartError, Unanswered, Unreachable
from hotswap.kafka.client import connection
from hotswap.kafka.client.cluster import KafkaClient
from hotswap.kafka.client.connection import end, reaching
from hotswap.kafka.topics import admin
from hotswap.kafka.topics.admin import Admin
from hotswap.settings import Settings

SETTINGS = Settings(kafka="a:1")
LIBRARY = logging.getLogger("aiokafka.conn")


def connect_in_vain(why="connection refused", error=None):
    with reaching(SETTINGS):
        LIBRARY.error(why)
        raise error or OSError("something vague")


def test_the_reason_comes_from_the_librarys_log():
    with pytest.raises(StartError, match=r"no Kafka answers at a:1 \(connection refused\)"):
        connect_in_vain()


def test_without_a_reason_the_error_says_that_no_answer_arrived():
    with pytest.raises(StartError, match=r"no Kafka answers at a:1 \(it does not answer in time\)"), reaching(SETTINGS):
        raise TimeoutError


@pytest.mark.parametrize("late", [TimeoutError, NodeNotReadyError, RequestTimedOutError])
def test_a_broker_that_is_late_may_be_asked_again_and_one_that_refuses_may_not(late):
    with pytest.raises(Unanswered), reaching(SETTINGS):
        raise late
    with pytest.raises(Unreachable) as refused:
        connect_in_vain()
    assert refused.type is Unreachable
    with pytest.raises(StartError, match="check the user and its password") as refused:
        connect_in_vain("SaslAuthenticationFailed", late())
    assert refused.type is StartError


def test_the_librarys_log_is_restored_after_overlapping_connections():
    first, second = ExitStack(), ExitStack()
    first.enter_context(reaching(SETTINGS))
    second.enter_context(reaching(SETTINGS))
    assert not logging.getLogger("aiokafka").propagate
    first.close()
    assert not logging.getLogger("aiokafka").propagate
    second.close()
    assert logging.getLogger("aiokafka").propagate


class Network:
    """Stand-in for aiokafka's low-level client: its cluster has a broker after so many updates."""

    def __init__(self, updates=0):
        self.updates = updates
        self.is_closed = False
        self.cluster = self

    def brokers(self):
        return [] if self.updates else ["one"]

    async def force_metadata_update(self):
        self.updates -= 1

    async def close(self):
        self.is_closed = True


class Fetcher:
    def __init__(self):
        self._fetch_task = asyncio.ensure_future(asyncio.Event().wait())
        self._pending_tasks = {asyncio.ensure_future(asyncio.Event().wait())}


class Consumer:
    """An aiokafka consumer whose `stop` does what `how` says."""

    def __init__(self, how):
        self._client = Network()
        self._coordinator, self._fetcher = None, Fetcher()
        self._how = how

    async def stop(self):
        await self._how()


async def cancelled_by_itself():
    raise asyncio.CancelledError


async def never_ends():
    await asyncio.Event().wait()


@pytest.mark.parametrize("how", [cancelled_by_itself, never_ends])
async def test_a_client_whose_stop_fails_or_hangs_is_cut_off_with_nothing_left_running(how, monkeypatch):
    monkeypatch.setattr(connection, "_END_S", 0.01)
    consumer = Consumer(how)
    await end(consumer)
    assert consumer._client.is_closed
    await asyncio.wait([consumer._fetcher._fetch_task, *consumer._fetcher._pending_tasks], timeout=1)
    assert consumer._fetcher._fetch_task.cancelled()
    assert all(task.cancelled() for task in consumer._fetcher._pending_tasks)


async def test_a_client_whose_connections_cannot_be_closed_either_is_abandoned():
    consumer = Consumer(cancelled_by_itself)
    consumer._client.close = cancelled_by_itself
    await end(consumer)


async def swallows_a_cancellation():
    with contextlib.suppress(asyncio.CancelledError):
        await never_ends()


@pytest.mark.parametrize("how", [never_ends, swallows_a_cancellation])
async def test_a_cancellation_during_end_is_not_swallowed(how):
    consumer = Consumer(how)
    ending = asyncio.create_task(end(consumer))
    await asyncio.sleep(0)
    ending.cancel()
    await asyncio.wait([ending])
    assert ending.cancelled()
    assert consumer._client.is_closed is (how is never_ends)


class Started:
    """A consumer or an admin that starts at once."""

    async def start(self):
        pass


async def test_start_waits_until_the_cluster_reports_a_broker(monkeypatch):
    monkeypatch.setattr(admin, "_RETRY_S", 0)
    for name in ("admin_of", "consumer_of"):
        monkeypatch.setattr(admin, name, lambda *_, **__: Started())
    made = Admin(SETTINGS)
    network = made._client.cluster = Network(updates=3)
    monkeypatch.setattr(made._client, "force_metadata_update", network.force_metadata_update)
    await made.start()
    assert network.brokers()


async def test_a_client_that_several_share_asks_for_the_cluster_once(monkeypatch):
    asked = []

    async def bootstrap(client):
        asked.append(client)
        client.cluster = Network()

    monkeypatch.setattr(AIOKafkaClient, "bootstrap", bootstrap)
    client = KafkaClient()
    await client.bootstrap()
    await client.bootstrap()
    assert asked == [client]
