"""All faults in one run, overlapping, on a schedule that the seed determines: `python -m faults everything`."""

import asyncio
import contextlib
import hashlib
import os
import resource
import signal
import uuid

from confluent_kafka import Consumer, Producer, TopicPartition

from faults import bad_artifacts
from faults.fleet_faults import FleetFaults, play
from faults.fold import Command
from faults.raw_batches import RawProducer, Refused
from faults.record_inputs import odd_batch
from faults.schedule import Kind
from hotswap.client.change import Change
from hotswap.generation import Model
from hotswap.recordbatch.header import SIZE

_END_TXN = 26
_OFF_BY_AN_HOUR = """
import time
_true = time.time
time.time = lambda: _true() + {seconds}
"""

KINDS = (
    Kind("kill_worker", 6),
    Kind("pause_worker", 4, 7, 12),
    Kind("stop_worker", 4),
    Kind("join_worker", 3),
    Kind("kill_host", 4),
    Kind("stop_host", 2, 4, 6),
    Kind("exhaust_host", 2),
    Kind("stop_broker", 1, 0, 3),
    Kind("kill_broker", 3, 0, 3),
    Kind("pause_broker", 2, 4, 14),
    Kind("break_broker_for_a_minute", 1, 60, 60),
    Kind("slow_network", 4, 3, 8),
    Kind("hold_network", 3, 2, 14),
    Kind("cut_network", 4),
    Kind("late_commits", 4, 3, 14),
    Kind("swap", 8),
    Kind("swap_after_backlog", 4),
    Kind("canary", 4),
    Kind("lost_publisher", 2),
    Kind("promote", 4),
    Kind("abandon", 3),
    Kind("rewind_control", 1),
    Kind("truncate_control", 1),
    Kind("forge_control", 2),
    Kind("duplicate_control", 2),
    Kind("fill_disk", 2),
    Kind("shift_clock", 2),
    Kind("odd_record", 4),
    Kind("damage_fetch", 2, 1, 3),
    Kind("hanging_store", 1),
    Kind("evil_archive", 1),
    Kind("last_number", 1),
)


async def everything(arena, seconds):
    """Play all kinds of faults."""
    await play(Faults(arena), KINDS, seconds)


