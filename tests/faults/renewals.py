"""Credentials that end while a fleet works: certificates, tokens and sessions, renewed without a restart."""

import asyncio
import contextlib
import json
import logging
import shutil
import time
from collections import Counter

from harness.audit import audit, read, source
from harness.fleet import EXAMPLES, messages
from harness.secured import secured_kafka
from hotswap.client.answers import Outgoing
from hotswap.client.change import Change
from hotswap.errors import Doubt, StartError
from hotswap.kafka.client import credentials
from hotswap.kafka.topics.admin import Admin
from hotswap.local.kafka import free_ports
from hotswap.settings import Settings

SESSION_S = 60.0
"""connections.max.reauth.ms."""
LIVES_S = 90.0
"""How long the first certificate and each token last."""
RENEWED_S = 60.0
"""When the certificate is renewed on disk."""
SECONDS = 200
_PARTITIONS = 4
_SKEW_S = 5
_PER_SECOND = 100
_LISTENERS = {"SSL": "MUTUAL", "OAUTHBEARER": "CLIENT"}


class Pipe:
    """Forwards a port to another one, and cuts all connections on demand."""

    def __init__(self, port, target):
        self._port, self._target = port, target
        self._tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_):
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self):
        """Cut every connection; return how many there were."""
        cut = len(self._tasks)
        for task in self._tasks:
            task.cancel()
        return cut

    async def _accept(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self._target)
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await asyncio.gather(_pump(reader, forth), _pump(back, writer))
            forth.transport.abort()
        finally:
            writer.transport.abort()
            self._tasks.discard(asyncio.current_task())


async def _pump(reader, writer):
    while chunk := await reader.read(1 << 16):
        writer.write(chunk)
        await writer.drain()
    raise ConnectionError  # one side ended: so does the other


async def run(folder, *, seconds=SECONDS, session_s=SESSION_S, lives_s=LIVES_S, renewed_s=RENEWED_S, say=print):
    """Have a deployment of each kind work for so long; return what broke a promise, and figures."""
    proxies = dict(zip(_LISTENERS.values(), free_ports(), strict=False))
    broker = {"connections_max_reauth_ms": str(int(session_s * 1000)), "super_users": "User:ANONYMOUS;User:worker"}
    with secured_kafka(folder, proxies, **broker) as secured:
        secured.endpoint.lives_s = lives_s
        async with contextlib.AsyncExitStack() as stack:
            pipes = [await stack.enter_async_context(Pipe(proxies[name], secured.listens[name])) for name in proxies]
            plays = [Play(secured, kind, folder / kind.lower()) for kind in _LISTENERS]
            for play in plays:
                stack.callback(play.deployment.close)
                await play.begin()
            work = asyncio.gather(*(play.publish(seconds) for play in plays))
            for play in plays:
                await play.is_publishing.wait()  # a client that is cut while it starts has failed
            refused = await _renew(secured, folder, pipes, lives_s=lives_s, renewed_s=renewed_s, say=say)
            await work
            findings = [f"the old {name} is not refused" for name, why in refused.items() if not why]
            figures = {"tokens": len(secured.endpoint.issued)}
            for play in plays:
                told, more = await play.end(say)
                findings += told
                figures |= more
            return findings, figures


async def _renew(secured, folder, pipes, *, lives_s, renewed_s, say):
    """Have the credentials end, and cut the connections before and after that; return why the old ones are refused."""
    secured.authority.sign("worker", ends_in_s=lives_s)
    files = {"ssl_certificate": "worker.pem", "ssl_key": "worker.key"}
    kept = {name: shutil.copy(secured.authority.folder / file, folder) for name, file in files.items()}
    token = secured.endpoint.token("worker")
    await asyncio.sleep(1)
    say(f"{_cut(pipes)} connections cut, so that the certificate of {lives_s:.0f} s is in use")
    await asyncio.sleep(renewed_s - 1)
    secured.authority.sign("worker")
    say(f"after {renewed_s:.0f} s: the certificate is renewed, and {_cut(pipes)} connections are cut")
    await asyncio.sleep(max(lives_s - renewed_s, 0) + _SKEW_S)
    old = Settings(**{**secured.settings("SSL"), **kept})
    bearer = Settings(worker_id="old", **secured.settings("OAUTHBEARER"))
    credentials.arguments(bearer)["sasl_oauth_token_provider"]._fetch = lambda: (token, (time.time() + 3_600) * 1000)
    refused = {"certificate": await _refusal(old), "token": await _refusal(bearer)}
    for name, why in refused.items():
        say(f"the old {name}: {why}")
    say(f"both have ended: {_cut(pipes)} connections are cut once more")
    return refused


