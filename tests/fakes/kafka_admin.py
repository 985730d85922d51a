"""Administrative requests to the cluster in memory."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Self

from hotswap.errors import Denied, StartError
from hotswap.kafka.client.groups import ConsumerGroup
from hotswap.kafka.topics.committed import Committed, Lag
from hotswap.settings import Settings

if TYPE_CHECKING:
    from fakes.kafka_logs import FakeCluster


class FakeAdmin:
    """An `Admin` of a group without committed offsets."""

    cluster: "FakeCluster"

    @classmethod
    @asynccontextmanager
    async def connect(cls, settings: Settings) -> AsyncIterator[Self]:
        yield cls()

    async def partitions(self, topic: str) -> int:
        if topic not in self.cluster.topics:
            raise StartError(f"topic {topic} does not exist")
        return len(self.cluster.topics[topic])

    async def counts(self, topics: Iterable[str]) -> dict[str, int]:
        return {topic: len(self.cluster.topics.get(topic, [])) for topic in topics}

    async def topics(self) -> list[str]:
        return list(self.cluster.topics)

    async def end_offset(self, topic: str, partition: int, *, read_committed: bool = False) -> int:
        return self.cluster.ends(topic)[partition]

    async def lags(self, group: str, topic: str) -> tuple[Lag, ...]:
        await self.partitions(topic)
        scored = self.cluster.scored
        return tuple(Lag(number, 0, end, scored.get(number, 0)) for number, end in self.cluster.ends(topic).items())

    async def offsets_at(self, topic: str, partitions: Iterable[int], at_ms: int) -> dict[int, int | None]:
        records = {number: self.cluster.topics[topic][number] for number in partitions}
        return {
            number: next((one.offset for one in each if one.timestamp >= at_ms), None)
            for number, each in records.items()
        }

    async def committed(self, group: str, topic: str, partitions: Iterable[int] | None = None) -> dict[int, Committed]:
        cluster = self.cluster
        if cluster.is_group_hidden:
            raise Denied("User:NAME lacks the right Describe of group d")
        cluster.offset_reads += 1
        numbers = range(len(cluster.topics.get(topic, [])))
        if not cluster.scored:
            return {n: Committed(cluster.committed.get(n, -1), int(n in cluster.committed), True) for n in numbers}
        scored = cluster.scored
        return {n: Committed(cluster.committed.get(n, 0), scored.get(n, 0), n in scored) for n in numbers}

    async def group(self, group: str) -> ConsumerGroup:
        return ConsumerGroup(False, {f"{name}-1": f"hotswap-{name}" for name in self.cluster.members})

    async def topic_faults(self) -> list[str]:
        return []

    async def topic_settings(self, topics: Iterable[str]) -> dict[str, dict[str, str]]:
        return {topic: {"message.timestamp.type": self.cluster.timestamps} for topic in topics}

    async def has_offsets(self, group: str, topic: str) -> bool:
        return False

    async def limits(self) -> SimpleNamespace:
        return SimpleNamespace(answer=1_934_464)

    async def end_offsets(
        self, topic: str, partitions: Iterable[int] | None = None, *, read_committed: bool = False
    ) -> dict[int, int]:
        await self.partitions(topic)
        return self.cluster.ends(topic)

    async def beginning_offset(self, topic: str, partition: int) -> int:
        return self.cluster.begins.get(topic, 0)
