"""What kafka/internals.py knows of the inside of aiokafka, by source and by behaviour."""

import gc
import hashlib
import inspect
import weakref
from functools import partial
from importlib.metadata import version
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.consumer import fetcher as of_fetcher
from aiokafka.consumer.fetcher import FetchError, FetchResult
from aiokafka.consumer.group_coordinator import CoordinatorGroupRebalance, GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import (
    NotEnoughReplicasError,
    RecordTooLargeError,
    for_code,
)
from aiokafka.producer import sender as of_aiokafka
from aiokafka.producer.message_accumulator import BatchBuilder, MessageAccumulator
from aiokafka.producer.transaction_manager import TransactionManager
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from hotswap.kafka import sessions
from hotswap.kafka.contents import Bounds, Unpacker
from hotswap.kafka.fetched import cut, get_batches
from hotswap.kafka.internals import (
    CHECKED_AGAINST,
    Fetched,
    PartitionFetch,
)
from hotswap.kafka.records import Damaged
from hotswap.recordbatch.header import CONTROL

ANSWERS = TopicPartition("d.predictions", 0)


# What kafka/internals.py relies on, and the digest of its source as it was when that was checked.
RELIED_ON = {
    # Where the bytes that were fetched become records, and what becomes of those.
    of_fetcher.FetchResult: "d7db13f06de8",
    of_fetcher.PartitionRecords: "94aa0da0dbec",
    of_fetcher.Fetcher._proc_fetch_request: "59bf948fff47",
    of_fetcher.Fetcher.fetched_records: "be4348896b9b",
    AIOKafkaConsumer.getmany: "bc6d248e42a4",
    # A producer's sequence numbers, and its batches.
    TransactionManager: "d0932794d69a",
    BatchBuilder: "8050802ca751",
    MessageAccumulator.add_batch: "5ed1c5b1367a",
    # What becomes of a request that was sent, and has no answer.
    AIOKafkaClient.send: "246b277687d7",
    # What a client leaves behind that cannot be stopped.
    AIOKafkaConsumer.stop: "bc5da9c98595",
    AIOKafkaProducer.stop: "43ef97147111",
    of_aiokafka.Sender.close: "f60b3d023d25",
    of_fetcher.Fetcher.close: "1cd24bc1c442",
    GroupCoordinator.close: "f30d83108945",
    AIOKafkaClient.close: "02119d4d618a",
    # Who we are in the group, and how an answer that is not known is told.
    GroupCoordinator.reset_generation: "537aa37c531b",
    GroupCoordinator._do_heartbeat: "dc1d6632aaa6",
    CoordinatorGroupRebalance.perform_group_join: "ff2c2109b2e9",
    GroupCoordinator._maybe_leave_group: "016cd88a16e6",
    for_code: "26ee93889946",
    # What a rebalance does to what is fetched, and when our assignor is told what we get.
    GroupCoordinator._on_join_prepare: "4d9524afc0ee",
    GroupCoordinator._on_join_complete: "0b0b3d204b40",
    SubscriptionState.begin_reassignment: "c141fe3db384",
    of_fetcher.Fetcher._fetch_requests_routine: "2a8ec5932644",
    of_fetcher.Fetcher._get_actions_per_node: "1dab2cf937d1",
    # The first question of a client.
    sessions._bootstrap: "198943b004e5",
    # The cluster as a client knows it.
    AIOKafkaClient.fetch_all_metadata: "8eeea5926b0d",
    AIOKafkaClient.force_metadata_update: "cb7befef21c8",
    ClusterMetadata.available_partitions_for_topic: "ffc4343ac293",
    ClusterMetadata.partitions_for_topic: "5a3e84a15bc0",
    ClusterMetadata.brokers: "7bed0c723658",
    AIOKafkaClient.add_topic: "b054eda66291",
    AIOKafkaClient._md_synchronizer: "e0421bffa9a7",
    # Where a topic would be created by being named.
    MetadataRequest: "0a2584162e6d",
    AIOKafkaClient._metadata_update: "06dc51ed3e0d",
    AIOKafkaAdminClient._get_cluster_metadata: "a6c7a68344da",
}