def _cut(pipes):
    return sum(pipe.cut() for pipe in pipes)


async def _refusal(settings):
    """Return why these credentials are refused; nothing if they are not."""
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # the reason is only there; proofs silence it
    try:
        async with Admin.connect(settings):
            return ""
    except StartError as error:
        return str(error)
    finally:
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


class Play:
    """A deployment with two workers that authenticate in one way, and requests at a steady pace."""

    def __init__(self, secured, kind, folder):
        folder.mkdir()
        self.kind = kind
        self.secured = secured
        self.deployment = secured.deployment(folder, kind)
        self.values = messages("iris")[0]
        self.asked, self.since = 0, 0.0
        self.is_publishing = asyncio.Event()

    async def begin(self):
        await self.deployment.create(_PARTITIONS)
        for worker in ("w1", "w2"):
            self.deployment.start(worker)
        async with self.deployment.client() as client:
            model = {"model": EXAMPLES / "models" / "iris_gbm.zip", "proto": EXAMPLES / "protos" / "iris.proto"}
            answer = await client.await_swap(await client.swap(Change(**model)))
        assert answer.is_good, (answer, self.deployment.log()[-3_000:])
        await self.deployment.publish(self.values)  # once they are answered, both workers have joined
        await self.deployment.drained()

    async def publish(self, seconds):
        """Publish by the deployment's own client, which lives as long, and so renews as the workers do."""
        self.since, began, step = time.time(), time.monotonic(), 0.1
        async with self.deployment.client() as client:
            while (passed := time.monotonic() - began) < seconds:
                due = int(passed * _PER_SECOND) - self.asked
                batch = [Outgoing(self.values[(self.asked + at) % len(self.values)]) for at in range(max(due, 1))]
                self.asked += len(batch)
                with contextlib.suppress(Doubt):  # what was written is counted by the audit
                    await client.publish(batch)
                self.is_publishing.set()
                await asyncio.sleep(step)

    async def end(self, say):
        """Wait for the last answer; return what broke a promise, and figures."""
        await self.deployment.drained()
        alive = {name: process.poll() for name, process in self.deployment.workers.items()}
        logs = [line for name in alive for line in self.deployment.log(name).splitlines() if line.startswith("{")]
        events = Counter(json.loads(line)["event"] for line in logs)
        ended = [await self.deployment.stop(name) for name in list(self.deployment.workers)]
        seen = await asyncio.to_thread(audit, self.secured.bootstrap, self.deployment.settings.topics)
        gap = await asyncio.to_thread(_longest_gap, self.secured.bootstrap, self.deployment.settings.topics, self.since)
        findings = [f"{self.kind}: {seen.faults}"] if seen.faults else []
        if any(code is not None for code in alive.values()) or any(ended) or events["worker.started"] != len(alive):
            findings.append(f"{self.kind}: workers ended: {alive}, {ended}")
        figures = {"requests": seen.asked, "lost": len(seen.lost), "twice": len(seen.twice), "longest_gap_s": gap}
        figures |= {"reopened": events["partition.recycled"], "restarts": 0}
        say(f"{self.kind}: {figures}")
        return findings, {f"{self.kind}.{name}": value for name, value in figures.items()}


def _longest_gap(bootstrap, topics, since):
    """Return the longest time between two answers of a partition, seconds; none before `since` counts."""
    last, gap = {}, 0.0
    for message in read(bootstrap, topics.predictions):
        partition, _ = source(message)
        at = message.timestamp()[1] / 1000
        gap = max(gap, at - max(last.get(partition, since), since))
        last[partition] = at
    return round(gap, 2)
