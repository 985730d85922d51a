"""The transactions of one partition's producer, one at a time, opened while the host works, or even before its batch.

A transaction takes five round trips: the partition is added to it, the group is, the offset is sent, the answers are
written, it ends. Where batches follow closely on each other, the first two happen between them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

from aiokafka import AIOKafkaProducer, TopicPartition

from hotswap.batch import Position
from hotswap.errors import Doubt
from hotswap.failpoints import failpoint
from hotswap.kafka.admin import Admin
from hotswap.kafka.committed import committed_at
from hotswap.kafka.internals import add_to_transaction, check_transaction, producer_state
from hotswap.kafka.rejected import asking
from hotswap.settings import Settings

_CLOSELY_S: Final = 0.1
"""A batch that is taken so soon after a commit, seconds, has the next transaction opened before its batch."""
_MARKERS_S: Final = 0.003
"""For so long after a commit, seconds, the broker may still write its markers, and refuses the next transaction."""
_UNUSED_S: Final = 0.5
"""How long a transaction stays open without a batch, seconds."""
_UNANSWERED_S: Final = 10.0
"""How long it stays open while its batch is scored, seconds: well below its timeout."""


class Transactions:
    """Opens a transaction, promises where its batches lead, and ends it.

    Until answers are written, an open transaction keeps no reader waiting, and one that is left open is aborted by the
    partition's next producer.
    """

    def __init__(
        self,
        producer: AIOKafkaProducer,
        settings: Settings,
        admin: Admin,
        partition: int,
        on_doubt: Callable[[Doubt], None],
    ) -> None:
        """`on_doubt` gets what is in doubt while there is no batch: the producer must not be used again."""
        self._producer = producer
        self._settings = settings
        self._admin = admin
        self._on_doubt = on_doubt
        self._requests = TopicPartition(settings.topics.requests, partition)
        self._answers = TopicPartition(settings.topics.predictions, partition)
        self._opening: asyncio.Task[None] | None = None
        self._is_open = False
        self._is_taken, self._is_scored = asyncio.Event(), asyncio.Event()
        self._next = Position(0)  # where the batch in hand leads
        self._promised: Position | None = None  # what the open transaction commits; None: nothing yet
        self.answered_by: int | None = None
        """Id of the producer that wrote the partition's last answers, for the offset's metadata; None: unknown."""
        self._ended_at = float("-inf")
        self._follows_closely = False

    def begin(self, position: Position) -> None:
        """Have a transaction open, and its offset sent, while a batch that leads to `position` is scored."""
        self._follows_closely = self._now() - self._ended_at < _CLOSELY_S
        self.answered_by, _, _ = producer_state(self._producer, self._answers)
        self._next = position
        self._is_scored.clear()
        self._is_taken.set()
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())

    async def promise(self, position: Position) -> None:
        """Wait until a transaction is open, or open one now, and make it commit this position.

        Raises:
            Doubt: it is in doubt; the producer must not be used again.

        """
        self._next = position
        self._is_taken.set()
        self._is_scored.set()
        opening, self._opening = self._opening, None
        if opening:
            await opening
        if not self._is_open:
            await self._begin()
        if self._promised != position:
            await self._promise(position)

    async def commit(self) -> None:
        """Commit; return as soon as that is certain, which is before the broker has written its markers."""
        await self._producer.commit_transaction()
        self._is_open, self._promised, self._ended_at = False, None, self._now()
        self._is_taken.clear()
        if self._follows_closely:
            self._opening = asyncio.create_task(self._open_early())

    async def discard(self) -> None:
        """Open nothing any more; never raises."""
        if opening := self._opening:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)

    async def _open_early(self) -> None:
        """Open a transaction before its batch is there, and end it if none comes soon.

        It is committed, with nothing in it: if a broker that was killed has lost the markers of the transaction before,
        this one's cover its answers, too.
        """
        await _within(_MARKERS_S, self._is_taken)
        await self._begin()
        if await _within(_UNUSED_S, self._is_taken):
            await self._open()
            return
        try:
            await self._give_up(self._producer.commit_transaction)
        except Doubt as doubt:
            # Else its producer would go on asking for a broker that is away, until a batch comes.
            self._on_doubt(doubt)
            raise
        self._opening = None

    async def _open(self) -> None:
        """Open a transaction, promise where its batch leads, and abort it if the host takes too long."""
        if not self._is_open:
            await self._begin()
        await self._promise(self._next)
        # Kafka would abort it at its timeout and fence our producer: batches that take longer could never be committed.
        if not await _within(_UNANSWERED_S, self._is_scored):
            await self._give_up(self._producer.abort_transaction)

    async def _begin(self) -> None:
        async with self._asking(f"beginning a transaction of {self._name}"):
            await self._producer.begin_transaction()
            failpoint("commit.begun")
            add_to_transaction(self._producer, self._answers)
        self._is_open = True

    async def _promise(self, position: Position) -> None:
        offset = {self._requests: committed_at(position.offset, position.floor, self.answered_by)}
        async with self._asking(f"beginning {self._name} up to {position.offset}"):
            check_transaction(self._producer)
            await self._producer.send_offsets_to_transaction(offset, self._settings.group_id)
            failpoint("commit.offsets_sent")
        self._promised = position

    async def _give_up(self, end: Callable[[], Awaitable[None]]) -> None:
        async with self._asking(f"giving up the transaction of {self._name}"):
            check_transaction(self._producer)
            await end()
        self._is_open, self._promised = False, None

    def _asking(self, what: str) -> AbstractAsyncContextManager[None]:
        return asking(self._settings, self._admin, what)

    @property
    def _name(self) -> str:
        return f"{self._requests.topic}-{self._requests.partition}"

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


async def _within(seconds: float, event: asyncio.Event) -> bool:
    """Wait for an event, so long at most; return whether it has happened."""
    if event.is_set():
        return True
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
