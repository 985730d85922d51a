"""The loop of one partition over fakes: what is committed, in which order, scored by which generation."""

import asyncio
from time import perf_counter

import pytest

from fakes.data_plane import FakeRequest, FakeRouter, FakeSource, drain, loop_of, requests
from hotswap.batch import Ask, Code, Limits, Position, Transaction
from hotswap.pipeline import loop as loop_module
from hotswap.pipeline import partitions as partitions_module
from hotswap.pipeline.loop import PartitionLoop
from hotswap.pipeline.partitions import Pipeline
from hotswap.pipeline.ports import Serve, Wait


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(loop_module, "RETRY_S", 0.001)


def answers(source):
    return [(key, value) for t in source.transactions for key, value, _ in t.predictions]


async def test_every_request_is_answered_once_in_order_with_its_source_and_generation():
    source = FakeSource(requests(8))
    await drain(source, FakeRouter(lambda *_: 7))
    assert answers(source) == [(b"k%d" % n, b"7:r%d" % n) for n in range(8)]
    last = dict(source.transactions[-1].predictions[-1][2])
    assert last == {
        "generation": b"7",
        "model-digest": b"a" * 64,
        "operation": b"score",
        "source": b"d.requests-3-7",
    }


async def test_a_batch_is_no_larger_than_the_generation_allows():
    source, router = FakeSource(requests(8)), FakeRouter(lambda *_: 1, max_batch_records=3)
    await drain(source, router)
    assert [len(values) for values, _ in router.hosts[1].calls] == [3, 3, 2]


async def test_a_batch_ends_at_the_cut_and_the_new_generation_scores_the_next_one():
    source = FakeSource(requests(6))
    await drain(source, FakeRouter(lambda _, at: Serve(1, 2) if at.offset < 2 else Serve(2, None)))
    assert [(t.generation, len(t.predictions), t.cut_over_at) for t in source.transactions] == [
        (1, 2, 0),
        (2, 4, 2),
    ]


async def test_a_backlog_that_ends_in_markers_is_carried_over_the_cut_without_a_request():
    source = FakeSource(requests(2))
    source.partition.end = 5
    await drain(source, FakeRouter(lambda _, at: Serve(1, 4) if at.offset < 4 else Serve(2, None)))
    assert source.committed == Position(5, 2)
    assert source.transactions[-1] == Transaction([], [], 5, 2, 5)
    assert len(answers(source)) == 2


async def test_markers_alone_cause_no_commit():
    source = FakeSource(requests(2))
    source.partition.end = 5
    await drain(source, FakeRouter(lambda *_: 1))
    assert source.committed == Position(2, 1)


