"""Fetching as a worker does, with a process of its own, and a server that never answers."""

import asyncio
import contextlib
import hashlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fakes.examples import EXAMPLES
from hotswap.artifacts.fetcher import Fetcher
from hotswap.artifacts.store import Store
from hotswap.generation import Model
from hotswap.settings import Settings

MODEL = EXAMPLES / "models" / "iris_gbm.zip"


class Fetching:
    """A Store as a worker has it, with its process; it may read every file, unless the settings say otherwise."""

    def __init__(self, **settings: Any) -> None:
        given = {"host_heap_mb": 128, "hosts": 1, "spare_kinds": "", "allowed_stores": "file:///", **settings}
        self.settings = Settings(deployment="d", **given)
        self.fetcher = Fetcher(self.settings)
        self.store = Store(self.settings, self.fetcher.fetch)
        self.fetcher.start()

    @property
    def pid(self) -> int:
        idle = self.fetcher._idle
        assert idle is not None
        return idle._process.pid

    def left(self) -> list[str]:
        return sorted(path.name for path in (self.settings.cache / "artifacts").glob("*"))

    def release_all(self) -> None:
        for path, users in list(self.store._cache._held.items()):
            for _ in list(users):
                self.store.release(path)


class Silent:
    """A server that accepts and never answers."""

    def __init__(self, server: socket.socket) -> None:
        self.store = f"ftp://127.0.0.1:{server.getsockname()[1]}"
        self.uri = f"{self.store}/model.zip"
        self.model = Model(self.uri, "0" * 64)
        self.connections: list[socket.socket] = []
        self._server = server

    def accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.connections.append(self._server.accept()[0])

    async def is_asked(self) -> None:
        async with asyncio.timeout(60):
            while not self.connections:
                await asyncio.sleep(0.01)


@contextlib.contextmanager
def silent_server() -> Iterator[Silent]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        made = Silent(server)
        thread = threading.Thread(target=made.accept)
        thread.start()
        yield made
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in made.connections:
            connection.close()


def model(path: Path = MODEL, kind: str = "h2o", sha256: str | None = None) -> Model:
    return Model(path.as_uri(), sha256 or hashlib.sha256(path.read_bytes()).hexdigest(), kind)
