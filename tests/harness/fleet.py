"""A test's own deployment on a real Kafka, with its workers as processes."""

import asyncio
import csv
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from harness.audit import Audit, audit
from harness.forked import Forked
from hotswap.client.answers import Outgoing, Place
from hotswap.client.change import Change, Receipt
from hotswap.client.client import Client
from hotswap.codec.proto import Operation
from hotswap.codec.proto import compile as compile_proto
from hotswap.kafka.topics.admin import Admin
from hotswap.service import CHILD
from hotswap.settings import Settings

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
MAIN = """
import asyncio, ctypes, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG: a killed test or proof leaves no worker behind
from hotswap import logs, service
from hotswap.settings import Settings
logs.set_up(level="INFO", style="json")
asyncio.run(service.serve(Settings(), child=sys.argv[1:]))
"""
Process = subprocess.Popen[bytes] | Forked
HOSTILE = (sys.executable, str(ROOT / "tests" / "fakes" / "hostile_child.py"))


class Kafka(Protocol):
    """A cluster that tests run on."""

    @property
    def bootstrap(self) -> str:
        """Its bootstrap servers."""


def messages(name: str, proto: str | None = None) -> tuple[list[bytes], list[str], Operation]:
    """Return the rows of examples/data/<name>.csv as serialized messages of its proto, with their known classes."""
    path = EXAMPLES / "protos" / f"{proto or name}.proto"
    schema = compile_proto(path.read_bytes(), False)
    (operation,) = schema.operations.values()
    with (EXAMPLES / "data" / f"{name}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    fields = {field.name: field for field in operation.input.DESCRIPTOR.fields}
    values = []
    for row in rows:
        known = {
            key: value if fields[key].type == fields[key].TYPE_STRING else float(value)
            for key, value in row.items()
            if key in fields and value
        }
        values.append(operation.input(**known).SerializeToString())
    return values, [list(row.values())[-1] for row in rows], operation


class Deployment:
    """Topics, workers and a client; `close` ends what still runs."""

    child: Sequence[str] = CHILD
    """The command of its workers' model hosts, unless `start` gets another one."""
    way: Literal["command", "source", "fork"] = "source"
    """How workers of this checkout start that have no prelude and no hosts of their own: by `hotswap run`, as a user's
    do, with the product's own hosts; as Python's source; or forked (forked.py)."""

    def __init__(self, kafka: Kafka, folder: Path, *, name: str | None = None, **settings: Any) -> None:
        self.kafka = kafka
        self.folder = folder
        self.name = name or f"d{uuid.uuid4().hex[:8]}"
        self.settings = Settings(
            kafka=kafka.bootstrap,
            deployment=self.name,
            cache=folder / "cache",
            # A second Java for each worker would only slow the tests down.
            **self._logs() | {"store": (folder / "store").as_uri(), "spare_kinds": "spark", "hosts": 1} | settings,
        )
        self.workers: dict[str, Process] = {}

    def _logs(self) -> dict[str, Any]:
        """Topics that no other test writes to."""
        return {f"{kind}_topic": f"{self.name}.{kind}" for kind in ("control", "status")}

    async def create(self, partitions: int = 4, copies: int = 1) -> Self:
        async with Admin.connect(self.settings) as admin:
            await admin.create_topics(partitions, copies)
        return self

    def client(self) -> Client:
        return Client(self.settings)

    def start(
        self,
        worker: str = "w1",
        *,
        child: Sequence[str] | None = None,
        prelude: str = "",
        code: Path = ROOT,
        python: Path | None = None,
        **environment: str,
    ) -> Process:
        """Start a worker, of this checkout or another one; each logs to its own file.

        `prelude` is Python that it runs first. `python`: that of an environment whose installed version it shall be.
        """
        given = self.settings.model_dump(mode="json", include=self.settings.model_fields_set)
        variables = {f"HOTSWAP_{key.upper()}": str(value) for key, value in given.items()}
        path = os.pathsep.join([str(code / "worker"), *filter(None, [os.environ.get("PYTHONPATH")])])
        if python and python != Path(sys.executable):
            path, child = "", (str(python), *CHILD[1:])
        variables |= {"HOTSWAP_WORKER_ID": worker, "PYTHONPATH": path, **environment}
        log, environment, words = self.folder / f"{worker}.log", os.environ | variables, child or self.child
        process: Process
        is_plain = not (prelude or python or code != ROOT)
        if is_plain and self.way == "fork":
            process = Forked(MAIN, words, environment, log)
        else:
            command = [str(python or sys.executable), "-c", prelude + MAIN, *words]
            if is_plain and self.way == "command" and not child:
                command = [str(Path(sys.executable).with_name("hotswap")), "run", self.name]
            with log.open("ab") as output:
                process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=output)
        self.workers[worker] = process
        return process

    def log(self, worker: str = "w1") -> str:
        return (self.folder / f"{worker}.log").read_text(errors="replace")

    def port(self, worker: str = "w1") -> int:
        """Return the port on which a started worker serves its probes."""
        lines = [json.loads(line) for line in self.log(worker).splitlines() if line.startswith("{")]
        return int(next(line["http_port"] for line in reversed(lines) if line["event"] == "worker.started"))

    async def stop(self, worker: str = "w1", timeout: float = 15) -> int:
        """Send SIGTERM, and return the exit code."""
        process = self.workers.pop(worker)
        process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(process.wait, timeout)

    def kill(self, worker: str = "w1") -> None:
        process = self.workers.pop(worker)
        process.kill()
        process.wait()

    async def serve(
        self, model: str, proto: str | None = None, workers: Sequence[str] = ("w1",), **change: Any
    ) -> Receipt:
        """Start workers, publish the first swap, and wait until the deployment serves it."""
        for worker in workers:
            self.start(worker)
        async with self.client() as client:
            receipt = await client.swap(
                Change(
                    model=EXAMPLES / "models" / f"{model}.zip",
                    proto=EXAMPLES / "protos" / f"{proto or model.split('_', maxsplit=1)[0]}.proto",
                    **change,
                )
            )
            answer = await client.await_swap(receipt)
            assert answer.is_good, (answer, self.log(next(iter(self.workers), "w1"))[-3000:])
            return receipt

    async def reported(self, client: Client, receipt: Receipt) -> None:
        """Wait until each worker has reported a command: until then it would decode requests with the proto before."""
        heard = set[str]()
        async with asyncio.timeout(60), aclosing(client.outcomes(receipt)) as outcomes:
            async for told in outcomes:
                heard.add(told.worker)
                if heard >= self.workers.keys():
                    return
        raise AssertionError(f"only {sorted(heard)} have reported")

    async def publish(self, values: Iterable[bytes | None], **headers: bytes) -> Sequence[Place]:
        extra = tuple((key.replace("_", "-"), value) for key, value in headers.items())
        async with self.client() as client:
            return await client.publish(Outgoing(value, headers=extra) for value in values)

    async def drained(self, timeout: float = 60) -> None:
        """Wait until every published request is answered, and the answers can be read.

        The group's committed offsets are at the ends, and so are the markers of the transactions that have the answers:
        Kafka writes them to one partition after the other.
        """
        topics = self.settings.topics
        async with asyncio.timeout(timeout), Admin.connect(self.settings) as admin:
            while True:
                committed = await admin.committed(self.name, topics.requests)
                ends = await admin.end_offsets(topics.requests)
                if all(max(committed[number].offset, 0) >= end for number, end in ends.items()):
                    break
                await asyncio.sleep(0.05)
            for topic in (topics.predictions, topics.dead_letters):
                ends = await admin.end_offsets(topic)
                while True:
                    stable = await admin.end_offsets(topic, read_committed=True)
                    if all(stable[number] >= end for number, end in ends.items()):
                        break
                    await asyncio.sleep(0.05)

    async def audit(self) -> Audit:
        return await asyncio.to_thread(audit, self.kafka.bootstrap, self.settings.topics)

    def close(self) -> None:
        for process in self.workers.values():
            process.kill()
            process.wait()
