"""A model host in an executor, started by the first task of a Spark Python worker and kept for later tasks.

Spark has a Python worker for each concurrent task of an executor, and reuses it. Each has its own host: nothing is
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
from hotswap.lake.origin import ScoringSpec
from hotswap.lake.requests import RAW, RequestEncoder
from hotswap.settings import Settings

JARS = "hotswap-jars"
"""The folder of the jars sent to executors, a local Maven repository."""


class Score:
    """The function that Spark calls in each task with the record batches of its input; `names`: the columns'."""

    def __init__(self, spec: ScoringSpec, names: Sequence[str]) -> None:
        self._spec = spec
        self._names = list(names)

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield each record batch with the answers to its rows."""
        scorer = None
        for numbered in batches:
            batch = pa.RecordBatch.from_arrays(numbered.columns, self._names)
            scorer = scorer or _Scorer(self._spec, batch.schema)
            yield scorer.score(batch)


class _Scorer:
    """Scores the record batches of one task."""

    def __init__(self, spec: ScoringSpec, schema: pa.Schema) -> None:
        compiled = spec.schema()
        operation: Operation = compiled.operations[spec.operation]
        self._encoder = RequestEncoder(compiled, operation, schema, spec.table(), spec.most_bytes)
        self._decoder = AnswerDecoder(operation, spec.generation, spec.digest)
        self._asks = None if compiled.default else Ask(operation.name)
        self._host = _host_of(spec)

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
    """A host on its own event loop, in a thread as long-lived as this process: a host ends with its thread."""

    def __init__(self, spec: ScoringSpec) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="hotswap-host", daemon=True).start()
        self._host = self._run(partial(self._start, spec))

    def score(self, values: Sequence[bytes], asks: Sequence[Ask] | None) -> Sequence[Answer]:
        answers: Sequence[Answer] = self._run(lambda: self._host.score(values, asks))
        return answers

    def _run(self, call: Callable[[], Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()

    async def _start(self, spec: ScoringSpec) -> Any:
        root = _root()
        if (root / JARS).is_dir():
            os.environ.setdefault("M2_REPO", str(root / JARS))
        settings = Settings(**{"cache": root / "hotswap-cache", **spec.settings})
        self._stack = AsyncExitStack()
        model = root / spec.model
        hosting = own_host(settings, model, spec.kind, spec.proto, spec.configuration)
        try:
            host, _ = await self._stack.enter_async_context(hosting)
        except SwapError as error:
            raise HostError(f"an executor cannot start a model host: {error.code}: {error.message}") from error
        return host


def _root() -> Path:
    """Return the folder of the files that Spark sent: absolute, since a host has another working directory."""
    return Path(SparkFiles.getRootDirectory()).absolute()


_hosts: dict[str, _Host] = {}


def _host_of(spec: ScoringSpec) -> _Host:
    if spec.digest not in _hosts:
        _hosts[spec.digest] = _Host(spec)
    return _hosts[spec.digest]
