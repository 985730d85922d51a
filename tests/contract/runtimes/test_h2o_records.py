"""The host answers record batches with record batches: what a producer would send of the same answers."""

import asyncio
import itertools
import random
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from aiokafka.record.default_records import DefaultRecordBatch

from fakes.examples import GBM
from fakes.flat import CASES, STRICT, Requests, proto
from faults.raw_batches import Record, batch, record, varint
from harness.lab import Lab
from hotswap.batch import Limits, RecordBatch, Stamp
from hotswap.codec.proto import compile as compile_proto
from hotswap.generation import Generation, Model, Proto
from hotswap.kafka.group.inbox import Inbox
from hotswap.kafka.topics.contents import Bounds, Unpacker
from hotswap.kafka.topics.records import RawBatch
from hotswap.pipeline.admission import ONCE, Rules
from hotswap.pipeline.answering import Answering, Batch
from hotswap.recordbatch.header import TRANSACTIONAL, Header, size_of

REQUESTS = 3_000
BASE = 1_000
LIMIT = 200
STAMP = Stamp(producer_id=7, producer_epoch=3, sequence=(1 << 31) - 500, is_transactional=True, max_bytes=20_000)
LIMITS = Limits(prediction=67_000, dead_letter=100_000)
BOUNDS = Bounds(unpacked=4 << 20, record=4_000)
RULES = Rules(proto_sha256="f" * 64, operations=("f",), max_request_bytes=400)
GENERATION = Generation(12, Model("file:///m", "a" * 64), Proto.inline("x"))
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
NAMES = (
    b"traceparent",
    b"",
    b"x-y",
    b"content-type",
    b"accept",
    b"operation",
    b"generation",
    b"source",
    b"\xc3\x28",
    b"request-id",
)
VALUES = (b"1", b"", None, b"text/csv", b"application/json", b"f", b"nothing that is known", b"\xff" * 300)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab.of(tmp_path_factory.mktemp("lab") / "records", "h2o") as made:
        yield made


class Host:
    """A lab's generation as a model host; `scored` counts the requests whose values it got."""

    def __init__(self, lab, *, can_seal):
        self._lab = lab
        self.can_seal = can_seal
        self.scored = 0

    async def score(self, values, asks=None, *, is_suspect=False):
        assert not is_suspect
        self.scored += len(values)
        return list(self._lab.score(values, asks).answers)

    async def seal(self, seal, given):
        return self._lab.seal(seal, given)


def batches_of(values, draw, *, is_clean, offset=BASE):
    """Cut values into record batches of random sizes and codecs, with random keys and headers, and some damage."""
    found, values = [], iter(values)
    while chunk := list(itertools.islice(values, draw.choice((1, 2, 40, 120)))):
        records = [Record(value=value, key=b"k" if is_clean else key(draw)) for value in chunk]
        if not is_clean:
            records = [with_headers(one, draw) for one in records]
        made = batch(records, draw.choice(CODECS))
        if not is_clean and draw.random() < 0.3:
            made = damaged(made, draw)
        found.append(made.at(offset))
        offset += made.count if made.last_delta is None else made.last_delta + 1
        offset += 50 if len(found) % 3 == 0 else 0  # transaction markers, aborted records
    return found


def key(draw):
    return draw.choice((None, b"", b"key", b"k" * 40, b"k" * (2_000 if draw.random() < 0.05 else 3)))


def with_headers(one, draw):
    if draw.random() < 0.7:
        return one
    value = None if draw.random() < 0.05 else one.value + bytes(5_000) if draw.random() < 0.02 else one.value
    names = [draw.choice(NAMES) if draw.random() < 0.2 else b"traceparent" for _ in range(draw.randrange(3))]
    names += names[:1] * (draw.random() < 0.2)
    headers = tuple((name, draw.choice(VALUES)) for name in names)
    return Record(value=value, key=one.key, headers=headers)


def damaged(made, draw):
    """A batch whose checksum is right, and whose records or header are wrong, or that has gaps."""
    how, body = draw.randrange(5), made.records
    at = draw.randrange(len(body))
    if how == 0:
        return made.replaced(records=body[:at] + bytes([body[at] ^ 1 << draw.randrange(8)]) + body[at + 1 :])
    if how == 1:
        return made.replaced(records=body[:at])
    if how == 2:
        return made.replaced(records=body + varint(draw.randrange(9)))
    if how == 3:  # as compaction leaves it
        return made.replaced(last_delta=made.count + draw.randrange(3))
    return made.replaced(records=body + record(Record(value=b"x"), made.count))