async def test_a_lingering_loop_lets_requests_accumulate_except_after_a_full_batch(monkeypatch):
    source, gathered = FakeSource(requests(4)), asyncio.Event()
    slept = []

    async def sleep(_, seconds):
        slept.append((seconds, len(source.transactions)))
        source.requests += requests(2, start=len(source.requests))
        if len(slept) == 2:
            gathered.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(PartitionLoop, "_sleep", sleep)
    task = asyncio.create_task(loop_of(source, FakeRouter(lambda *_: 1, max_batch_records=3), linger_s=60).run())
    await asyncio.wait_for(gathered.wait(), 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [len(transaction.predictions) for transaction in source.transactions] == [4, 2]
    assert [batches for _, batches in slept] == [1, 2]
    assert all(59 < seconds <= 60 for seconds, _ in slept)


async def test_a_lingering_loop_stops_at_once():
    source = FakeSource(requests(1))
    loop = loop_of(source, FakeRouter(lambda *_: 1), linger_s=600)
    task = asyncio.create_task(loop.run())
    while not source.transactions:
        await asyncio.sleep(0)
    loop.stop()
    await asyncio.wait_for(task, 5)


async def test_a_bad_request_is_refused_alone_in_order_with_its_original_bytes():
    source = FakeSource(
        [FakeRequest(0, b"good"), FakeRequest(1, b"bad", b"key", [("trace", b"t")]), FakeRequest(2, b"x")]
    )
    await drain(source, FakeRouter(lambda *_: 1))
    (only,) = source.transactions
    assert [value for _, value, _ in only.predictions] == [b"1:good", b"1:x"]
    (letter,) = only.dead_letters
    assert letter[:2] == (b"key", b"bad")
    headers = dict(letter[2])
    assert (headers["code"], headers["trace"], headers["source"]) == (b"UNDECODABLE", b"t", b"d.requests-3-1")


async def test_an_aborted_batch_is_read_again_and_committed_once():
    source = FakeSource(requests(4))
    source.fail_before = 2
    await drain(source, FakeRouter(lambda *_: 1))
    assert [value for _, value in answers(source)] == [b"1:r%d" % n for n in range(4)]
    assert source.opened == source.closed == 3


async def test_a_commit_that_took_effect_without_a_response_is_not_repeated():
    source = FakeSource(requests(4))
    source.fail_after = 1
    await drain(source, FakeRouter(lambda *_: 1))
    assert [value for _, value in answers(source)] == [b"1:r%d" % n for n in range(4)]


async def test_a_broker_that_is_down_is_logged_once_however_often_the_partition_is_opened(caplog):
    source = FakeSource(requests(4))
    source.fail_open = 3
    await drain(source, FakeRouter(lambda *_: 1))
    assert source.opened == source.closed == 4
    assert [record.getMessage() for record in caplog.records].count("partition.recycled") == 1


async def test_a_partition_resumes_at_its_committed_offset_and_is_held_until_its_floor_is_ready():
    source = FakeSource(requests(5), at=Position(3, 9))
    router = FakeRouter(lambda _, at: Wait(9, "waits for 9") if at.floor == 9 else 1)
    loop = loop_of(source, router)
    task = asyncio.create_task(loop.run())
    while loop.state.held != "waits for 9":
        await asyncio.sleep(0)
    assert source.transactions == []
    router.change(lambda *_: 9)
    await asyncio.wait_for(source.drained.wait(), 5)
    loop.stop()
    await task
    assert answers(source) == [(b"k3", b"9:r3"), (b"k4", b"9:r4")]
    assert source.transactions[0].cut_over_at is None


async def test_why_a_partition_is_held_is_logged_once(caplog):
    router = FakeRouter(lambda *_: Wait(9, "waits for 9"))
    loop = loop_of(FakeSource(requests(1)), router)
    task = asyncio.create_task(loop.run())
    for _ in range(3):
        for _ in range(10):
            await asyncio.sleep(0)
        assert loop.state.held == "waits for 9"
        router.change(router.choose_by)
    loop.stop()
    await task
    assert [record.getMessage() for record in caplog.records].count("partition.held") == 1


async def test_a_held_partition_can_be_stopped():
    loop = loop_of(FakeSource(requests(1)), FakeRouter(lambda *_: Wait(None, "paused")))
    task = asyncio.create_task(loop.run())
    while loop.state.held != "paused":
        await asyncio.sleep(0)
    loop.stop()
    await asyncio.wait_for(task, 5)


async def loops(router, source=None):
    """Return a pipeline whose model does not answer its batch, and the pipeline's source."""
    source = source or FakeSource([FakeRequest(0, b"loop")])
    pipeline = Pipeline(lambda _: loop_of(source, router), stop_timeout_s=0.1)
    pipeline.assigned({3})
    while router.hosts.get(1) is None or not router.hosts[1].busy_s:
        await asyncio.sleep(0)
    return pipeline, source


@pytest.fixture
def twelve_s_later(monkeypatch):
    """Freeze the clock; calling the fixture makes every batch twelve seconds old."""
    begun = perf_counter()
    monkeypatch.setattr(loop_module, "perf_counter", lambda: begun)
    yield lambda: monkeypatch.setattr(loop_module, "perf_counter", lambda: begun + 12)
    monkeypatch.undo()


async def test_a_stuck_batch_is_given_up_for_a_newer_generation_and_scored_by_it(twelve_s_later):
    router = FakeRouter(lambda *_: 1)
    pipeline, source = await loops(router)
    (loop, task) = pipeline._running[3]
    source.requests[0].value = b"no loop for the next one"
    router.change(lambda *_: 2)
    loop.reconsider()
    await asyncio.sleep(0)
    assert source.opened == 1, "what may soon be done is waited for"
    twelve_s_later()
    loop.reconsider()
    loop.reconsider()
    await asyncio.wait_for(source.drained.wait(), 5)
    assert [value for _, value in answers(source)] == [b"2:no loop for the next one"]
    assert (source.opened, source.closed, loop.state.held, task.cancelling()) == (2, 1, "", 0)
    await pipeline.stop()


async def test_a_batch_that_only_queues_for_the_host_is_not_given_up(twelve_s_later):
    router = FakeRouter(lambda *_: 1)
    pipeline, source = await loops(router)
    router.change(lambda *_: 2)
    router.hosts[1].busy_s = 0.1
    twelve_s_later()
    pipeline._running[3][0].reconsider()
    await asyncio.sleep(0)
    assert source.opened == 1
    await pipeline.stop()


async def test_a_stuck_batch_is_given_up_at_a_pause_and_scored_after_it(twelve_s_later):
    router = FakeRouter(lambda *_: 1)
    pipeline, source = await loops(router)
    twelve_s_later()
    router.change(lambda *_: Wait(None, "paused by command"))
    loop = pipeline._running[3][0]
    loop.reconsider()
    while loop.state.held != "paused by command":
        await asyncio.sleep(0)
    source.requests[0].value = b"goes on"
    router.change(lambda *_: 1)
    await asyncio.wait_for(source.drained.wait(), 5)
    assert [value for _, value in answers(source)] == [b"1:goes on"]
    await pipeline.stop()


async def test_a_partition_says_which_model_it_waits_for_and_how_to_continue_without_it(twelve_s_later):
    pipeline, source = await loops(FakeRouter(lambda *_: 1))
    twelve_s_later()
    loop = pipeline._running[3][0]
    loop.reconsider()
    assert "waits for the model of generation 1, 12 s so far; it may take 600 s for a batch" in loop.state.held
    assert "`hotswap rollback d --at-once`" in loop.state.held
    assert (source.opened, loop.state.model_s) == (1, pytest.approx(12, abs=0.1))
    await pipeline.stop()
    assert loop.state.model_s == 0


async def test_a_batch_that_is_not_overtaken_is_awaited_silently_at_first(monkeypatch, twelve_s_later):
    pipeline, source = await loops(FakeRouter(lambda *_: 1))
    begun = loop_module.perf_counter()
    monkeypatch.setattr(loop_module, "perf_counter", lambda: begun + 1)
    loop = pipeline._running[3][0]
    loop.reconsider()
    await asyncio.sleep(0)
    assert (source.opened, loop.state.held) == (1, "")
    await pipeline.stop()


async def test_watch_checks_the_batches_of_all_partitions(monkeypatch, twelve_s_later):
    monkeypatch.setattr(partitions_module, "_LOOK_S", 0)
    router = FakeRouter(lambda *_: 1)
    pipeline, source = await loops(router)
    source.requests[0].value = b"no loop for the next one"
    router.change(lambda *_: 2)
    twelve_s_later()
    watch = asyncio.create_task(pipeline.watch(router))
    await asyncio.wait_for(source.drained.wait(), 5)
    watch.cancel()
    assert [value for _, value in answers(source)] == [b"2:no loop for the next one"]
    await pipeline.stop()


async def test_a_revoke_while_a_batch_is_given_up_ends_the_loop(twelve_s_later):
    router = FakeRouter(lambda *_: 1)
    pipeline, source = await loops(router)
    twelve_s_later()
    router.change(lambda *_: 2)
    loop, task = pipeline._running[3]
    loop.reconsider()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert (source.opened, source.closed) == (1, 1)


@pytest.mark.parametrize("most", [65_586, 300])  # below the headroom, each answer is measured with its headers
async def test_an_answer_too_large_for_the_topic_is_refused_and_does_not_stop_the_partition(most):
    source = FakeSource([FakeRequest(0, b"x" * 90), FakeRequest(1, b"y")])
    await drain(source, FakeRouter(lambda *_: 1), limits=Limits(most, 100_000))
    assert dict(source.transactions[0].dead_letters[0][2])["code"] == Code.ANSWER_TOO_LARGE.encode()
    assert [value for _, value in answers(source)] == [b"1:y"]


async def test_requests_refused_for_their_headers_never_reach_the_host():
    odd = [
        FakeRequest(0, None),
        FakeRequest(1, b"z" * 1_001),
        FakeRequest(2, b"a", headers=[("operation", b"other")]),
        FakeRequest(3, b"b", headers=[("operation", b"score")]),
    ]
    source = FakeSource(odd)
    router = FakeRouter(lambda *_: 1, max_batch_records=9)
    await drain(source, router)
    assert router.hosts[1].calls == [([b"b"], [Ask("score")])]
    codes = [dict(headers)["code"].decode() for _, _, headers in source.transactions[0].dead_letters]
    assert codes == [Code.UNDECODABLE, Code.TOO_LARGE, Code.UNKNOWN_OPERATION]


async def test_our_own_header_names_in_a_request_are_not_copied_to_the_answer():
    source = FakeSource([FakeRequest(0, b"a", headers=[("source", b"elsewhere-0-1"), ("generation", b"99")])])
    await drain(source, FakeRouter(lambda *_: 1))
    headers = source.transactions[0].predictions[0][2]
    assert [value for name, value in headers if name in ("source", "generation")] == [b"1", b"d.requests-3-0"]


async def test_a_revoked_partition_ends_with_its_batch_in_hand_committed():
    source = FakeSource(requests(3))
    pipelines = Pipeline(lambda _: loop_of(source, FakeRouter(lambda *_: 1)), stop_timeout_s=60)
    pipelines.assigned({3})
    while pipelines.states[3].in_hand is None:
        await asyncio.sleep(0)
    await asyncio.wait_for(pipelines.revoked(), 5)
    assert len(source.transactions) == 1
    assert pipelines.states == {}
    assert source.closed == source.opened


async def test_a_bug_in_a_loop_is_reported_and_not_swallowed():
    def broken(*_):
        raise KeyError("defect")

    pipelines = Pipeline(lambda _: loop_of(FakeSource(requests(1)), FakeRouter(broken)), stop_timeout_s=5)
    pipelines.assigned({0})
    while pipelines.failure() is None:
        await asyncio.sleep(0)
    assert isinstance(pipelines.failure(), KeyError)
    await pipelines.revoked()


async def test_a_stopped_pipeline_ignores_assignments_and_revoking_nothing_is_harmless():
    pipeline = Pipeline(lambda _: pytest.fail("a loop was opened"), stop_timeout_s=5)
    await pipeline.revoked()
    await pipeline.stop()
    pipeline.assigned({3})
    assert pipeline.states == {}
