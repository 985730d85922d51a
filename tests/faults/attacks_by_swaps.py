"""What strangers can command: stores that hang, invalid archives and models, deadlines."""

import asyncio
import os
import re
import time

from faults import bad_artifacts
from faults.raw_batches import Record, batch
from harness.fleet import messages

_BOUND_MB = 300
_IRIS = messages("iris")[0][0]


def made_before(make):
    """Make an attack's file in a folder before the stream begins, so that this time is not part of the attack."""

    def mark(attack):
        attack.make = make
        return attack

    return mark


async def _swaps_to(stage, uri):
    """Twenty swaps to a store, each with a deadline of a second; then a good one, and a host that dies."""
    for _ in range(20):
        command = stage.swap()
        command.swap.model.uri, command.swap.model.sha256 = uri, "a" * 64
        command.swap.deadline_ms = 1_000
        await stage.send(command)
        await stage.verdicts(command, 3)
    began = time.monotonic()
    is_good = await stage.is_good()
    took = time.monotonic() - began
    is_back = await stage.hosts_come_back()
    good = f"a good swap {f'READY in {took:.1f} s' if is_good else 'not READY'}"
    return f"{good}, a killed host {'back' if is_back else 'gone'}", is_good and is_back


async def store_fifo(stage):
    """Twenty swaps to a FIFO."""
    return await _swaps_to(stage, bad_artifacts.fifo(stage.folder / "fifo").as_uri())


async def store_silent(stage):
    """Twenty swaps to a server that never answers."""
    with bad_artifacts.silent_server(stage.silent_port):
        return await _swaps_to(stage, f"ftp://127.0.0.1:{stage.silent_port}/model.zip")


async def _after(stage, command, seconds=60):
    """Return the outcome of a bad swap, and whether the next one is good."""
    began = time.monotonic()
    await stage.send(command)
    told = await stage.verdicts(command, seconds)
    took = time.monotonic() - began
    is_good = await stage.is_good()
    said = ", ".join(sorted(set(told.values()))) or "no verdict"
    return told, f"{said} after {took:.1f} s, next swap {'READY' if is_good else 'not READY'}", is_good


async def long_ready(stage):
    """READY with 60 MiB of JSON."""
    stage.evil.write_text("ready")
    command = stage.swap()
    await stage.send(command)
    told = await stage.verdicts(command, 60)
    stage.evil.unlink()
    is_good = await stage.is_good()
    said = ", ".join(sorted(set(told.values()))) or "no verdict"
    seen = f"{said}, worker {stage.peak_mb()} MB, next swap {'READY' if is_good else 'not READY'}"
    return seen, set(told.values()) == {"FAILED HOST_FAILED"} and is_good and stage.peak_mb() < _BOUND_MB


@made_before(lambda folder: bad_artifacts.many_inodes(folder / "inodes.zip"))
async def many_inodes(stage):
    """An archive of 130,000 folders and empty files."""
    path = stage.made
    before = _inodes(stage.folder)
    command = stage.swap(model=path)
    command.swap.deadline_ms = 2_000
    told, seen, is_good = await _after(stage, command)
    made = _inodes(stage.folder) - before
    return f"{path.stat().st_size // 1024} KiB, {seen}, {made} inodes left", (
        bool(told)
        and set(told.values()) <= {"FAILED ARTIFACT_INVALID", "FAILED DEADLINE_EXCEEDED"}
        and is_good
        and not made
    )


def _inodes(folder):
    return sum(len(folders) + len(files) for _, folders, files in os.walk(folder / "cache"))


@made_before(lambda folder: bad_artifacts.nested_jars(folder / "jars.zip", count=24, size=100 << 20))
async def nested_jars(stage):
    """A zip of jars, 2.4 MB that a host would unpack into 2,400 MB of memory."""
    command = stage.swap(model=stage.made)
    command.swap.model.kind = "java"
    told, seen, is_good = await _after(stage, command)
    return seen, set(told.values()) <= {"FAILED ARTIFACT_INVALID"} and bool(told) and is_good


async def names_outside(stage):
    """A MOJO that names a file outside of its archive."""
    path = bad_artifacts.names_outside(stage.folder / "outside.zip", "../../../../../../../../proc/self/environ")
    told, seen, is_good = await _after(stage, stage.swap(model=path))
    return seen, set(told.values()) == {"FAILED ARTIFACT_INVALID"} and is_good


async def tampered_cache(stage):
    """A model that differs in the cache from the one in its store."""
    await stage.is_good()
    right = await _asked(stage)
    await stage.is_good()
    cache = stage.deployment.settings.cache / "artifacts"
    for path in cache.rglob("model.ini"):
        text = path.read_text()
        path.chmod(0o644)
        path.write_text(re.sub(r"beta = \[[^,]*", "beta = [99.0", text))
    is_good = await stage.is_good()
    again = await _asked(stage)
    is_right = is_good and again == right
    return (
        f"a swap to it {'READY' if is_good else 'not READY'}, its answer {'right' if is_right else 'wrong'}",
        is_right,
    )


async def _asked(stage):
    """Return the answer to one request."""
    place = 0, await stage.raw.send(stage.topics.requests, 0, batch([Record(value=_IRIS)]).at(0))
    await stage.plane.until(lambda: place in stage.answers.values, 20)
    return stage.answers.values.get(place)


async def long_deadline(stage):
    """A deadline of 49 days for a model that loops."""
    stage.evil.write_text("loops")
    command = stage.swap()
    command.swap.configuration.deadline_ms = 2**32 - 1
    await stage.send(command)
    told = await stage.verdicts(command)
    stage.evil.write_text("loops now")
    await asyncio.sleep(3)
    said = ", ".join(sorted(set(told.values()))) or "no verdict"
    is_good = await stage.is_good(base=1)  # what was accepted last has that deadline to inherit
    before = len(stage.answers.times)
    goes_on = await stage.plane.until(lambda: len(stage.answers.times) > before + 1_000, 15)
    stage.evil.unlink()
    seen = f"{said}, next swap {'READY' if is_good else 'not READY'}, stream {'continues' if goes_on else 'stalls'}"
    return seen, set(told.values()) == {"FAILED CONFIGURATION_INVALID"} and is_good and goes_on
