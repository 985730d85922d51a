"""What kafka/client/internals.py knows of the inside of aiokafka, by source and by behaviour."""

import gc
import hashlib
import inspect
import weakref
from importlib.metadata import version
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.conn import create_conn
from aiokafka.consumer import fetcher as of_fetcher
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.consumer.group_coordinator import CoordinatorGroupRebalance, GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import for_code
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from hotswap.kafka.client import internals
from hotswap.kafka.client.sessions import BrokerConnection
from hotswap.kafka.topics.contents import Bounds, Unpacker
from hotswap.kafka.topics.fetched import batches
from hotswap.kafka.topics.records import Damaged
from hotswap.recordbatch.header import CONTROL

KNOWN = BrokerConnection.__base__


# What kafka/client/internals.py relies on, and the digest of its source as it was when that was checked.
RELIED_ON = {
    # Where the bytes that were fetched become records, and what becomes of those.
    of_fetcher.FetchResult: "d7db13f06de8",
    internals._PartitionRecords: "94aa0da0dbec",
    of_fetcher.Fetcher._proc_fetch_request: "59bf948fff47",
    of_fetcher.Fetcher.fetched_records: "be4348896b9b",
    AIOKafkaConsumer.getmany: "bc6d248e42a4",
    # What becomes of a request that was sent, and has no answer.
    AIOKafkaClient.send: "246b277687d7",
    # What a client leaves behind that cannot be stopped.
    AIOKafkaConsumer.stop: "bc5da9c98595",
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
    AIOKafkaClient.bootstrap: "198943b004e5",
    # A client that another one replaces, and the cluster as it knows it.
    AIOKafkaConsumer.__init__: "01506f316191",
    AIOKafkaAdminClient.__init__: "2598ace9015c",
    AIOKafkaClient.fetch_all_metadata: "8eeea5926b0d",
    AIOKafkaClient.force_metadata_update: "cb7befef21c8",
    ClusterMetadata.available_partitions_for_topic: "ffc4343ac293",
    ClusterMetadata.partitions_for_topic: "5a3e84a15bc0",
    ClusterMetadata.brokers: "7bed0c723658",
    AIOKafkaClient.add_topic: "b054eda66291",
    AIOKafkaClient._md_synchronizer: "e0421bffa9a7",
    # A connection, each of which is a Session.
    create_conn: "673276cbddb4",
    KNOWN.send: "5909ea32f4ef",
    KNOWN._do_sasl_handshake: "d4f7b5acbbec",
    KNOWN.authenticator_plain: "8af92eed2803",
    KNOWN.authenticator_scram: "31e24e0eab4b",
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
    assert version("aiokafka") == internals.CHECKED_AGAINST


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
    records = records_of(data, position=position, aborted=aborted)
    return FetchResult(REQUESTS, partition_records=records, assignment=assignment, backoff=0).getall(), state


def records_of(data, *, position=0, aborted=(), value=None):
    """What aiokafka's fetcher makes of `data` for a consumer of ours, or for one with another `value_deserializer`."""
    value = value or batches(Unpacker(Bounds(1 << 20, 1 << 20)))
    raw = of_fetcher.MemoryRecords(data)
    assert raw.has_next() is bool(data)
    return of_fetcher.PartitionRecords(
        REQUESTS, raw, list(aborted), position, None, value, True, of_fetcher.READ_COMMITTED
    )


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


@pytest.mark.parametrize("length", [1, 11, 12, 60, 100])
async def test_a_first_batch_that_is_not_whole_is_damaged_and_never_passed_over(length):
    batches, state = fetched(batch_of((None, b"x" * 50, []), base=7)[:length], position=7)
    assert [(one.offset, one.until) for one in batches] == [(7, 8)]
    assert state.position == 7


def test_nothing_that_was_fetched_is_nothing():
    raw = of_fetcher.MemoryRecords(b"")
    assert (raw.has_next(), raw.size_in_bytes()) == (False, 0)


def test_what_was_fetched_goes_with_its_last_batch_and_awaits_no_search_for_cycles():
    records = records_of(batch_of((None, b"x", [])))
    held = FetchResult(REQUESTS, partition_records=records, assignment=None, backoff=0)
    gc.disable()
    try:
        (batch,) = records
        kept = [weakref.ref(one) for one in (records, held, batch._contents)]
        assert offsets([batch]) == [0]
        del records, held, batch
        assert [one() for one in kept] == [None, None, None]
    finally:
        gc.enable()


def test_a_consumer_that_is_none_of_ours_reads_records_as_ever():
    plain = records_of(batch_of((None, b"x", [])), value=bytes.upper)
    assert [record.value for record in plain] == [b"X"]


def removed_from(data, *, position=0):
    """What is told of offsets whose records are gone from `data`."""
    told = []
    unpacker = Unpacker(Bounds(1 << 20, 1 << 20))
    list(records_of(data, position=position, value=batches(unpacker, lambda *gone: told.append(gone))))
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
