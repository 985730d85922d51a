"""A shadow's loops: of its sample every request is answered, of the others none, and all are passed."""

import asyncio

from fakes.data_plane import FakeRouter, FakeSource, drain, loop_of, requests
from hotswap.batch import Position
from hotswap.pipeline import loop as loop_module
from hotswap.swap.sample import Sampling

PARTITION = 3


def router(sample, choose=lambda *_: 1):
    made = FakeRouter(choose)
    made.sample = sample
    return made


async def test_the_requests_of_the_sample_are_answered_and_all_are_committed():
    sample, source = Sampling(per_million=300_000), FakeSource(requests(40))
    await drain(source, router(sample))
    chosen = [offset for offset, is_in in enumerate(sample.chosen(PARTITION, range(40))) if is_in]
    answered = [dict(headers)["source"] for one in source.transactions for _, _, headers in one.predictions]
    assert answered == [b"d.requests-3-%d" % offset for offset in chosen]
    assert 0 < len(chosen) < 40
    assert source.committed == Position(40, 1)


async def test_a_batch_of_which_nothing_is_in_the_sample_is_committed_without_answers():
    source, routed = FakeSource(requests(3)), router(Sampling(per_million=1))
    await drain(source, routed)
    assert source.committed == Position(3, 1)
    assert [one.predictions for one in source.transactions] == [[]]
    assert routed.hosts[1].calls == []


async def test_a_partition_of_the_sample_is_answered_as_any_other():
    source = FakeSource(requests(4))
    await drain(source, router(Sampling(frozenset({PARTITION}))))
    assert sum(len(one.predictions) for one in source.transactions) == 4


async def test_a_partition_outside_the_sample_is_passed_over_up_to_its_end_and_cut_over(monkeypatch):
    monkeypatch.setattr(loop_module, "_PASS_S", 0.01)
    source, routed = FakeSource(), router(Sampling(frozenset({1})))
    source.partition.publish(*requests(4))
    loop = await _passed(source, routed, Position(4, 1))
    source.partition.publish(*requests(2, start=4))
    routed.change(lambda *_: 2)
    await _passed(source, routed, Position(6, 2))
    assert [one.cut_over_at for one in source.transactions if one.cut_over_at is not None] == [4, 6]
    assert not any(one.predictions for one in source.transactions)
    assert loop.state.in_hand is None


async def _passed(source, routed, position):
    loop = loop_of(source, routed)
    task = asyncio.create_task(loop.run())
    async with asyncio.timeout(5):
        while source.committed != position:
            await asyncio.sleep(0.01)
    loop.stop()
    await task
    return loop


async def test_what_a_late_sample_leaves_out_is_not_taken(monkeypatch):
    """A worker that waits for requests may learn only then that it is a shadow's."""
    monkeypatch.setattr(loop_module, "_PASS_S", 0.01)
    source, routed = FakeSource(), router(Sampling())
    loop = loop_of(source, routed)
    task = asyncio.create_task(loop.run())
    await asyncio.wait_for(source.drained.wait(), 5)
    routed.sample = Sampling(frozenset({1}))
    source.partition.publish(*requests(3))
    async with asyncio.timeout(5):
        while source.committed != Position(3, 1):
            await asyncio.sleep(0.01)
    loop.stop()
    await task
    assert not any(one.predictions for one in source.transactions)
