"""Record batches byte by byte, as a publisher may send them that keeps to no client library (format v2, KIP-98)."""

import struct
import time
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

HEAD = struct.Struct(">qiibIhiqqqhii")


def varint(number):
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(content):
    return varint(-1) if content is None else varint(len(content)) + content


def record(delta, *, key=None, value=b"", headers=(), count=None):
    """A record with its length; header names are bytes, `count` is how many headers it claims."""
    body = b"\0" + varint(0) + varint(delta) + field(key) + field(value)
    body += varint(len(headers) if count is None else count)
    body += b"".join(field(name) + field(content) for name, content in headers)
    return varint(len(body)) + body


def batch(body, *, count, codec=0, last=None, base=0):
    """A batch with the checksum that its bytes have; `body` is packed already."""
    now = int(time.time() * 1000)
    last = (count if last is None else last + 1) - 1
    rest = struct.pack(">hiqqqhii", codec, last, now, now, -1, -1, -1, count) + body
    return struct.pack(">qiibI", base, len(rest) + 9, -1, 2, calc_crc32c(rest)) + rest


class _Finished:
    """A finished batch in place of aiokafka's BatchBuilder."""

    def __init__(self, data, count):
        self._data, self._count = bytearray(data), count

    def append(self, **_):
        return None

    def close(self):
        pass

    def closed(self):
        return True

    def size(self):
        return len(self._data)

    def record_count(self):
        return self._count

    def _set_producer_state(self, *_):
        pass

    def _build(self):
        return self._data


@asynccontextmanager
async def sending(bootstrap):
    """Gives a coroutine that sends a finished batch to a partition, and gives its first offset."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()

    async def send(topic, partition, data, *, count):
        written = await (await producer.send_batch(_Finished(data, count), topic, partition=partition))
        return written.offset

    try:
        yield send
    finally:
        await producer.stop()
