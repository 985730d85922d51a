"""Administrative requests to the cluster: topics, offsets, groups."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Collection, Iterable
from contextlib import asynccontextmanager
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, TopicAuthorizationFailedError

from hotswap.batch import Limits
from hotswap.errors import Denied, Doubt, StartError, TopicMismatch
from hotswap.kafka.client.acls import Right, lacking, rights_of, to_see
from hotswap.kafka.client.cluster import KafkaClient
from hotswap.kafka.client.connection import bounded, connection, end, needing, reaching
from hotswap.kafka.client.error_codes import for_code
from hotswap.kafka.client.groups import ConsumerGroup, group_of, remove_member
from hotswap.kafka.client.internals import admin_of, consumer_of
from hotswap.kafka.client.rights import missing_rights
from hotswap.kafka.client.roles import KafkaRole
from hotswap.kafka.client.together import Together
from hotswap.kafka.topics.committed import Committed, Lag, as_committed
from hotswap.kafka.topics.topics import DEFAULT_MESSAGE_BYTES, Placement, Retained, meant, misfits, new_topics, untimely
from hotswap.settings import Settings

_RETRY_S = 0.1
_HEADROOM_BYTES = 65_536  # how much a dead letter's headers may add to the request


class Admin:
    """Administrative requests to the cluster: topics, offsets, groups."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seconds = settings.call_timeout_s
        client = self._client = KafkaClient(**connection(settings), request_timeout_ms=int(self._seconds * 1000))
        self._admin = admin_of(client)
        # Two consumers without a group: read_committed ends at the last stable offset, read_uncommitted at the log end.
        self._stable = consumer_of(client, isolation_level="read_committed", enable_auto_commit=False)
        self._written = consumer_of(client, isolation_level="read_uncommitted", enable_auto_commit=False)
        # Partitions that open side by side ask for the same.
        self._data_counts, self._limits = Together(self._count_data), Together(self._read_limits)
        self._ends: Together[TopicPartition, int]
        self._stable_ends: Together[TopicPartition, int]
        self._begins: Together[TopicPartition, int]
        self._ends = Together(lambda keys: self._ask(self._find_ends(self._written, keys), "end offsets"))
        self._stable_ends = Together(lambda keys: self._ask(self._find_ends(self._stable, keys), "last stable offsets"))
        self._begins = Together(lambda keys: self._ask(self._find_begins(keys), "beginning offsets"))
        self._commits = Together(
            lambda partitions: self.committed(settings.group_id, settings.topics.requests, partitions)
        )

    @classmethod
    @asynccontextmanager
    async def connect(cls, settings: Settings) -> AsyncIterator[Self]:
        """Provide a started Admin for a with-block.

        Raises:
            StartError: no broker answers.

        """
        admin = cls(settings)
        try:
            await admin.start()
            yield admin
        finally:
            await admin.stop()

    async def start(self) -> None:
        """Connect; see `connect`."""
        with reaching(self._settings):
            async with asyncio.timeout(self._seconds):
                for one in (self._admin, self._stable, self._written):
                    await one.start()
            async with asyncio.timeout(self._seconds):
                # A lone broker that was paused answers before its controller has registered it again, and reports a
                # cluster without brokers: requests would fail until it has.
                await self._client.wait_for_a_broker(_RETRY_S)

    async def stop(self) -> None:
        """Close the connections."""
        for consumer in (self._written, self._stable):
            await end(consumer)
        await self._admin.close()

    async def counts(self, topics: Iterable[str]) -> dict[str, int]:
        """Return the number of partitions of each topic; 0: it does not exist. Raises Denied: one may not be seen."""
        described = await bounded(self._client.describe(topics), self._seconds, "describing topics")
        if hidden := [one.name for one in described if one.error == TopicAuthorizationFailedError.errno]:
            raise Denied(lacking(self._settings, [to_see(topic, self._settings) for topic in hidden]))
        return {one.name: one.partitions for one in described}

    async def topics(self) -> list[str]:
        """Return the names of the topics that this user may see."""
        answer = await self._ask(self._admin.describe_topics(), "listing topics")
        return [one["topic"] for one in answer]

    async def partitions(self, topic: str) -> int:
        """Return the number of partitions of a topic.

        Raises:
            StartError: there is no such topic.

        """
        count = (await self.counts([topic])).get(topic, 0)
        if not count:
            raise StartError(await self._missing(topic))
        return count

    async def _missing(self, topic: str) -> str:
        deployment = self._settings.deployment or "DEPLOYMENT"
        question = meant(deployment, topic, await self.topics())
        return (
            f"topic {topic} does not exist: {question}create the deployment's topics with "
            f"`hotswap topics create {deployment}`"
        )

    async def brokers(self) -> int:
        """Return the number of brokers of the cluster."""
        answer = await self._ask(self._admin.describe_cluster(), "listing brokers")
        return len(answer["brokers"])

    async def create_topics(self, partitions: int = 4, copies: int = 1, answers: Retained | None = None) -> list[str]:
        """Create those of the deployment's five topics that are missing; return the names of the new ones.

        With three copies or more, a record is acknowledged once it is on two of them.
        """
        topics = self._settings.topics
        there = await self.counts(topics)
        wanted = [one for one in new_topics(topics, partitions, copies, answers) if not there.get(one.name)]
        answer = await self._ask(self._admin.create_topics(wanted), "creating topics")
        created = []
        for name, code, *rest in answer.topic_errors:
            if not code:
                created.append(name)
            elif for_code(code) is not TopicAlreadyExistsError:
                reason = rest[0] if rest and rest[0] else for_code(code).__name__
                raise StartError(f"topic {name} cannot be created: {reason}")
        await bounded(self._leaders(list(topics)), self._seconds, "awaiting the new topics' leaders")
        return created

    async def _leaders(self, topics: list[str]) -> None:
        # A topic exists before its partitions have leaders: writes before that fail.
        while True:
            answer = await self._admin.describe_topics(topics)
            if all(not t["error_code"] and all(p["leader"] >= 0 for p in t["partitions"]) for t in answer):
                return
            await asyncio.sleep(_RETRY_S)

    async def placement(self, topics: Iterable[str]) -> dict[str, Placement]:
        """Return where the topics that exist have their copies."""
        answer = await self._ask(self._admin.describe_topics(list(topics)), "describing topics")
        return {
            topic["topic"]: Placement(
                partitions=len(topic["partitions"]),
                copies=min(len(part["replicas"]) for part in topic["partitions"]),
                behind=sum(len(part["isr"]) < len(part["replicas"]) for part in topic["partitions"]),
            )
            for topic in answer
            if topic["partitions"]
        }

    async def topic_settings(self, topics: Iterable[str], only: str = "") -> dict[str, dict[str, str] | None]:
        """Return the settings of topics, or `only` one; the cluster's defaults, too. None: we may not read them."""
        settings: dict[str, dict[str, str] | None] = {}
        for topic in topics:
            resource = ConfigResource(ConfigResourceType.TOPIC, topic, {only: ""} if only else None)
            (answer,) = await self._ask(self._admin.describe_configs([resource]), f"reading the settings of {topic}")
            code, _, _, _, entries = answer.resources[0]
            settings[topic] = None if code else {entry[0]: entry[1] for entry in entries}
        return settings

    async def message_bytes(self, topic: str) -> int:
        """Return a topic's `max.message.bytes`; Kafka's default if we are not allowed to read it."""
        return await self._message_bytes(topic) or DEFAULT_MESSAGE_BYTES

    async def _message_bytes(self, topic: str) -> int | None:
        settings = (await self.topic_settings([topic], "max.message.bytes"))[topic]
        return int(settings["max.message.bytes"]) if settings else None

    async def limits(self) -> Limits:
        """Return the largest messages that the output topics accept now."""
        return await self._limits.ask(None)

    async def _read_limits(self, keys: Iterable[None]) -> dict[None, Limits]:
        topics = self._settings.topics
        limits = Limits(await self.message_bytes(topics.predictions), await self.message_bytes(topics.dead_letters))
        return dict.fromkeys(keys, limits)

    async def compacted(self, topics: Iterable[str]) -> list[str]:
        """Return those of the topics that are compacted, as far as we may read their settings."""
        by_topic = await self.topic_settings(topics)
        return [name for name, settings in by_topic.items() if settings and "compact" in settings["cleanup.policy"]]

    async def check_topics(self) -> int:
        """Check that the deployment's topics fit each other; return the number of partitions of the requests topic.

        Raises:
            StartError: they do not; the message is the first of `topic_faults`.

        """
        if faults := await self.topic_faults():
            raise StartError(faults[0])
        return await self.partitions(self._settings.topics.requests)

    async def topic_faults(self) -> list[str]:
        """Return the faults of the deployment's topics, missing or misfitting, a line each."""
        topics = self._settings.topics
        count = await self.counts(topics)
        faults = [await self._missing(topic) for topic in topics if not count.get(topic)]
        faults += misfits(topics, count)
        if self._settings.require_signatures and count.get(topics.control):
            settings = await self.topic_settings([topics.control])
            faults += untimely(topics.control, settings[topics.control])
        if count.get(topics.requests) and count.get(topics.dead_letters):
            largest = await self.message_bytes(topics.requests)
            kept = await self._message_bytes(topics.dead_letters)
            if kept is not None and kept < largest + _HEADROOM_BYTES:
                faults.append(
                    f"topic {topics.dead_letters} must accept messages {_HEADROOM_BYTES} bytes larger than those of "
                    f"{topics.requests}, or refused requests could not be kept: set its max.message.bytes to "
                    f"{2 * largest}"
                )
        return faults

    async def missing_rights(self, role: KafkaRole = KafkaRole.WORKER) -> list[Right]:
        """Return the rights of a role that this user lacks."""
        wanted = missing_rights(self._client, rights_of(role, self._settings))
        missing: list[Right] = await self._ask(wanted, "asking what this user may do")
        return missing

    async def check_partition(self, partition: int) -> None:
        """Check that a partition of the requests has its counterparts.

        Raises:
            TopicMismatch: a topic of the deployment has no such partition.

        """
        topics = self._settings.topics
        for topic, partitions in (await self._data_counts.ask(None)).items():
            if not partitions:
                raise TopicMismatch(await self._missing(topic))
            if partitions <= partition:
                raise TopicMismatch(
                    f"topic {topic} has {partitions} partitions, and no partition {partition} as {topics.requests}: "
                    "each answer goes to its request's partition, so add partitions"
                )

    async def _count_data(self, keys: Iterable[None]) -> dict[None, dict[str, int]]:
        topics = self._settings.topics
        return dict.fromkeys(keys, await self.counts([topics.requests, topics.predictions, topics.dead_letters]))

    async def committed(self, group: str, topic: str, partitions: Iterable[int] | None = None) -> dict[int, Committed]:
        """Return a group's committed offset on each partition of a topic; retries while the coordinator is unavailable.

        Raises:
            Doubt: the coordinator did not answer in time.

        """
        numbers = list(range(await self.partitions(topic)) if partitions is None else partitions)
        give_up = asyncio.get_running_loop().time() + self._seconds
        while True:
            try:
                return await self._committed(group, topic, numbers)
            except Denied:
                raise
            except Doubt:
                if asyncio.get_running_loop().time() > give_up:
                    raise
                await asyncio.sleep(_RETRY_S)

    async def committed_on(self, partition: int) -> Committed:
        """Return the deployment's committed offset on a partition of the requests; see `committed`."""
        return await self._commits.ask(partition)

    async def _committed(self, group: str, topic: str, numbers: list[int]) -> dict[int, Committed]:
        # While the coordinator is loading, its response is empty, and aiokafka drops the error that says so: a missing
        # partition does not mean "never committed".
        keys = [TopicPartition(topic, number) for number in numbers]
        with needing(self._settings, Right("Describe", "group", group)):
            answer = await self._ask(
                self._admin.list_consumer_group_offsets(group, partitions=keys), f"offsets of {group}"
            )
        if missing := [key.partition for key in keys if key not in answer]:
            raise Doubt(
                f"offsets of {group} on {topic}: no answer for partitions {missing}; the coordinator is loading"
            )
        return {key.partition: as_committed(answer[key].offset, answer[key].metadata) for key in keys}

    async def lags(self, group: str, topic: str) -> tuple[Lag, ...]:
        """Return a group's lag on each partition of a topic."""
        ends = await self.end_offsets(topic, read_committed=True)
        committed = await self.committed(group, topic, ends)
        lags = []
        for partition in sorted(ends):
            at = committed[partition]
            # Never committed: a worker starts at the oldest record that still exists.
            offset = at.offset if at.offset >= 0 else await self.beginning_offset(topic, partition)
            lags.append(Lag(partition, offset, ends[partition], at.generation))
        return tuple(lags)

    async def has_offsets(self, group: str, topic: str) -> bool:
        """Return whether a group has committed an offset on a topic, which may not exist."""
        if not (await self.counts([topic])).get(topic):
            return False
        return any(at.offset >= 0 for at in (await self.committed(group, topic)).values())

    async def group(self, group: str) -> ConsumerGroup:
        """Return a group's state and members."""
        with needing(self._settings, Right("Describe", "group", group)):
            return await self._ask(group_of(self._admin, group), f"members of {group}")  # type: ignore[no-any-return]

    async def remove_member(self, group: str, member: str) -> None:
        """Have a member leave its group."""
        await self._ask(remove_member(self._client, group, member), f"removing {member} from {group}")

    async def end_offsets(
        self, topic: str, partitions: Iterable[int] | None = None, *, read_committed: bool = False
    ) -> dict[int, int]:
        """Return each partition's end offset, or its last stable offset (`read_committed`)."""
        numbers = list(range(await self.partitions(topic)) if partitions is None else partitions)
        of = self._stable if read_committed else self._written
        ends = await self._ask(self._find_ends(of, {TopicPartition(topic, n) for n in numbers}), f"ends of {topic}")
        return {key.partition: end for key, end in ends.items()}

    async def end_offset(self, topic: str, partition: int, *, read_committed: bool = False) -> int:
        """Return one partition's end offset, or its last stable offset."""
        return await (self._stable_ends if read_committed else self._ends).ask(TopicPartition(topic, partition))

    async def beginning_offset(self, topic: str, partition: int) -> int:
        """Return the oldest offset that a partition still has."""
        return await self._begins.ask(TopicPartition(topic, partition))

    async def offsets_at(self, topic: str, partitions: Iterable[int], at_ms: int) -> dict[int, int | None]:
        """Return each partition's first offset whose timestamp is not before a time; None: there is none."""
        keys = {TopicPartition(topic, number): at_ms for number in partitions}
        found = await self._ask(self._stable.offsets_for_times(keys), f"offsets of {topic} by time")
        return {key.partition: at and at.offset for key, at in found.items()}

    async def _ask(self, call: Awaitable[Any], what: str) -> Any:
        return await bounded(call, self._seconds, what)

    async def _find_begins(self, keys: Collection[TopicPartition]) -> Any:
        await self._client.learn(key.topic for key in keys)
        return await self._written.beginning_offsets(keys)

    async def _find_ends(self, of: AIOKafkaConsumer, keys: Collection[TopicPartition]) -> Any:
        await self._client.learn(key.topic for key in keys)
        return await of.end_offsets(keys)
