"""A thousand swaps in a row under a steady stream: their effect on latency, and what they leave behind."""

import asyncio
import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from harness.fleet import EXAMPLES
from hotswap.artifacts.store import Store
from hotswap.commands import encode_command
from hotswap.generation import Model
from hotswap.kafka.topics.writer import LogWriter
from hotswap.swap.command import SwapCommand

_MODELS = ("iris_glm", "iris_gbm")
_BEFORE = 20
"""Swaps after which everything has been used once, and the baseline is taken."""
_STEADY_S = 40
_RENEWED_S = 310
"""Seconds after which each client of a worker has refreshed its metadata, and opened the last of its connections."""
_WORKER_THREADS = 2 + min(32, (os.cpu_count() or 1) + 4)
"""The event loop's, the health server's, and asyncio's pool for blocking calls, full once enough overlap."""
_TIMES_P99 = 1.5
_FLAT = 1.05


@dataclass(frozen=True, slots=True)
class Footprint:
    """A fleet's resources: processes, descriptors, threads, temporary entries; memory of workers and of hosts, MiB."""

    processes: int
    descriptors: int
    host_threads: int
    worker_threads: int
    temporary: int
    worker_mib: float
    host_mib: float


async def swaps(arena, count):
    """Swap `count` times, each once the previous generation has retired on every worker; compare with quiet times."""
    async with _Commands(arena.deployment.settings) as commands:
        await _play(arena, commands, int(count))


async def _play(arena, commands, count):
    renewed = time.monotonic() + _RENEWED_S
    for _ in range(_BEFORE):
        await _one(arena, commands)
    steady = [await _quiet(max(_STEADY_S, renewed - time.monotonic()))]
    before = _footprint(arena)
    began, durations = time.time(), []
    for number in range(count - _BEFORE):
        durations.append(await _one(arena, commands))
        if number % 100 == 99:
            p99 = _percentile(arena, [(began, time.time())], 99)
            arena.say(f"{number + 1 + _BEFORE} swaps, p99 {p99:.0f} ms, {_footprint(arena)}")
    during = (began, time.time())
    steady.append(await _quiet(_STEADY_S))
    _check(arena, count, durations, steady, during, before, _footprint(arena))


class _Commands:
    """Appends swaps to the control topic, and reads nothing back.

    The client does, from the beginning of the topic: in this process, which also runs the verifier, that would take
    ever more of the measured time.
    """

    def __init__(self, settings):
        self._settings = settings
        self._writer = LogWriter(settings)
        self._models = []
        self._generation = 1

    async def __aenter__(self):
        store = Store(self._settings)
        self._models = [Model(*await store.upload(EXAMPLES / "models" / f"{name}.zip")) for name in _MODELS]
        await self._writer.start()
        return self

    async def __aexit__(self, *_):
        await self._writer.stop()

    async def swap(self):
        """Publish a swap to the other model; return the generation's number."""
        self._generation += 1
        model = self._models[self._generation % 2]
        command = SwapCommand(command_id=str(uuid.uuid4()), generation=self._generation, model=model)
        await self._writer.append(
            self._settings.topics.control, encode_command(self._settings.deployment, command), partition=0
        )
        return self._generation


async def _one(arena, commands):
    """Swap once, from the command until the old generation is gone everywhere; return the seconds it took."""
    began = time.monotonic()
    generation = await commands.swap()
    await arena.until(lambda: generation in arena.verifier.generations, 60, f"generation {generation}")
    await arena.until(lambda: _hosts(arena) == len(arena.workers), 30, "the hosts of the previous generation are gone")
    return time.monotonic() - began


def _hosts(arena):
    return sum(len(arena.hosts(name)) for name in arena.workers)


async def _quiet(seconds):
    """Wait for a time without swaps; return when it began and ended."""
    began = time.time()
    await asyncio.sleep(seconds)
    return began, time.time()


def _percentile(arena, spans, which):
    # Copies, since the verifier's thread appends concurrently: first to arrivals, then to latencies.
    latencies, arrivals = arena.verifier.latencies[:], arena.verifier.arrivals[:]
    seconds, arrived = np.array(latencies), np.array(arrivals[: len(latencies)])
    inside = np.zeros(len(arrived), bool)
    for began, ended in spans:
        inside |= (arrived >= began) & (arrived < ended)
    return float(np.percentile(seconds[inside], which)) * 1000


def _check(arena, count, durations, steady, during, before, after):
    p99 = {"steady": _percentile(arena, steady, 99), "during swaps": _percentile(arena, [during], 99)}
    arena.figures |= {
        "swaps": count,
        "seconds from a command until the generation before is gone, median / longest": (
            f"{median(durations):.2f} / {max(durations):.2f}"
        ),
        "p50, ms": f"steady {_percentile(arena, steady, 50):.0f}, during swaps {_percentile(arena, [during], 50):.0f}",
        "p99, ms": f"steady {p99['steady']:.0f}, during swaps {p99['during swaps']:.0f}",
        "p99 during swaps, times steady": round(p99["during swaps"] / p99["steady"], 2),
        "at first": before,
        "at last": after,
    }
    for name in ("processes", "descriptors", "host_threads", "temporary"):
        assert getattr(after, name) <= getattr(before, name), f"{name} are not as at the start"
    assert after.worker_threads <= _WORKER_THREADS * len(arena.workers), "a worker has more threads than its pool"
    for name in ("worker_mib", "host_mib"):
        grown = getattr(after, name) / getattr(before, name)
        assert grown <= _FLAT, f"{name} grew by {grown - 1:.1%}"
    assert p99["during swaps"] <= _TIMES_P99 * p99["steady"], "the stream feels the swaps"


def _footprint(arena):
    workers = [arena.deployment.workers[name].pid for name in arena.workers]
    hosts = [pid for name in arena.workers for pid in arena.hosts(name)]
    both = [Path(f"/proc/{pid}") for pid in workers + hosts]
    artifacts = arena.deployment.settings.cache / "artifacts"
    return Footprint(
        processes=len(both),
        descriptors=sum(len(list((process / "fd").iterdir())) for process in both),
        host_threads=_threads(hosts),
        worker_threads=_threads(workers),
        temporary=len(list(artifacts.iterdir())) + len(list(Path(arena.temporary).iterdir())),
        worker_mib=round(sum(map(_resident_mib, workers)), 1),
        host_mib=round(sum(map(_resident_mib, hosts)), 1),
    )


def _threads(pids):
    return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids)


def _resident_mib(pid):
    """Return the process's own memory, MiB (RSS without file mappings)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024
