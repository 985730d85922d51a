"""The committed offsets of a deployment; they confirm reports, which need only Write on the status topic."""

import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from hotswap.errors import Denied
from hotswap.kafka.client.groups import ConsumerGroup
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.committed import Committed
from hotswap.kafka.topics.control_topic import settled
from hotswap.settings import Settings

log = logging.getLogger(__name__)


class Offsets:
    """A repeated reader of a deployment's committed offsets; connects at the first read."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self._admin: Admin | None = None
        self.denied = ""
        """Why they cannot be read: this user may not describe the group. Empty: it may, as far as is known."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def read(self) -> Mapping[int, Committed] | None:
        """Return partition -> committed offset, by one request; None if this user may not read them.

        `denied` then has the reason, unless the requests topic itself is invisible: its publishers report that.

        Raises:
            StartError: no broker answers.
            Doubt: the coordinator did not answer in time.

        """
        if self.denied:
            return None
        admin = await self._connected()
        topic = self._settings.topics.requests
        try:
            count = await admin.partitions(topic)
        except Denied:
            return None
        try:
            return await admin.committed(self._settings.group_id, topic, range(count))
        except Denied as denied:
            self.denied = str(denied)
            log.warning("reports.unconfirmed", extra={"why": self.denied})
            return None

    async def members(self) -> set[str]:
        """Return the workers that are members of the group.

        Raises:
            Doubt: the coordinator did not answer in time.

        """
        admin = await self._connected()
        group: ConsumerGroup = await admin.group(self._settings.group_id)
        return {client.removeprefix("hotswap-") for client in group.members.values()}

    async def _connected(self) -> Admin:
        if self._admin is None:
            self._settings = await settled(self._settings)
            self._admin = await self._stack.enter_async_context(Admin.connect(self._settings))
        return self._admin


def generations(committed: Mapping[int, Committed] | None) -> frozenset[int]:
    """Return the generations that scored a partition last."""
    return frozenset(at.generation for at in (committed or {}).values() if at.generation)


async def read_offsets(settings: Settings) -> Mapping[int, Committed] | None:
    """Return the committed offsets, as `Offsets.read` does."""
    async with Offsets(settings) as offsets:
        return await offsets.read()
