"""The model's files, processes and sockets of a worker: everything but Kafka that it would reach."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from hotswap.batch import Answer, Ask, Code, Refusal
from hotswap.errors import SwapCode, SwapError
from hotswap.generation import Model, Proto
from hotswap.host.facts import Description
from hotswap.host.load import Load
from hotswap.settings import Settings
from model.law import answer
from model.steps import here


class Health:
    """hotswap.health.Health without its thread."""

    port = 0

    def __init__(self, host: str, port: int, *, readiness: Callable[[], str]) -> None:
        pass

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def beat(self) -> None:
        pass


class Fetcher:
    """hotswap.artifacts.fetcher.Fetcher without its process."""

    fetch = None

    def __init__(self, _: Settings) -> None:
        pass

    def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def find(self, uri: str) -> str:
        return ""


class Store:
    """hotswap.artifacts.store.Store: has everything while it is not away; counts what is fetched and not released."""

    def __init__(self, *_: object) -> None:
        self._process = here()
        self._in_use = self._process.artifacts = Counter[Path]()

    async def fetch(self, model: Model) -> Path:
        if self._process.world.is_store_away:
            self._process.missed.add(model.uri)
            raise SwapError(SwapCode.ARTIFACT_UNREACHABLE, "the store is away")
        self._process.missed.discard(model.uri)
        path = Path(model.uri)
        self._in_use[path] += 1
        return path

    async def verify(self, model: Model) -> None:
        pass

    async def fetch_proto(self, proto: Proto) -> bytes:
        assert proto.source is not None
        return proto.source

    def release(self, path: Path) -> None:
        self._in_use[path] -= 1


class Host:
    """hotswap.host.parent.ModelHost: starts and scores when the world lets it, and says which parts it was given."""

    def __init__(self, *, load: Load, **_: object) -> None:
        self._load = load
        self._process = here()
        self._since: list[float] = []
        self.is_ready = False

    @property
    def number(self) -> int:
        return self._load.generation

    async def start(self, **_: object) -> Description:
        self._process.hosts.append(self)
        try:
            await self._process.ask("load", self._check)
        except BaseException:
            self._process.hosts.remove(self)
            raise
        self.is_ready = True
        return Description(operations=("score",), inputs={}, outputs={}, columns="", paths={})

    def _check(self) -> None:
        if "broken" in self._load.model.name:
            raise SwapError(SwapCode.MODEL_INVALID, "this one loads nowhere")

    deadline_s = 10.0
    can_seal = False
    doing = "loading the model"

    @property
    def busy_s(self) -> float:
        return self._process.loop.time() - min(self._since, default=self._process.loop.time())

    async def score(
        self, values: Sequence[bytes], asks: Sequence[Ask] | None = None, *, is_suspect: bool = False
    ) -> list[Answer]:
        self._since.append(begun := self._process.loop.time())
        try:
            return await self._process.ask("score", lambda: [self._answer(value) for value in values])
        finally:
            self._since.remove(begun)

    def _answer(self, value: bytes) -> Answer:
        if value.startswith(b"bad"):
            return Refusal(Code.UNDECODABLE, "no message")
        return answer(self.number, self._load.model, self._load.proto, self._load.configuration, value)

    async def stop(self) -> None:
        self._process.hosts.remove(self)

    def kill(self) -> None:
        pass
