"""The requests of a transaction in both versions, in which order they are sent, and what becomes of their failures."""

import asyncio
import gc

import pytest
from aiokafka.errors import (
    BrokerResponseError,
    ConcurrentTransactions,
    KafkaConnectionError,
    NodeNotReadyError,
    NotLeaderForPartitionError,
    OutOfOrderSequenceNumber,
    TransactionalIdAuthorizationFailed,
    UnknownMemberIdError,
)
from aiokafka.structs import OffsetAndMetadata

from fakes.transactions import ANSWERS, LETTERS, REQUESTS, FakeBrokers, FakeGroup, producing, settled
from hotswap.batch import Stamp
from hotswap.kafka.transactions.alternating import Alternating, transactional_ids
from hotswap.kafka.transactions.producer import Member, ProducerState
from hotswap.kafka.wire.batches import packed
from hotswap.kafka.wire.messages import (
    AddOffsets,
    AddPartitions,
    CommitOffset,
    CommitOffsetInTransaction,
    EndTransaction,
    EndTransactionAndEpoch,
    InitProducerId,
    Produce,
    ProduceInTransaction,
)
from hotswap.recordbatch.header import Header
from hotswap.settings import Settings

AT = OffsetAndMetadata(8, "seven")
OLDER_MEMBER, MOVED = 22, 16


def batch_of(records):
    """A record batch that is finished, but for its producer."""
    return packed([(b"k", b"v", [])] * records, 0, Stamp(-1, -1, -1, is_transactional=True, max_bytes=1 << 20))


def states(brokers):
    """The producer id, epoch and base sequence of each record batch that was sent, and its number of records."""
    headers = [Header.read(request.topics[0][1][0][1]) for request in brokers.of(Produce)]
    return [(each.producer_id, each.producer_epoch, each.base_sequence, each.records_count) for each in headers]


async def transaction(producer, *, is_commit=True, records=4):
    producer.produce(ANSWERS, batch_of(records))
    await asyncio.gather(producer.acknowledged(), producer.offset(REQUESTS, AT))
    await producer.end(is_commit=is_commit)


async def test_of_version_2_a_transaction_is_its_answers_beside_its_offset_and_then_its_end():
    brokers = FakeBrokers(2)
    producer = await producing(brokers)
    await transaction(producer)
    assert brokers.names[1:3] in (
        ["ProduceInTransaction", "CommitOffsetInTransaction"],
        ["CommitOffsetInTransaction", "ProduceInTransaction"],
    )
    assert brokers.names[3:] == ["EndTransactionAndEpoch"]
    (sent,) = brokers.of(ProduceInTransaction)
    assert (sent.transactional_id, sent.acks) == ("d-d.requests-0", -1)
    ((topic, ((partition, _, _),), _),) = sent.topics
    assert ((topic, partition), states(brokers)) == (ANSWERS, [(7, 3, 0, 4)])
    (offset,) = brokers.of(CommitOffsetInTransaction)
    assert (offset.group, offset.producer_id, offset.epoch) == ("d", 7, 3)
    assert offset.topics == [("d.requests", [(0, 8, -1, "seven", {})], {})]


async def test_of_version_2_each_transaction_has_an_epoch_of_its_own_and_its_sequences_begin_at_0():
    brokers = FakeBrokers(2)
    producer = await producing(brokers)
    for _ in range(3):
        await transaction(producer)
    assert states(brokers) == [(7, 3, 0, 4), (7, 4, 0, 4), (7, 5, 0, 4)]


async def test_of_version_1_partitions_and_group_are_added_before_and_epoch_and_sequences_go_on():
    brokers = FakeBrokers(1)
    producer = await producing(brokers)
    for _ in range(2):
        await transaction(producer)
    assert states(brokers) == [(7, 3, 0, 4), (7, 3, 4, 4)]
    sent = brokers.names[1:6]
    assert sorted(sent) == ["AddOffsets", "AddPartitions", "CommitOffset", "EndTransaction", "Produce"]
    assert sent.index("AddPartitions") < sent.index("Produce")
    assert sent.index("AddOffsets") < sent.index("CommitOffset")
    assert brokers.names[6:].count("AddPartitions") == 1, "to each transaction anew"


