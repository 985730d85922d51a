"""The brokers, for writing answers: a few connections to each, shared by all partitions of a worker.

A broker answers one request of a connection after the other, so a request goes where the fewest are on their way. One
without an answer in time takes its connection with it, and those behind it there, whose fate cannot be known either.
There are so many connections that these are few.
"""

import asyncio
import contextlib
import logging
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from enum import IntEnum
from typing import Any, Final, NamedTuple, Self, TypeVar

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, NodeNotReadyError, TopicAuthorizationFailedError

from hotswap.kafka.client.cluster import KafkaClient
from hotswap.kafka.client.connection import bounded, claimed, connection, reaching
from hotswap.kafka.client.error_codes import for_code
from hotswap.kafka.client.together import Together
from hotswap.kafka.wire.messages import Features, FindCoordinators, Message, finalized
from hotswap.settings import Settings

T = TypeVar("T")

log = logging.getLogger(__name__)

CONNECTIONS: Final = 8
"""The most connections to a broker."""
_LOOK_S: Final = 5.0
_AGAIN_S: Final = 0.02
_CLOSE_S: Final = 2.0
_NOT_YET: Final = frozenset({14, 15})
"""COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE."""


class CoordinatorKind(IntEnum):
    """The kinds of names that a broker coordinates."""

    GROUP = 0
    TRANSACTIONS = 1


class Coordinated(NamedTuple):
    """A group, or a transactional id."""

    kind: CoordinatorKind
    name: str


