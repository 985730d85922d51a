"""Requests that are fetched and not yet taken: bounded, in order, split where a cut is."""

import asyncio

import pytest
from aiokafka import TopicPartition
from fakes.data_plane import FakeRequest

from worker.errors import Doubt
from worker.kafka.inbox import Inbox


@pytest.fixture
def inbox():
    inbox = Inbox(TopicPartition("t", 0), max_bytes=100, deployment="d")
    inbox.open(5)
    return inbox


def requests(*offsets, size=10):
    return [FakeRequest(offset, b"x" * size) for offset in offsets]


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


async def test_bytes_are_given_back_exactly_however_the_fetch_is_split(inbox):
    inbox.put([FakeRequest(5, b"x" * 90), FakeRequest(6, None), FakeRequest(7, b"x" * 10)])
    for _ in range(3):
        inbox.take(1, None)
    inbox.put(requests(*range(8, 17)))
    assert not inbox.is_full
    inbox.put(requests(17))
    assert inbox.is_full


async def test_whoever_waits_is_told_to_stop_even_with_requests_left(inbox):
    waiting = asyncio.create_task(inbox.wait())
    await asyncio.sleep(0)
    inbox.stop()
    assert await waiting is None
    inbox.put(requests(5))
    assert await inbox.wait() is None


async def test_a_position_that_the_topic_does_not_have_is_a_doubt_until_it_is_opened_again(inbox):
    inbox.fail(Doubt("gone"))
    with pytest.raises(Doubt):
        await inbox.wait()
    inbox.open(20)
    inbox.put(requests(20))
    assert await inbox.wait() == 20


async def test_opening_again_throws_away_what_was_fetched_for_the_old_position(inbox):
    inbox.put(requests(5, 6))
    inbox.open(5)
    inbox.put(requests(5))
    assert taken(inbox, 10) == [5]
    assert not inbox.is_full


async def test_where_nothing_arrives_the_offsets_of_markers_are_reported_once_for_each_look(inbox):
    inbox.reach(5)
    waiting = asyncio.create_task(inbox.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    inbox.reach(7)
    assert await waiting == 7
    assert inbox.take(10, None) == []
    inbox.put(requests(9))
    inbox.reach(9)
    assert await inbox.wait() == 9
    assert taken(inbox, 10) == [9]
