"""A report that a generation serves counts once the committed offsets name it: anybody may have written it."""

import asyncio
import time

import pytest

from fakes.client import MODEL, first_swap
from fakes.kafka_admin import FakeAdmin
from fakes.kafka_logs import FakeWorker
from hotswap.client.change import Change
from hotswap.client.client import Client
from hotswap.errors import Doubt

SHORT_S = 0.3


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"session_timeout_ms": 100})


def forger(cluster, settings, name="w1", **more):
    """A stranger who reports as a worker does, commits nothing, and is no member of the group."""
    made = FakeWorker(cluster, settings, name, **more)
    cluster.members.discard(name)
    made.commits = False
    return made


def commits_first_partition(cluster, settings):
    """Have partition 0 commit generation 2 once a swap is published."""

    def commit(record):
        if record.topic == settings.topics.control:
            cluster.scored = {0: 2, 1: 1}

    cluster.on_append.append(commit)


async def swapped(settings, timeout_s=SHORT_S, **more):
    async with Client(settings) as client:
        return await client.await_swap(await client.swap(Change(model=MODEL)), timeout_s, **more)


@pytest.fixture
async def served(cluster, settings):
    """Generation 1 serves, by a worker that then reports nothing any more."""
    worker = FakeWorker(cluster, settings)
    async with Client(settings) as client:
        assert (await client.await_swap(await first_swap(client), SHORT_S)).is_good
    cluster.on_append.clear()
    return worker


async def test_a_forged_report_of_a_worker_that_has_stopped_does_not_count(cluster, settings, served):
    forger(cluster, settings, "w1")
    answer = await swapped(settings)
    assert (answer.is_good, answer.is_complete) == (False, False)
    assert answer.unconfirmed == (
        "w1 reported that it serves, but the committed offsets of group d name generation 1 for partitions 0-1"
    )


@pytest.mark.parametrize("outcome", ["SERVING", "RETIRED", "APPLIED", "DUPLICATE"])
async def test_no_outcome_counts_before_the_first_commit_of_all(cluster, settings, outcome):
    forger(cluster, settings, outcomes=(outcome,))
    async with Client(settings) as client:
        answer = await client.await_swap(await first_swap(client), SHORT_S)
    assert not answer.is_good
    assert answer.unconfirmed.endswith("name none for partitions 0-1")


async def test_one_partition_that_is_behind_is_enough_and_is_named(cluster, settings, served):
    worker = forger(cluster, settings, "w1")
    commits_first_partition(cluster, settings)
    answer = await swapped(settings)
    assert answer.unconfirmed.endswith("name generation 1 for partition 1")
    assert worker.name in answer.unconfirmed


async def test_a_report_counts_once_the_offsets_name_that_generation_or_a_later_one(cluster, settings, served):
    forger(cluster, settings, "w1")
    waiting = asyncio.create_task(swapped(settings, 5))
    reads = cluster.offset_reads
    while cluster.offset_reads < reads + 3 and not waiting.done():
        await asyncio.sleep(0.01)
    assert not waiting.done()
    cluster.scored = {0: 2, 1: 3}
    answer = await waiting
    assert (answer.is_good, answer.unconfirmed) == (True, "")


async def test_a_user_who_may_not_describe_the_group_is_told_so_and_takes_the_reports(cluster, settings, served):
    cluster.is_group_hidden = True
    FakeWorker(cluster, settings)
    answer = await swapped(settings)
    assert answer.is_good
    assert answer.unverified == "User:NAME lacks the right Describe of group d"


async def test_while_kafka_is_away_nothing_is_confirmed_and_then_it_is(cluster, settings, served, monkeypatch):
    FakeWorker(cluster, settings)
    committed, failures = FakeAdmin.committed, iter((True, True))

    async def fails_at_first(self, *given):
        if next(failures, False):
            raise Doubt("no answer")
        return await committed(self, *given)

    async with Client(settings) as client:
        receipt = await client.swap(Change(model=MODEL))
        monkeypatch.setattr(FakeAdmin, "committed", fails_at_first)
        assert (await client.await_swap(receipt, 5)).is_good
    assert next(failures, None) is None


