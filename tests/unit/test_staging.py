"""Staging over fakes: beside the serving generation, one at a time, recovering from every failure."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from hotswap import staging as module
from hotswap.batch import Position
from hotswap.errors import Doubt, SwapCode, SwapError
from hotswap.generation import Configuration, Model, Proto
from hotswap.pipeline.ports import Serve
from hotswap.settings import Settings
from hotswap.staging import Staging, Surroundings
from hotswap.swap.command import SwapCommand
from hotswap.swap.timeline import Timeline

_LARGEST_ANSWER = 1_000


class FakeHost:
    """A host whose start waits for `go` and then does what `fate` says for its generation."""

    started, stopped, low_priority, fate, go, start_s = [], [], {}, {}, {}, {}
    doing = "loading the model"

    def __init__(self, *, load, start_s, **_):
        self.number = load.generation
        FakeHost.start_s[self.number] = start_s
        assert load.max_answer_bytes == _LARGEST_ANSWER

    async def start(self, *, is_low_priority, golden=b""):
        FakeHost.started.append(self.number)
        FakeHost.low_priority[self.number] = is_low_priority
        if self.number in FakeHost.go:
            await FakeHost.go[self.number].wait()
        if error := FakeHost.fate.get(self.number):
            raise error
        return SimpleNamespace(
            operations=("score",), paths={}, reads={}, fields={}, runtime="x 1", phase_seconds={"load": 0.1}
        )

    async def stop(self):
        FakeHost.stopped.append(self.number)

    def kill(self):
        pass  # never started


class FakeStore:
    def __init__(self):
        self.held = []
        self.is_there = asyncio.Event()
        self.is_there.set()
        self.error = None

    async def fetch(self, model):
        await self.is_there.wait()
        if self.error:
            raise self.error
        self.held.append(model.uri)
        return model.uri

    async def verify(self, model):
        pass

    async def fetch_proto(self, proto):
        return proto.source

    def release(self, folder):
        self.held.remove(folder)


class World:
    def __init__(self, partitions=1, **settings):
        self.timeline, self.store, self.states, self.said = Timeline(), FakeStore(), {}, []
        self.runtimes = {}
        self.committed = {0: Position(0)}
        around = Surroundings(
            partitions=partitions,
            states=lambda: self.states,
            committed=self._committed,
            max_answer_bytes=self._max_answer_bytes,
            report=self._report,
        )
        settings = Settings(deployment="d", **settings)
        self.staging = Staging(settings=settings, timeline=self.timeline, store=self.store, child=(), around=around)

    async def _max_answer_bytes(self):
        return _LARGEST_ANSWER

    async def _committed(self):
        if isinstance(self.committed, Doubt):
            raise self.committed
        return self.committed

    def _report(self, told):
        self.runtimes[told.swap.number, told.outcome.value] = told.runtime
        self.said.append((told.swap.number, told.outcome.value, told.error.code if told.error else ""))

    def command(self, number, **parts):
        command = SwapCommand(
            command_id=f"c{number}",
            generation=number,
            **({"model": Model(f"m{number}", "a" * 64), "proto": Proto.inline("x")} | parts),
        )
        assert self.timeline.receive(command, 0).outcome is None
        self.staging.poke()

    async def until(self, condition):
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.001)


@pytest.fixture
async def world(monkeypatch):
    monkeypatch.setattr(module, "ModelHost", FakeHost)
    monkeypatch.setattr(module, "_TICK_S", 0.005)
    FakeHost.started, FakeHost.stopped, FakeHost.low_priority, FakeHost.fate, FakeHost.go = [], [], {}, {}, {}
    world = World()
    running = world.running = asyncio.create_task(world.staging.run())
    yield world
    world.running.cancel()
    await asyncio.gather(running, world.running, return_exceptions=True)
    await world.staging.stop()


async def test_a_generation_serves_once_ready_and_the_old_one_is_retired(world):
    world.command(1)
    await world.until(lambda: (1, "SERVING", "") in world.said)
    world.command(2)
    await world.until(lambda: (1, "RETIRED", "") in world.said)
    await world.until(lambda: world.store.held == ["m2"])
    assert FakeHost.stopped == [1]
    assert [(number, outcome) for number, outcome, _ in world.said] == [
        (1, "STAGING"),
        (1, "READY"),
        (1, "SERVING"),
        (2, "STAGING"),
        (2, "READY"),
        (2, "SERVING"),
        (1, "RETIRED"),
    ]


async def test_each_report_from_ready_on_names_what_the_generation_is_scored_by(world):
    FakeHost.fate = {2: SwapError(SwapCode.MODEL_INVALID, "bad")}
    for number, last in ((1, (1, "SERVING", "")), (2, (2, "FAILED", "MODEL_INVALID")), (3, (1, "RETIRED", ""))):
        world.command(number)
        await world.until(lambda last=last: last in world.said)
    named = {key for key, runtime in world.runtimes.items() if runtime == "x 1"}
    assert named == {(1, "READY"), (1, "SERVING"), (1, "RETIRED"), (3, "READY"), (3, "SERVING")}
    assert world.runtimes.keys() - named == {(1, "STAGING"), (2, "STAGING"), (2, "FAILED"), (3, "STAGING")}
    assert world.staging.runtime(3) == "x 1"


async def test_only_a_generation_loaded_beside_a_serving_one_has_low_priority(world):
    for number in (1, 2):
        world.command(number)
        await world.until(lambda number=number: world.staging.loaded == [number])
    assert (FakeHost.low_priority[1], FakeHost.low_priority[2]) == (False, True)


async def test_a_standby_is_kept_for_a_configured_kind_once_one_is_loaded(world, monkeypatch):
    kept = []
    monkeypatch.setattr(world.staging._standbys, "keep", lambda *given: kept.append(given))
    FakeHost.fate[1] = SwapError(SwapCode.MODEL_INVALID, "no model")
    world.command(1, model=Model("m1", "a" * 64, "spark"))
    await world.until(lambda: (1, "FAILED", "MODEL_INVALID") in world.said)
    world.command(2, model=Model("m2", "a" * 64, "java"))
    await world.until(lambda: world.staging.loaded == [2])
    assert kept == []
    world.command(3, model=Model("m3", "a" * 64, "spark"))
    await world.until(lambda: world.staging.loaded == [3])
    world.command(4, model=Model("m4", "a" * 64, "spark"))
    await world.until(lambda: world.staging.loaded == [4])
    assert kept == [("spark", None), ("spark", None)]


async def test_a_standby_of_a_stateless_kind_is_prewarmed_on_its_newest_generation(world, monkeypatch):
    kept = []
    monkeypatch.setattr(world.staging._standbys, "keep", lambda *given: kept.append(given))
    for number in (1, 2):
        world.command(number)
        await world.until(lambda number=number: world.staging.loaded == [number])
    assert [(kind, prewarm_on.generation) for kind, prewarm_on in kept] == [("h2o", 1), ("h2o", 2)]


@pytest.mark.parametrize(
    ("kind", "cores", "partitions", "settings", "hosts"),
    [
        ("h2o", 1, 8, {}, 1),
        ("h2o", 2, 8, {}, 1),
        ("h2o", 4, 8, {}, 3),
        ("h2o", 64, 8, {}, 4),
        ("h2o", 64, 2, {}, 2),
        ("java", 64, 8, {}, 1),
        ("java", 64, 8, {"hosts": 6}, 6),
        ("h2o", 2, 4, {"hosts": 6}, 4),
    ],
)
def test_a_generation_has_one_host_per_core_minus_one_within_bounds_or_as_many_as_are_set(
    monkeypatch, kind, cores, partitions, settings, hosts
):
    monkeypatch.setattr(module, "cores_at_hand", lambda: cores)
    world = World(partitions, **settings)
    assert world.staging._count_hosts(kind) == hosts
    assert module.most_hosts(world.staging._settings) >= hosts


async def test_a_failed_swap_keeps_the_serving_generation_and_releases_its_artifact(world):
    world.command(1)
    await world.until(lambda: world.staging.loaded == [1])
    FakeHost.fate[2] = SwapError(SwapCode.SCHEMA_MISMATCH, "columns")
    world.command(2)
    await world.until(lambda: (2, "FAILED", "SCHEMA_MISMATCH") in world.said)
    assert world.staging.choose(0, Position(5, 1)) == Serve(1, None)
    assert (world.staging.loaded, world.store.held) == ([1], ["m1"])


async def test_a_swap_that_takes_too_long_fails_within_its_deadline(world):
    FakeHost.go[1] = asyncio.Event()
    world.command(1, deadline_ms=20)
    await world.until(lambda: (1, "FAILED", "DEADLINE_EXCEEDED") in world.said)
    assert world.store.held == []


@pytest.mark.parametrize(
    ("asked", "allowed", "told"),
    [
        (
            2**32 - 1,
            {"swap_deadline_ms": 20},
            "not ready within 0.03 s: it was loading the model; the command's deadline_ms is",
        ),
        (
            2**32 - 1,
            {"swap_deadline_ms": 40},
            "not ready within 0.04 s: it was loading the model; the command's deadline_ms is",
        ),
        (20, {}, "not ready within 0.02 s: it was loading the model"),
    ],
)
async def test_staging_gets_no_more_time_than_the_worker_allows(world, asked, allowed, told):
    world.staging._settings = Settings(deployment="d", deadline_ms=1, max_deadline_ms=30, **allowed)
    reasons = []
    world.staging._around = replace(world.staging._around, report=lambda told: reasons.append(told.error))
    FakeHost.go[1] = asyncio.Event()
    world.command(1, deadline_ms=asked)
    await world.until(lambda: any(reasons))
    (late,) = filter(None, reasons)
    assert late.code == "DEADLINE_EXCEEDED"
    assert told in late.message
    assert ("HOTSWAP_MAX_DEADLINE_MS" in late.message) is (asked > 30)


async def test_a_swap_whose_store_does_not_answer_fails_within_its_deadline_and_says_so(world):
    reasons = []
    world.staging._around = replace(world.staging._around, report=lambda told: reasons.append(told.error))
    world.store.is_there.clear()
    world.command(1, model=Model("https://user:secret@store/m1?signature=x", "a" * 64), deadline_ms=20)
    await world.until(lambda: any(reasons))
    (late,) = filter(None, reasons)
    assert late.message == "not ready within 0.02 s: it was fetching the model from https://store/m1"


@pytest.mark.parametrize("is_hanging", [True, False])
async def test_a_worker_that_starts_while_its_store_is_out_of_reach_says_that_it_tries_again_and_does(
    world, is_hanging, monkeypatch, caplog
):
    monkeypatch.setattr("hotswap.agenda.agenda._RETRY_S", 0.01)
    world.running.cancel()
    reasons = []
    world.staging._around = replace(world.staging._around, report=lambda told: reasons.append(told.error))
    if is_hanging:
        world.store.is_there.clear()
    else:
        world.store.error = SwapError(SwapCode.ARTIFACT_UNREACHABLE, "no route to host")
    world.command(1, deadline_ms=20)
    world.running = asyncio.create_task(world.staging.run())
    await world.until(lambda: sum("is_tried_again" in vars(record) for record in caplog.records) > 1)
    assert all(record.is_tried_again for record in caplog.records if record.message == "swap.failed")
    (told,) = filter(None, reasons)
    assert "this worker tries again until it can be fetched" in told.message
    world.store.error = None
    world.store.is_there.set()
    await world.until(lambda: world.staging.loaded == [1])


@pytest.mark.parametrize(("asked", "seconds"), [(20_000, 120.0), (300_000, 300.0)])
async def test_a_host_may_take_as_long_to_start_as_its_swap_may_and_to_start_again_two_minutes_at_least(
    world, asked, seconds
):
    world.command(1, deadline_ms=asked)
    await world.until(lambda: world.staging.loaded == [1])
    assert FakeHost.start_s[1] == seconds


async def test_a_configuration_with_a_longer_deadline_than_the_worker_allows_fails_its_swap(world):
    world.command(1, configuration=Configuration(deadline_ms=600_000))
    await world.until(lambda: world.staging.loaded == [1])
    world.command(2, configuration=Configuration(deadline_ms=600_001))
    await world.until(lambda: (2, "FAILED", "CONFIGURATION_INVALID") in world.said)
    assert (world.staging.loaded, world.store.held) == ([1], ["m1"])


async def test_a_newer_command_supersedes_the_current_staging(world):
    FakeHost.go[1] = asyncio.Event()
    world.command(1)
    await world.until(lambda: FakeHost.started == [1])
    world.command(2)
    await world.until(lambda: world.staging.loaded == [2])
    assert (1, "SUPERSEDED", "") in world.said
    assert world.store.held == ["m2"]


async def test_why_a_worker_does_not_join_is_logged_and_it_joins_once_the_positions_are_known(world, caplog):
    world.committed = Doubt("the coordinator is loading")
    world.command(1)
    await world.until(lambda: world.staging.loaded == [1])
    await world.until(lambda: "committed offsets" in world.staging.lacks)
    assert not world.staging.prepared.is_set()
    assert [record.why for record in caplog.records if record.message == "worker.join_deferred"] == [
        world.staging.lacks
    ]
    world.committed = {0: Position(50, 1)}
    await world.until(world.staging.prepared.is_set)


async def test_a_bug_during_staging_ends_the_worker_instead_of_hanging_it(world):
    FakeHost.fate[1] = ZeroDivisionError("a defect")
    world.command(1)
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(asyncio.shield(world.running), 5)
