"""Where a partition stands, by its committed offset, its answers and its log, and what an operator has made of it."""

from typing import NamedTuple

import pytest

from hotswap.batch import Position
from hotswap.errors import Doubt
from hotswap.kafka.partition.position import Positions, believed
from hotswap.kafka.partition.tail import Tail
from hotswap.kafka.partition.witness import ONE_TRANSACTION, LastAnswer
from hotswap.kafka.topics.committed import Committed
from hotswap.settings import Settings


class Log:
    """Kafka, as far as positions ask it: the committed offset, the last answer, the first offset, an aborted answer."""

    def __init__(self, committed, last=None, first=0, **tail):
        self.state = committed, LastAnswer(*last) if isinstance(last, tuple) else last, first
        self.tail = {"aborted": None} | tail
        self.known = None

    async def committed_on(self, _):
        return self.state[0]

    async def beginning_offset(self, *_):
        return self.state[2]

    async def end_offset(self, *_):
        return 1_000

    async def read(self, _, known):
        self.known = known
        if isinstance(self.state[1], Doubt):
            raise self.state[1]
        return Tail(self.state[1], **self.tail)


async def highest(_):
    return 9


class Fenced(NamedTuple):
    """A producer of the partition."""

    id: int
    epoch: int


class Read:
    """A partition's position, as one that has fenced the others reads it."""

    def __init__(self, log, warnings):
        self.of = Positions(Settings(deployment="d"), log, log, 3, warnings, highest)

    async def read(self, *producers):
        return await self.of.read(producers or [Fenced(40, 1), Fenced(41, 1)])

    @property
    def deleted(self):
        return self.of.deleted


def positions(log, warnings):
    return Read(log, warnings)


BY_OPERATOR = {"generation": 0, "is_ours": False}
CASES = {
    "set back": (
        Committed(40, **BY_OPERATOR),
        40,
        "set to 40, not by a worker: the requests from offset 40 to 99 have",
    ),
    "set forward": (Committed(120, **BY_OPERATOR), 120, "the requests from offset 100 to 119 are left out"),
    "removed": (
        Committed(-1, **BY_OPERATOR),
        0,
        "was removed, or has expired, not by a worker: the requests from offset 0",
    ),
    "set to where it was": (Committed(100, **BY_OPERATOR), 100, None),
    "a worker's": (Committed(100, 7, is_ours=True), 100, None),
}


@pytest.mark.parametrize(("committed", "offset", "text"), CASES.values(), ids=CASES)
async def test_an_offset_that_no_worker_wrote_is_obeyed_and_it_is_said_what_that_repeats_or_leaves_out(
    committed, offset, text
):
    warnings = {}
    read = positions(Log(committed, (99, 7)), warnings)
    assert await read.read() == await read.read() == Position(offset, committed.generation)
    assert (text in warnings[3]) if text else (warnings == {})


async def test_a_deployment_that_has_answered_nothing_has_nothing_to_be_told_of():
    warnings = {}
    assert await positions(Log(Committed(-1, **BY_OPERATOR)), warnings).read() == Position(0, 0)
    assert warnings == {}


async def test_an_operators_offset_is_obeyed_where_the_answers_cannot_be_read_and_a_workers_is_in_doubt():
    damaged = Doubt("the answers are damaged")
    assert await positions(Log(Committed(40, **BY_OPERATOR), damaged), {}).read() == Position(40, 0)
    with pytest.raises(Doubt, match="damaged"):
        await positions(Log(Committed(40, 7, is_ours=True), damaged), {}).read()


async def test_where_the_offset_is_lost_the_answers_show_the_position():
    assert await positions(Log(Committed(40, 7, is_ours=True), (99, 8)), {}).read() == Position(100, 8)


TORN = {
    "the answer behind the last one was aborted": (91, Position(91, 6)),
    "the one before the offset was": (99, Position(91, 6)),
    "what was aborted is yet to be answered": (100, Position(100, 7)),
    "nothing was aborted": (None, Position(100, 7)),
}


@pytest.mark.parametrize(("aborted", "position"), TORN.values(), ids=TORN)
async def test_a_committed_offset_does_not_count_where_answers_before_it_were_aborted(aborted, position):
    log = Log(Committed(100, 7, is_ours=True), (90, 6), aborted=aborted)
    assert await positions(log, {}).read() == position


@pytest.mark.parametrize(("is_all", "position"), [(True, Position(97, 0)), (False, Position(100, 7))])
async def test_without_any_answer_the_aborted_ones_count_only_if_no_others_can_have_been_removed(is_all, position):
    log = Log(Committed(100, 7, is_ours=True), None, aborted=97, is_all=is_all)
    assert await positions(log, {}).read() == position


async def test_an_operators_offset_is_obeyed_whatever_was_aborted():
    assert await positions(Log(Committed(100, **BY_OPERATOR), (90, 7), aborted=99), {}).read() == Position(100, 0)


async def test_where_no_answer_is_left_the_offset_counts_whatever_was_aborted():
    assert await positions(Log(Committed(100, 7, is_ours=True), aborted=99), {}).read() == Position(100, 7)


async def test_what_was_deleted_is_told_by_those_who_had_begun_only():
    begun, fresh = (
        positions(Log(Committed(40, 7, is_ours=True), (39, 7), 60), {}),
        positions(Log(Committed(-1, 0, is_ours=False), None, 60), {}),
    )
    assert await begun.read() == Position(60, 7)
    assert begun.deleted == (40, 60)
    assert await fresh.read() == Position(60, 0)
    assert fresh.deleted == (0, 0)