class Brokers:
    """A client of the cluster: leaders, coordinators, and requests to them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: KafkaClient | None = None
        self._on_their_way: Counter[tuple[int, int]] = Counter()
        self._coordinators: dict[Coordinated, int] = {}
        self._finding = Together(self._find)
        self._looks = Together(self._look)
        self._looking: asyncio.Task[None] | None = None
        self.transaction_version = 1
        """The cluster's version of transactions: 2 where each one ends with its epoch (KIP-890), else 1."""

    @classmethod
    @asynccontextmanager
    async def connect(cls, settings: Settings) -> AsyncIterator[Self]:
        """Provide a started client for a with-block; see `start`."""
        brokers = cls(settings)
        try:
            yield await brokers.start()
        finally:
            await brokers.stop()

    @property
    def _known(self) -> KafkaClient:
        assert self._client, "start comes first"
        return self._client

    @property
    def transactions(self) -> str:
        """Which transactions a worker sends now, for a person."""
        return f"version {self.transaction_version}" if self._settings.delivery == "exactly_once" else "none"

    async def start(self) -> Self:
        """Connect.

        Raises:
            StartError: no broker answers.

        """
        seconds = self._settings.call_timeout_s
        self._client = KafkaClient(**connection(self._settings), request_timeout_ms=int(1_000 * seconds))
        with reaching(self._settings):
            async with asyncio.timeout(seconds):
                await self._client.bootstrap()
        return self

    async def watch(self) -> None:
        """Learn the topics that a worker writes, and look every few seconds which version of transactions is in use.

        Raises:
            Doubt: Kafka did not answer in time.

        """
        topics = self._settings.topics
        self._known.set_topics([topics.predictions, topics.dead_letters, topics.status])
        await bounded(self.look(), self._settings.call_timeout_s, "asking for the version of transactions")
        self._looking = asyncio.create_task(self._look_now_and_then())

    async def stop(self) -> None:
        """Close the connections, within two seconds."""
        if self._looking:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        if self._client:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await self._client.close()

    async def leader(self, key: TopicPartition, *, is_stale: bool = False) -> int:
        """Return the node that leads a partition; `is_stale`: the one that was returned before is not it.

        Raises:
            TopicAuthorizationFailedError: this user may not see the topic.

        """
        if is_stale:
            await self._known.force_metadata_update()
        return await self._from_metadata(key.topic, lambda: _node(self._known.cluster.leader_for_partition(key)))

    async def partitions(self, topic: str) -> tuple[list[int], list[int]]:
        """Return the partitions of a topic, and those that have a leader; a topic without any is waited for.

        Raises:
            TopicAuthorizationFailedError: this user may not see the topic.

        """
        cluster = self._known.cluster
        numbers = await self._from_metadata(topic, lambda: cluster.partitions_for_topic(topic) or None)
        return sorted(numbers), sorted(cluster.available_partitions_for_topic(topic) or numbers)

    async def _from_metadata(self, topic: str, read: Callable[[], T | None]) -> T:
        """Read a value from the metadata of a topic, as soon as it has one."""
        is_asked = False
        while True:
            is_hidden = topic in self._known.cluster.unauthorized_topics
            if not is_hidden and (value := read()) is not None:
                return value
            if is_hidden and is_asked:
                raise TopicAuthorizationFailedError(topic)
            if is_asked:
                await asyncio.sleep(_AGAIN_S)
            self._known.add_topic(topic)
            await self._known.force_metadata_update()
            is_asked = True

    async def coordinator(self, of: Coordinated, *, is_stale: bool = False) -> int:
        """Return the node that coordinates something; `is_stale`: the one that was returned before does not.

        Raises:
            BrokerResponseError: this user may not see it, or it cannot be.
            KafkaError: no broker answers.

        """
        if is_stale:
            self._coordinators.pop(of, None)
        while (node := self._coordinators.get(of)) is None:
            code, coordinator = await self._finding.ask(of)
            if not code:
                self._coordinators[of] = coordinator
            elif code in _NOT_YET:
                await asyncio.sleep(_AGAIN_S)
            else:
                raise for_code(code)(of.name)
        return node

    async def ask(self, node: int, request: Message) -> Any:
        """Send a request to a node, and return the answer; it is waited for in time, also if the caller gives up.

        Raises:
            NodeNotReadyError: it was not sent.
            KafkaError: no answer came; whether it was carried out is not known.

        """
        line = min(((node, number) for number in range(CONNECTIONS)), key=self._on_their_way.__getitem__)
        self._on_their_way[line] += 1
        sent = claimed(asyncio.ensure_future(self._known.send(node, request, group=line[1])))
        sent.add_done_callback(lambda _: self._on_their_way.subtract((line,)))
        return await asyncio.shield(sent)

    async def look(self) -> None:
        """Query the cluster's version of transactions; concurrent calls share a request."""
        await self._looks.ask(None)

    async def _look(self, keys: AbstractSet[None]) -> Mapping[None, None]:
        answer = await self.ask(await self.any(), Features("hotswap", "1", {}))
        before = self.transaction_version
        self.transaction_version = 2 if finalized(answer).get("transaction.version", 0) >= 2 else 1  # noqa: PLR2004
        if before != self.transaction_version:
            log.info("kafka.transactions", extra={"version": self.transaction_version})
        return dict.fromkeys(keys)

    async def _look_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                await self.look()
            except (KafkaError, OSError) as error:  # what was seen before stays
                log.debug("kafka.silent", extra={"why": repr(error)})

    async def _find(self, keys: AbstractSet[Coordinated]) -> Mapping[Coordinated, tuple[int, int]]:
        """Return an error code (0: none) and the node of each."""
        nodes: dict[Coordinated, tuple[int, int]] = {}
        names = defaultdict(list)
        for of in keys:
            names[of.kind].append(of.name)
        for kind, listed in names.items():
            answer = await self.ask(await self.any(), FindCoordinators(kind, listed, {}))
            for name, node, _, _, code, *_ in answer.coordinators:
                nodes[Coordinated(kind, name)] = code, node
        return nodes

    def nodes(self) -> list[int]:
        """Return all that are known."""
        return sorted(int(broker.nodeId) for broker in self._known.cluster.brokers())

    async def any(self, *, is_stale: bool = False) -> int:  # noqa: ARG002 - as its neighbours
        """Return some node."""
        node = self._known.get_random_node()
        if node is None:
            raise NodeNotReadyError("no broker is known")
        return int(node)


def _node(number: int | None) -> int | None:
    return None if number is None or number < 0 else int(number)
