"""The naive loop, after aiokafka's own example: poll, then score and send record by record, in a transaction.

    python benchmarks/naive_loop.py BOOTSTRAP REQUESTS PREDICTIONS GROUP

One consumer and one producer for all partitions; the model is in this process, called by JPype once a record.
"""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import jpype
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from hotswap.codec.proto import compile as compile_proto
from hotswap.local.jvm import fetch_jars, find_java

EXAMPLES = Path(__file__).parents[1] / "examples"
MODEL = "gbm_50x5"


class Score:
    """The model of the benchmark, a row at a time."""

    def __init__(self) -> None:
        """Starts Java and loads the model."""
        jars = list(map(str, fetch_jars("h2o-genmodel")))
        options = ("-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xrs", "-Xmx512m")
        jpype.startJVM(*options, jvmpath=str(find_java().library), classpath=jars, convertStrings=True)
        self._model = jpype.JClass("hex.genmodel.MojoModel").load(str(EXAMPLES / "models" / f"{MODEL}.zip"))
        schema = compile_proto((EXAMPLES / "protos" / f"{MODEL}.proto").read_bytes())
        (self._operation,) = schema.operations.values()
        self._columns: list[tuple[str, dict[str, int] | None]] = []
        for number in range(self._model.nfeatures()):
            levels = self._model.getDomainValues(number)
            known = {str(level): place for place, level in enumerate(levels)} if levels else None
            self._columns.append((str(self._model.getNames()[number]), known))
        self._labels = [str(label) for label in self._model.getDomainValues(self._model.getResponseIdx())]

    def __call__(self, request: bytes) -> bytes:
        """The answer to a request."""
        given = self._operation.input.FromString(request)
        row = []
        for name, known in self._columns:
            value = getattr(given, name) if given.HasField(name) else None
            row.append(float("nan") if value is None else known.get(value, float("nan")) if known else value)
        scores = self._model.score0(jpype.JArray(jpype.JDouble)(row), jpype.JArray(jpype.JDouble)(3))
        answer = self._operation.output(response=self._labels[int(scores[0])], p_no=scores[1], p_yes=scores[2])
        return bytes(answer.SerializeToString())


async def serve(consumer: Any, producer: Any, score: Score, predictions: str, group: str) -> None:
    """Answers until cancelled; exactly once while nothing fails."""
    while True:
        polled = await consumer.getmany(timeout_ms=100)
        if not polled:
            continue
        async with producer.transaction():
            for key, records in polled.items():
                for record in records:
                    await producer.send(predictions, score(record.value), key=record.key, partition=key.partition)
            offsets = {key: records[-1].offset + 1 for key, records in polled.items()}
            await producer.send_offsets_to_transaction(offsets, group)


async def main() -> None:
    """Serves until SIGTERM."""
    bootstrap, requests, predictions, group = sys.argv[1:5]
    consumer = AIOKafkaConsumer(
        requests,
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=group)
    async with consumer, producer:
        serving = asyncio.create_task(serve(consumer, producer, Score(), predictions, group))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
        await asyncio.gather(serving, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main())
