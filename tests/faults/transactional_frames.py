"""Transactional requests of clients, and a broker's answers to them, in the wire format of each version.

The layouts are those of https://kafka.apache.org/protocol. Flexible versions (KIP-482) have compact lengths and tags.
"""

import struct
from typing import NamedTuple

PRODUCE, INIT_PRODUCER_ID, ADD_PARTITIONS, ADD_OFFSETS, END_TXN, TXN_OFFSET_COMMIT = 0, 22, 24, 25, 26, 28
NAMES = {PRODUCE: "Produce", TXN_OFFSET_COMMIT: "TxnOffsetCommit", END_TXN: "EndTxn"}
_FIRST_FLEXIBLE = {
    PRODUCE: 9,
    INIT_PRODUCER_ID: 2,
    ADD_PARTITIONS: 3,
    ADD_OFFSETS: 3,
    END_TXN: 3,
    TXN_OFFSET_COMMIT: 3,
}
_FIRST_OF_VERSION_2 = {PRODUCE: 12, TXN_OFFSET_COMMIT: 5, END_TXN: 5}
"""From which version of the request on its transaction is one of version 2 (KIP-890)."""
_FIRST_TRANSACTIONAL_PRODUCE = 3
_FIRST_PRODUCE_BY_TOPIC_ID = 13
_FIRST_ADD_PARTITIONS_OF_BROKERS = 4


class Request(NamedTuple):
    """A request that begins with a transactional id; `frame` is all of it, with its size."""

    api_key: int
    version: int
    transactional_id: str
    frame: bytes

    @property
    def is_flexible(self):
        return self.version >= _FIRST_FLEXIBLE[self.api_key]

    @property
    def transaction_version(self):
        """The version of transactions that the sender speaks, by what it sends in one."""
        return 2 if self.version >= _FIRST_OF_VERSION_2[self.api_key] else 1


class Answer(NamedTuple):
    """The first error of an answer, or 0; `written`: (topic, partition, first offset) of the batches of a Produce."""

    code: int
    written: tuple = ()


def request(frame):
    """Parse a request with its size; None: it is of no transactional id."""
    api_key, version = struct.unpack_from(">hh", frame, 4)
    if api_key not in _FIRST_FLEXIBLE or (api_key == PRODUCE and version < _FIRST_TRANSACTIONAL_PRODUCE):
        return None
    if api_key == ADD_PARTITIONS and version >= _FIRST_ADD_PARTITIONS_OF_BROKERS:
        return None
    reading = _Reader(frame, 12, is_flexible=False)
    reading.text()  # the client's id is never compact
    reading.is_flexible = version >= _FIRST_FLEXIBLE[api_key]
    reading.tags()
    transactional_id = reading.text()
    return None if transactional_id is None else Request(api_key, version, transactional_id.decode(), frame)


def answer(frame, asked):
    """Parse a broker's answer, with its size, to a Produce, TxnOffsetCommit or EndTxn."""
    reading = _Reader(frame, 8, is_flexible=asked.is_flexible)
    reading.tags()
    if asked.api_key == PRODUCE:
        return _produced(reading, asked.version)
    reading.number(">i")  # throttled for
    if asked.api_key == END_TXN:
        return Answer(reading.number(">h"))
    codes = []
    for _ in reading.items():
        reading.text()
        for _ in reading.items():
            reading.number(">i")
            codes.append(reading.number(">h"))
            reading.tags()
        reading.tags()
    return Answer(_first_error(codes))


def _produced(reading, version):
    codes, written = [], []
    for _ in reading.items():
        topic = reading.take(16) if version >= _FIRST_PRODUCE_BY_TOPIC_ID else reading.text()
        for _ in reading.items():
            partition, code, offset = reading.number(">i"), reading.number(">h"), reading.number(">q")
            codes.append(code)
            written.append((topic, partition, offset))
            reading.number(">q")  # the time of the append
            if version >= 5:
                reading.number(">q")  # where the log starts
            if version >= 8:
                for _ in reading.items():  # errors of records
                    reading.number(">i")
                    reading.text()
                    reading.tags()
                reading.text()
            reading.tags()
        reading.tags()
    return Answer(_first_error(codes), tuple(written))


def _first_error(codes):
    return next((code for code in codes if code), 0)


class _Reader:
    """Reads the fields of a frame one after the other."""

    def __init__(self, data, at, *, is_flexible):
        self._data = data
        self._at = at
        self.is_flexible = is_flexible

    def number(self, form):
        (number,) = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return number

    def take(self, size):
        self._at += size
        return self._data[self._at - size : self._at]

    def text(self):
        """Return a string's bytes, or None."""
        size = self._varint() - 1 if self.is_flexible else self.number(">h")
        return None if size < 0 else self.take(size)

    def items(self):
        """Return a range over the items of an array that begins here."""
        return range(self._varint() - 1 if self.is_flexible else self.number(">i"))

    def tags(self):
        """Skip the tagged fields, which only flexible versions have."""
        for _ in range(self._varint() if self.is_flexible else 0):
            self._varint()
            self.take(self._varint())

    def _varint(self):
        value = shift = 0
        while True:
            byte = self.number(">B")
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
