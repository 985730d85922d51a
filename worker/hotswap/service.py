"""The composition root: builds the parts of a worker, starts them in order, and stops them in reverse order."""

import asyncio
import contextlib
import gc
import logging
import platform
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from hotswap import __version__, metrics
from hotswap.artifacts.fetcher import Fetcher
from hotswap.artifacts.store import Store
from hotswap.batch import Position
from hotswap.control import STATUS_S, Control
from hotswap.errors import Denied, Doubt, StartError, Unreachable
from hotswap.failpoints import arm, failpoint
from hotswap.health import Health
from hotswap.kafka.group.membership import Membership
from hotswap.kafka.group.predecessor import release_membership
from hotswap.kafka.partition.partition import Cluster, KafkaPartition
from hotswap.kafka.partition.position import believed
from hotswap.kafka.partition.tail import AnswersTail
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.control_topic import settled
from hotswap.kafka.topics.log import LogReader
from hotswap.kafka.topics.writer import LogWriter
from hotswap.kafka.wire.brokers import Brokers
from hotswap.local.machine import return_free_memory
from hotswap.local.signals import Signals
from hotswap.pipeline.loop import PartitionLoop
from hotswap.pipeline.partitions import Pipeline
from hotswap.renewing import Renewing
from hotswap.settings import Settings
from hotswap.staging import Staging, Surroundings, most_hosts
from hotswap.swap.timeline import Timeline
from hotswap.trust.file import Trust
from hotswap.trust.fold import Fold

T = TypeVar("T")
log = logging.getLogger(__name__)

CHILD = (sys.executable, "-m", "hotswap.host.child")
_BEAT_S = 1.0
_RETURN_S = 10.0
"""How often free memory goes back: at 1,500 requests/s a worker took 1 MiB a minute more without, none of it in use."""
_PATIENCE_CALLS = 9
"""For how many times the bound of a call a start is tried again: 90 s, so that it survives a minute's fault."""
_YOUNG_OBJECTS = 500_000
TURNS = 8
"""How many partitions with a backlog may have a batch in hand for each host: it scores one, others are committed."""
_BATCH_BYTES = 900_000
"""Largest produce batch: a partition has one produce request in flight, so each further batch is another round trip."""


