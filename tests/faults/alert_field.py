"""Where the alerts are played: a Kafka with a proxy, a deployment for each fault, and a real Prometheus over all."""

import asyncio
import contextlib
import json
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

from confluent_kafka.admin import AdminClient, NewPartitions

from faults.arena import _children
from faults.brokers import proxied_kafka
from harness.calls import Gateway
from harness.fleet import ROOT, Deployment, messages
from hotswap.local.kafka import free_ports

_READY_S = 30
_ENFORCED = {"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer"}
_ENFORCED |= {"allow.everyone.if.no.acl.found": "true"}


class Field:
    """Deployments of one Kafka; a Prometheus scrapes their workers and gateways with the rules of ops/ as they are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._exits = AsyncExitStack()
        self._ports: dict[tuple[str, str], int] = {}
        self._terms: dict[str, dict[str, Any]] = {}
        self._gateways: list[int] = []
        self._port = next(free_ports())

    async def __aenter__(self) -> Self:
        self.kafka, self.proxy = await self._exits.enter_async_context(proxied_kafka(settings=_ENFORCED))
        program = shutil.which("prometheus")
        assert program, "the alerts are played on a real Prometheus: put prometheus (2.40 or newer) on PATH"
        shutil.copy(ROOT / "ops" / "alerts.yml", self.folder)
        self._write_targets("hotswap", [])
        self._write_targets("hotswap-gateway", [])
        configuration = {
            "global": {"scrape_interval": "5s", "evaluation_interval": "5s"},
            "rule_files": ["alerts.yml"],
            "scrape_configs": [
                {"job_name": job, "file_sd_configs": [{"files": [str(self._targets(job))], "refresh_interval": "1s"}]}
                for job in ("hotswap", "hotswap-gateway")
            ],
        }
        (self.folder / "prometheus.yml").write_text(json.dumps(configuration))  # JSON is YAML
        options = [f"--config.file={self.folder}/prometheus.yml", f"--storage.tsdb.path={self.folder}/tsdb"]
        command = [program, *options, f"--web.listen-address=127.0.0.1:{self._port}"]
        self._prometheus = _started(command, self.folder / "prometheus.log")
        self._exits.callback(self._end)
        async with asyncio.timeout(_READY_S):
            while not await asyncio.to_thread(self._ask, "/-/ready"):
                await asyncio.sleep(0.1)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()

    def _end(self) -> None:
        self._prometheus.send_signal(signal.SIGKILL)
        self._prometheus.wait()

    # ---- deployments

    async def serve(
        self,
        name: str,
        *,
        workers: Sequence[str] = ("w1",),
        is_proxied: bool = False,
        child: Sequence[str] | None = None,
        w2: dict[str, str] | None = None,
        **settings: Any,
    ) -> Deployment:
        """Start a deployment that serves the iris model; `w2` is that worker's own environment."""
        folder = self.folder / name
        folder.mkdir()
        made = Deployment(self.kafka, folder, name=name, **settings)
        self._exits.callback(made.close)
        await made.create()
        kafka = {"HOTSWAP_KAFKA": self.proxy.bootstrap} if is_proxied else {}
        self._terms[name] = {"child": child, **kafka}
        for worker in workers:
            self._ports[name, worker] = next(free_ports())
            self.start(made, worker, **((w2 or {}) if worker == "w2" else {}))
        self._write_targets("hotswap", self._ports.values())
        await made.serve("iris_gbm", workers=())
        return made

    def start(self, made: Deployment, worker: str, **environment: str) -> None:
        """Start a worker, or start it again, on the port that Prometheus knows."""
        port = str(self._ports[made.name, worker])
        made.start(worker, HOTSWAP_HTTP_PORT=port, **self._terms[made.name], **environment)

    def instance(self, name: str, worker: str) -> str:
        """Return the label by which Prometheus knows a worker."""
        return f"127.0.0.1:{self._ports[name, worker]}"

    async def gateway(self, made: Deployment, *options: str) -> Gateway:
        """Serve a deployment over HTTP."""
        gateway = await Gateway(made, "gateway", *options).start()
        self._exits.callback(gateway.kill)
        self._gateways.append(gateway.port)
        self._write_targets("hotswap-gateway", self._gateways)
        return gateway

    def go_on(self, doing: Coroutine[Any, Any, None]) -> None:
        """Let this go on until the end, whatever fault is over."""
        self._exits.callback(asyncio.create_task(doing).cancel)

    def hosts(self, made: Deployment) -> list[int]:
        """Return the process ids of the model hosts; each has a supervisor above it."""
        supervisors = _children(made.workers["w1"].pid)
        return [children[-1] for supervisor in supervisors if (children := _children(supervisor))]

    async def widen(self, topic: str, partitions: int) -> None:
        """Give a topic more partitions."""
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap})
        for made in admin.create_partitions([NewPartitions(topic, partitions)]).values():
            await asyncio.to_thread(made.result, 10)

    @asynccontextmanager
    async def streaming(
        self, made: Deployment, *, per_second: int, values: Sequence[bytes] = ()
    ) -> AsyncIterator[None]:
        """Publish so many requests a second while in the block."""
        pool = values or messages("iris")[0]

        async def publish() -> None:
            while True:
                await made.publish([pool[number % len(pool)] for number in range(per_second)])
                await asyncio.sleep(1)

        task = asyncio.create_task(publish())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    # ---- Prometheus

    async def firing(self) -> list[tuple[str, dict[str, str]]]:
        """Return the alerts that fire: name and labels."""
        answer = await asyncio.to_thread(self._ask, "/api/v1/alerts")
        alerts = json.loads(answer)["data"]["alerts"] if answer else []
        return [(one["labels"]["alertname"], one["labels"]) for one in alerts if one["state"] == "firing"]

    def _ask(self, path: str) -> str:
        return _get(f"http://127.0.0.1:{self._port}{path}")

    def _targets(self, job: str) -> Path:
        return self.folder / f"{job}.json"

    def _write_targets(self, job: str, ports: Iterable[int]) -> None:
        targets = self._targets(job)
        new = targets.with_suffix(".new")
        new.write_text(json.dumps([{"targets": [f"127.0.0.1:{port}" for port in ports]}]))
        new.replace(targets)


def _get(url: str) -> str:
    with contextlib.suppress(OSError), urllib.request.urlopen(url) as answer:
        return str(answer.read().decode())
    return ""


def _started(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=output)
