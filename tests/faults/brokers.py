"""Real Kafkas, one broker or three, with two ways in, of which workers take the one through a proxy."""

import asyncio
import os
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, contextmanager
from itertools import islice
from pathlib import Path

from faults.cables import Cables, OneHost
from faults.proxy import Proxy
from harness.kafkas import local_kafka
from hotswap.local.kafka import LocalKafka, free_ports


@asynccontextmanager
async def proxied_kafka(*, seed=0, settings=None):
    """Start a broker and its proxy for a with-block: `kafka.bootstrap` is the direct way, `proxy.port` the other.

    Clients that connect through the proxy get the proxy's port as the broker's address, so they stay behind it. All
    four ports are fixed: the broker returns to them after each stop and kill. `settings` are more of Kafka's own.
    """
    direct, behind, controller, front = islice(free_ports(), 4)
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


_COPIES = {
    # More than one of them, so that they are coordinated by several brokers.
    "offsets.topic.num.partitions": "3",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.num.partitions": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "min.insync.replicas": "2",
    "controlled.shutdown.enable": "true",
}


class Node(LocalKafka):
    """A broker and controller of a cluster of several."""

    def __init__(self, number, directory, *, network, port, listeners, advertised, voters):
        self.number = number
        self.address = advertised["PLAINTEXT"]
        self._network = network
        at = {
            "node.id": str(number),
            "broker.rack": f"zone-{number}",
            "controller.quorum.voters": voters,
            "listeners": _listed(listeners),
            "advertised.listeners": _listed(advertised),
            "inter.broker.listener.name": "PEERS",
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in listeners),
        }
        super().__init__(directory=directory, port=port, settings=_COPIES | at)

    def start(self):
        start = super().start
        self._network.within(self.number, start)
        return self

    def _cluster_id(self):
        return "AAAAAAAAAAAAAAAAAAAAAA"  # the same for all nodes of a cluster


class Cluster:
    """Three brokers; what acknowledges a record, or a transaction, is on two of them at least.

    Each has two ways in for clients, as the lone one has, and is one of the three controllers.
    """

    def __init__(self, folder, network, disk_mb):
        self.network = network
        self.disk = folder / "3"
        """The data of the last broker, on a disk of its own, if that has a size."""
        self._disk_mb = disk_mb
        self.has_disk = False
        """Whether that disk is one of its own indeed."""
        numbers, free = range(1, 4), free_ports()
        controllers = {number: f"{network.among_brokers(number)}:{next(free)}" for number in numbers}
        voters = ",".join(f"{number}@{place}" for number, place in controllers.items())
        self.nodes, self.fronts = [], []
        """The fronts are (port of its proxy, host and port behind) of each."""
        for number in numbers:
            direct, behind, between, front = islice(free, 4)
            clients, peers = network.for_clients(number), network.among_brokers(number)
            listeners = {
                "PLAINTEXT": f"{network.bound}:{direct}",
                "PROXIED": f"{network.bound}:{behind}",
                "PEERS": f"{peers}:{between}",
                "CONTROLLER": controllers[number],
            }
            advertised = {
                "PLAINTEXT": f"{clients}:{direct}",
                "PROXIED": f"127.0.0.1:{front}",
                "PEERS": listeners["PEERS"],
            }
            ways = {"listeners": listeners, "advertised": advertised}
            self.nodes.append(Node(number, folder / str(number), network=network, port=direct, voters=voters, **ways))
            self.fronts.append((front, clients, behind))
        self.bootstrap = ",".join(node.address for node in self.nodes)

    @contextmanager
    def running(self):
        """Start all brokers for a with-block: at once, since a controller waits for another one."""
        with ExitStack() as exits, ThreadPoolExecutor(len(self.nodes)) as together:
            if self._disk_mb:
                self.has_disk = exits.enter_context(small_disk(self.disk, self._disk_mb))
            for node in self.nodes:
                exits.callback(node.close)
                exits.callback(node.kill)  # a clean stop would wait for the other controllers
            list(together.map(Node.start, self.nodes))
            yield self


def _listed(addresses):
    return ",".join(f"{name}://{address}" for name, address in addresses.items())


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
def three_brokers(disk_mb=64, network=None):
    """Provide a running cluster of three brokers for a with-block; `disk_mb` 0: on no disk of a size."""
    with (
        tempfile.TemporaryDirectory(prefix="hotswap-faults-") as folder,
        Cluster(Path(folder), network or OneHost(), disk_mb).running() as up,
    ):
        yield up


@asynccontextmanager
async def proxied_cluster(*, seed=0):
    """Start three brokers, each with a proxy, for a with-block; their cables can be pulled, if we are root."""
    with ExitStack() as exits:
        network = OneHost()
        if os.geteuid() == 0:
            network = exits.enter_context(closing(Cables(3)))
        cluster = exits.enter_context(three_brokers(0, network))
        async with AsyncExitStack() as proxied:
            proxies = [
                await proxied.enter_async_context(Proxy(listen_port=front, target_port=port, host=host, seed=seed))
                for front, host, port in cluster.fronts
            ]
            yield cluster, Proxies(proxies)


class Proxies(list):
    """The proxies of a cluster's brokers, in their order."""

    @property
    def bootstrap(self):
        """Bootstrap servers of the way through them."""
        return ",".join(proxy.bootstrap for proxy in self)

    def heal(self):
        """Let all pass."""
        for proxy in self:
            proxy.heal()
