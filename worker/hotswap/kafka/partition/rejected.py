"""Why a broker rejects a commit's records however often they are sent: a setting of a topic, or a missing right."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

from hotswap.batch import Limits
from hotswap.errors import Denied, Doubt, TopicMismatch
from hotswap.kafka.client.acls import lacking
from hotswap.kafka.client.connection import doubting
from hotswap.kafka.client.error_codes import InvalidRecordError
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.topics import DEFAULT_MESSAGE_BYTES
from hotswap.settings import Settings, Topics

_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


@asynccontextmanager
async def naming_rights(settings: Settings, admin: Admin) -> AsyncIterator[None]:
    """Name the rights that are missing, where the broker denies something in a block.

    Raises:
        Denied: it does.

    """
    try:
        yield
    except Denied as denied:
        raise Denied(lacking(settings, await admin.missing_rights()) or str(denied)) from denied


@asynccontextmanager
async def asking(settings: Settings, admin: Admin, what: str) -> AsyncIterator[None]:
    """Bound a block's requests by the time-out of a call, and name missing rights.

    Raises:
        Doubt: a call failed or timed out, so it is in doubt.
        Denied: this user may not do that.

    """
    async with naming_rights(settings, admin), doubting(settings.call_timeout_s, what):
        yield


class Rejections:
    """The limits of a partition's output topics, and the reason for a rejected commit."""

    def __init__(self, admin: Admin, topics: Topics) -> None:
        self._admin = admin
        self._topics = topics
        self.limits = Limits(DEFAULT_MESSAGE_BYTES, DEFAULT_MESSAGE_BYTES)
        """As they were at the last `check`."""
        self._is_keyless = self._is_too_large = False

    def remember(self, doubt: Doubt) -> None:
        """Remember why a commit failed, if a topic's settings are the reason."""
        self._is_keyless = isinstance(doubt.__cause__, InvalidRecordError)
        self._is_too_large = isinstance(doubt.__cause__, _TOO_LARGE)

    async def check(self) -> None:
        """Read the limits of the output topics.

        Raises:
            TopicMismatch: the settings that the last commit failed for have not changed since.
            Doubt: Kafka did not answer in time.

        """
        before, self.limits = self.limits, await self._admin.limits()
        topics = self._topics
        if self._is_keyless and (compacted := await self._admin.compacted((topics.predictions, topics.dead_letters))):
            raise TopicMismatch(
                f"topic {compacted[0]} is compacted, so it takes no answer to a request without a key: set its "
                "cleanup.policy to delete"
            )
        if self._is_too_large and self.limits == before:
            raise TopicMismatch(
                f"an answer is too large even as a dead letter without a value: {topics.predictions} takes messages of "
                f"{before.prediction} bytes, {topics.dead_letters} of {before.dead_letter}: raise max.message.bytes"
            )
        self._is_keyless = self._is_too_large = False
