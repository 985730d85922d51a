"""The open transactions of partitions and their holders; ends one past its coordinator (KIP-664)."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from hotswap.errors import Denied, Doubt
from hotswap.kafka.client.connection import bounded
from hotswap.kafka.client.credentials import principal
from hotswap.kafka.client.error_codes import for_code
from hotswap.kafka.transactions.producer import Producer
from hotswap.kafka.wire.brokers import Brokers
from hotswap.kafka.wire.hanging import DescribeProducers, DescribeTransactions, ListTransactions, WriteMarkers
from hotswap.settings import Settings

_TOPIC_DENIED: Final = 29
_CLUSTER_DENIED: Final = 31
_ID_DENIED: Final = 53
_OLDER_EPOCH: Final = 47
Partition: TypeAlias = tuple[str, int]


class Open(NamedTuple):
    """A transaction that a partition has open."""

    topic: str
    partition: int
    producer_id: int
    epoch: int
    start: int
    """The offset of its first record in the partition."""
    last_ms: int
    """The timestamp of its last record there, as its producer has set it; -1: not known."""
    coordinator_epoch: int


class Holder(NamedTuple):
    """A producer, as its coordinator knows it."""

    transactional_id: str
    state: str
    timeout_ms: int = 0
    started_ms: int = -1
    partitions: frozenset[Partition] = frozenset()
    """Those of its open transaction."""


class OpenTransactions(NamedTuple):
    """The open transactions of some partitions, and their holders."""

    open: tuple[Open, ...] = ()
    holders: Mapping[int, Holder] = {}
    """Producer id -> holder."""
    unread: frozenset[str] = frozenset()
    """The topics that this user may not read, whose transactions are unknown."""
    unseen: str = ""
    """Why a coordinator may know a producer that has no holder here; empty: it cannot."""


async def look(settings: Settings, brokers: Brokers, partitions: Iterable[Partition]) -> OpenTransactions:
    """Return the open transactions of partitions, which must exist. Raises Doubt if no answer comes in time."""
    return await bounded(_look(brokers, partitions), settings.call_timeout_s, "looking for open transactions")


async def fence(settings: Settings, brokers: Brokers, transactional_id: str) -> None:
    """Have a coordinator abort an id's open transaction, and fence its producer.

    Raises:
        Doubt: no answer in time.
        Denied: this user may not write under the id.

    """
    what = f"initializing {transactional_id}"
    await bounded(Producer(brokers, transactional_id).init(), settings.call_timeout_s, what)


async def write_abort_marker(settings: Settings, brokers: Brokers, one: Open) -> None:
    """End a transaction in its partition, regardless of its coordinator.

    Raises:
        Doubt: no answer in time, or the leader refuses, as for a producer that has a higher epoch by now.
        Denied: this user may not.

    """
    what = f"aborting the transaction of producer {one.producer_id} in {one.topic}-{one.partition}"
    code = await bounded(_write(brokers, one), settings.call_timeout_s, what)
    if code == _CLUSTER_DENIED:
        raise Denied(f"{principal(settings)} lacks the right Alter of the cluster, which {what} needs: grant it")
    if code == _OLDER_EPOCH:
        raise Doubt(f"{what}: its producer has gone on meanwhile: look again with `hotswap doctor`")
    if code:
        raise Doubt(f"{what}: {for_code(code)()!r}")


async def _look(brokers: Brokers, partitions: Iterable[Partition]) -> OpenTransactions:
    transactions, unread = await _described(brokers, partitions)
    if not transactions:
        return OpenTransactions(unread=unread)
    holders, unseen = await _holders(brokers, {one.producer_id for one in transactions})
    return OpenTransactions(tuple(sorted(transactions)), holders, unread, unseen)


async def _described(brokers: Brokers, partitions: Iterable[Partition]) -> tuple[list[Open], frozenset[str]]:
    """Return the open transactions, and the topics that may not be read."""
    of_node: defaultdict[int, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for topic, number in partitions:
        of_node[await brokers.leader(TopicPartition(topic, number))][topic].append(number)
    requests = [(node, DescribeProducers(_by_topic(topics), {})) for node, topics in of_node.items()]
    transactions, unread = [], set()
    for answer in await asyncio.gather(*(brokers.ask(node, request) for node, request in requests)):
        for topic, described, _ in answer.topics:
            for number, code, _, producers, _ in described:
                if code == _TOPIC_DENIED:
                    unread.add(topic)
                elif code:
                    raise for_code(code)(f"{topic}-{number}")
                transactions += [Open(topic, number, *_facts(each)) for each in producers or () if each[-2] >= 0]
    return transactions, frozenset(unread)


def _facts(producer: tuple[Any, ...]) -> tuple[int, int, int, int, int]:
    identity, epoch, _, last_ms, coordinator_epoch, start, _ = producer
    return identity, epoch, start, last_ms, coordinator_epoch


async def _holders(brokers: Brokers, producers: Collection[int]) -> tuple[dict[int, Holder], str]:
    """Return the holders among producers, and the reason why there may be more."""
    nodes = brokers.nodes()
    unseen = await _sees_all(brokers)
    answers = await asyncio.gather(*(_coordinated(brokers, node, producers) for node in nodes))
    holders: dict[int, Holder] = {}
    for node, answer in zip(nodes, answers, strict=True):
        if isinstance(answer, str):
            unseen = unseen or f"broker {node} does not say which transactions it coordinates ({answer})"
        else:
            holders |= answer
    return holders, unseen


async def _coordinated(brokers: Brokers, node: int, producers: Collection[int]) -> dict[int, Holder] | str:
    """Return the holders that one node coordinates, or the reason for no answer."""
    try:
        answer = await brokers.ask(node, ListTransactions([], list(producers), {}))
        if answer.error:
            return str(for_code(answer.error).__name__)
        listed = {name: Holder(name, state) for name, _, state, _ in answer.transactions}
        ids = {name: producer for name, producer, *_ in answer.transactions}
        if listed:
            described = await brokers.ask(node, DescribeTransactions(list(listed), {}))
            for code, name, state, timeout_ms, started_ms, _, _, topics, _ in described.transactions:
                if not code:
                    own = frozenset((topic, number) for topic, numbers, _ in topics for number in numbers)
                    listed[name] = Holder(name, state, timeout_ms, started_ms, own)
    except KafkaError as error:
        return type(error).__name__
    return {ids[name]: holder for name, holder in listed.items()}


async def _sees_all(brokers: Brokers) -> str:
    """Return the reason why a list of transactions may be incomplete: it has only those that this user may describe."""
    answer = await brokers.ask(await brokers.any(), DescribeTransactions([uuid.uuid4().hex], {}))
    if any(code == _ID_DENIED for code, *_ in answer.transactions):
        return "this user may not describe every transactional id (grant Describe of transactional id *)"
    return ""


async def _write(brokers: Brokers, one: Open) -> int:
    node = await brokers.leader(TopicPartition(one.topic, one.partition))
    topics = _by_topic({one.topic: [one.partition]})
    marker: tuple[Any, ...] = (one.producer_id, one.epoch, False, topics, max(one.coordinator_epoch, 0), {})
    answer = await brokers.ask(node, WriteMarkers([marker], {}))
    ((_, ((_, ((_, code, _),), _),), _),) = answer.markers
    return int(code)


def _by_topic(topics: Mapping[str, list[int]]) -> list[Any]:
    return [(topic, numbers, {}) for topic, numbers in topics.items()]
