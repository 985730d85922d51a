"""Late copies: the frames are parsed in each version, copies arrive at their moments, and what touches is found."""

import asyncio
import random
import struct
from collections import Counter
from itertools import islice

import pytest
from aiokafka.protocol.transaction import EndTxnRequest, TxnOffsetCommitRequest

from faults import transactional_frames as frames
from faults.late_copies import ENDED, MOMENTS, SENT, WRITTEN, Copier, touches
from faults.proxy import Proxy
from faults.transaction_versions import unfollowed
from faults.transactional_frames import END_TXN, INIT_PRODUCER_ID, NAMES, PRODUCE, TXN_OFFSET_COMMIT, Answer
from hotswap.local.kafka import free_ports

INVALID_PRODUCER_EPOCH, PRODUCER_FENCED = 47, 90

# As kio 0.6.5 writes them: client w1, transactional id g-0.
PRODUCE_12 = bytes.fromhex("000000280000000c00000007000277310004672d30ffff000003e80202700200000003066261746368000000")
PRODUCE_13 = bytes.fromhex(
    "000000360000000d00000007000277310004672d30ffff000003e80200000000000000000000000000000005"
    "0200000003066261746368000000"
)
OFFSET_5 = bytes.fromhex(
    "0000003d001c000500000007000277310004672d3002670000000000000009000200000001026d00020272020000000000000000"
    "00000005ffffffff0237000000"
)
END_5 = bytes.fromhex("0000001d001a000500000007000277310004672d30000000000000000900020100")
INIT_5 = bytes.fromhex("000000200016000500000007000277310004672d30000003e8ffffffffffffffffffff00")
# Partitions 3, written at 40, and 4, INVALID_PRODUCER_EPOCH; each with an error of a record.
_PARTITIONS = (
    "030000000300000000000000000028ffffffffffffffff00000000000000000200000000036e6f00026d00"
    "00000004002fffffffffffffffffffffffffffffffff00000000000000000200000000036e6f00026d00000000000000"
)
PRODUCED_12 = bytes.fromhex("00000063000000070002" + "0270" + _PARTITIONS)
PRODUCED_13 = bytes.fromhex("00000071000000070002" + "00" * 15 + "05" + _PARTITIONS)
OFFSET_TAKEN_5 = bytes.fromhex("000000160000000700000000000202720200000000002f000000")
END_FENCED_5 = bytes.fromhex("00000016000000070000000000005affffffffffffffffffff00")


def framed(api_key, version, body, client=b"w1"):
    whole = struct.pack(">hhih", api_key, version, 7, len(client)) + client + body
    return struct.pack(">i", len(whole)) + whole


def of_version_1(request, api_key, version=0):
    return framed(api_key, version, request.prepare({api_key: (version, version)}).encode())


def test_the_requests_of_version_2_are_recognised_by_id_and_version():
    for frame, api_key in (
        (PRODUCE_12, PRODUCE),
        (PRODUCE_13, PRODUCE),
        (OFFSET_5, TXN_OFFSET_COMMIT),
        (END_5, END_TXN),
    ):
        request = frames.request(frame)
        assert (request.api_key, request.transactional_id, request.transaction_version) == (api_key, "g-0", 2)
    assert frames.request(INIT_5)[:3] == (INIT_PRODUCER_ID, 5, "g-0")


def test_the_requests_of_version_1_are_recognised_by_id_and_version():
    end = of_version_1(EndTxnRequest("g-0", 9, 2, True), END_TXN)
    offset = of_version_1(TxnOffsetCommitRequest("g-0", "g", 9, 2, []), TXN_OFFSET_COMMIT)
    produce = framed(PRODUCE, 8, struct.pack(">h3shii", 3, b"g-0", -1, 1_000, 0))
    for frame, api_key in ((produce, PRODUCE), (offset, TXN_OFFSET_COMMIT), (end, END_TXN)):
        request = frames.request(frame)
        assert (request.api_key, request.transactional_id, request.transaction_version) == (api_key, "g-0", 1)


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(framed(1, 11, b"\0" * 20), id="a fetch"),
        pytest.param(framed(PRODUCE, 8, struct.pack(">hhii", -1, -1, 1_000, 0)), id="a produce without transactions"),
        pytest.param(framed(PRODUCE, 12, b"\0\0" + struct.pack(">hib", -1, 1_000, 1)), id="a flexible one without"),
        pytest.param(framed(24, 4, b"\0\2"), id="a broker's verification"),
    ],
)
def test_a_request_of_no_transactional_id_passes_unseen(frame):
    assert frames.request(frame) is None


def test_an_answer_s_first_error_and_offsets_are_read_in_flexible_and_older_versions():
    assert frames.answer(END_FENCED_5, frames.request(END_5)) == Answer(PRODUCER_FENCED)
    assert frames.answer(OFFSET_TAKEN_5, frames.request(OFFSET_5)) == Answer(INVALID_PRODUCER_EPOCH)
    for answered, asked, topic in ((PRODUCED_12, PRODUCE_12, b"p"), (PRODUCED_13, PRODUCE_13, b"\0" * 15 + b"\5")):
        told = frames.answer(answered, frames.request(asked))
        assert told == Answer(INVALID_PRODUCER_EPOCH, ((topic, 3, 40), (topic, 4, -1)))
    end = frames.request(of_version_1(EndTxnRequest("g-0", 9, 2, True), END_TXN))
    assert frames.answer(struct.pack(">iiih", 10, 7, 0, 51), end) == Answer(51)
    produce = frames.request(framed(PRODUCE, 8, struct.pack(">h3shii", 3, b"g-0", -1, 1_000, 0)))
    body = struct.pack(">ih1siihqqqihi", 1, 1, b"p", 1, 3, 0, 40, -1, 0, 0, -1, 0)
    assert frames.answer(struct.pack(">ii", len(body) + 4, 7) + body, produce) == Answer(0, ((b"p", 3, 40),))


