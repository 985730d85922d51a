"""Which records at the end of an output topic are a worker's own, and what those of others are worth: nothing."""

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from hotswap.generation import MOST
from hotswap.kafka.partition.witness import ONE_TRANSACTION, Ending, KnownAnswers, LastAnswer
from hotswap.kafka.topics.contents import Bounds, Unpacker
from hotswap.recordbatch.header import ATTRIBUTES_AT, CONTROL

OURS, OTHERS, SECOND = 7, 8, 9
SOURCE = b"d.requests-0-"
KNOWN = {"source": SOURCE, "producers": {OURS, SECOND}, "committed": 100, "end": 200, "generations": 9}


class Log:
    """An output partition, written batch by batch."""

    def __init__(self):
        self.batches = []
        self.end = 0

    def write(self, *answered, producer=OURS, is_transactional=True, generation=b"3", source=SOURCE, codec=0):
        builder = DefaultRecordBatchBuilder(2, codec, int(is_transactional), producer, 0, 0, 1 << 20)
        headers = [[("source", source + str(offset).encode()), ("generation", generation)] for offset in answered]
        for at, own in enumerate(headers or [[]]):
            assert builder.append(at, 0, None, b"", own)
        self._put(builder, len(headers) or 1)
        return self

    def end_transaction(self, *, is_commit, producer=OURS):
        builder = DefaultRecordBatchBuilder(2, 0, 1, producer, 0, -1, 1 << 10)
        assert builder.append(0, 0, bytes([0, 0, 0, is_commit]), b"", [])
        self._put(builder, 1, CONTROL)
        return self

    def commit(self, producer=OURS):
        return self.end_transaction(is_commit=True, producer=producer)

    def abort(self, producer=OURS):
        return self.end_transaction(is_commit=False, producer=producer)

    def _put(self, builder, count, attributes=0):
        batch = bytearray(builder.build())
        batch[:8] = self.end.to_bytes(8)
        batch[ATTRIBUTES_AT + 1] |= attributes
        self.end += count
        self.batches.append(memoryview(bytes(batch)))

    def ending(self, counted_to=0, **known):
        found = Ending(KnownAnswers(**KNOWN | known), Unpacker(Bounds(1 << 20, 1 << 20)), counted_to=counted_to)
        for batch in self.batches:
            found.add(batch)
        return found


def test_the_last_answer_is_the_last_one_of_our_own_producer_that_was_committed():
    log = Log().write(97, 98).commit().write(99).write(100).commit().write(101).abort().write(102)
    found = log.ending()
    assert found.last == LastAnswer(100, 3)
    assert found.aborted == [LastAnswer(101, 3)]
    assert found.open == {OURS: [LastAnswer(102, 3)]}
    assert (found.passed, found.foreign) == (0, 0)


def test_of_two_producers_that_take_turns_each_marker_decides_its_own_answers_whichever_comes_first():
    log = Log().write(97).write(98, producer=SECOND).commit(SECOND).commit()
    assert log.ending().last == LastAnswer(98, 3)
    found = log.write(99).write(100, producer=SECOND).abort().ending()
    assert (found.last, found.aborted) == (LastAnswer(98, 3), [LastAnswer(99, 3)])
    assert found.open == {SECOND: [LastAnswer(100, 3)]}


def test_after_an_operator_has_set_the_offset_back_the_last_answer_is_the_last_one_written():
    assert Log().write(99).commit().write(50).commit().ending().last == LastAnswer(50, 3)


FORGED = {
    "without a transaction": {"is_transactional": False},
    "without a producer id": {"is_transactional": False, "producer": -1},
    "in a transaction of another producer": {"producer": OTHERS},
    "compressed": {"is_transactional": False, "codec": 1},
}


