"""Which producer wrote a record: two whose transactions overlap leave no gap between their records."""

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition

from hotswap.kafka.client.internals import Cutter
from hotswap.recordbatch.header import Header, size_of

_FAR = 2_000
"""More offsets than a record batch of ours has, to look back for its begin."""


def are_of_one_transaction(bootstrap, topic, partition, offset):
    """Whether a record, and the one right before it, were written in the same epoch of the same producer.

    With version 2 a transaction is an epoch; with version 1 those of one producer have a marker between them.
    """
    return asyncio.run(_are_of_one(bootstrap, TopicPartition(topic, partition), offset))


async def _are_of_one(bootstrap, key, offset):
    wrote = {}

    def cut(fetch):
        data, at = fetch.data, 0
        while at + 61 <= len(data) and at + size_of(data, at) <= len(data):
            header = Header.read(data, at)
            for place in (offset - 1, offset):
                if header.base_offset <= place <= header.base_offset + header.last_offset_delta:
                    wrote[place] = header.producer_id, header.producer_epoch
            at += size_of(data, at)
            fetch.next_fetch_offset = header.base_offset + header.last_offset_delta + 1
        yield from ()

    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, value_deserializer=Cutter(cut)) as consumer:
        consumer.assign([key])
        begin = (await consumer.beginning_offsets([key]))[key]
        consumer.seek(key, max(begin, offset - _FAR))
        async with asyncio.timeout(20):
            while offset not in wrote:
                await consumer.getmany(timeout_ms=100)
    return wrote[offset - 1] == wrote[offset]
