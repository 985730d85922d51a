"""The age of a partition's oldest unanswered request, where no worker owns and reports it."""

import contextlib
from collections.abc import Iterable

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from hotswap.errors import Doubt, StartError
from hotswap.kafka.client.cluster import KafkaClient
from hotswap.kafka.client.connection import bounded, connection, end, reaching
from hotswap.kafka.client.internals import consumer_of
from hotswap.kafka.topics.committed import Lag
from hotswap.settings import Settings

_FETCH_BYTES = 1 << 16
_LEAST_S = 2.0


async def oldest_ms(settings: Settings, lags: Iterable[Lag]) -> dict[int, int]:
    """Return partition -> timestamp of its first unanswered request, ms since the epoch.

    Partitions without one are left out, and those whose next record cannot be read, or not in two seconds.
    """
    wanted = {TopicPartition(settings.topics.requests, lag.partition): lag for lag in lags if lag.requests}
    times: dict[int, int] = {}
    if wanted:
        # A user who may see the lag may lack Read on the requests: then their age is not known.
        with contextlib.suppress(Doubt, StartError, KafkaError):
            await bounded(_read(settings, wanted, times), _LEAST_S, "reading the oldest requests")
    return times


async def _read(settings: Settings, wanted: dict[TopicPartition, Lag], times: dict[int, int]) -> None:
    consumer = consumer_of(
        KafkaClient(**connection(settings)),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=_FETCH_BYTES,
        fetch_max_wait_ms=100,
    )
    try:
        with reaching(settings):
            await consumer.start()
        left = set(wanted)
        consumer.assign(left)
        for key, lag in wanted.items():
            consumer.seek(key, lag.committed)
        while left:
            for key, records in (await consumer.getmany(*left, timeout_ms=200, max_records=len(left))).items():
                times[key.partition] = max(records[0].timestamp or 0, 0)
            # There may be nothing but transaction markers.
            left = {
                key for key in left if key.partition not in times and await consumer.position(key) < wanted[key].end
            }
    finally:
        await end(consumer)