WRITTEN_AT_40 = Answer(0, ((b"p", 3, 40),))


@pytest.mark.parametrize(
    ("frame", "when", "before", "after", "is_touching"),
    [
        pytest.param(PRODUCE_12, WRITTEN, WRITTEN_AT_40, Answer(INVALID_PRODUCER_EPOCH), False, id="a refused Produce"),
        pytest.param(PRODUCE_12, SENT, WRITTEN_AT_40, WRITTEN_AT_40, False, id="a Produce whose batch is known"),
        pytest.param(PRODUCE_12, ENDED, WRITTEN_AT_40, Answer(0, ((b"p", 3, 44),)), True, id="a Produce written again"),
        pytest.param(OFFSET_5, ENDED, Answer(0), Answer(0), False, id="an offset of the transaction that ends"),
        pytest.param(OFFSET_5, WRITTEN, Answer(0), Answer(0), True, id="an offset of the next one"),
        pytest.param(END_5, ENDED, Answer(0), Answer(0), False, id="an EndTxn as a retry"),
        pytest.param(END_5, SENT, Answer(0), Answer(0), True, id="an EndTxn of the next one"),
        pytest.param(END_5, SENT, Answer(0), Answer(PRODUCER_FENCED), False, id="a refused EndTxn"),
    ],
)
def test_a_copy_touches_a_later_transaction_if_kafka_accepts_more_than_a_retry(frame, when, before, after, is_touching):
    assert touches(frames.request(frame), when, before, after) is is_touching


class Broker:
    """Answers the worker's requests, and copies, which come over other connections, with a code of the test's."""

    def __init__(self, code):
        self._code = code
        self._written = 0
        self._is_open = False
        self._has_worker = False
        self.copies = Counter()
        """Whether a transaction is open -> number of copies that came meanwhile."""

    async def serve(self, reader, writer):
        is_worker, self._has_worker = not self._has_worker, True
        try:
            while True:
                size = await reader.readexactly(4)
                request = frames.request(size + await reader.readexactly(int.from_bytes(size, "big")))
                if is_worker:
                    self._is_open = request.api_key != END_TXN
                else:
                    self.copies[self._is_open] += 1
                    await asyncio.sleep(0.005)  # the worker would go on meanwhile, were it not held back
                writer.write(self._answer(request.api_key, 0 if is_worker else self._code))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, api_key, code):
        self._written += 1
        body = {
            PRODUCE: b"\2\2p\2" + struct.pack(">ihqqq", 3, code, self._written, -1, 0) + b"\1\0\0\0" + b"\0" * 5,
            TXN_OFFSET_COMMIT: b"\0\0\0\0\2\2r\2" + struct.pack(">ih", 0, code) + b"\0\0\0",
            END_TXN: struct.pack(">ihqhb", 0, code, 9, 3, 0),
        }[api_key]
        return struct.pack(">iib", len(body) + 5, 7, 0) + body


async def copied(code, count):
    """Let a worker of version 2 run through the proxy until all copies are sent; return the copier and the broker."""
    front, behind = islice(free_ports(), 2)
    broker = Broker(code)
    server = await asyncio.start_server(broker.serve, "127.0.0.1", behind)
    async with server, Proxy(listen_port=front, target_port=behind) as proxy:
        copier = proxy.tap = Copier(port=behind, count=count, random=random.Random(1))
        reader, writer = await asyncio.open_connection("127.0.0.1", front)
        async with asyncio.timeout(30):
            while not copier.is_done:
                for frame in (PRODUCE_12, OFFSET_5, END_5):
                    writer.write(frame)
                    await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
        writer.close()
    return copier, broker


async def test_copies_arrive_between_transactions_and_within_the_next_one_while_the_worker_is_held():
    copier, broker = await copied(INVALID_PRODUCER_EPOCH, count=3)
    assert broker.copies == {False: 3, True: 6}
    assert {(kind, when) for kind, when, *_ in copier.table} == {(kind, when) for kind in NAMES for when in MOMENTS}
    assert copier.sent == dict.fromkeys(NAMES, 3)
    assert copier.findings() == []


async def test_each_copy_that_kafka_accepts_in_a_later_transaction_of_version_2_is_found():
    copier, _ = await copied(0, count=3)
    found = "\n".join(copier.findings())
    for name in NAMES.values():
        for when in (WRITTEN, SENT):
            assert f"a late copy of {name} touched a later transaction of version 2, {when}: 1 times" in found
    assert f"copy of Produce touched a later transaction of version 2, {ENDED}" in found, "it is written once more"


def test_workers_that_know_version_2_must_follow_each_change_and_others_have_nothing_to_follow():
    assert unfollowed([(1, Counter({1: 9})), (2, Counter({1: 9}))]) == []
    assert unfollowed([(1, Counter({1: 9})), (2, Counter({2: 9}))]) == []
    assert len(unfollowed([(1, Counter({2: 9})), (2, Counter({2: 9}))])) == 1
    assert len(unfollowed([(1, Counter({1: 9})), (2, Counter({1: 1, 2: 9}))])) == 1
