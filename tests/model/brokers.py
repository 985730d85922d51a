"""The model's brokers, for those who write answers: requests of transactions, in both versions, become effects."""

from collections.abc import Callable, Collection
from types import SimpleNamespace
from typing import Any, Self

from aiokafka import TopicPartition
from aiokafka.errors import DuplicateSequenceNumber, KafkaError, OutOfOrderSequenceNumber, ProducerFenced
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import OffsetAndMetadata

from hotswap.batch import Record
from hotswap.kafka.wire import messages
from hotswap.recordbatch.header import Header
from hotswap.settings import Settings
from model.broker import OFFSETS, Broker, Place
from model.steps import Process, here

_CODES: dict[type[KafkaError], int] = {
    ProducerFenced: 47,
    OutOfOrderSequenceNumber: OutOfOrderSequenceNumber.errno,
    DuplicateSequenceNumber: DuplicateSequenceNumber.errno,
}


class Brokers:
    """hotswap.kafka.wire.brokers.Brokers: each request is a call of its own, and none waits behind another."""

    def __init__(self, _: Settings) -> None:
        self._process = here()

    async def start(self) -> Self:
        return self

    async def stop(self) -> None:
        pass

    async def look(self) -> None:
        pass

    watch = look

    @property
    def transaction_version(self) -> int:
        return self._process.world.transaction_version

    @property
    def transactions(self) -> str:
        return f"version {self.transaction_version}"

    async def leader(self, key: TopicPartition, *, is_stale: bool = False) -> int:
        return 1

    async def coordinator(self, of: object, *, is_stale: bool = False) -> int:
        return 1

    any = coordinator

    async def ask(self, _: int, request: Any) -> Any:
        kind, effect = self._effect(request)
        return await self._process.ask(kind, effect)

    def _effect(self, request: Any) -> tuple[str, Callable[[], Any]]:
        if isinstance(request, messages.InitProducerId):
            return "init", Init(self._process, request)
        if isinstance(request, messages.Produce):
            ((topic, ((partition, data, _),), _),) = request.topics
            return "produce", Write(self._process, request, Place(topic, partition), data)
        if isinstance(request, messages.CommitOffset):
            ((_, ((partition, offset, _, metadata, _),), _),) = request.topics
            return "offsets", Send(self._process, request, partition, OffsetAndMetadata(offset, metadata))
        if isinstance(request, (messages.EndTransaction, messages.EndTransactionAndEpoch)):
            return "end", End(self._process, request)
        assert isinstance(request, (messages.AddPartitions, messages.AddOffsets))
        return "add", Join(self._process, request)


class Effect:
    """What a request does when it gets to its broker, however often that is: a network may copy it."""

    def __init__(self, process: Process, request: Any) -> None:
        self.process, self.request = process, request
        self.broker = process.world.broker
        self.is_of_version_2 = isinstance(
            request,
            (messages.ProduceInTransaction, messages.CommitOffsetInTransaction, messages.EndTransactionAndEpoch),
        )

    def __call__(self) -> Any:
        if self.is_of_version_2:
            self.process.world.copies.append(self)
        return self.answer()

    def answer(self) -> Any:
        try:
            return self.answered(0, self.take())
        except KafkaError as error:
            return self.answered(_CODES[type(error)], None)

    def take(self) -> Any:
        raise NotImplementedError

    def answered(self, code: int, taken: Any) -> Any:
        return SimpleNamespace(error=code)


class Init(Effect):
    """A producer's begin."""

    def take(self) -> int:
        self.process.world.has_answers.discard(self.request.transactional_id)
        return self.broker.init(self.request.transactional_id)

    def answered(self, code: int, taken: Any) -> Any:
        return SimpleNamespace(error=code, producer_id=Broker.producer(self.request.transactional_id), epoch=taken)


class _AtAPlace(Effect):
    place: Place

    def answered(self, code: int, _: Any) -> Any:
        return SimpleNamespace(topics=[(self.place.topic, [(self.place.partition, code, 0, {})], {})])


class Write(_AtAPlace):
    """A record batch."""

    def __init__(self, process: Process, request: Any, place: Place, data: bytes) -> None:
        super().__init__(process, request)
        self.place = place
        header = Header.read(data)
        self._epoch, self._sequence = header.producer_epoch, header.base_sequence
        self._items: list[Record] = [
            (record.key, record.value, list(record.headers)) for record in MemoryRecords(bytes(data)).next_batch()
        ]

    def take(self) -> None:
        name = self.request.transactional_id
        self.broker.write(name, self._epoch, self.place, self._items, self._sequence)
        self.process.world.has_answers.add(name)


class Send(_AtAPlace):
    """An offset of the group."""

    def __init__(self, process: Process, request: Any, partition: int, committed: OffsetAndMetadata) -> None:
        super().__init__(process, request)
        self._committed = committed
        self._where = Place(OFFSETS, partition)
        self.place = Place(process.settings.topics.requests, partition)

    def take(self) -> None:
        request, committed = self.request, self._committed
        self.broker.write(
            request.transactional_id, request.epoch, self._where, [(committed.offset, committed.metadata)]
        )
        self.process.world.offsets[request.transactional_id] = self._where.partition, committed


class Join(Effect):
    """Places that are added to a transaction of version 1."""

    def __init__(self, process: Process, request: Any) -> None:
        super().__init__(process, request)
        topics: Any = getattr(request, "topics", ())
        self._places = [Place(topic, number) for topic, numbers, _ in topics for number in numbers]
        if isinstance(request, messages.AddOffsets):  # its marker ends whatever offset the id has left open there
            self._places.append(Place(OFFSETS, int(request.transactional_id.removesuffix("-b").rpartition("-")[2])))

    def take(self) -> None:
        for place in self._places:
            self.broker.join(self.request.transactional_id, self.request.epoch, place)

    def answered(self, code: int, _: Any) -> Any:
        topics: Any = [(place.topic, [(place.partition, code, {})], {}) for place in self._places]
        return SimpleNamespace(error=code, topics=topics)


class End(Effect):
    """The end of a transaction on its way; a broker that dies may do it without its markers."""

    def __init__(self, process: Process, request: Any) -> None:
        super().__init__(process, request)
        self.is_commit: bool = request.is_commit
        self._whose = request.transactional_id, request.epoch

    def take(self) -> int:
        world, name = self.process.world, self.request.transactional_id
        if self.is_commit and name in world.has_answers and self.broker.is_current(*self._whose):
            world.check_batch(self.process, *world.offsets[name])
        world.has_answers.discard(name)
        self.broker.finish(*self._whose, is_commit=self.is_commit)
        return self._next_epoch()

    def answered(self, code: int, taken: Any) -> Any:
        return SimpleNamespace(error=code, producer_id=Broker.producer(self.request.transactional_id), epoch=taken)

    def can_lose(self, lost: Collection[str]) -> bool:
        return self.is_commit and self.broker.can_lose(*self._whose, lost)

    def lose(self, lost: Collection[str]) -> Any:
        self.broker.finish_without_markers(*self._whose, lost)
        return self.answered(0, self._next_epoch())

    def can_tear(self) -> bool:
        return self.is_commit and self.broker.can_tear(*self._whose)

    def tear(self) -> Any:
        self.broker.finish_torn(*self._whose)
        return self.answered(0, self._next_epoch())

    def _next_epoch(self) -> int:
        return self.broker.next_epoch(*self._whose) if self.is_of_version_2 else self._whose[1]
