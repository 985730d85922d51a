"""A publisher in a separate process that journals every request that the broker has acknowledged.

Run as a script, it is the child: it reads words from its standard input, a rate (requests per second), the name of the
example whose rows it is to publish from here on, or `rest`, and ends when that closes, so it never outlives its parent.
A line of the journal is `partition offset digest kind`: the digest is the first 16 hex digits of the value's SHA-256,
the kind `good` or the code with which the request must be refused; the offset is -1 if the broker did not tell it.
"""

import asyncio
import csv
import hashlib
import itertools
import json
import os
import random
import selectors
import struct
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

from confluent_kafka import KafkaError, Producer

_EXAMPLES = Path(__file__).parents[2] / "examples"
# A broker that is down for a minute must not fail a request: one that times out may have been written all the same, and
# then the expected outcome would be unknown.
_GIVE_UP_S = 180
# librdkafka may acknowledge nothing: seen once at the end, for six minutes, after a broker was stopped and started (two
# timeouts of each request did not end it), and once for the first 90 s. Then another client writes what it holds.
_STALLED_S = 30
_REST = "rest"


class Publisher:
    """Publishes at a steady rate, good requests and a share of bad ones, of a kind that `requests` makes."""

    def __init__(self, *, bootstrap, topic, per_second, journal, **kind):
        self._journal = Path(journal)
        self._task = {"bootstrap": bootstrap, "topic": topic, "journal": str(journal), **kind}
        self._per_second = per_second
        self._process = None
        self._acknowledged = 0
        self._read_to = 0

    @property
    def acknowledged(self):
        """The number of requests that the broker has acknowledged."""
        with self._journal.open("rb") as journal:
            journal.seek(self._read_to)
            news = journal.read()
        self._read_to += len(news)
        self._acknowledged += news.count(b"\n")
        return self._acknowledged

    def start(self):
        """Start it; the journal begins empty."""
        self._journal.write_bytes(b"")
        self._process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(self._task)], stdin=subprocess.PIPE, text=True
        )
        self.rate(self._per_second)
        return self

    def rate(self, per_second):
        """Set the rate, in requests per second; 0 pauses."""
        self._tell(per_second)

    def change_over(self, example):
        """Publish the rows of this example from here on."""
        self._tell(example)

    def _tell(self, word):
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    async def rest(self, timeout=_GIVE_UP_S):
        """Pause, and wait until all that was published is acknowledged."""
        sign = _sign_of(self._journal)
        sign.unlink(missing_ok=True)
        self._tell(_REST)
        async with asyncio.timeout(timeout):
            while not sign.exists():
                assert self._process.poll() is None, "the publisher has ended: see its traceback"
                await asyncio.sleep(0.02)

    async def reach(self, count, timeout=90):
        """Wait until so many more requests are acknowledged."""
        goal = self.acknowledged + count
        async with asyncio.timeout(timeout):
            while self.acknowledged < goal:
                assert self._process.poll() is None, "the publisher has ended: see its traceback"
                await asyncio.sleep(0.02)

    def stop(self, timeout=_GIVE_UP_S):
        """Let it publish what it holds, and wait until all of it is acknowledged and journaled."""
        if self._process is None:
            return
        self._process.stdin.close()
        try:
            code = self._process.wait(timeout)
        finally:
            self.kill()
        assert code == 0, f"the publisher ended with {code}: see its traceback"

    def kill(self):
        """Kill it, whatever it holds; does nothing if it has ended."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def requests(*, partitions, seed, bad_share=0.0, is_mixed=False, keys=0, rows_of=lambda: "iris"):
    """Yield requests without end: partition, key, value, headers, kind; the same seed gives the same ones.

    `is_mixed`: workers of an earlier version answer some, so there are none on which the versions differ. `keys`: there
    are so many, each with a partition that it stays in; 0: each request has its own, and goes anywhere. `rows_of`
    returns the name of the example whose rows are published now.
    """
    bad = _BAD[:-_NEWER] if is_mixed else _BAD
    chance = random.Random(seed)
    sequence = 0
    while True:
        number = b"%d" % sequence
        value, headers, kind = chance.choice(rows(rows_of())), [("request-id", number)], "good"
        if chance.random() < bad_share:
            kind, extra, bad_value = chance.choice(bad)
            value = value if bad_value is None else bad_value
            headers += [*extra, ("expect", kind.encode())]
        if keys:
            key = int(keys * chance.random() ** 2)  # some are asked for far more often than others
            yield key % partitions, b"key %d" % key, value, headers, kind
        else:
            yield chance.randrange(partitions), number, value, headers, kind
        sequence += 1


def iris():
    """The rows of examples/data/iris.csv as messages of examples/protos/iris.proto."""
    return rows("iris")


@cache
def rows(example):
    """Return the rows of an example as messages of its proto, whose fields are doubles, in the order of the columns."""
    with (_EXAMPLES / "data" / f"{example}.csv").open(newline="") as file:
        header, *lines = csv.reader(file)
    # The tag of field n as a double (wire type 1) is n << 3 | 1; as a varint, it has a second byte from field 16 on.
    tags = [n << 3 | 1 for n in range(1, len(header))]  # the last column is the class
    heads = [bytes([tag]) if tag < 1 << 7 else bytes([tag & 0x7F | 0x80, tag >> 7]) for tag in tags]
    return [
        b"".join(head + struct.pack("<d", float(value)) for head, value in zip(heads, line, strict=False))
        for line in lines
    ]


def _sign_of(journal):
    """Return the file that the child makes once it is at rest."""
    return Path(f"{journal}.at-rest")


# Code, headers, and the value if that is what is bad.
_BAD = (
    ("UNDECODABLE", [], b"\xff" * 11),
    ("UNDECODABLE", [], b"\x09\x00\x00"),
    ("UNKNOWN_OPERATION", [("operation", b"Clasify")], None),
    ("EXPIRED", [("not-after", b"1000")], None),
    ("EXPIRED", [("not-after", b"2001-01-01T00:00:00Z")], None),
    ("PROTO_MISMATCH", [("proto-digest", b"0" * 64)], None),
    ("UNSUPPORTED_CONTENT_TYPE", [("content-type", b"application/xml")], None),
    ("UNSUPPORTED_CONTENT_TYPE", [("accept", b"text/xml")], None),
    ("MALFORMED_HEADER", [("not-after", b"soon")], None),
    ("MALFORMED_HEADER", [("operation", b"\xff\xfe")], None),
    ("MALFORMED_HEADER", [("operation", b"Classify")] * 2, None),
    ("MALFORMED_HEADER", [("not-after", b"4102444800000"), ("not-after", b"1000")], None),
    ("MALFORMED_HEADER", [("request-id", b"another")], None),
)
_NEWER = 3
"""The last ones, with a header twice: 0.2.0 took the last of the two."""


class Child:
    """The child process: publishes what is due, and journals the acknowledgements."""

    def __init__(self, *, bootstrap, topic, journal, **kind):
        self._topic = topic
        self._rate, self._rows, self._is_to_rest = 0.0, "iris", False
        self._requests = requests(rows_of=lambda: self._rows, **kind)
        self._sign = _sign_of(journal)
        self._journal = Path(journal).open("ab", buffering=0)  # noqa: SIM115 - open as long as the process
        self._lines = []
        self._unacknowledged = {}
        self._has_begun = False
        self._silent_from = time.monotonic()
        self._settings = {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "message.timeout.ms": _GIVE_UP_S * 1_000,
            "queue.buffering.max.messages": 1_000_000,
            "topic.metadata.refresh.interval.ms": 2_000,
            "reconnect.backoff.max.ms": 1_000,
            "linger.ms": 2,
            "log_level": 0,
        }
        self._producer = Producer(self._settings)

    def run(self):
        owed, last = 0.0, time.monotonic()
        commands = selectors.DefaultSelector()
        commands.register(0, selectors.EVENT_READ)
        while True:
            if commands.select(0):
                said = os.read(0, 1024)
                if not said:
                    return self.finish()
                self._obey(said.decode().split())
            now = time.monotonic()
            # Never more than a second's worth at once, after this process was kept from running.
            owed, last = min(owed + (now - last) * self._rate, self._rate), now
            self.publish(int(owed))
            owed -= int(owed)
            self.hear()
            if self._is_to_rest and not self._unacknowledged:
                self._is_to_rest = False
                self._sign.touch()

    def _obey(self, words):
        for word in words:
            self._is_to_rest = word == _REST
            if word[0].isdigit() or self._is_to_rest:
                self._rate = 0.0 if self._is_to_rest else float(word)
            else:
                self._rows = word

    def hear(self):
        """Journal what is acknowledged; a client that acknowledges nothing from the start is replaced."""
        self._producer.poll(0.002)
        self._has_begun |= bool(self._lines)
        self._write()
        if self._has_begun or not self._unacknowledged:
            self._silent_from = time.monotonic()
        elif time.monotonic() - self._silent_from > _STALLED_S:
            self._begin_anew()
            self._silent_from = time.monotonic()

    def publish(self, count):
        """Publish the next requests."""
        for request in itertools.islice(self._requests, count):
            self._publish(*request)

    def finish(self):
        """Return once all is acknowledged and journaled."""
        while left := len(self._unacknowledged):
            until = time.monotonic() + _STALLED_S
            while len(self._unacknowledged) == left and time.monotonic() < until:
                self._producer.flush(0.1)
            if len(self._unacknowledged) == left:
                self._begin_anew()
            self._write()
        self._journal.close()

    def _begin_anew(self):
        """Publish with another client what this one was not told of; what it had written is there twice."""
        self._producer.purge()
        self._producer.flush(1)
        self._producer = Producer(self._settings)
        for request in list(self._unacknowledged.values()):
            self._publish(*request)

    def _publish(self, partition, key, value, headers, kind):
        line = f"{hashlib.sha256(value).hexdigest()[:16]} {kind}\n"
        (_, number), *_ = headers
        self._unacknowledged[number] = partition, key, value, headers, kind

        def acknowledge(error, message):
            if error is not None and error.code() in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT):
                return
            if error is not None and error.code() == KafkaError._MSG_TIMED_OUT:
                # librdkafka can lose sight of a record (1 of 430,000 in a run, all others of its partition were
                # written). So it is published again; had it been written after all, it is there twice, and counted so.
                self._publish(partition, key, value, headers, kind)
                return
            if error is not None:
                raise RuntimeError(f"request {number.decode()} was given up by the client: {error}")
            # A broker that has a batch already, whose first answer was lost, says so without its offset.
            offset = -1 if message.offset() is None else message.offset()
            del self._unacknowledged[number]
            self._lines.append(f"{message.partition()} {offset} {line}")

        self._producer.produce(self._topic, value, key, partition, headers=headers, on_delivery=acknowledge)

    def _write(self):
        # Whole lines in one call: a concurrent reader never sees half a line.
        if self._lines:
            self._journal.write("".join(self._lines).encode())
            self._lines.clear()


if __name__ == "__main__":
    Child(**json.loads(sys.argv[1])).run()
