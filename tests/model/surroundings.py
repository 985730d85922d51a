"""The model's files, processes and sockets of a worker: everything but Kafka that it would reach."""

from collections import Counter
from pathlib import Path

from hotswap.batch import Code, Refusal
from hotswap.errors import SwapCode, SwapError
from hotswap.host.facts import Description
from model.law import answer
from model.steps import here


class Health:
    """hotswap.health.Health without its thread."""

    port = 0

    def __init__(self, host, port, *, readiness):
        pass

    def start(self):
        pass

    def stop(self):
        pass

    def beat(self):
        pass


class Fetcher:
    """hotswap.artifacts.fetcher.Fetcher without its process."""

    fetch = None

    def __init__(self, _):
        pass

    def start(self):
        pass

    async def stop(self):
        pass


class Store:
    """hotswap.artifacts.store.Store: everything is here; counts what is fetched and not released."""

    def __init__(self, *_):
        self._in_use = here().artifacts = Counter()

    async def fetch(self, model):
        path = Path(model.uri)
        self._in_use[path] += 1
        return path

    async def verify(self, model):
        pass

    async def fetch_proto(self, proto):
        return proto.source

    def release(self, path):
        self._in_use[path] -= 1


class Host:
    """hotswap.host.parent.ModelHost: starts and scores when the world lets it, and says which parts it was given."""

    def __init__(self, *, load, **_):
        self._load = load
        self._process = here()
        self._since = []
        self.is_ready = False

    @property
    def number(self):
        return self._load.generation

    async def start(self, **_):
        self._process.hosts.append(self)
        try:
            await self._process.ask("load", self._check)
        except BaseException:
            self._process.hosts.remove(self)
            raise
        self.is_ready = True
        return Description(operations=("score",), inputs={}, outputs={}, columns="", paths={})

    def _check(self):
        if "broken" in self._load.model.name:
            raise SwapError(SwapCode.MODEL_INVALID, "this one loads nowhere")

    deadline_s = 10.0

    @property
    def busy_s(self):
        return self._process.loop.time() - min(self._since, default=self._process.loop.time())

    async def score(self, values, asks=None):
        self._since.append(begun := self._process.loop.time())
        try:
            return await self._process.ask("score", lambda: [self._answer(value) for value in values])
        finally:
            self._since.remove(begun)

    def _answer(self, value):
        if value.startswith(b"bad"):
            return Refusal(Code.UNDECODABLE, "no message")
        return answer(self.number, self._load.model, self._load.proto, self._load.configuration, value)

    async def stop(self):
        self._process.hosts.remove(self)

    def kill(self):
        pass