@pytest.mark.parametrize("how", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("claims", [(130,), (1, 2, 3), (2**62,), (100, 50, 180)], ids=str)
def test_whatever_others_write_behind_our_answers_moves_nothing_and_is_counted(how, claims):
    log = Log().write(99).commit().write(*claims, **how)
    if how.get("is_transactional", True):
        log.commit(OTHERS)
    found = log.write(100).abort().ending()
    assert (found.last, found.aborted) == (LastAnswer(99, 3), [LastAnswer(100, 3)])
    assert (found.foreign, found.passed) == (len(claims), len(claims))


def test_an_open_transaction_of_others_leaves_nothing_of_ours_open():
    found = Log().write(99).write(130, producer=OTHERS).commit().ending()
    assert (found.last, found.open) == (LastAnswer(99, 3), {})


def test_a_marker_of_others_decides_nothing_of_ours():
    found = Log().write(99).write(130, producer=OTHERS).commit(OTHERS).ending()
    assert (found.last, found.open) == (None, {OURS: [LastAnswer(99, 3)]})


NOT_OURS = {
    "to a request that does not exist": (200, {}, {}),
    "further ahead than a transaction": (100 + ONE_TRANSACTION, {}, {"end": MOST}),
    "of a generation that no command can have created": (101, {"generation": b"10"}, {}),
    "of a number that is none": (101, {"generation": b"x"}, {}),
    "to another partition": (101, {"source": b"d.requests-1-"}, {}),
}


@pytest.mark.parametrize(("answered", "how", "known"), NOT_OURS.values(), ids=NOT_OURS)
def test_an_answer_that_cannot_be_ours_is_none_though_our_producer_wrote_it(answered, how, known):
    log = Log().write(99).commit().write(answered, **how).commit()
    assert log.ending(**known).last == LastAnswer(99, 3)


def test_the_furthest_answer_that_one_transaction_can_hold_is_ours():
    last = 99 + ONE_TRANSACTION
    assert Log().write(last).commit().ending(end=MOST).last == LastAnswer(last, 3)


def test_old_answers_of_producers_that_kafka_has_forgotten_are_not_counted_and_move_nothing():
    found = Log().write(98, 99, producer=OTHERS).commit(OTHERS).ending(has_answered=False)
    assert (found.last, found.foreign, found.passed, found.claimed) == (None, 0, 2, 99)


def test_answers_that_were_written_at_least_once_are_not_counted_unless_they_are_ahead_of_the_offset():
    plain = {"producer": -1, "is_transactional": False}
    found = Log().write(90).commit().write(98, 99, **plain).ending(has_answered=False)
    assert (found.last, found.foreign) == (LastAnswer(90, 3), 0)
    assert Log().write(90).commit().write(99, 100, **plain).ending(has_answered=False).foreign == 1


def test_records_that_claim_no_request_of_the_partition_are_passed_over_without_being_counted():
    log = Log().write(99).commit().write(producer=-1, is_transactional=False)
    log.write(5, source=b"other.requests-0-", producer=OTHERS).write(5, source=b"x" + SOURCE, producer=OTHERS)
    found = log.ending()
    assert (found.passed, found.foreign, found.claimed) == (3, 0, None)


def test_long_names_of_topics_are_claimed_as_short_ones_are():
    source = b"d" * 200 + b".requests-0-"
    found = Log().write(99, source=source).commit().write(5, source=source, producer=OTHERS)
    assert found.ending(source=source).foreign == 1


def test_a_foreign_answer_is_counted_once():
    log = Log().write(99).commit().write(130, producer=-1, is_transactional=False)
    counted_to = log.end
    log.write(131, 132, producer=-1, is_transactional=False)
    assert (log.ending().foreign, log.ending(counted_to).foreign) == (3, 2)


def test_an_old_message_format_is_not_ours():
    batch = bytearray(Log().write(130).batches[0])
    batch[16] = 1
    found = Log().ending()
    found.add(memoryview(bytes(batch[:40])))  # shorter than a header of today's format
    assert (found.passed, found.open) == (1, {})


def test_what_cannot_be_decompressed_is_passed_over():
    log = Log().write(99).commit().write(130, producer=-1, is_transactional=False, codec=1)
    broken = bytearray(log.batches[-1])
    broken[65:] = b"\xff" * (len(broken) - 65)
    log.batches[-1] = memoryview(bytes(broken))
    assert (log.ending().passed, log.ending().foreign) == (1, 0)
