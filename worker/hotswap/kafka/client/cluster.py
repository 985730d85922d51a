"""A client of the cluster, which each of our consumers and admins has in place of aiokafka's own."""

import asyncio
import time
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from hotswap.kafka.client.sessions import SessionEndedError

_BOOTSTRAP_MS: Final = 9_000
"""How long it asks for the cluster, all addresses together: less than our own bound of a call."""


class Described(NamedTuple):
    """A topic: the error code with which it is described (0: none), and its number of partitions."""

    name: str
    error: int
    partitions: int


class KafkaClient(AIOKafkaClient):  # type: ignore[misc]
    """A client of the cluster, for several to share: one silent broker does not hold it up."""

    _request_timeout_ms: int

    async def bootstrap(self) -> None:
        """Ask one address after the other for the cluster, each for its share of the time, unless it is known.

        One that takes the connection and is silent, as a stopped broker is, would use up our bound of a call before
        another is asked.

        Raises:
            KafkaConnectionError: none answers.
            TimeoutError: one was silent, and no other answered.

        """
        if self.cluster.brokers():
            return
        began, whole = time.monotonic(), self._request_timeout_ms
        share = self._request_timeout_ms = min(whole, _BOOTSTRAP_MS // len(self.hosts))
        try:
            await super().bootstrap()
        except KafkaConnectionError as error:
            if time.monotonic() - began < share / 1000:
                raise
            raise TimeoutError from error
        finally:
            self._request_timeout_ms = whole

    async def send(self, node_id: Any, request: Any, **more: Any) -> Any:
        """Send a request to a node, over another connection where the session of one has ended; return the answer."""
        try:
            return await super().send(node_id, request, **more)
        except SessionEndedError:
            return await super().send(node_id, request, **more)

    async def ask(self, request: Any) -> Any:
        """Return some broker's answer to a request."""
        return await self.send(self.get_random_node(), request)

    async def id(self) -> str:
        """Return the cluster's id."""
        return str((await self.ask(MetadataRequest([]))).cluster_id)

    async def describe(self, topics: Iterable[str]) -> list[Described]:
        """Return each of the topics as some broker knows it."""
        answer = await self.ask(MetadataRequest(list(topics)))
        return [Described(name, error, len(partitions)) for error, name, _, partitions in answer.topics]

    async def partitions(self, topic: str) -> set[int]:
        """Return a topic's partitions of now; asks for those of all topics, so that the broker creates none."""
        return (await self.fetch_all_metadata()).partitions_for_topic(topic) or set()

    async def learn(self, topics: Iterable[str]) -> None:
        """Fetch the metadata of topics that are not known yet, before a consumer is asked for their offsets.

        Otherwise aiokafka does so when it misses them, and tries again a back-off (0.1 s) later.
        """
        for topic in set(topics):
            await self.add_topic(topic)

    async def wait_for_a_broker(self, retry_s: float) -> None:
        """Wait until the cluster reports a broker, polling every `retry_s` seconds."""
        while not self.cluster.brokers():
            await self.force_metadata_update()
            await asyncio.sleep(retry_s)
