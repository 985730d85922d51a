"""Deletes topics and groups, and finds which other groups read a topic."""

import asyncio
from collections.abc import Collection

from aiokafka.errors import UnknownTopicOrPartitionError

from hotswap.errors import Denied, Doubt
from hotswap.kafka.client.error_codes import for_code
from hotswap.kafka.client.groups import delete_group
from hotswap.kafka.client.rights import sees_every_group
from hotswap.kafka.topics.admin import Admin

_RETRY_S = 0.1


class Remover(Admin):
    """Administrative requests that delete. None of them needs a right that a deployment's roles have."""

    async def groups(self) -> list[str]:
        """Return the names of the groups that this user may describe."""
        listed = await self._ask(self._admin.list_consumer_groups(), "listing groups")
        return sorted(name for name, *_ in listed)

    async def readers(self, topic: str) -> tuple[list[str], str]:
        """Return the groups with offsets on a topic, and why there may be others; empty: there are none.

        A group whose offsets may not be read, or that is no consumer group, counts as one.
        """
        if not (await self.counts([topic])).get(topic):
            return [], ""
        if not await self._ask(sees_every_group(self._client), "asking what this user may do"):
            return [], "this user may not see all groups (grant Describe on the cluster)"
        groups = []
        for group in await self.groups():
            try:
                has_offsets = await self.has_offsets(group, topic)
            except (Denied, Doubt):
                has_offsets = True
            groups += [group] if has_offsets else []
        return groups, ""

    async def delete_group(self, group: str) -> None:
        """Delete a group with its offsets, if there is one.

        Raises:
            Doubt: it has members, or Kafka did not answer in time.
            Denied: this user may not.

        """
        await self._ask(delete_group(self._client, group), f"deleting group {group}")

    async def delete_topics(self, topics: Collection[str]) -> None:
        """Delete topics, if they exist; return when no broker knows them any more.

        Raises:
            Doubt: Kafka did not answer in time.
            Denied: this user may not.

        """
        await self._ask(self._delete(topics), f"deleting {', '.join(topics)}")

    async def _delete(self, topics: Collection[str]) -> None:
        answer = await self._admin.delete_topics(list(topics))
        for topic, code in answer.topic_error_codes:
            if code not in (0, UnknownTopicOrPartitionError.errno):
                raise for_code(code)(f"deleting topic {topic}")
        while True:
            if not any((await self.counts(topics)).values()):
                return
            await asyncio.sleep(_RETRY_S)