async def test_the_version_changes_between_transactions_and_never_within_one():
    brokers = FakeBrokers(2)
    producer = await producing(brokers)
    producer.produce(ANSWERS, batch_of(1))
    brokers.transaction_version = 1
    await asyncio.gather(producer.acknowledged(), producer.offset(REQUESTS, AT))
    await producer.end(is_commit=True)
    assert brokers.names[-1] == "EndTransactionAndEpoch"
    await transaction(producer)
    assert brokers.names[-1] == "EndTransaction"
    brokers.transaction_version = 2
    await transaction(producer)
    assert brokers.names[-1] == "EndTransactionAndEpoch"
    assert states(brokers) == [(7, 3, 0, 1), (7, 4, 0, 4), (7, 4, 4, 4)], "an epoch that no end has ended goes on"


async def test_record_batches_to_one_partition_are_sent_one_after_the_other_and_those_to_others_beside_them():
    brokers, answers = FakeBrokers(2), asyncio.Semaphore(0)
    producer, ask = await producing(brokers), brokers.ask

    async def asking(node, request):
        answer = await ask(node, request)
        await answers.acquire()
        return answer

    brokers.ask = asking
    for key, count in ((ANSWERS, 2), (ANSWERS, 3), (LETTERS, 1)):
        producer.produce(key, batch_of(count))
    for sent in (2, 2):
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(brokers.of(Produce)) == sent
    answers.release()
    for _ in range(10):
        await asyncio.sleep(0)
    assert states(brokers) == [(7, 3, 0, 2), (7, 3, 0, 1), (7, 3, 2, 3)]
    for _ in range(2):
        answers.release()
    await producer.acknowledged()


async def test_sequences_go_on_at_0_behind_the_largest():
    brokers = FakeBrokers(1)
    producer = await producing(brokers)
    producer._sequences[ANSWERS] = 2**31 - 2
    for _ in range(3):
        producer.produce(ANSWERS, batch_of(1))
    await producer.acknowledged()
    assert [sequence for _, _, sequence, _ in states(brokers)] == [2**31 - 2, 2**31 - 1, 0]


@pytest.mark.parametrize("error", [6, KafkaConnectionError()])
async def test_a_record_batch_is_sent_again_to_whoever_leads_now_and_is_the_same(error):
    brokers = FakeBrokers(2)
    brokers.script[ProduceInTransaction] = [error, error]
    producer = await producing(brokers)
    await transaction(producer)
    assert states(brokers) == [(7, 3, 0, 4)] * 3
    assert brokers.moved == [ANSWERS, ANSWERS]


@pytest.mark.parametrize("kind", [AddPartitions, AddOffsets, CommitOffset, EndTransaction, InitProducerId])
async def test_whoever_coordinates_no_longer_is_not_asked_again(kind):
    brokers = FakeBrokers(1)
    brokers.script[kind] = [MOVED, ConcurrentTransactions.errno]
    await transaction(await producing(brokers))
    assert len(brokers.of(kind)) == 3
    assert len(brokers.moved) == 1


@pytest.mark.parametrize("kind", [CommitOffset, EndTransaction, CommitOffsetInTransaction, EndTransactionAndEpoch])
async def test_what_ends_a_transaction_is_not_sent_again_when_no_answer_comes(kind):
    brokers = FakeBrokers(2 if "Transaction" in kind.__name__[3:] and kind is not EndTransaction else 1)
    brokers.script[kind] = [KafkaConnectionError("it was cut")]
    producer = await producing(brokers)
    with pytest.raises(KafkaConnectionError, match="it was cut"):
        await transaction(producer)
    assert len(brokers.of(kind)) == 1
    await producer.discard()


async def test_an_offset_that_is_refused_for_an_older_membership_is_sent_again_with_the_new_one():
    brokers = FakeBrokers(2)
    brokers.script[CommitOffsetInTransaction] = [OLDER_MEMBER]
    old, new = Member(5, "m", "w"), Member(6, "m", "w")
    producer = await producing(brokers, group=FakeGroup(old, old, None, new))
    await transaction(producer)
    sent = [(each.membership, each.member, each.instance) for each in brokers.of(CommitOffsetInTransaction)]
    assert sent == [old, new]
    assert len(brokers.of(EndTransactionAndEpoch)) == 1


async def test_an_offset_of_who_is_no_member_is_not_sent_and_of_who_left_the_group_fails():
    brokers = FakeBrokers(2)
    producer = await producing(brokers, group=FakeGroup(None))
    sending = asyncio.ensure_future(producer.offset(REQUESTS, AT))
    await settled()
    assert brokers.of(CommitOffset) == []
    sending.cancel()
    brokers.script[CommitOffsetInTransaction] = [UnknownMemberIdError.errno]
    producer = await producing(brokers)
    with pytest.raises(UnknownMemberIdError):
        await producer.offset(REQUESTS, AT)


