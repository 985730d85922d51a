"""A model host in an executor: started by the first task of a Spark Python worker, and kept over all that follow.

Spark has a Python worker for each task that an executor runs at a time, and reuses it. So has each a host: nothing is
shared, and all cores score. When Spark kills the worker, or the executor dies, the host ends with it (host/supervisor).
"""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark import SparkFiles

from hotswap.batch import Answer, Ask
from hotswap.client.scoring import own_host
from hotswap.codec.proto import Operation
from hotswap.errors import HostError, SwapError
from hotswap.lake.answers import AnswerDecoder, pack
from hotswap.lake.origin import Parcel
from hotswap.lake.requests import RAW, RequestEncoder
from hotswap.settings import Settings

JARS = "hotswap-jars"
"""The folder of the jars that executors are sent, as a local Maven repository."""


class Score:
    """What Spark calls in each task, with record batches of its part of the input; `names` are those of the columns."""

    def __init__(self, parcel: Parcel, names: Sequence[str]) -> None:
        self._parcel = parcel
        self._names = list(names)

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield each record batch with the answers to its rows."""
        scorer = None
        for given in batches:
            batch = pa.RecordBatch.from_arrays(given.columns, self._names)
            scorer = scorer or _Scorer(self._parcel, batch.schema)
            yield scorer.score(batch)


class _Scorer:
    """Scores the record batches of one task."""

    def __init__(self, parcel: Parcel, schema: pa.Schema) -> None:
        compiled = parcel.schema()
        operation: Operation = compiled.operations[parcel.operation]
        self._encoder = RequestEncoder(compiled, operation, schema, parcel.table(), parcel.most_bytes)
        self._decoder = AnswerDecoder(operation, parcel.generation, parcel.digest)
        self._asks = None if compiled.default else Ask(operation.name)
        self._host = _host_of(parcel)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        requests = self._encoder.encode(batch)
        values = requests.values.drop_null() if requests.values.null_count else requests.values
        asks = [self._asks] * len(values) if self._asks else None
        answers = self._host.score(pack(values), asks) if len(values) else []
        columns = self._decoder.decode(batch.num_rows, answers, requests.refused)
        own = [name for name in batch.schema.names if name != RAW]
        fields = [*(batch.schema.field(name) for name in own), *self._decoder.fields]
        return pa.RecordBatch.from_arrays([*(batch[name] for name in own), *columns], schema=pa.schema(fields))


class _Host:
    """A host on a loop of its own, in a thread that lives as long as this process: a host ends with its thread."""

    def __init__(self, parcel: Parcel) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="hotswap-host", daemon=True).start()
        self._host = self._run(partial(self._start, parcel))

    def score(self, values: Sequence[bytes], asks: Sequence[Ask] | None) -> Sequence[Answer]:
        answers: Sequence[Answer] = self._run(lambda: self._host.score(values, asks))
        return answers

    def _run(self, call: Callable[[], Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()

    async def _start(self, parcel: Parcel) -> Any:
        root = _root()
        if (root / JARS).is_dir():
            os.environ.setdefault("M2_REPO", str(root / JARS))
        settings = Settings(**parcel.settings, cache=root / "hotswap-cache")
        self._held = AsyncExitStack()
        model = root / parcel.model
        hosting = own_host(settings, model, parcel.kind, parcel.proto, parcel.configuration)
        try:
            host, _ = await self._held.enter_async_context(hosting)
        except SwapError as error:
            raise HostError(f"an executor cannot start a model host: {error.code}: {error.message}") from error
        return host


def _root() -> Path:
    """Return where Spark keeps the files that it sent: "." on a cluster, but a host has a folder of its own."""
    return Path(SparkFiles.getRootDirectory()).absolute()


_kept: dict[str, _Host] = {}


def _host_of(parcel: Parcel) -> _Host:
    if parcel.digest not in _kept:
        _kept[parcel.digest] = _Host(parcel)
    return _kept[parcel.digest]
