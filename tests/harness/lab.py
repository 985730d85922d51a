"""Many models in one Java, one after the other: what a model host's process does, without its start for each."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Self

from hotswap.batch import Answer, Ask, Declined, Given, RecordBatch, ScoredBatch, Seal, Unsealed
from hotswap.errors import SwapError
from hotswap.host import frames
from hotswap.host.describe import read_interface
from hotswap.host.dispatcher import Dispatcher
from hotswap.host.facts import Description, read_ready
from hotswap.host.interface import Interface, facts_of
from hotswap.host.jvm_spec import make_ground
from hotswap.host.load import Load, make_order
from hotswap.host.sandbox import Sandbox
from hotswap.host.sealing import pack_order, parse_result

TESTS = Path(__file__).parents[1]

_MODELS = (str(TESTS.parent), str(TESTS.parents[1] / "shared"), os.environ.get("HOTSWAP_TEST_FILES", ""))


class Lab:
    """A separate process for models of one kind, which `close` ends; it speaks a model host's frames.

    `main` is the module that it runs, and ends up in `serve`.
    """

    def __init__(self, folder: Path, kind: str, *, heap_mb: int = 512, main: str = "harness.lab") -> None:
        folder.mkdir()
        self.kind = kind
        self._loads = 0
        self._connection, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", main, str(theirs.fileno()), kind, str(heap_mb)],
                cwd=folder,
                env=os.environ
                | {"TMPDIR": str(folder), "HOTSWAP_TEST_FILES": str(folder.parents[1]), "OPENBLAS_NUM_THREADS": "1"}
                | {"PYTHONPATH": os.pathsep.join(map(str, (TESTS.parent / "worker", TESTS)))},
                pass_fds=[theirs.fileno()],
            )

    @classmethod
    @contextmanager
    def of(cls, folder: Path, kind: str) -> Iterator[Self]:
        """A lab that is closed at the end."""
        made = cls(folder, kind)
        try:
            yield made
        finally:
            made.close()

    def load(self, load: Load) -> Description:
        """Load a generation beside the last one, and drop the one before it. Raises SwapError."""
        order = asyncio.run(make_order(load))
        self._loads += 1
        return read_ready(self._ask(frames.pack_load(order)), 0.0)

    def describe(self, load: Load) -> Interface:
        """Load only the model. Raises SwapError."""
        frame = self._ask(frames.pack_describe(asyncio.run(make_order(load))))
        if frame.kind is frames.Kind.FAILED:
            raise frames.parse_failure(frame.payload)
        return read_interface(frame.payload)

    def score(self, values: Sequence[bytes], asks: Sequence[Ask] | None = None, *, load: int = 0) -> ScoredBatch:
        """Answer a batch of requests by what was loaded last, or by the load of this number."""
        order = frames.pack_batch("score", load or self._loads, values, asks)
        return frames.parse_answers(self._ask(order).payload, len(values))

    def seal(self, seal: Seal, given: Given, *, load: int = 0) -> Sequence[RecordBatch] | Declined | Unsealed:
        """Answer record batches by what was loaded last, or by the load of this number."""
        order = frames.pack_seal(load or self._loads, pack_order(seal, given))
        return parse_result(memoryview(self._ask(order).payload), seal, given)

    @asynccontextmanager
    async def serving(self, load: Load, on_unknown: Callable[[str, int], None]) -> AsyncIterator["LabHost"]:
        """Load a generation; yield what scores as its model host would. Raises SwapError."""
        await asyncio.to_thread(self.load, load)
        yield LabHost(self, self._loads, on_unknown)

    def close(self) -> None:
        self._process.kill()  # Spark's threads take long to end
        self._process.wait()
        self._connection.close()

    def _ask(self, order: bytes) -> frames.Frame:
        self._connection.sendall(order)
        head = self._receive(frames.LENGTH.size)
        return frames.parse_frame(self._receive(frames.LENGTH.unpack(head)[0]))

    def _receive(self, count: int) -> bytes:
        received = bytearray(count)
        assert frames.fill(self._connection, memoryview(received)), "the lab has died"
        return bytes(received)


class LabHost:
    """One of a lab's generations, asked as a model host is."""

    def __init__(self, lab: Lab, load: int, on_unknown: Callable[[str, int], None]) -> None:
        self._lab = lab
        self._load = load
        self._on_unknown = on_unknown

    async def score(self, values: Sequence[bytes], asks: Sequence[Ask] | None = None) -> list[Answer]:
        """Answer each request, in order."""
        answers, unknown = self._lab.score(values, asks, load=self._load)
        for column, times in unknown.items():
            self._on_unknown(column, times)
        return list(answers)


def serve() -> None:
    """Load and score as asked, in the process."""
    from fakes.cold_child import hurry  # noqa: PLC0415 - it imports JPype
    from hotswap.host import child  # noqa: PLC0415

    descriptor, kind, heap_mb = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    hurry()
    # Models are made while it runs, so it may read where tests make them.
    ground = make_ground(kind, heap_mb, Sandbox(read=_MODELS))
    while sys.platform == "linux" and len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 - looked at in a loop
        time.sleep(0.001)  # a thread that looked something up has ended, and the kernel is about to forget it
    enclosure, _ = child._start_jvm(ground, None)
    enclosure.close()
    assert not enclosure.missing or sys.platform != "linux", enclosure.missing
    connection = socket.socket(fileno=descriptor)
    loads, loaded = 0, dict[int, Dispatcher]()
    while (message := frames.receive(connection)) is not None:
        if message[0] in ("load", "describe"):
            try:
                if message[0] == "load":
                    loads += 1
                    loaded.pop(loads - 2, None)
                    loaded[loads], facts = child._load(message[1], None, lambda _: None)
                else:
                    facts = facts_of(child._load_model(message[1], None))
                told = child._ready(facts)
            except SwapError as error:
                told = child._failed(error)
        else:
            verb, ticket, asks, values = message
            if verb == "seal":
                told = frames.pack_sealed(ticket, loaded[ticket].seal(values.buffer))
            else:
                told = frames.pack_answers(ticket, loaded[ticket].score(values, asks))
        connection.sendall(told)


if __name__ == "__main__":
    serve()