@pytest.mark.parametrize("part", RELIED_ON, ids=lambda part: part.__qualname__)
def test_what_is_relied_on_is_what_was_read(part):
    # Red after an upgrade: read it again, and what internals.py says of it; then put its new digest here, and the
    # version into CHECKED_AGAINST.
    assert hashlib.sha256(inspect.getsource(part).encode()).hexdigest()[:12] == RELIED_ON[part]


def test_the_version_is_the_one_whose_inside_was_read():
    assert version("aiokafka") == CHECKED_AGAINST


REQUESTS = TopicPartition("d.requests", 0)


def batch_of(*records, base=0, transactional=0, producer=-1):
    """A record batch; records are (key, value, headers)."""
    builder = DefaultRecordBatchBuilder(2, 0, transactional, producer, 0, 0, 1_000_000)
    for delta, (key, value, headers) in enumerate(records):
        builder.append(delta, 1_700_000_000_000 + delta, key, value, headers)
    return base.to_bytes(8) + bytes(builder.build())[8:]


def marker_of(producer, *, base):
    """A control batch that ends a transaction; the checksum is made anew."""
    batch = bytearray(batch_of((b"\0\0\0\0", b"\0" * 6, []), base=base, transactional=1, producer=producer))
    batch[22] |= CONTROL
    batch[17:21] = calc_crc32c(bytes(batch[21:])).to_bytes(4)
    return bytes(batch)


def fetched(data, *, position=0, aborted=()):
    """What a consumer's fetcher holds once it was given `data` for a position, and where it says that it stands."""
    state = SimpleNamespace(paused=False, position=position)
    state.consumed_to = lambda offset: setattr(state, "position", offset)
    assignment = SimpleNamespace(active=True, state_value=lambda _: state)
    records = of_fetcher.PartitionRecords(
        REQUESTS, of_fetcher.MemoryRecords(data), list(aborted), position, None, None, True, of_fetcher.READ_COMMITTED
    )
    held = Fetched({}, partial(cut, unpacker=Unpacker(Bounds(1 << 20, 1 << 20))))
    held[REQUESTS] = FetchResult(REQUESTS, partition_records=records, assignment=assignment, backoff=0)
    return held[REQUESTS].getall(), state


