"""Each right taken away, one at a time, on a broker that enforces them: what a worker and a client say: a table."""

import asyncio
import contextlib
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

from harness.command import hotswap
from harness.fleet import EXAMPLES, Deployment, messages
from harness.secured import binding, secured_kafka
from hotswap.client.answers import Outgoing
from hotswap.client.change import Change
from hotswap.kafka.client.acls import rights_of
from hotswap.kafka.client.roles import KafkaRole

HEAD = "| who | without | how it ends | in one line | lines logged meanwhile | verdict |\n|---|---|---|---|---|---|"
WORKER, PUBLISHER, OPERATOR = "worker", "publisher", "operator"
ROLES = {
    WORKER: (KafkaRole.WORKER,),
    PUBLISHER: (KafkaRole.PUBLISHER, KafkaRole.READER),
    OPERATOR: (KafkaRole.CONTROL,),
}
_ROWS = EXAMPLES / "data" / "iris.csv"
_COMMANDS = {PUBLISHER: ("predict", _ROWS), OPERATOR: ("status",)}
_WRITES = ("pause",)
_PARTITIONS = 2
_MISSING_S = 5.0
COUNT = 33
_CONFIRMS = "Describe", "group"
"""Of a publisher: without it, what workers report is taken as it is."""


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    who: str
    right: str
    outcome: str
    line: str
    logged: int
    findings: list[str]

    @property
    def holds(self):
        return not self.findings

    def __str__(self):
        verdict = "holds" if self.holds else f"BROKEN: {'; '.join(self.findings)}"
        return f"| {self.who} | {self.right} | {self.outcome} | {self.line} | {self.logged or ''} | {verdict} |"


async def run(folder, *, say=print):
    """Take each right away; return the rows of the table."""
    with secured_kafka(folder) as secured:
        field = Field(secured, folder)
        try:
            await field.prepare()
            say(HEAD)
            rows = []
            async for row in field.rows():
                say(str(row))
                rows.append(row)
            return rows
        finally:
            field.close()


def figures(rows):
    return {"rights": len(rows), "held": sum(row.holds for row in rows)}


