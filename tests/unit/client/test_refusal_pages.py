"""Pages of dead letters, the newest first."""

import pytest

from hotswap.client import refusals
from hotswap.client.refusals import newest
from hotswap.errors import Doubt, UsageError


@pytest.fixture
def refused(cluster, settings):
    """300 dead letters in two partitions, a millisecond apart; every hundredth is rare, the first ten are deleted."""
    topic = settings.topics.dead_letters
    for at in range(300):
        code = b"RARE" if at % 100 == 50 else b"UNDECODABLE"
        partition = 0 if at % 3 else 1
        cluster.append(topic, b"%d" % at, headers=[("code", code)], partition=partition)
        cluster.topics[topic][partition][-1].timestamp = at
    cluster.begins[topic] = 10
    return cluster


async def read_all(settings, limit, **asked):
    """Return the timestamps on each page."""
    pages, before = [], None
    while True:
        page = await newest(settings, limit, before=before, **asked)
        pages.append([record.timestamp for record in page.records])
        before = page.before
        if before is None:
            return pages


def flat(pages):
    return [at for page in pages for at in page]


def kept():
    return [at for at in range(299, -1, -1) if (at // 3 >= 10 if at % 3 == 0 else at - at // 3 - 1 >= 10)]


@pytest.mark.parametrize("limit", [1, 7, 100, 1_000])
async def test_pages_have_each_dead_letter_once_the_newest_first(refused, settings, limit):
    pages = await read_all(settings, limit)
    assert flat(pages) == kept()
    assert all(len(page) == limit for page in pages[:-1])


async def test_those_of_a_code_or_a_partition_are_found_among_all(refused, settings):
    assert await read_all(settings, 10, code="RARE") == [[250, 150, 50]]
    assert await read_all(settings, 10, code="NONE") == [[]]
    assert flat(await read_all(settings, 40, partition=1)) == [at for at in kept() if at % 3 == 0]
    with pytest.raises(UsageError, match="partitions 0 to 1, and none 2"):
        await newest(settings, 1, partition=2)
    with pytest.raises(UsageError, match="none 7"):
        await newest(settings, 1, before={7: 0})


async def test_new_ones_do_not_disturb_who_turns_pages(refused, settings):
    first = await newest(settings, 5)
    refused.append(settings.topics.dead_letters, b"new", partition=0)
    second = await newest(settings, 5, before=first.before)
    assert [record.timestamp for record in (*first.records, *second.records)] == kept()[:10]


async def test_a_page_ends_once_it_has_looked_at_enough_and_the_next_one_goes_on(refused, settings, monkeypatch):
    monkeypatch.setattr(refusals, "_SCANNED", 30)
    pages = await read_all(settings, 1, code="RARE")
    assert flat(pages) == [250, 150, 50]
    assert [] in pages


async def test_a_page_has_and_is_made_of_only_so_many_bytes(refused, settings, monkeypatch):
    size, held = len(b"299UNDECODABLE"), []
    take = refusals._Pager._take

    def spy(pager, windows):
        held.append(sum(window.size for window in windows.values()))
        return take(pager, windows)

    monkeypatch.setattr(refusals._Pager, "_take", spy)
    monkeypatch.setattr(refusals, "_HELD_BYTES", 5 * size)
    monkeypatch.setattr(refusals, "_PAGE_BYTES", 3 * size)
    pages = await read_all(settings, 100)
    assert flat(pages) == kept()
    assert {len(page) for page in pages} <= {1, 2, 3, 4}
    assert max(held) <= 5 * size


async def test_dead_letters_of_an_empty_topic_are_one_empty_page(cluster, settings):
    assert await newest(settings, 5) == ([], None)


async def test_a_topic_that_cannot_be_read_is_told(refused, settings, monkeypatch):
    async def nothing(reader, timeout_s):
        return []

    reader = refusals.LogReader.func
    monkeypatch.setattr(reader, "read", nothing)
    monkeypatch.setattr(reader, "damaged", "it is damaged", raising=False)
    settings = settings.model_copy(update={"call_timeout_s": 0.0})
    with pytest.raises(Doubt, match="it is damaged"):
        await newest(settings, 5)
