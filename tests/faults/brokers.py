"""Real Kafkas: one broker with two ways in, of which workers take the one through a proxy, and three brokers."""

import asyncio
import subprocess
import tempfile
from contextlib import ExitStack, asynccontextmanager, contextmanager
from itertools import islice
from pathlib import Path

from faults.proxy import Proxy
from harness.kafkas import local_kafka
from hotswap.local.kafka import LocalKafka, _free_ports


@asynccontextmanager
async def proxied_kafka(*, seed=0, settings=None):
    """Start a broker and its proxy for a with-block: `kafka.bootstrap` is the direct way, `proxy.port` the other.

    Clients that connect through the proxy get the proxy's port as the broker's address, so they stay behind it. All
    four ports are fixed: the broker returns to them after each stop and kill. `settings` are more of Kafka's own.
    """
    direct, behind, controller, front = islice(_free_ports(), 4)
    kafka = local_kafka(
        port=direct,
        settings={
            "listeners": f"PLAINTEXT://127.0.0.1:{direct},PROXIED://127.0.0.1:{behind},"
            f"CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{direct},PROXIED://127.0.0.1:{front}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "group.min.session.timeout.ms": "1000",
            # The raw records have old timestamps: Kafka deletes such when it first looks, 30 s after its start.
            "log.retention.ms": "-1",
            **(settings or {}),
        },
    )
    async with Proxy(listen_port=front, target_port=behind, seed=seed) as proxy:
        try:
            await asyncio.to_thread(kafka.start)
            yield kafka, proxy
        finally:
            await asyncio.to_thread(kafka.close)


class Node(LocalKafka):
    """A broker of a cluster of several, which the first one controls."""

    def __init__(self, number, ports, directory, *, controller, settings):
        self.number = number
        listeners = f"PLAINTEXT://127.0.0.1:{ports[number - 1]}"
        roles = {"process.roles": "broker", "listeners": listeners}
        if number == 1:
            roles = {"listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}"}
        at = {"node.id": str(number), "controller.quorum.voters": f"1@127.0.0.1:{controller}"}
        super().__init__(directory=directory, port=ports[number - 1], settings=settings | at | roles)

    def _format(self, directory):
        # The nodes of a cluster have the same id; the class makes one for each of its own.
        words = ("format", "--cluster-id=AAAAAAAAAAAAAAAAAAAAAA", "--config", str(directory / "server.properties"))
        subprocess.run([*self._command, "kafka.tools.StorageTool", *words], capture_output=True, check=True)


class Cluster:
    """Three brokers; what acknowledges a record, or a transaction, is on two of them at least."""

    def __init__(self, folder, disk_mb):
        self.disk = folder / "disk"
        """The data of the last broker, on a disk of its own."""
        *ports, controller = islice(_free_ports(), 4)
        copies = {
            "offsets.topic.replication.factor": "3",
            "transaction.state.log.replication.factor": "3",
            "transaction.state.log.min.isr": "2",
            "min.insync.replicas": "2",
            "controlled.shutdown.enable": "true",
        }
        folders = [folder / "1", folder / "2", self.disk]
        self.nodes = [
            Node(number, ports, place, controller=controller, settings=copies)
            for number, place in enumerate(folders, 1)
        ]
        self._disk_mb = disk_mb
        self.has_disk = False
        """Whether that disk is one of its own indeed."""
        self.bootstrap = ",".join(f"127.0.0.1:{port}" for port in ports)

    @contextmanager
    def running(self):
        """Start all brokers for a with-block."""
        with ExitStack() as exits:
            self.has_disk = exits.enter_context(small_disk(self.disk, self._disk_mb))
            for node in self.nodes:
                exits.callback(node.close)
                node.start()
            yield self


@contextmanager
def small_disk(folder, size_mb):
    """Mount a file system of this size for a with-block; return whether we may, as root may."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "hotswap", str(folder)]
    is_mounted = subprocess.run(words, check=False, stderr=subprocess.DEVNULL).returncode == 0
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def three_brokers(disk_mb=64):
    """Provide a running cluster of three brokers for a with-block."""
    with (
        tempfile.TemporaryDirectory(prefix="hotswap-faults-") as folder,
        Cluster(Path(folder), disk_mb).running() as up,
    ):
        yield up
