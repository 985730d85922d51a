"""Where a partition stands, by its committed offset, its answers and its log, and what an operator has made of it."""

import pytest

from hotswap.batch import Position
from hotswap.errors import Doubt
from hotswap.kafka.committed import Committed
from hotswap.kafka.position import Positions
from hotswap.kafka.tail import LastAnswer, Tail
from hotswap.settings import Settings


class Log:
    """Kafka, as far as positions ask it: the committed offset, the last answer, the first offset, an aborted answer."""

    def __init__(self, committed, last=None, first=0, aborted=None):
        self.state = committed, LastAnswer(*last) if isinstance(last, tuple) else last, first
        self.aborted = aborted

    async def committed_on(self, _):
        return self.state[0]

    async def beginning_offset(self, *_):
        return self.state[2]

    async def last(self, *_):
        if isinstance(self.state[1], Doubt):
            raise self.state[1]
        return self.state[1]

    async def read(self, number):
        return Tail(await self.last(number), self.aborted)


def positions(log, warnings):
    return Positions(Settings(deployment="d"), log, log, 3, warnings)


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