class Worker:
    """One process of the fleet: `run` works until told to stop; `kill` is for a stop that takes too long."""

    def __init__(self, settings: Settings, *, child: Sequence[str] = CHILD, trust: Trust | None = None) -> None:
        self._settings = settings
        self._timeline = Timeline()
        self._admin = Admin(settings)
        self._tail = AnswersTail(settings)
        self._brokers = Brokers(settings)
        self._writer = LogWriter(settings, self._brokers)
        self._reader = LogReader(settings, settings.topics.control, read_committed=True)
        fold = Fold.of(settings, self._timeline, trust)
        self._control = Control(
            settings=settings, timeline=self._timeline, reader=self._reader, writer=self._writer, fold=fold
        )
        self._renewing = Renewing(settings, lambda: fold, "worker.restarting")
        self._turns = asyncio.Semaphore(TURNS * most_hosts(settings))
        self._pipeline = Pipeline(self._open_loop, stop_timeout_s=settings.stop_timeout_s / 2)
        self._membership = Membership(
            settings,
            on_rejoining=self._pipeline.rejoining,
            on_revoked=self._pipeline.revoked,
            on_assigned=self._pipeline.assigned,
        )
        self._control.partition_warnings = self._membership.warnings
        self._control.oldest_ms = self._oldest_ms
        self._control.transactions = lambda: self._brokers.transactions
        self._health = Health(settings.http_host, settings.http_port, readiness=self._readiness)
        self._fetcher = Fetcher(settings)
        self._child = child
        self._staging: Staging | None = None
        self._largest_request = 0
        self.has_reached_kafka = False
        self.is_joined = False
        """Whether it has joined the group, which ends its start."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Start every part, work until `stopping` is set, finish the batches in hand, and stop every part.

        Raises:
            StartError: this worker cannot work as it is configured.

        """
        async with AsyncExitStack() as parts:  # which stops them in reverse order
            # Clients that were never started too: aiokafka warns about a client that is garbage-collected open.
            for client in (self._admin, self._tail, self._brokers, self._writer, self._reader, self._membership):
                parts.push_async_callback(_quietly, client.stop)
            if staging := await _unless(stopping, self._start(parts)):
                await self._work(staging, stopping)
                await self._control.farewell(staging)
        log.info("worker.stopped", extra={"worker": self._settings.worker_id})

    async def _start(self, parts: AsyncExitStack) -> Staging:
        self._fetcher.start()
        parts.push_async_callback(self._fetcher.stop)
        await self._admin.start()
        self.has_reached_kafka = True
        partitions = await self._check_kafka()
        for client in (self._tail, self._brokers, self._writer, self._reader):
            await client.start()
        await self._brokers.watch()
        self._health.start()
        parts.callback(self._health.stop)
        staging = self._staging = self._new_staging(partitions)
        parts.push_async_callback(staging.stop)
        await self._control.replay()
        self._control.fold.check_settings(self._settings)
        facts = {"http_port": self._health.port, "transactions": self._brokers.transactions}
        log.info("worker.started", extra={"worker": self._settings.worker_id, **facts})
        return staging

    async def _work(self, staging: Staging, stopping: asyncio.Event) -> None:
        """Run the concurrent parts; the first one that fails or ends, or `stopping`, ends all of them."""
        tasks = [asyncio.create_task(part) for part in (stopping.wait(), *self._concurrent_parts(staging))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            # Commit the batches in hand, or give them up, before anything that they need is stopped.
            failpoint("stop.begun")
            await self._pipeline.stop()
            failpoint("stop.drained")
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._membership.stop()

    def kill(self) -> None:
        """Kill the model hosts, when a clean stop takes too long."""
        if self._staging:
            self._staging.kill()

    def look(self) -> None:
        """Look now whether the trust file has changed."""
        self._renewing.look()

    @property
    def renewed(self) -> Trust | None:
        """The trust file with which it has ended, to start again; None: it has not ended for that."""
        return self._control.fold.guard.pending

    async def _check_kafka(self) -> int:
        """Check and keep the rights, check the topics, and return the number of partitions."""
        await self._control.watched.rights.check(self._admin)
        partitions = await self._admin.check_topics()
        self._largest_request = (await self._admin.limits()).dead_letter
        self._control.max_status_bytes = await self._admin.message_bytes(self._settings.topics.status)
        return partitions

    def _concurrent_parts(self, staging: Staging) -> Sequence[Coroutine[Any, Any, None]]:
        return (
            staging.run(),
            self._serve(staging),
            self._pipeline.watch(staging),
            self._control.follow(staging.poke),
            self._control.publish(),
            self._publish_status(staging),
            self._control.watched.watch(self._admin, STATUS_S),
            self._control.watch_machine(staging, self._fetcher.find),
            self._renewing.run(),
            self._beat(),
            _return_memory(),
        )

    async def _serve(self, staging: Staging) -> None:
        # Joining takes partitions from other workers: wait until something is ready to score them.
        await release_membership(self._admin, self._settings, staging.prepared)
        failpoint("start.joining")
        await self._membership.start(self._largest_request)
        self.is_joined = True
        await self._membership.run()

    async def _publish_status(self, staging: Staging) -> None:
        while True:
            await self._control.status(staging, self._pipeline.states, self._admin)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STATUS_S):
                    await staging.changed.wait()

    async def _beat(self) -> None:
        while True:
            self._health.beat()
            if failure := self._pipeline.failure():
                raise failure
            await asyncio.sleep(_BEAT_S)

    def _open_loop(self, partition: int) -> PartitionLoop:
        assert self._staging is not None
        cluster = Cluster(
            settings=self._settings,
            membership=self._membership,
            admin=self._admin,
            tail=self._tail,
            brokers=self._brokers,
            batch_bytes=_BATCH_BYTES,
            highest=self._highest,
        )
        return PartitionLoop(
            deployment=self._settings.deployment,
            topic=self._settings.topics.requests,
            partition=partition,
            source=KafkaPartition(cluster, partition),
            router=self._staging,
            turns=self._turns,
            linger_s=self._settings.linger_ms / 1000,
        )

    def _new_staging(self, partitions: int) -> Staging:
        around = Surroundings(
            partitions=partitions,
            states=lambda: self._pipeline.states,
            committed=self._committed,
            max_answer_bytes=self._max_answer_bytes,
            report=self._control.report,
        )
        store = Store(self._settings, self._fetcher.fetch)
        return Staging(settings=self._settings, timeline=self._timeline, store=store, child=self._child, around=around)

    async def _committed(self) -> Mapping[int, Position]:
        committed = await self._admin.committed(self._settings.group_id, self._settings.topics.requests)
        offsets = {number: await believed(at, self._highest) for number, at in committed.items()}
        return {number: Position(max(at.offset, 0), at.generation) for number, at in offsets.items()}

    async def _highest(self, generation: int) -> int:
        """See kafka/partition/position.py: Highest."""
        if generation > self._timeline.highest:
            await self._reader.reached()
        return self._timeline.highest

    async def _max_answer_bytes(self) -> int | None:
        with contextlib.suppress(Doubt):
            return (await self._admin.limits()).answer
        return None

    def _oldest_ms(self, partition: int, is_in_hand: bool) -> int:  # noqa: FBT001 - a callback of one place
        with contextlib.suppress(Doubt):  # it has just been revoked
            return self._membership.inbox(partition).oldest_ms(is_in_hand=is_in_hand)
        return 0

    def _readiness(self) -> str:
        watched = self._control.watched
        if line := watched.away or watched.rights.line:
            return line
        if self._timeline.held:
            return self._timeline.held
        if self._staging is None or not self._staging.loaded:
            return "no generation is ready on this worker"
        if faults := watched.topic_faults:
            return faults[0]
        return self._staging.lacks or ("" if self.is_joined else "has not joined the group yet")