def answers_of(host, batches, sealed=None):
    """Answer all that an inbox delivers; return predictions, dead letters, and how many requests went each way."""
    unpacker, inbox = Unpacker(BOUNDS), Inbox(TopicPartition("d.requests", 3), max_bytes=1 << 30, deployment="d")
    inbox.open(BASE)
    inbox.put([RawBatch(memoryview(data), start=BASE, unpacker=unpacker) for data in batches])
    answering = Answering("d.requests-3", SimpleNamespace(stamp=STAMP, limits=LIMITS))
    serving = SimpleNamespace(generation=GENERATION, rules=RULES, host=host)
    predictions, dead_letters = [], []
    while True:
        if host.can_seal and (raw := inbox.take_raw(LIMIT, None)):
            taken = Batch(raw.first, raw.next, raw.size, raw.is_full, raw=raw)
        elif requests := inbox.take(LIMIT, None):
            taken = Batch(requests[0].offset, requests[-1].offset + 1, len(requests), False, requests)
        else:
            return predictions, dead_letters
        answers = asyncio.run(answering.answer(serving, taken))
        sequence = STAMP.sequence
        for one in answers.predictions:
            if isinstance(one, RecordBatch):
                sequence = check(one, sequence)
                predictions += [
                    (found.key, found.value, found.headers) for found in DefaultRecordBatch(bytes(one.data))
                ]
                sealed.append(one.records)
            else:
                predictions.append(one)
        dead_letters += answers.dead_letters


def check(one, sequence):
    """Check a sealed batch as a broker does; return the sequence number after it."""
    header = Header.read(one.data)
    assert DefaultRecordBatch(bytes(one.data)).validate_crc()
    assert (header.base_offset, header.magic, header.attributes) == (0, 2, TRANSACTIONAL)
    assert size_of(one.data) == len(one.data)
    assert header.last_offset_delta + 1 == header.records_count == one.records
    assert header.base_timestamp == header.max_timestamp > 0
    assert header.producer == (STAMP.producer_id, STAMP.producer_epoch, sequence)
    assert len(one.data) <= STAMP.max_bytes or one.records == 1
    return (sequence + one.records) % (1 << 31)


@pytest.mark.parametrize("name", CASES)
def test_record_batches_are_answered_as_their_requests_are(lab, name):
    messages, taken, answer, configuration = CASES[name]
    source = proto(messages + answer, taken)
    (operation,) = compile_proto(source).operations.values()
    draw, sealed = random.Random(f"{name} 1"), []
    requests = Requests(operation, seed=len(name))
    batches = batches_of(requests.take(REQUESTS), draw, is_clean=False)
    batches += batches_of(requests.good(2 * LIMIT), draw, is_clean=True, offset=BASE + 10 * REQUESTS)
    assert lab.load(GBM.load(proto=source, configuration=configuration)).seals

    raw = answers_of(Host(lab, can_seal=True), batches, sealed)
    plain = answers_of(Host(lab, can_seal=False), batches)

    assert raw[0] == plain[0]
    assert raw[1] == plain[1]
    assert sealed or configuration is STRICT
    codes = {dict(headers)["code"] for _, _, headers in raw[1]}
    assert {b"UNREADABLE", b"UNDECODABLE", b"TOO_LARGE", b"MALFORMED_HEADER"} <= codes


@pytest.mark.parametrize("name", sorted(ONCE))
def test_a_header_of_ours_that_is_repeated_is_refused_both_ways_and_once_is_not(lab, name):
    messages, taken, answer, configuration = CASES["single"]
    source = proto(messages + answer, taken)
    (operation,) = compile_proto(source).operations.values()
    lab.load(GBM.load(proto=source, configuration=configuration))
    (value,) = Requests(operation, seed=1).good(1)
    given = {"operation": b"f", "content-type": b"", "accept": b"*/*", "proto-digest": b"f" * 64, "not-after": b""}
    header = name.encode(), given.get(name, b"1")
    records = [Record(value=value)] * 5 + [Record(value=value, headers=(header, (b"x", b"1"), (b"x", b"1")))]
    records.append(Record(value=value, headers=(header, (b"x", b"1"), header)))
    sealed = []

    raw = answers_of(Host(lab, can_seal=True), [batch(records).at(BASE)], sealed)

    assert sealed
    assert raw == answers_of(Host(lab, can_seal=False), [batch(records).at(BASE)])
    predictions, ((_, kept, headers),) = raw
    assert len(predictions) == 6
    for _, _, answered in predictions:
        ours = [one for one, _ in answered if one in {"source", "generation", "model-digest", "operation"}]
        assert sorted(ours) == ["generation", "model-digest", "operation", "source"]
        assert dict(answered)["operation"] == b"f"
    assert kept == value
    assert [one for one, _ in headers].count(name) == 2
    assert dict(headers)["code"] == b"MALFORMED_HEADER"
    assert f"header {name}:".encode() in dict(headers)["message"]


def test_good_requests_are_answered_without_being_parsed(lab):
    host, sealed = Host(lab, can_seal=True), []
    lab.load(GBM.load())
    values = [value for value, _ in zip(itertools.cycle(GBM.requests()), range(REQUESTS), strict=False)]

    predictions, dead_letters = answers_of(host, batches_of(values, random.Random(1), is_clean=True), sealed)

    assert (len(predictions), dead_letters, sum(sealed), host.scored) == (REQUESTS, [], REQUESTS, 0)