class Field:
    """A deployment whose worker, publisher and operator are three users with the least rights."""

    def __init__(self, secured, folder):
        self.secured = secured
        self.owner = Deployment(secured, folder / "owner", delivery="exactly_once")
        (folder / "owner").mkdir()
        self.by = {user: self._as(user, folder / user) for user in ROLES}
        self.rights = {
            user: [right for role in roles for right in rights_of(role, self.owner.settings)]
            for user, roles in ROLES.items()
        }
        self.values = messages("iris")[0]

    def _as(self, user, folder):
        folder.mkdir()
        self.secured.add_user(user)
        shared = {"store": self.owner.settings.store, "cache": self.owner.settings.cache}
        made = self.secured.deployment(folder, "SCRAM-SHA-512", user, name=self.owner.name)
        made.settings = made.settings.model_copy(update=shared)
        return made

    async def prepare(self):
        """Create the topics, grant every right, and have a worker serve."""
        await self.owner.create(_PARTITIONS)
        await self._change(self.secured.allow, [(user, right) for user in ROLES for right in self.rights[user]])
        self.worker.start()
        async with self.owner.client() as client:
            model = {"model": EXAMPLES / "models" / "iris_gbm.zip", "proto": EXAMPLES / "protos" / "iris.proto"}
            answer = await client.await_swap(await client.swap(Change(**model)))
        assert answer.is_good, (answer, self.worker.log()[-3_000:])
        await self._answer()

    @property
    def worker(self):
        return self.by[WORKER]

    def close(self):
        for deployment in (self.owner, *self.by.values()):
            deployment.close()

    async def rows(self):
        for right in self.rights[WORKER]:
            async with self._without(WORKER, right):
                yield await self.at_start(right)
        for right in self.rights[WORKER]:
            yield await self.while_running(right)
        for user in (PUBLISHER, OPERATOR):
            for right in self.rights[user]:
                async with self._without(user, right):
                    yield await self.of_a_client(user, right)

    async def at_start(self, right):
        """Start another worker."""
        _, told = await hotswap(self.worker, "run", self.worker.name, code=3)
        return self._row("worker, at its start", WORKER, right, "exit 3", told)

    async def of_a_client(self, user, right):
        words = _WRITES if right.operation == "Write" and user == OPERATOR else _COMMANDS[user]
        name, *more = words
        if user == PUBLISHER and (right.operation, right.kind) == _CONFIRMS:
            _, told = await hotswap(self.by[user], name, self.owner.name, *more)
            said = "\n".join(line for line in told.splitlines() if "lacks the right" in line)
            return self._row(f"`hotswap {name}`", user, right, "exit 0, by the reports", said)
        _, told = await hotswap(self.by[user], name, self.owner.name, *more, code=3)
        return self._row(f"`hotswap {name}`", user, right, "exit 3", told)

    async def while_running(self, right):
        """Take it from the worker that serves, with requests waiting; and give it back."""
        await self._readiness(lambda told: told == "ok")
        before = len(self._alarms())
        await self._publish_closely()
        async with self._without(WORKER, right):
            began = time.monotonic()
            line = await self._readiness(lambda told: told != "ok")
            seen = time.monotonic() - began
            await self.owner.publish(self.values[:20])
            await asyncio.sleep(_MISSING_S)
            exported = self._metrics()
        began = time.monotonic()
        await self._readiness(lambda told: told == "ok")
        await self._answer()
        outcome = f"readyz 503 after {seen:.1f} s; goes on {time.monotonic() - began:.1f} s after it is granted"
        logged = self._alarms()[before:]
        row = self._row("worker, while it runs", WORKER, right, outcome, line, len(logged))
        row.findings.extend(f"does not name the right: {line}" for line in logged if right.resource not in str(line))
        if f'right="{right.operation}"' not in exported or f'resource="{right.resource}"' not in exported:
            row.findings.append("no metric names it")
        if row.logged > 1 + _PARTITIONS:  # each may be held for it
            row.findings.append(
                f"{row.logged} lines in the log: {[(line['event'], line.get('why')) for line in logged]}"
            )
        if (ended := self.worker.workers["w1"].poll()) is not None:
            row.findings.append(f"the worker ended with {ended}")
        if faults := (await self.owner.audit()).faults:
            row.findings.append(f"{faults}")
        return row

    def _row(self, who, user, right, outcome, told, logged=0):
        lines = [line for line in told.strip().splitlines() if not line.startswith("ignored ")]  # a column
        findings = [] if len(lines) == 1 else [f"{len(lines)} lines: {told}"]
        named = (f"User:{user} lacks the right", right.operation, right.resource)
        findings += [f"does not say {name!r}" for name in named if name not in told]
        return Row(who, str(right), outcome, lines[-1].partition(": grant")[0] if lines else "", logged, findings)

    @contextlib.asynccontextmanager
    async def _without(self, user, right):
        await self._change(self.secured.forbid, [(user, right)])
        try:
            yield
        finally:
            await self._change(self.secured.allow, [(user, right)])

    async def _change(self, change, granted):
        for user, right in granted:
            bound = binding(right, f"User:{user}")
            await asyncio.to_thread(change, [bound] if change == self.secured.allow else bound)
        await asyncio.sleep(0.3)  # the broker applies it once it has read its metadata log

    async def _answer(self):
        """Publish requests, and wait until all are answered."""
        await self.owner.publish(self.values[:20])
        await self.owner.drained()

    async def _publish_closely(self):
        """Publish requests one right after the other: the worker has its next transactions open when they end."""
        async with self.owner.client() as client:
            for value in self.values[:20]:
                await client.publish([Outgoing(value)])

    async def _readiness(self, is_wanted, timeout=40):
        async with asyncio.timeout(timeout):
            while not is_wanted(told := await asyncio.to_thread(self._get, "readyz")):
                await asyncio.sleep(0.1)
        return told

    def _get(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.worker.port()}/{path}") as answer:
                return answer.read().decode().strip()
        except urllib.error.HTTPError as error:
            with error:
                return error.read().decode().strip()

    def _metrics(self):
        return "\n".join(line for line in self._get("metrics").splitlines() if "hotswap_rights_missing{" in line)

    def _alarms(self):
        lines = [json.loads(line) for line in self.worker.log().splitlines() if line.startswith("{")]
        return [line for line in lines if line["level"] in ("WARNING", "ERROR")]