async def test_partitions_to_which_nothing_is_written_are_ended_by_a_transaction_of_version_1():
    brokers = FakeBrokers(2)
    producer = await producing(brokers)
    for _ in range(2):
        await producer.add([ANSWERS, LETTERS], with_offsets=True)
        await producer.end(is_commit=False)
    assert brokers.names[1:] == ["AddPartitions", "AddPartitions", "AddOffsets", "EndTransaction"] * 2
    assert not any(request.is_commit for request in brokers.of(EndTransaction))
    await producer.add([ANSWERS])
    await producer.end(is_commit=True)
    assert brokers.names[9:] == ["AddPartitions", "EndTransaction"]


async def test_a_failure_is_raised_once_and_leaves_no_traceback_in_the_log():
    left, brokers = [], FakeBrokers(2)
    asyncio.get_running_loop().set_exception_handler(lambda _, told: left.append(told["message"]))
    brokers.script[ProduceInTransaction] = [OutOfOrderSequenceNumber.errno] * 2
    producer = await producing(brokers)
    for key in (ANSWERS, ANSWERS, LETTERS):
        producer.produce(key, batch_of(1))
    with pytest.raises(OutOfOrderSequenceNumber):
        await producer.acknowledged()
    await producer.discard()
    del producer
    gc.collect()
    await asyncio.sleep(0)
    assert left == []
    assert len(brokers.of(Produce)) == 2, "what follows a batch that failed is not sent"


@pytest.mark.parametrize(("code", "name"), [(90, "PRODUCER_FENCED"), (120, "TRANSACTION_ABORTABLE")])
async def test_an_error_that_aiokafka_does_not_know_has_its_name(code, name):
    brokers = FakeBrokers(2)
    brokers.script[EndTransactionAndEpoch] = [code]
    with pytest.raises(BrokerResponseError) as raised:
        await transaction(await producing(brokers))
    assert (raised.value.errno, raised.value.message) == (code, name)


async def test_a_producer_without_a_transactional_id_writes_outside_of_transactions():
    brokers = FakeBrokers(2)
    producer = await producing(brokers, name=None)
    brokers.script[Produce] = [NotLeaderForPartitionError.errno]
    for _ in range(2):
        producer.produce(ANSWERS, batch_of(2))
        await producer.acknowledged()
    assert brokers.names == ["InitProducerId", "Produce", "Produce", "Produce"]
    assert producer.sequence(ANSWERS) == 4


async def test_a_producer_moves_along_its_states_only():
    producer = await producing(FakeBrokers(2))
    with pytest.raises(AssertionError, match="ready -> ending"):
        await producer.end(is_commit=True)
    await producer.discard()
    assert producer._state is ProducerState.DISCARDED
    with pytest.raises(AssertionError, match="discarded -> open"):
        producer.produce(ANSWERS, batch_of(1))


async def test_two_producers_take_turns_and_where_a_member_knows_only_the_first_that_goes_on_alone():
    brokers, group = FakeBrokers(2), FakeGroup()
    first, second = [await producing(brokers, name) for name in ("a", "b")]
    both = Alternating([first, second], group)
    turns = []
    for _ in range(3):
        turns.append(both.now)
        both.take_turns()
    assert turns == [first, second, first]
    group.knows_both_ids = False
    for _ in range(2):
        both.take_turns()
        assert both.now is first


def test_the_ids_of_a_partition_begin_as_the_right_to_them_does():
    settings = Settings(deployment="d")
    assert transactional_ids(settings, 3) == ("d-d.requests-3", "d-d.requests-3-b")


async def test_at_least_once_one_producer_without_a_name_writes_and_takes_every_turn():
    one = Alternating.of_partition(Settings(deployment="d", delivery="at_least_once"), FakeBrokers(), FakeGroup(), 0)
    await one.init()
    one.take_turns()
    assert [one.now] == list(one.producers)


async def test_an_end_whose_coordinator_cannot_be_found_yet_waits_for_one_and_fails_where_that_is_denied():
    brokers = FakeBrokers(2)
    producer, find = await producing(brokers), brokers.coordinator
    errors = [KafkaConnectionError(), NodeNotReadyError()]

    async def finding(*, is_stale=False):
        if errors:
            raise errors.pop()
        return await find("it", is_stale=is_stale)

    producer._coordinator = finding
    await transaction(producer)
    assert (errors, len(brokers.of(EndTransactionAndEpoch))) == ([], 1)
    errors.append(TransactionalIdAuthorizationFailed())
    with pytest.raises(TransactionalIdAuthorizationFailed):
        await transaction(producer)
