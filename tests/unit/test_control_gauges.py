"""The gauges of what scores which partitions of a worker."""

from types import SimpleNamespace

import pytest

from fakes.client import MODEL, proto
from fakes.kafka_admin import FakeAdmin
from hotswap import metrics
from hotswap.batch import Position
from hotswap.control import Control
from hotswap.pipeline.states import PartitionState
from hotswap.swap.command import AbandonCommand, PromoteCommand, SwapCommand
from hotswap.swap.timeline import Timeline


class Staging:
    """A worker's generations: those that are loaded, and the newest one that is not only staged."""

    newest_scored = restarts = 0

    def __init__(self, main, *loaded):
        self.main, self.loaded = main, list(loaded)

    def serving(self, number):
        return SimpleNamespace(generation=SimpleNamespace(model=MODEL, proto=proto(), number=number))

    def paths(self, number):
        return {}

    def runtime(self, number):
        return ""


@pytest.fixture
def control(settings):
    """A worker whose log has generation 1, a staged generation 2, and a promote of it on partition 0."""
    timeline = Timeline()
    for command in (
        SwapCommand(command_id="c1", generation=1, model=MODEL, proto=proto()),
        SwapCommand(command_id="c2", generation=2, is_staged=True),
        PromoteCommand(command_id="c3", generation=2, cut={0: 0}),
    ):
        timeline.receive(command, 0)
    reader = SimpleNamespace(unreadable=0, damaged="")
    return Control(settings=settings, timeline=timeline, reader=reader, writer=None)


async def gauges(control, cluster, staging, *floors):
    """Return the generations' states and the partitions of each, as a worker has them after its report."""
    states = {
        n: PartitionState(position=None if floor is None else Position(5, floor)) for n, floor in enumerate(floors)
    }
    await control.status(staging, states, type("Admin", (FakeAdmin,), {"cluster": cluster})())
    told = [one.samples for gauge in (metrics.GENERATION, metrics.PARTITIONS) for one in gauge.collect()]
    return (
        {one.labels["generation"]: one.labels["state"] for one in told[0]},
        {one.labels["generation"]: one.value for one in told[1]},
    )


async def test_a_generation_serves_where_it_scored_a_partition_last(control, cluster):
    assert await gauges(control, cluster, Staging(1, 1, 2), 1, 1) == ({"1": "serving", "2": "ready"}, {"1": 2})
    assert await gauges(control, cluster, Staging(2, 1, 2), 2, 1) == ({"1": "serving", "2": "part"}, {"1": 1, "2": 1})
    assert await gauges(control, cluster, Staging(2, 1, 2), 2, 2) == ({"1": "ready", "2": "part"}, {"2": 2})


async def test_once_it_is_promoted_on_all_partitions_it_is_no_part(control, cluster):
    control.fold.timeline.receive(PromoteCommand(command_id="c4", generation=2, is_complete=True), 0)
    assert await gauges(control, cluster, Staging(2, 1, 2), 1, 1) == ({"1": "serving", "2": "ready"}, {"1": 2})
    assert await gauges(control, cluster, Staging(2, 2), 2, 2) == ({"2": "serving"}, {"2": 2})


async def test_what_is_in_the_place_of_an_abandoned_one_is_a_part(control, cluster):
    control.fold.timeline.receive(AbandonCommand(command_id="c4", generation=3, abandoned=2), 0)
    assert await gauges(control, cluster, Staging(3, 1, 3), 3, 1) == ({"1": "serving", "3": "part"}, {"1": 1, "3": 1})


async def test_without_a_partition_or_what_scored_it_the_one_that_would_serves(control, cluster):
    assert await gauges(control, cluster, Staging(1, 1, 2)) == ({"1": "serving", "2": "ready"}, {})
    assert await gauges(control, cluster, Staging(1, 1, 2), None, 0) == ({"1": "serving", "2": "ready"}, {"0": 1})
    assert await gauges(control, cluster, Staging(1, 1), 2) == ({"1": "serving"}, {"2": 1})
    assert await gauges(control, cluster, Staging(0), 0) == ({}, {"0": 1})
