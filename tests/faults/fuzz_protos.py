"""Made-up protos at a real gateway and a client: no process of ours ends, and no event loop stands still for them."""

import asyncio
import contextlib
import json
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice

import aiohttp

from faults.proto_inputs import items, ordinary
from harness.calls import Gateway
from harness.fleet import Deployment
from hotswap.client import protos
from hotswap.errors import SwapError
from hotswap.local.kafka import LocalKafka

_ROUND = 250
_ORDINARY = 100
"""In front of each round, at the same rate: what the loop's pauses are held to."""
_AT_ONCE = 8
_TIMES = 3
_LEAST_S = 0.02
"""Of the pauses that the longest is held to."""
_KEPT = 20
_RPC = re.compile(rb"rpc (\w+)")
_FIELD = re.compile(rb"(\w+) = [0-9]+;")
_MOST_FIELDS = 8
_REFUSED = (404, 413, 422, 429)


@dataclass
class Figures:
    """The results of a run; `findings` is empty if every promise was kept."""

    seed: int
    kinds: Counter = field(default_factory=Counter)
    statuses: Counter = field(default_factory=Counter)
    sets: Counter = field(default_factory=Counter)
    longest_pause_s: float = 0.0
    longest_pause_without_s: float = 0.0
    longest_call_s: float = 0.0
    seconds: float = 0.0
    findings: list = field(default_factory=list)

    def find(self, text):
        if len(self.findings) < _KEPT:
            self.findings.append(text)


class Watched(Gateway):
    """A gateway that notes its loop's longest pause."""

    @property
    def _pauses(self):
        return self.deployment.folder / f"{self.name}.pauses"

    def _launched(self, command):
        before = [*command[:1], "-m", "harness.pauses", str(self._pauses)]
        return [*before, *command[3:]]

    def longest_pause_s(self):
        """Return the longest pause since this was asked last."""
        longest = float(self._pauses.read_text() or 0)
        self._pauses.write_text("")
        return longest


async def run(folder, *, seed, count, say):
    """Post so many protos to a gateway, and have a client compile those that are descriptor sets."""
    figures, began = Figures(seed), time.monotonic()
    say(f"fuzz-protos: seed {seed}, {count} protos")
    with LocalKafka() as kafka:
        deployment = Deployment(kafka, folder)
        try:
            await deployment.create()
            gateway = await Watched(deployment, "g1").start()
            try:
                await _play(gateway, figures, count, say)
            finally:
                gateway.kill()
        finally:
            deployment.close()
    figures.seconds = round(time.monotonic() - began, 1)
    return figures


async def _play(gateway, figures, count, say):
    made, done = items(figures.seed, count), 0
    async with aiohttp.ClientSession() as session:
        await _listens(session, gateway)
        await _post(session, gateway, figures, [ordinary(-at) for at in range(1, _ORDINARY)])
        gateway.longest_pause_s()
        while done < count:
            usual = [ordinary(done * _ORDINARY + at) for at in range(_ORDINARY)]
            await _post(session, gateway, figures, usual)
            figures.longest_pause_without_s = max(figures.longest_pause_without_s, gateway.longest_pause_s())
            batch = list(islice(made, _ROUND))
            figures.kinds.update(item.kind for item in batch)
            await _post(session, gateway, figures, [item for item in batch if not item.is_set])
            figures.longest_pause_s = max(figures.longest_pause_s, gateway.longest_pause_s())
            await asyncio.gather(*(_compile(item, figures) for item in batch if item.is_set))
            done += len(batch)
            if gateway.process.poll() is not None:
                figures.find(f"the gateway ended with {gateway.process.returncode}")
                return
            told = f"longest pause {figures.longest_pause_s:.3f} s, {figures.longest_pause_without_s:.3f} s without"
            say(f"{done} protos, {dict(figures.statuses)}, {told}, {len(figures.findings)} findings")
    if figures.longest_pause_s > _TIMES * max(figures.longest_pause_without_s, _LEAST_S):
        figures.find(f"the loop stood still for {figures.longest_pause_s:.3f} s")


async def _listens(session, gateway):
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(aiohttp.ClientConnectorError):
                async with session.get(f"{gateway.address}/v1"):
                    return
            await asyncio.sleep(0.1)


async def _post(session, gateway, figures, batch):
    waiting = iter(batch)

    async def post():
        for item in waiting:
            await _call(session, gateway, figures, item)

    await asyncio.gather(*(post() for _ in range(_AT_ONCE)))


async def _call(session, gateway, figures, item):
    is_json = len(item.source) % 2
    form = aiohttp.FormData()
    fields = list(dict.fromkeys(name.decode() for name in _FIELD.findall(item.source[:4_000])))[:_MOST_FIELDS]
    if is_json:
        form.add_field("jsonFile", json.dumps([dict.fromkeys(fields, 1)]), filename="rows")
    else:
        form.add_field("csvFile", f"{','.join(fields)}\n{','.join('1' * len(fields))}\n", filename="rows")
    form.add_field("proto", item.source, filename="model.proto")
    if named := _RPC.search(item.source):
        form.add_field("operation", named[1].decode())
    began = time.monotonic()
    try:
        address = f"{gateway.address}/getBinary{'JSON' if is_json else ''}"
        async with session.post(address, data=form, timeout=aiohttp.ClientTimeout(120)) as reply:
            said = await reply.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        figures.statuses["none"] += 1
        figures.find(f"no reply to {_shown(item)}: {error!r}")
        return
    figures.statuses[reply.status] += 1
    figures.longest_call_s = max(figures.longest_call_s, round(time.monotonic() - began, 3))
    if reply.status != 200 and reply.status not in _REFUSED:
        figures.find(f"{reply.status} {said[:300]!r} to {_shown(item)}")


async def _compile(item, figures):
    """Compile a set as a client does: this process goes on, too."""
    try:
        schema = await protos.compile(item.source, is_descriptor_set=True)
    except SwapError as error:
        figures.sets[error.code] += 1
        return
    figures.sets["compiled"] += 1
    for operation in schema.operations.values():
        with contextlib.suppress(ValueError):
            operation.input.FromString(type(message := operation.output()).SerializePartialToString(message))


def _shown(item):
    text = item.source if len(item.source) < 2_000 else item.source[:1_000] + b" [...] " + item.source[-200:]
    return f"{item.kind}, {len(item.source):,} bytes: {text!r}"
