"""Requests fetched but not yet taken: bounded, in order, split at a cut."""

import asyncio
import hashlib

import pytest
from aiokafka import TopicPartition

from fakes.data_plane import FakeBatch, FakeRequest
from hotswap import metrics
from hotswap.batch import Code, Refusal
from hotswap.errors import DamagedBatch, Doubt
from hotswap.kafka.group.inbox import Inbox
from hotswap.kafka.topics.records import Damaged


@pytest.fixture
def inbox():
    inbox = Inbox(TopicPartition("t", 0), max_bytes=100, deployment="d")
    inbox.open(5)
    return inbox


def requests(*offsets, size=10):
    return [FakeBatch([FakeRequest(offset, b"x" * size)]) for offset in offsets]


def taken(inbox, limit, until=None):
    return [request.offset for request in inbox.take(limit, until)]


async def test_requests_are_taken_in_order_across_fetches(inbox):
    inbox.put(requests(5, 6))
    inbox.put(requests(7, 9))
    assert await inbox.wait() == 5
    assert taken(inbox, 3) == [5, 6, 7]
    assert await inbox.wait() == 9
    assert taken(inbox, 3) == [9]
    assert inbox.position == 10


async def test_nothing_from_the_cut_on_is_taken_even_where_offsets_have_gaps(inbox):
    inbox.put(requests(5, 6, 9, 12))
    assert taken(inbox, 10, until=8) == [5, 6]
    assert taken(inbox, 10, until=12) == [9]
    assert taken(inbox, 10, until=13) == [12]


async def test_a_full_inbox_says_so_until_it_is_half_empty(inbox):
    inbox.put(requests(*range(5, 15)))
    assert inbox.is_full
    inbox.take(4, None)
    assert not inbox.has_room
    inbox.take(1, None)
    assert inbox.has_room


async def test_a_batch_frees_its_bytes_once_its_last_request_is_taken(inbox):
    inbox.put([FakeBatch([FakeRequest(5, b"x" * 90), FakeRequest(6, None), FakeRequest(7, b"x" * 10)])])
    inbox.take(1, None)
    inbox.take(1, None)
    assert inbox.is_full
    inbox.take(1, None)
    inbox.put(requests(*range(8, 17)))
    assert not inbox.is_full
    inbox.put(requests(17))
    assert inbox.is_full


async def test_large_requests_are_taken_up_to_a_byte_limit_and_always_at_least_one(inbox):
    inbox.put(requests(5, 6, size=4 << 20))
    assert taken(inbox, 10) == [5]
    assert taken(inbox, 10) == [6]


async def test_a_damaged_batch_is_fetched_three_more_times_before_it_holds_its_partition(inbox):
    damaged = Damaged(6, 9, b"batch")
    inbox.put([*requests(5), damaged])
    assert taken(inbox, 10) == [5]
    for _ in range(2):
        inbox.put([damaged])
    waiting = asyncio.create_task(inbox.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    inbox.put([damaged])
    with pytest.raises(DamagedBatch) as raised:
        await waiting
    assert raised.value.offset == 6
    assert inbox.is_full


async def test_a_batch_that_is_sound_when_fetched_again_is_taken_normally(inbox):
    damaged = Damaged(5, 6, b"batch")
    for _ in range(2):
        inbox.put([damaged])
        inbox.put([damaged])
        inbox.put(requests(inbox.position))
    assert taken(inbox, 10) == [5, 6]
    assert not inbox.is_full


async def test_a_damaged_batch_that_is_skipped_is_refused_offset_by_offset(inbox):
    for _ in range(4):
        inbox.put([Damaged(5, 8, b"batch")])
    assert inbox.skip("as ordered") == 8
    assert await inbox.wait() == 5
    refused = inbox.take(10, None)
    assert [(one.offset, one.refusal) for one in refused] == [
        (offset, Refusal(Code.UNREADABLE, "as ordered")) for offset in (5, 6, 7)
    ]
    assert refused[0].facts == (("batch-sha256", hashlib.sha256(b"batch").hexdigest().encode()),)
    assert inbox.position == 8
    assert inbox.has_room


async def test_wait_returns_none_after_stop_even_with_requests_left(inbox):
    waiting = asyncio.create_task(inbox.wait())
    await asyncio.sleep(0)
    inbox.stop()
    assert await waiting is None
    inbox.put(requests(5))
    assert await inbox.wait() is None


async def test_a_position_that_the_topic_does_not_have_raises_doubt_until_opened_again(inbox):
    inbox.fail(Doubt("gone"))
    with pytest.raises(Doubt):
        await inbox.wait()
    inbox.open(20)
    inbox.put(requests(20))
    assert await inbox.wait() == 20


async def test_opening_again_drops_what_was_fetched_for_the_old_position(inbox):
    inbox.put(requests(5, 6))
    inbox.open(5)
    inbox.put(requests(5))
    assert taken(inbox, 10) == [5]
    assert not inbox.is_full


async def test_an_empty_inbox_reports_the_offsets_of_markers_once(inbox):
    inbox.reach(5)
    waiting = asyncio.create_task(inbox.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    inbox.reach(7)
    assert await waiting == 7
    assert inbox.take(10, None) == []
    inbox.wake()
    assert await inbox.wait() == 7
    inbox.put(requests(9))
    inbox.reach(9)
    assert await inbox.wait() == 9
    assert taken(inbox, 10) == [9]


@pytest.mark.parametrize("tell", ["reach", "wake"])
async def test_a_place_that_was_told_before_requests_came_is_not_gone_back_to_once_they_are_taken(inbox, tell):
    if tell == "reach":
        inbox.reach(7)
    else:
        inbox.wake()
    inbox.put(requests(7, 8))
    assert await inbox.wait() == 7
    assert taken(inbox, 10) == [7, 8]
    assert await inbox.wait() == 9


async def test_requests_that_compaction_removed_are_counted_once_however_often_they_are_fetched(inbox):
    assert inbox.warning == ""
    counted = metrics.DELETED.labels("d")._value.get()
    for begin, end, count in ((5, 9, 3), (9, 20, 7), (5, 9, 3), (9, 20, 7), (20, 22, 1)):
        inbox.removed(begin, end, count)
    assert metrics.DELETED.labels("d")._value.get() - counted == 11
    assert "removed 11 requests between offset 5 and 21" in inbox.warning
    assert "cleanup.policy of t to delete" in inbox.warning


async def test_the_oldest_request_is_the_one_in_hand_or_else_the_first_that_is_not_taken(inbox):
    first, second = FakeRequest(5, b"x", timestamp=1_000), FakeRequest(6, b"x", timestamp=2_000)
    inbox.put([FakeBatch([first]), FakeBatch([second])])
    assert inbox.oldest_ms(is_in_hand=False) == 1_000
    inbox.take(1, None)
    assert inbox.oldest_ms(is_in_hand=True) == 1_000
    assert inbox.oldest_ms(is_in_hand=False) == 2_000
    inbox.take(1, None)
    assert inbox.oldest_ms(is_in_hand=False) == 0
