"""The tools for fuzzing raw records: batches as Kafka's own client reads them, and their way through the proxy."""

import os
import struct

import pytest
from aiokafka.protocol import fetch
from aiokafka.record.memory_records import MemoryRecords

from faults import fetches, fuzz_records
from faults.raw_batches import CODECS, Record, batch, old_format
from faults.record_inputs import items

SEED = int(os.environ.get("HOTSWAP_TEST_SEED", "1"))
RECORDS = [
    Record(value=b"a", key=None, headers=((b"h", b"1"), (b"h", None), (b"", b""))),
    Record(value=None, key=b""),
    Record(value=b"b" * 70_000, key=b"k" * 200, headers=((b"n" * 300, b"x"),)),
]


def read(data):
    """Return offset, key, value and headers of each record, as aiokafka reads them."""
    memory, found = MemoryRecords(data), []
    while memory.has_next():
        each = memory.next_batch()
        assert each.validate_crc()
        found += [(one.offset, one.key, one.value, tuple(one.headers)) for one in each]
    return found


@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_is_read_as_it_was_made_by_every_codec(codec):
    found = read(batch(RECORDS, codec).at(40))
    headers = [tuple((name.decode(), held) for name, held in each.headers) for each in RECORDS]
    assert found == [
        (40 + delta, each.key, each.value, headers[delta]) for delta, each in enumerate(RECORDS)
    ]  # fmt: skip


@pytest.mark.parametrize("magic", [0, 1])
def test_a_message_of_an_old_format_is_read_as_it_was_made(magic):
    assert read(old_format(Record(value=b"v", key=b"k"), 9, magic)) == [(9, b"k", b"v", ())]


@pytest.mark.parametrize("version", fetches.VERSIONS)
def test_batches_are_changed_in_the_answer_to_a_fetch_of_every_version(version):
    good, other = batch(RECORDS), batch(RECORDS[:1], "zstd")
    records = good.at(0) + good.at(3) + good.at(6)[:50]

    def partition(number, aborted, held):
        start = [0] if version >= 5 else []
        replica = [-1] if version >= 11 else []
        return (number, 0, 9, 9, *start, aborted, *replica, held)

    def answer(*held):
        topics = [("t", [partition(0, [(5, 1)], held[0]), partition(1, [], b"")]), ("u", [partition(3, [], held[1])])]
        head = (0, 0, 0) if version >= 7 else (0,)
        body = b"\0\0\0\x01" + getattr(fetch, f"FetchResponse_v{version}")(*head, topics).encode()
        return struct.pack(">i", len(body)) + body

    seen = []

    def change(topic, number, found):
        seen.append((topic, number, found))
        return other.at(3) if found == good.at(3) else found

    changed = fetches.changed(answer(records, good.at(3)), version, change)
    assert changed == answer(good.at(0) + other.at(3) + good.at(6)[:50], other.at(3))
    assert [(topic, number) for topic, number, _ in seen] == [("t", 0), ("t", 0), ("t", 0), ("u", 3)]


def test_the_same_seed_is_the_same_batches():
    def first(seed):
        made = items(seed, 0)
        return [(each.kind, each.at(0)) for each in (next(made) for _ in range(60))]

    assert first(SEED) == first(SEED)
    assert first(SEED) != first(SEED + 1)


async def test_a_worker_gives_each_offset_what_is_due_to_it_whatever_it_reads(tmp_path):
    figures = await fuzz_records.run(tmp_path, seed=SEED, count=1_500, say=lambda _: None)
    assert figures.findings == []
    assert len(figures.kinds) > 15
