"""Two gateways of one deployment under calls, while workers and gateways are killed and models are swapped."""

import asyncio
import contextlib
import json
import random
import statistics
import time
from dataclasses import dataclass, field

from harness.audit import generation, header, read, source
from harness.calls import Connection, CutOff, Gateway
from harness.fleet import EXAMPLES, messages
from hotswap.client.change import Change
from hotswap.gateway.documents import as_json

_AT_ONCE = 1_000
_CONNECTIONS = 100
_PER_SECOND = 1_000
_AWAY_S = 0.5
_EVERY_S = 5.0
_WAIT_S = 60


@dataclass
class Figures:
    """The results of a run; `findings` is empty if every promise was kept."""

    calls: int = 0
    answered: int = 0
    cut_off: int = 0
    unanswered_in_time: int = 0
    not_taken: int = 0
    workers_killed: int = 0
    gateways_killed: int = 0
    swaps: int = 0
    at_once: str = ""
    under_faults: str = ""
    findings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Call:
    """A call that has a reply: the row that was sent, the generation that served before, and the reply."""

    row: int
    floor: int
    document: dict
    seconds: float


class Load:
    """Calls gateways at a rate, each with one of some rows, and keeps every reply."""

    def __init__(self, deployment, gateways, rows, figures, dice):
        self.path = f"/v1/{deployment.name}/predict"
        self.served = 1
        """The newest generation that a swap has reported."""
        self.kept = []
        self._connections = [Connection(gateway) for gateway in gateways for _ in range(_CONNECTIONS // len(gateways))]
        self._gateways = gateways
        self.rows = rows
        self._figures = figures
        self._dice = dice

    async def at_once(self, count):
        """Make so many calls at the same time, each on a connection of its own; return the calls."""
        connections = [Connection(self._gateways[number % len(self._gateways)]) for number in range(count)]
        since = len(self.kept)
        await asyncio.gather(*(self._call(one, time.perf_counter()) for one in connections))
        for one in connections:
            one.close()
        return self.kept[since:]

    async def steady(self, per_second, seconds):
        """Call at this rate, whatever the replies take; return the calls. Latency counts from when a call was due."""
        since, free = len(self.kept), asyncio.Queue()
        for connection in self._connections:
            free.put_nowait(connection)
        calls, began = set(), time.perf_counter()
        for number in range(int(per_second * seconds)):
            due = began + number / per_second
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            calls.add(task := asyncio.create_task(self._lent(free, due)))
            task.add_done_callback(calls.discard)
        await asyncio.gather(*calls)
        return self.kept[since:]

    async def _lent(self, free, due):
        connection = await free.get()
        if not await self._call(connection, due):
            await asyncio.sleep(_AWAY_S)  # further calls go to the other gateway meanwhile
        free.put_nowait(connection)

    async def _call(self, connection, due):
        """Make a call; return whether there was a reply."""
        row, floor = self._dice.randrange(len(self.rows)), self.served
        self._figures.calls += 1
        try:
            reply = await connection.post(self.path, self.rows[row])
        except CutOff:
            self._figures.cut_off += 1
            return False
        if reply.status == 200:
            self._figures.answered += 1
            self.kept.append(Call(row, floor, reply.document, time.perf_counter() - due))
        elif reply.status == 504:
            self._figures.unanswered_in_time += 1
        elif reply.status == 503:
            self._figures.not_taken += 1
        else:
            self._figures.findings.append(f"{reply.status}: {reply.document.get('detail')}")
        return True


async def run(deployment, *, seed, count, say):
    """Call 1,000 times at once, then for `count` seconds under faults; compare all replies with the topics."""
    dice, figures = random.Random(seed), Figures()
    await deployment.serve("iris_gbm", workers=("w1", "w2"))
    gateways = [await Gateway(deployment, f"g{number}").start() for number in (1, 2)]
    try:
        load = Load(deployment, gateways, _rows(), figures, dice)
        await load.steady(200, 5)  # everything is warm
        figures.at_once = _told(await load.at_once(_AT_ONCE))
        say(f"{_AT_ONCE} at once: {figures.at_once}")
        faults = asyncio.create_task(_faults(deployment, gateways, load, figures, dice))
        figures.under_faults = _told(answered := await load.steady(_PER_SECOND, count))
        say(f"under faults: {figures.under_faults}")
        faults.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await faults  # one that could not be made is an error
        if not answered or not figures.gateways_killed or not figures.swaps:
            figures.findings.append("no call was answered, no gateway was killed, or no model was swapped: play longer")
        await deployment.drained(_WAIT_S)
        await asyncio.to_thread(_check, deployment, load, figures)
    finally:
        for gateway in gateways:
            gateway.kill()
    return figures


def _told(calls):
    if not calls:
        return "no call was answered"
    ranked = statistics.quantiles([call.seconds * 1000 for call in calls], n=100)
    return f"{len(calls):,} answered, p50 {ranked[49]:.1f} ms, p99 {ranked[98]:.1f} ms"


def _rows():
    values, _, operation = messages("iris")
    parsed = [operation.input.FromString(value) for value in values]
    return [json.dumps({field.name: value for field, value in row.ListFields()}).encode() for row in parsed]


async def _faults(deployment, gateways, load, figures, dice):
    """Every five seconds, kill a worker or a gateway, which is started again, or swap the model."""
    models = [EXAMPLES / "models" / f"iris_{kind}.zip" for kind in ("glm", "gbm")]
    while True:
        await asyncio.sleep(_EVERY_S)
        victim = dice.choice(sorted(deployment.workers))
        deployment.kill(victim)
        deployment.start(victim)
        figures.workers_killed += 1
        await asyncio.sleep(_EVERY_S)
        gateway = dice.choice(gateways)
        gateway.kill()
        await gateway.start()
        figures.gateways_killed += 1
        await asyncio.sleep(_EVERY_S)
        async with deployment.client() as client:
            receipt = await client.swap(Change(model=models[figures.swaps % 2]))
            if (await client.await_swap(receipt)).is_good:  # else a worker was killed amidst it
                load.served = receipt.generation
                figures.swaps += 1


def _check(deployment, load, figures):
    """Compare every reply with the request and the answer that the topics have for its source."""
    topics, bootstrap = deployment.settings.topics, deployment.kafka.bootstrap
    _, _, operation = messages("iris")
    asked = {(m.partition(), m.offset()): m.value() for m in read(bootstrap, topics.requests)}
    answers = read(bootstrap, topics.predictions)
    by_source = {source(message): message for message in answers}
    say = figures.findings.append
    if len(by_source) < len(answers):
        say(f"{len(answers) - len(by_source)} requests were answered twice")
    if lost := asked.keys() - by_source.keys():
        say(f"{len(lost)} accepted requests have no answer: {sorted(lost)[:5]}")
    seen = set()
    for call in load.kept:
        _, partition, offset = call.document["source"].rsplit("-", 2)
        place = int(partition), int(offset)
        if place in seen:
            say(f"{place} was the source of two replies")
        seen.add(place)
        sent = operation.input(**json.loads(load.rows[call.row]))
        message = by_source.get(place)
        if message is None or operation.input.FromString(asked[place]) != sent:
            say(f"the reply from {place} is to another row, or to none")
        elif call.document["prediction"] != as_json(operation.output.FromString(message.value())):
            say(f"the reply from {place} is not the answer in the topic, {header(message, 'source')}")
        elif call.document["generation"] != generation(message) or generation(message) < call.floor:
            say(f"{place} was answered by {generation(message)} after {call.floor} was reported to serve")