async def test_with_answers_at_least_once_the_offset_alone_counts():
    log = Log(Committed(40, 7, is_ours=True), (99, 8))
    assert await positions(log, {}).of.read(()) == Position(40, 7)
    assert log.known is None


async def test_what_was_deleted_is_told_once(caplog):
    read = positions(Log(Committed(40, 7, is_ours=True), (39, 7), 60), {})
    await read.read()
    await read.read()
    assert [record.message for record in caplog.records].count("partition.requests_were_deleted") == 1


async def test_what_was_aborted_more_than_a_transaction_before_the_offset_is_no_reason_to_go_back():
    at = ONE_TRANSACTION + 500
    for aborted, position in ((501, Position(11, 6)), (500, Position(at, 7))):
        log = Log(Committed(at, 7, is_ours=True), (10, 6), aborted=aborted)
        assert await positions(log, {}).read() == position


async def test_a_partition_is_read_with_all_that_is_known_of_it():
    log = Log(Committed(40, 7, is_ours=True, producer=40), (39, 7))
    await positions(log, {}).read(Fenced(40, 3), Fenced(41, 0))
    known = log.known
    assert (known.source, known.producers, known.is_new, known.has_answered) == (
        b"d.requests-3-",
        {40, 41},
        False,
        True,
    )
    assert (known.committed, known.end, known.generations) == (40, 1_000, 9)
    log = Log(Committed(40, 7, is_ours=True), (39, 7))
    await positions(log, {}).read(Fenced(42, 0), Fenced(43, 0))
    assert (log.known.producers, log.known.is_new, log.known.has_answered) == ({42, 43}, True, False)


async def test_producers_that_the_ids_had_by_the_time_of_the_offset_are_ours_though_kafka_has_given_them_others():
    named = Committed(40, 7, is_ours=True, producer=30, producers=frozenset({30, 31}))
    log = Log(named, (39, 7))
    await positions(log, {}).read(Fenced(40, 0), Fenced(41, 0))
    assert (log.known.producers, log.known.is_new, log.known.has_answered) == ({30, 31, 40, 41}, False, True)
    forged = Log(named._replace(is_ours=False, producer=None, producers=frozenset()), (39, 7))
    await positions(forged, {}).read(Fenced(40, 0), Fenced(41, 0))
    assert forged.known.producers == {40, 41}


@pytest.mark.parametrize(
    ("named", "last", "producer"),
    [(30, (39, 7), 30), (None, (39, 7), 40), (None, None, None)],
    ids=["the offset names it", "answers are there", "none is"],
)
async def test_it_is_remembered_which_producer_answered_last(named, last, producer):
    read = positions(Log(Committed(40, 7, is_ours=True, producer=named), last), {})
    await read.read()
    assert read.of.answered_by == producer


async def test_an_offset_whose_generation_no_command_can_have_created_is_not_a_workers_and_it_is_said():
    warnings = {}
    read = positions(Log(Committed(40, 10, is_ours=True), (39, 7)), warnings)
    assert await read.read() == Position(40, 0)
    assert warnings[3] == (
        "the group's offset was set to 40, not by a worker (it names generation 10, which no command can have created)"
    )
    assert await believed(Committed(40, 9, is_ours=True), highest) == Committed(40, 9, is_ours=True)


async def test_foreign_answers_are_told_with_their_number_beside_what_else_is_odd():
    warnings = {}
    read = positions(Log(Committed(40, 0, is_ours=False), (99, 7), foreign=3), warnings)
    await read.read()
    await read.read()
    assert warnings[3].startswith("6 records in partition 3 of d.predictions and d.dead-letters claim to be answers")
    assert "; the group's offset was set to 40" in warnings[3]


async def test_without_answers_of_ours_those_of_others_say_what_an_operators_offset_repeats():
    warnings = {}
    await positions(Log(Committed(40, 0, is_ours=False), claimed=99), warnings).read()
    assert "the requests from offset 40 to 99 have answers, and get others" in warnings[3]


OPEN = {
    "nothing is open": ({}, True, ({}, False)),
    "the offset is past it": (
        {"open": {40: ["d.predictions"]}, "first_open": 39},
        True,
        ({40: ["d.predictions"]}, True),
    ),
    "an answer is past it": (
        {"last": (41, 7), "open": {40: ["d.dead-letters"]}, "first_open": 41},
        True,
        ({40: ["d.dead-letters"]}, True),
    ),
    "nothing is past it": ({"open": {40: ["d.predictions"]}, "first_open": 41}, True, ({40: ["d.predictions"]}, False)),
    "an operator has set the offset": (
        {"open": {40: ["d.predictions"]}, "first_open": 39},
        False,
        ({40: ["d.predictions"]}, False),
    ),
    "it answers nothing": ({"open": {40: ["d.predictions"]}}, True, ({40: ["d.predictions"]}, False)),
}


@pytest.mark.parametrize(("tail", "is_ours", "left"), OPEN.values(), ids=OPEN)
async def test_what_is_left_open_was_committed_where_the_offset_or_another_answer_is_past_it(tail, is_ours, left):
    log = Log(Committed(40, 7 if is_ours else 0, is_ours=is_ours), **tail)
    assert await positions(log, {}).of.left_open([Fenced(40, 1), Fenced(41, 1)]) == left