class Faults(FleetFaults):
    """Those of a fleet, and of all else that is around it."""

    def __init__(self, arena):
        super().__init__(arena)
        self._broker, self._breaking = asyncio.Lock(), asyncio.Lock()
        self._host = asyncio.Lock()
        # Silent: librdkafka reports each broker fault at length, which would hide the findings.
        self._kafka = {"bootstrap.servers": arena.kafka.bootstrap, "log_level": 0}
        self._producer = Producer(self._kafka)

    # ---- workers

    async def fill_disk(self, _):
        cache = self.arena.folder / f"cache-{self.arena.random.getrandbits(32):x}"
        self.arena.join(failpoints="cache.write=full@1,cache.write=full@2", HOTSWAP_CACHE=str(cache))

    async def shift_clock(self, _):
        seconds = self.arena.random.choice((-3_600, 3_600))
        self.arena.join(prelude=_OFF_BY_AN_HOUR.format(seconds=seconds))

    # ---- model hosts: one at a time, since a request that is alone in a host that dies twice is blamed

    async def _on_a_host(self, act, seconds=0.0):
        if self._host.locked():
            return False
        async with self._host:
            hosts = [pid for name in self._running() for pid in self.arena.hosts(name)]
            if not hosts:
                return False
            with contextlib.suppress(ProcessLookupError):
                act(self.arena.random.choice(hosts))
            await asyncio.sleep(seconds + 5)
            return True

    async def kill_host(self, _):
        return await self._on_a_host(lambda pid: os.kill(pid, signal.SIGKILL))

    async def stop_host(self, seconds):
        return await self._on_a_host(lambda pid: os.kill(pid, signal.SIGSTOP), seconds)

    async def exhaust_host(self, _):
        # No more address space: its next allocation fails, as under a container's limit.
        return await self._on_a_host(lambda pid: resource.prlimit(pid, resource.RLIMIT_AS, (1 << 20, -1)))

    # ---- the broker: one at a time

    async def _on_the_broker(self, begin, end, seconds):
        if self._broker.locked():
            return False
        async with self._broker:
            await asyncio.to_thread(begin)
            await asyncio.sleep(seconds)
            await asyncio.to_thread(end)
            return True

    async def stop_broker(self, seconds):
        return await self._on_the_broker(self.arena.kafka.stop, self.arena.kafka.start, seconds)

    async def kill_broker(self, seconds):
        return await self._on_the_broker(self.arena.kafka.kill, self.arena.kafka.start, seconds)

    async def break_broker_for_a_minute(self, seconds):
        # It waits for the faults of a few seconds, but not for another minute: eight left hardly two of ten.
        if self._breaking.locked():
            return False
        async with self._breaking, self._broker:
            await asyncio.to_thread(self.arena.kafka.kill)
            await asyncio.sleep(seconds)
            await asyncio.to_thread(self.arena.kafka.start)
            return True

    async def pause_broker(self, seconds):
        def send(number):
            os.kill(self.arena.kafka.pid, number)

        return await self._on_the_broker(lambda: send(signal.SIGSTOP), lambda: send(signal.SIGCONT), seconds)

    # ---- the network between workers and broker

    async def slow_network(self, seconds):
        self.arena.proxy.delay(self.arena.random.uniform(0.005, 0.05))
        await asyncio.sleep(seconds)
        self.arena.proxy.delay(0)

    async def hold_network(self, seconds):
        with self.arena.verifier.cut_offs.during():
            self.arena.proxy.hold()
            await asyncio.sleep(seconds)
            self.arena.proxy.release()

    async def cut_network(self, _):
        self.arena.proxy.cut()

    async def late_commits(self, seconds):
        self.arena.proxy.hold_requests(_END_TXN, 3)
        await asyncio.sleep(seconds)
        self.arena.proxy.release_held()

    async def damage_fetch(self, seconds):
        """Flip a bit of each batch of requests in transit, once: a batch that is fetched again is intact."""
        seen, topic = set(), self.arena.deployment.settings.topics.requests

        def change(where, partition, batch):
            place = partition, batch[:8]
            if where != topic or place in seen or len(batch) < SIZE:
                return batch
            seen.add(place)
            return batch[:-1] + bytes([batch[-1] ^ 1])

        if self.arena.proxy.change:
            return False
        self.arena.proxy.change = change
        await asyncio.sleep(seconds)
        self.arena.proxy.change = None
        return True

    # ---- the requests topic

    async def odd_record(self, _):
        """Publish one that no client library would send; whether the broker accepts it may stay unknown."""
        terms, port = self.arena.terms, int(self.arena.kafka.bootstrap.rpartition(":")[2])
        made = odd_batch(self.arena.random).at(0)
        try:
            async with asyncio.timeout(20), RawProducer(port) as producer:
                topic = self.arena.deployment.settings.topics.requests
                await producer.send(topic, self.arena.random.randrange(terms.partitions), made)
        except (OSError, TimeoutError, EOFError, Refused) as error:
            self.arena.say(f"an odd record may not be there: {error!r}")
            return False
        return True

    # ---- the control topic

    async def _bad_swap(self, path, sha256):
        model = Model(path.as_uri(), sha256, "h2o")
        return await self._command(lambda: self.arena.command(Change(model=model, deadline_s=2)))

    async def hanging_store(self, _):
        if not (path := self.arena.folder / "store" / "hangs").exists():
            bad_artifacts.fifo(path)
        return await self._bad_swap(path, "a" * 64)

    async def evil_archive(self, _):
        if not (path := self.arena.folder / "store" / "evil.zip").exists():
            bad_artifacts.many_inodes(path)
        return await self._bad_swap(path, hashlib.sha256(path.read_bytes()).hexdigest())

    async def last_number(self, _):
        """Publish a swap that leaves no generation above it."""
        command = Command(command_id=str(uuid.uuid4()), deployment=self.arena.deployment.name, rules=1)
        command.rollback.generation, command.rollback.to = 2**64 - 1, 1
        return await self._command(lambda: asyncio.to_thread(self._append, [command.SerializeToString()]))

    def _log(self):
        """Read all records that are still in the control topic."""
        consumer = Consumer(self._kafka | {"group.id": "faults"})
        where = TopicPartition(self.arena.deployment.settings.topics.control, 0)
        begin, end = consumer.get_watermark_offsets(where, timeout=20)
        consumer.assign([TopicPartition(where.topic, 0, begin)])
        records = []
        while not records or records[-1].offset() < end - 1:
            message = consumer.poll(20)
            if message is None or begin == end:
                break
            if not message.error():
                records.append(message)
        consumer.close()
        return records

    def _append(self, values):
        topic = self.arena.deployment.settings.topics.control
        for value in values:
            self._producer.produce(topic, value, partition=0)
        self._producer.flush(60)

    async def _abuse(self, make):
        async def act():
            records = await asyncio.to_thread(self._log)
            await asyncio.to_thread(self._append, make([record.value() for record in records]))

        return await self._command(act)

    async def rewind_control(self, _):
        """Append the whole log again, as a mirror that starts over does."""
        return await self._abuse(lambda values: values)

    async def duplicate_control(self, _):
        return await self._abuse(lambda values: self.arena.random.choices(values, k=3) if values else [])

    async def forge_control(self, _):
        def forge(values):
            garbage = self.arena.random.randbytes(40)
            torn = [value[: len(value) // 2] for value in values]
            return [garbage, b"", *(value[:-4] + garbage[:4] for value in values[-3:]), *torn]

        return await self._abuse(forge)

    async def truncate_control(self, _):
        """Delete the commands; then do what an operator does: publish a complete swap, above what served."""
        is_deleted = await self._command(self._delete_commands)
        while not await self._command(self.arena.swap_whole) and is_deleted:
            await asyncio.sleep(1)  # without it the deployment has nothing
        return is_deleted

    async def _delete_commands(self):
        records = await asyncio.to_thread(self._log)
        upto = TopicPartition(self.arena.deployment.settings.topics.control, 0, records[-1].offset() + 1)
        (deleted,) = self.arena.admin.delete_records([upto], request_timeout=20).values()
        await asyncio.to_thread(deleted.result, 20)
