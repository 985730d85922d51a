"""The model's producer: what aiokafka's does with its transactional id, in the world of the process that has it."""

import asyncio
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, Literal, Self, TypeVar

from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.transaction import EndTxnRequest, TxnOffsetCommitRequest
from aiokafka.structs import OffsetAndMetadata

from hotswap.batch import Record
from model.broker import OFFSETS, Broker, Place
from model.steps import here

T = TypeVar("T")

_BATCH = 2  # records of one produce request, so that a transaction takes several
_ENDS = {"offsets": TxnOffsetCommitRequest, "end": EndTxnRequest}


class Producer:
    """aiokafka.AIOKafkaProducer with a transactional id."""

    def __init__(self, *, transactional_id: str, **_: object) -> None:
        self._process = here()
        self._id = transactional_id
        self._epoch = -1
        self._is_open = False
        self._sequences: Counter[Place] = Counter()
        self._added: list[Place] = []
        self._sent: list[asyncio.Future[Any]] = []
        self._sender = SimpleNamespace(sender_task=None)
        nothing = dict.fromkeys(("error_transaction", "fatal_error", "consumer_group_to_add"))
        unended = SimpleNamespace(done=lambda: False)
        self._txn_manager = SimpleNamespace(
            maybe_add_partition_to_txn=lambda key: self._added.append(Place(*key)),
            wait_for_pid=partial(asyncio.sleep, 0),
            wait_for_transaction_end=lambda: unended,
            producer_id=zlib.crc32(transactional_id.encode()),
            producer_epoch=-1,
            sequence_number=lambda _: 0,
            **nothing,
        )
        self._message_accumulator = None
        self.client = SimpleNamespace(send=lambda _, __, ask: ask())

    async def start(self) -> None:
        broker = self._process.world.broker
        self._process.producers.add(self)
        self._epoch = await self._ask("init", lambda: broker.init(self._id))
        self._txn_manager.producer_epoch = self._epoch

    async def begin_transaction(self) -> None:
        assert not self._is_open
        self._is_open = True
        self._has_records = False

    def create_batch(self) -> "_Batch":
        return _Batch()

    async def send_batch(self, batch: "_Batch", topic: str, *, partition: int) -> asyncio.Future[None]:
        self._has_records = True
        return self._write(Place(topic, partition), batch.records)

    async def send_and_wait(self, topic: str, value: bytes, *, partition: int) -> None:
        await self._write(Place(topic, partition), [(None, value, [])])

    async def send_offsets_to_transaction(self, offsets: dict[TopicPartition, OffsetAndMetadata], _: str) -> None:
        ((key, committed),) = self._offsets = offsets.items()
        effect = self._writing(Place(OFFSETS, key.partition), [(committed.offset, committed.metadata)])
        await self._insist("offsets", effect)

    async def commit_transaction(self) -> None:
        if self._has_records:
            ((key, committed),) = self._offsets
            self._process.world.check_batch(self._process, key.partition, committed)
        await self._finish(is_commit=True)

    async def abort_transaction(self) -> None:
        await self._finish(is_commit=False)

    async def stop(self) -> None:
        self._process.producers.discard(self)
        for future in self._sent:
            future.cancel()

    async def _finish(self, *, is_commit: bool) -> None:
        assert self._is_open
        broker = self._process.world.broker
        added, self._added = self._added, []
        await self._insist("end", End(broker, self._id, self._epoch, added, is_commit=is_commit))
        self._is_open = False

    async def _insist(self, kind: Literal["offsets", "end"], effect: Callable[[], None]) -> None:
        """As aiokafka, sends it again when the connection breaks, unless what wraps `client.send` says otherwise."""
        request = object.__new__(_ENDS[kind])
        while True:
            try:
                await self.client.send(0, request, ask=lambda: self._ask(kind, effect))
            except KafkaConnectionError:
                if self._process.is_dead:
                    raise
            else:
                return

    def _write(self, place: Place, items: Sequence[Record]) -> asyncio.Future[None]:
        return self._ask("produce", self._writing(place, items))

    def _writing(self, place: Place, items: Sequence[Record | tuple[int, str]]) -> Callable[[], None]:
        assert self._is_open
        broker, sequence = self._process.world.broker, self._sequences[place]
        self._sequences[place] += 1
        return lambda: broker.write(self._id, self._epoch, place, items, sequence)

    def _ask(self, kind: str, effect: Callable[[], T]) -> asyncio.Future[T]:
        future = self._process.ask(kind, effect, lane=self)
        self._sent.append(future)
        return future


class End:
    """The end of a transaction on its way; a broker that dies may do it without its markers."""

    def __init__(
        self, broker: Broker, transactional_id: str, epoch: int, added: Sequence[Place], *, is_commit: bool
    ) -> None:
        self.is_commit = is_commit
        self._broker = broker
        self._added = added
        self._whose = transactional_id, epoch

    def __call__(self) -> None:
        for place in self._added:
            self._broker.join(*self._whose, place)
        self._broker.finish(*self._whose, is_commit=self.is_commit)

    def can_lose(self, lost: Collection[str]) -> bool:
        return self.is_commit and self._broker.can_lose(*self._whose, lost)

    def lose(self, lost: Collection[str]) -> None:
        self._broker.finish_without_markers(*self._whose, lost)

    def can_tear(self) -> bool:
        return self.is_commit and self._broker.can_tear(*self._whose)

    def tear(self) -> None:
        self._broker.finish_torn(*self._whose)


class _Batch:
    def __init__(self) -> None:
        self.records: list[Record] = []
        self._builder = SimpleNamespace(append=self._append)

    def _append(
        self, offset: int, timestamp: int, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
    ) -> Self | None:
        assert offset == len(self.records)
        if len(self.records) == _BATCH:
            return None
        self.records.append((key, value, headers))
        return self