async def test_a_failure_is_told_at_once_and_no_offset_is_asked_for(cluster, settings, served):
    FakeWorker(cluster, settings, outcomes=("STAGING", "FAILED"))
    async with Client(settings) as client:
        receipt = await client.swap(Change(model=MODEL))
        before = cluster.offset_reads
        answer = await client.await_swap(receipt, 5)
    assert (answer.is_complete, answer.is_good, cluster.offset_reads) == (True, False, before)


async def test_a_pause_is_no_swap_and_needs_no_offsets(cluster, settings, served):
    forger(cluster, settings)
    async with Client(settings) as client:
        assert (await client.await_swap(await client.pause(), SHORT_S)).is_good


async def test_a_paused_deployment_commits_nothing_and_a_member_that_lives_is_believed(cluster, settings, served):
    worker = FakeWorker(cluster, settings)
    worker.commits = False
    async with Client(settings) as client:
        await client.pause()
    assert (await swapped(settings, 5)).is_good


async def test_a_stranger_is_not_believed_though_the_deployment_is_paused(cluster, settings, served):
    forger(cluster, settings, "w1")
    async with Client(settings) as client:
        await client.pause()
    assert "partitions 0-1" in (await swapped(settings)).unconfirmed


async def test_a_partition_that_a_member_reports_as_held_and_nothing_else_needs_no_commit(cluster, settings, served):
    worker = FakeWorker(cluster, settings)
    worker.commits = False
    worker.speak(partitions={0: "", 1: "is damaged"}, generation=1)
    commits_first_partition(cluster, settings)
    assert (await swapped(settings, 5)).is_good


@pytest.mark.parametrize("doubt", ["no member", "no longer live", "contradicted"])
async def test_a_partition_is_not_held_because_somebody_says_so(cluster, settings, served, doubt):
    worker = FakeWorker(cluster, settings)
    worker.commits = False
    commits_first_partition(cluster, settings)
    if doubt == "no member":
        cluster.members.clear()
    age_s = 100.0 if doubt == "no longer live" else 0.0
    worker.speak(partitions={1: "is damaged"}, generation=1, age_s=age_s)

    async def contradict():
        while True:
            await asyncio.sleep(0.03)
            if doubt == "contradicted":
                worker.speak(partitions={1: ""}, generation=1)
                worker.speak(partitions={1: "is damaged"}, generation=1)

    contradicting = asyncio.create_task(contradict())
    answer = await swapped(settings, 0.6)
    contradicting.cancel()
    assert answer.unconfirmed.endswith("name generation 1 for partition 1")


async def test_who_only_reports_to_live_does_not_keep_a_swap_from_its_end(cluster, settings, served):
    FakeWorker(cluster, settings)
    ghost = forger(cluster, settings, "ghost", outcomes=())
    answer = await swapped(settings)
    assert (answer.is_good, answer.missing, answer.strangers) == (True, (), ("ghost",))
    cluster.members.add("ghost")
    answer = await swapped(settings)
    assert (answer.is_good, answer.missing, answer.strangers) == (False, (ghost.name,), ())


async def test_a_report_from_the_future_is_no_longer_live_than_one_of_now(cluster, settings, served, monkeypatch):
    FakeWorker(cluster, settings)
    forger(cluster, settings, "ghost", outcomes=()).speak(age_s=-1e6)
    monkeypatch.setattr("hotswap.client.fleet.FRESH_S", 0.2)
    began = time.monotonic()
    async with Client(settings) as client:
        receipt = await client.swap(Change(model=MODEL))
        answer = await client.await_swap(receipt, 30, on_told=lambda _: None)
    assert answer.missing == ()
    assert time.monotonic() - began < 20


async def test_many_who_report_cost_few_requests_and_are_named_briefly(cluster, settings, served):
    for number in range(50):
        forger(cluster, settings, f"g{number:02}")
    before = cluster.offset_reads
    answer = await swapped(settings)
    assert answer.unconfirmed.startswith("g00, g01, g02, g03, g04 and 45 more reported")
    assert cluster.offset_reads - before < 10
