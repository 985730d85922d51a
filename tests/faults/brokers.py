"""A real Kafka with two ways in: workers connect through a proxy, the publisher and the verifier directly."""

import asyncio
from contextlib import asynccontextmanager
from itertools import islice

from faults.proxy import Proxy
from hotswap.local.kafka import LocalKafka, _free_ports


@asynccontextmanager
async def proxied_kafka(*, seed=0):
    """Start a broker and its proxy for a with-block: `kafka.bootstrap` is the direct way, `proxy.port` the other.

    Clients that connect through the proxy get the proxy's port as the broker's address, so they stay behind it. All
    four ports are fixed: the broker returns to them after each stop and kill.
    """
    direct, behind, controller, front = islice(_free_ports(), 4)
    kafka = LocalKafka(
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
        },
    )
    async with Proxy(listen_port=front, target_port=behind, seed=seed) as proxy:
        try:
            await asyncio.to_thread(kafka.start)
            yield kafka, proxy
        finally:
            await asyncio.to_thread(kafka.close)