async def _unless(stopping: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Return the result of `work`, or None if `stopping` was set first (Kafka may be unreachable)."""
    task, stop = asyncio.create_task(work), asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for each in (task, stop):
            each.cancel()
        await asyncio.gather(task, stop, return_exceptions=True)


async def _quietly(stop: Callable[[], Awaitable[None]]) -> None:
    # A part that fails to stop (its broker is gone) must not prevent the others from stopping.
    with contextlib.suppress(Exception):
        await stop()


async def serve(settings: Settings, *, child: Sequence[str] = CHILD, is_in_terminal: bool = False) -> None:
    """Run a worker until SIGTERM or SIGINT; a second signal, or a stop that takes too long, kills it.

    SIGHUP has it read its log level and its trust file again, unless it shall end with its terminal.

    Killing it loses nothing: requests that are not committed are answered by the partition's next owner. A start that
    Kafka leaves in doubt begins anew, for a while: one broker of several may be at fault.

    Raises:
        StartError: this worker cannot work as it is configured.
        Doubt: Kafka did not answer in time, again and again.
        Denied: this user lacks a right.

    """
    arm(settings.failpoints)
    metrics.BUILD.labels(__version__, platform.python_version()).set(1)
    # A batch is thousands of young objects without cycles. The cycle collector takes a quarter of the loop's own CPU at
    # Python's default threshold of 700, and at 50,000 still 0.2 µs a row, with pauses of up to 46 ms (measured).
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 100)
    workers: list[Worker] = []
    signals = Signals(workers, stop_timeout_s=settings.stop_timeout_s)
    signals.listen(is_in_terminal=is_in_terminal)
    Fold.of(settings)  # a wrong trust file is said before Kafka is reached
    try:
        await _run(settings, child, signals.stopping, workers)
    except StartError:
        # If the worker was told to stop meanwhile, that it could not start no longer matters.
        if not signals.stopping.is_set():
            raise


async def _run(settings: Settings, child: Sequence[str], stopping: asyncio.Event, workers: list[Worker]) -> None:
    """Run a worker, which is added to `workers`; begin anew while Kafka leaves its start in doubt."""
    now = asyncio.get_running_loop().time
    give_up = now() + _PATIENCE_CALLS * settings.call_timeout_s
    trust: Trust | None = None
    while not stopping.is_set():
        try:
            if own := await _unless(stopping, settled(settings)):
                workers.append(Worker(own, child=child, trust=trust))
                await workers[-1].run(stopping)
        except (Unreachable, Doubt) as error:
            # Where nothing has ever listened, the address is wrong, or Kafka is not started: that is said at once.
            is_absent = type(error) is Unreachable and not any(worker.has_reached_kafka for worker in workers)
            is_over = now() > give_up or any(worker.is_joined for worker in workers)
            if is_absent or is_over or isinstance(error, Denied):
                raise
            log.warning("worker.waiting_for_kafka", extra={"worker": settings.worker_id, "why": str(error)})
            await _unless(stopping, asyncio.sleep(_BEAT_S))
        else:
            trust = workers[-1].renewed if workers else None
            if trust is None:
                return
            # In this process, as any supervisor may be there, or none; what began is over, and its start is a start.
            workers[-1].is_joined, give_up = False, now() + _PATIENCE_CALLS * settings.call_timeout_s


async def _return_memory() -> None:
    while True:
        await asyncio.sleep(_RETURN_S)
        return_free_memory()
