"""What a worker's status warns of: its machine, and a store that has lost what a restart would need."""

import asyncio
from types import SimpleNamespace

import pytest

from hotswap import control as module
from hotswap.control import Control
from hotswap.generation import Model
from hotswap.local.machine import Machine
from hotswap.settings import Settings
from hotswap.swap.timeline import Timeline


class Worker:
    """A worker's end of the control plane, without Kafka; `lost` is why the store does not have the model."""

    def __init__(self, monkeypatch):
        self.machine, self.lost, self.main, self.asked = Machine({}), "", 3, []
        monkeypatch.setattr(module, "look", lambda _: self.machine)
        monkeypatch.setattr(module, "_MACHINE_S", 0.001)
        reader = SimpleNamespace(unreadable=0, damaged="")
        self.control = Control(settings=Settings(deployment="d"), timeline=Timeline(), reader=reader, writer=None)
        self.watching = asyncio.create_task(self.control.watch_machine(self, self._find))

    def serving(self, number):
        return SimpleNamespace(generation=SimpleNamespace(model=Model(f"s3://b/m{number}", "a" * 64)))

    async def _find(self, uri):
        self.asked.append(uri)
        return self.lost

    async def warns(self, *warnings):
        async with asyncio.timeout(5):
            while self.control._warnings() != [*warnings]:
                await asyncio.sleep(0.001)


@pytest.fixture
async def worker(monkeypatch):
    made = Worker(monkeypatch)
    yield made
    made.watching.cancel()
    await asyncio.gather(made.watching, return_exceptions=True)


async def test_faults_of_the_machine_are_warned_of_until_they_are_mended(worker):
    worker.machine = Machine({"java": "none"}, ("no model host can be started: no Java",))
    await worker.warns("no model host can be started: no Java")
    worker.machine = Machine({})
    await worker.warns()


async def test_a_store_without_the_model_that_a_restart_needs_is_warned_of_until_it_has_it(worker):
    worker.lost = "s3://b/m3 cannot be reached: No such file"
    lost = (
        "a worker without generation 3 in its cache could not start with it (`hotswap store restore d` puts it back): "
        "s3://b/m3 cannot be reached: No such file"
    )
    await worker.warns(lost)
    worker.lost = ""
    await worker.warns()
    assert set(worker.asked) == {"s3://b/m3"}


async def test_a_worker_without_a_generation_looks_for_none(worker, monkeypatch):
    worker.main = 0
    worker.asked.clear()
    worker.machine = Machine({}, ("looked",))
    await worker.warns("looked")
    assert worker.asked == []
