"""A worker that starts while an address of Kafka is silent, as a broker that is stopped or cut off."""

import asyncio
from contextlib import asynccontextmanager, closing, suppress

SILENT_FIRST = """
import random
import hotswap.kafka.client.cluster
random.shuffle = lambda hosts: None
hotswap.kafka.client.cluster._BOOTSTRAP_MS = 600
"""
"""Has a client ask its addresses in the order of the setting, and soon give up one that is silent."""


class Door:
    """An address that takes connections and says nothing, until it leads to a broker."""

    def __init__(self, bootstrap):
        self._target = bootstrap.split(":")
        self._tasks = set()
        self.is_open = asyncio.Event()
        self.address = ""

    async def enter(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        with closing(writer):
            await self.is_open.wait()
            there, back = await asyncio.open_connection(*self._target)
            with closing(back):
                await asyncio.gather(_forward(reader, back), _forward(there, writer))

    async def close(self):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _forward(reader, writer):
    with suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
    writer.close()


@asynccontextmanager
async def door(bootstrap):
    made = Door(bootstrap)
    async with await asyncio.start_server(made.enter, "127.0.0.1", 0) as server:
        made.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield made
        await made.close()


async def logged(deployment, event):
    async with asyncio.timeout(60):
        while f'"{event}"' not in deployment.log():
            assert deployment.workers["w1"].poll() is None, deployment.log()
            await asyncio.sleep(0.1)


async def test_a_worker_starts_by_the_addresses_that_answer(deployment):
    async with door(deployment.settings.kafka) as silent:
        deployment.start(prelude=SILENT_FIRST, HOTSWAP_KAFKA=f"{silent.address},{deployment.settings.kafka}")
        await logged(deployment, "worker.started")
    assert "worker.waiting_for_kafka" not in deployment.log()


async def test_a_worker_that_no_broker_answers_in_time_waits_and_says_so_and_starts_once_one_does(deployment):
    async with door(deployment.settings.kafka) as silent:
        deployment.start(HOTSWAP_KAFKA=silent.address, HOTSWAP_CALL_TIMEOUT_S="2")
        await logged(deployment, "worker.waiting_for_kafka")
        assert "no Kafka answers at" in deployment.log()
        silent.is_open.set()
        await logged(deployment, "worker.started")
        assert await deployment.stop() == 0