async def test_a_fetched_record_has_all_that_a_request_has_and_is_not_copied(monkeypatch):
    monkeypatch.setattr("aiokafka.consumer.fetcher.ConsumerRecord", pytest.fail)
    (batch,), state = fetched(batch_of((b"key", b"value", [("accept", b"text/csv")]), (None, None, [])))
    assert batch.first == 0
    assert [(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in batch.take(9, None)] == [
        (0, 1_700_000_000_000, b"key", b"value", [("accept", b"text/csv")]),
        (1, 1_700_000_000_001, None, None, []),
    ]
    assert batch.first is None
    assert state.position == 2


def offsets(batches):
    return [record.offset for batch in batches for record in (batch.first, batch.take(99, None))[1]]


async def test_a_fetch_that_begins_inside_a_batch_gives_no_request_twice():
    rows = [(None, b"x", [])] * 3
    batches, state = fetched(batch_of(*rows) + batch_of(*rows, base=3), position=2)
    assert offsets(batches) == [2, 3, 4, 5]
    assert state.position == 6


async def test_what_was_aborted_is_passed_over_and_what_the_same_producer_committed_then_is_not():
    row = (None, b"x", [])
    log = [
        batch_of(row, base=0, transactional=1, producer=7),
        marker_of(7, base=1),
        batch_of(row, base=2, transactional=1, producer=7),
        batch_of(row, base=3),
        marker_of(7, base=4),
    ]
    batches, state = fetched(b"".join(log), aborted=[(7, 0)])
    assert offsets(batches) == [2, 3]
    assert state.position == 5


async def test_a_batch_whose_checksum_does_not_hold_ends_what_is_given_and_is_fetched_again():
    row = (None, b"x" * 50, [])
    broken = bytearray(batch_of(row, row, base=1))
    broken[-3] ^= 1
    batches, state = fetched(batch_of(row) + bytes(broken) + batch_of(row, base=3))
    assert offsets(batches[:1]) == [0]
    assert [(one.offset, one.until, bytes(one.data)) for one in batches[1:]] == [(1, 3, bytes(broken))]
    assert state.position == 1


@pytest.mark.parametrize("length", [-1, 0, 30, -(1 << 31)])
async def test_a_batch_whose_length_cannot_be_is_damaged(length):
    row = (None, b"x" * 50, [])
    second = bytearray(batch_of(row, base=1))
    second[8:12] = length.to_bytes(4, signed=True)
    batches, state = fetched(batch_of(row) + bytes(second))
    assert type(batches[1]) is Damaged
    assert batches[1].offset == state.position == 1


async def test_what_the_size_of_a_fetch_cut_off_is_left_to_the_next_one():
    row = (None, b"x" * 50, [])
    batches, state = fetched(batch_of(row) + batch_of(row, base=1)[:-1])
    assert offsets(batches) == [0]
    assert state.position == 1


async def test_a_first_batch_that_is_not_whole_is_damaged_and_never_passed_over():
    sought = []
    key = TopicPartition("d.requests", 0)

    async def getmany(*_, timeout_ms):
        raise RecordTooLargeError("a text of %s=%s and %s", key, 7, 1_048_576)

    consumer = SimpleNamespace(getmany=getmany, assignment=lambda: {key}, seek=lambda *to: sought.append(to))
    assert await get_batches(consumer, timeout_ms=1) == {key: [Damaged(7, 8, b"")]}
    assert sought == [(key, 7)]


def test_what_was_fetched_goes_with_its_last_batch_and_awaits_no_search_for_cycles():
    data = batch_of((None, b"x", []))
    known = of_fetcher.PartitionRecords(
        REQUESTS, of_fetcher.MemoryRecords(data), [], 0, None, None, True, of_fetcher.READ_COMMITTED
    )
    held = Fetched({}, partial(cut, unpacker=Unpacker(Bounds(1 << 20, 1 << 20))))
    held[REQUESTS] = FetchResult(REQUESTS, partition_records=known, assignment=None, backoff=0)
    gc.disable()
    try:
        (batch,) = held[REQUESTS]._partition_records
        kept = [weakref.ref(known), weakref.ref(held.pop(REQUESTS)._partition_records), weakref.ref(batch._contents)]
        assert offsets([batch]) == [0]
        del known, batch
        assert [one() for one in kept] == [None, None, None]
    finally:
        gc.enable()


def test_a_consumer_that_is_none_of_ours_reads_records_as_ever():
    records = of_fetcher.MemoryRecords(batch_of((None, b"x", [])))
    plain = of_fetcher.PartitionRecords(REQUESTS, records, [], 0, None, None, True, of_fetcher.READ_COMMITTED)
    assert [record.value for record in plain] == [b"x"]


def test_what_could_not_be_fetched_is_kept_as_it_is():
    held, error = (
        Fetched({}, partial(cut, unpacker=Unpacker(Bounds(1, 1)))),
        FetchError(error=NotEnoughReplicasError(), backoff=0),
    )
    held[ANSWERS] = error
    assert held[ANSWERS] is error


def removed_from(data, *, position=0):
    """What is told of offsets whose records are gone from `data`."""
    told = []
    records = of_fetcher.PartitionRecords(
        REQUESTS, of_fetcher.MemoryRecords(data), [], position, None, None, True, of_fetcher.READ_COMMITTED
    )
    unpacker = Unpacker(Bounds(1 << 20, 1 << 20))
    list(PartitionFetch(records, partial(cut, unpacker=unpacker, on_removed=lambda *gone: told.append(gone))))
    return told


def test_what_compaction_has_removed_is_told_and_markers_and_the_first_part_of_a_batch_are_not():
    row = (None, b"x", [])
    whole = batch_of(row, row) + marker_of(7, base=2) + batch_of(row, row, base=3)
    assert removed_from(whole) == removed_from(whole, position=1) == []
    assert removed_from(batch_of(row, row, base=3)) == [(REQUESTS, 0, 5, 3)]
    sparse = bytearray(batch_of(row, row, base=3))
    sparse[23:27] = (8).to_bytes(4)  # its last offset is 11, and it has two records
    sparse[17:21] = calc_crc32c(bytes(sparse[21:])).to_bytes(4)
    assert removed_from(batch_of(row) + bytes(sparse)) == [(REQUESTS, 1, 12, 9)]
