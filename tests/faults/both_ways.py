"""Two deployments on one topic of requests, of which only one seals: their answers are the same, byte for byte.

What differs of necessity, and is not compared: the offsets and the timestamps of the answers, and in the message of
EXPIRED by how many milliseconds a request was late.
"""

import asyncio
import contextlib
import random
import re
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field

from google.protobuf import json_format
from prometheus_client.parser import text_string_to_metric_families

from fakes.examples import COLD
from fakes.flat import CASES, Requests, proto
from faults.java_readers import as_printed, consume, dump
from faults.raw_batches import Record
from faults.request_writers import Writers
from harness.fleet import EXAMPLES, Deployment
from harness.kafkas import local_kafka
from hotswap.client.change import Change
from hotswap.codec.proto import compile as compile_proto
from hotswap.errors import NoAnswer
from hotswap.generation import Proto

COUNTED = """
from prometheus_client import Counter
from hotswap import metrics
from hotswap.host.group import HostGroup
sealed = Counter("test_sealed", "Requests that the host has answered itself.", registry=metrics.REGISTRY)
seal = HostGroup.seal
async def count(self, order, given):
    result = await seal(self, order, given)
    if isinstance(result, list):
        sealed.inc(sum(one.records for one in result) - sum(one is not None for one in given.values()))
    return result
HostGroup.seal = count
"""
"""A worker that counts the requests which went the raw way."""

PLAIN = "\nHostGroup.can_seal = property(lambda self: False)\n"
"""… and one whose hosts get no record batches."""

GOOD, ODD = "good", "odd"
_CODECS = ("none", "lz4", "zstd")
"""Of the answers."""
_PARTITIONS = 4
_MODEL = EXAMPLES / "models" / "gbm_50x5.zip"
_MAX_REQUEST_BYTES = 100_000
_GOOD_SHARE = 0.95
_HELD_BACK_SHARE = 0.5
_SIZES = (1, 3, 20, 100, 400)
_STARTED_S = 120
_ANSWERED_S = 60
_LOOK_S = 0.02
_KEPT = 20
_KEYS = (None, b"", b"key", b"k" * 40)
_NAMES = (b"traceparent", b"", b"x-y")
_READ_NAMES = (b"content-type", b"accept", b"operation", b"generation", b"source", b"not-after", b"proto-digest")
_VALUES = (b"1", b"", b"\xff" * 300)
_ONCE = (b"content-type", b"accept", b"operation", b"not-after", b"proto-digest", b"request-id")
_READ_VALUES = (*_VALUES, None, b"text/csv", b"application/json", b"f", b"nothing that is known", b"2100-01-01")
_LATE = re.compile(rb"scored [\d,.]+ \w+ after its not-after")


@dataclass
class Figures:
    """The results of a run; `findings` is empty if every promise was kept."""

    seed: int
    requests: int = 0
    aborted: int = 0
    writers: Counter = field(default_factory=Counter)
    outcomes: Counter = field(default_factory=Counter)
    raw_share_of_good: float = 0.0
    raw_share_of_odd: float = 0.0
    read_by_java: int = 0
    batches_by_codec: Counter = field(default_factory=Counter)
    seconds: float = 0.0
    findings: list = field(default_factory=list)

    def find(self, text):
        if len(self.findings) < _KEPT:
            self.findings.append(text)


async def run(folder, *, seed, count, say, cases=tuple(CASES), codecs=_CODECS, raw=COUNTED):
    """Publish `count` random and damaged requests, of each proto as many, and a fifth as many that are good.

    `codecs` are those of the answers, each for some of the protos; `raw` is run first by the worker that seals.
    """
    figures = Figures(seed)
    say(f"both-ways: seed {seed}, {count} requests of {len(cases)} protos")
    kafka_folder = folder / "kafka"
    # The batches by hand have old timestamps: Kafka deletes such when it first looks, 30 s after its start.
    with local_kafka(directory=kafka_folder, settings={"log.retention.ms": "-1"}) as kafka:
        first = Deployment(kafka, folder, max_request_bytes=_MAX_REQUEST_BYTES)
        second = Deployment(
            kafka, folder, requests_topic=first.settings.topics.requests, max_request_bytes=_MAX_REQUEST_BYTES
        )
        both = BothWays(first, second, figures, {"raw": raw, "plain": COUNTED + PLAIN})
        try:
            await both.play(count, cases, codecs, say)
        finally:
            first.close()
            second.close()
        if figures.read_by_java:
            await asyncio.to_thread(both.check_by_java, kafka_folder, codecs)
    return figures


class BothWays:
    """One run."""

    def __init__(self, raw, plain, figures, preludes):
        self._ways = {"raw": raw, "plain": plain}
        self._figures = figures
        self._preludes = preludes
        self._chance = random.Random(figures.seed)
        self._sealed = Counter()
        self._asked = Counter()
        self._expected = []

    async def play(self, count, cases, codecs, say):
        began, figures = time.monotonic(), self._figures
        raw = self._ways["raw"]
        for deployment in self._ways.values():
            await deployment.create(_PARTITIONS)
        writers = Writers(
            bootstrap=raw.kafka.bootstrap,
            topic=raw.settings.topics.requests,
            partitions=_PARTITIONS,
            chance=self._chance,
        )
        async with writers:
            for number, codec in enumerate(codecs):
                self._start(codec)
                before = writers.committed
                for name in cases[number :: len(codecs)]:
                    await self._play(name, count // len(cases), writers, before)
                    say(f"{writers.committed} requests, {name}; {dict(self._sealed)}, {len(figures.findings)} findings")
                await self._check_counts(writers.committed - before)
                await self._stop()
        figures.requests, figures.aborted, figures.writers = writers.committed, writers.aborted, writers.kinds
        self._check_shares()
        await self._check_answers()
        figures.seconds = round(time.monotonic() - began, 1)

    # ---- the workers

    def _start(self, codec):
        for way, deployment in self._ways.items():
            deployment.start(way, child=COLD, prelude=self._preludes[way], HOTSWAP_COMPRESSION=codec)

    async def _stop(self):
        for way, deployment in self._ways.items():
            if code := await deployment.stop(way):
                self._figures.find(f"the {way} worker ended with {code}: {deployment.log(way)[-500:]}")
            for what in ("host.died", "partition.recycled"):
                if what in deployment.log(way):
                    self._figures.find(f"the {way} worker: {what}")

    async def _swap(self, change):
        async def one(way):
            deployment = self._ways[way]
            async with deployment.client() as client, asyncio.timeout(_STARTED_S):
                receipt, answer = await client.swap(change), None
                while not answer:  # on a busy machine the worker may take long until it reports at all
                    with contextlib.suppress(NoAnswer):
                        answer = await client.await_swap(receipt)
                assert answer.is_good, (answer, deployment.log(way)[-3_000:])

        await asyncio.gather(*map(one, self._ways))

    async def _metrics(self, way):
        """Return the worker's counts: of requests by outcome, of unknown categories by column, and what it sealed."""
        url = f"http://127.0.0.1:{self._ways[way].port(way)}/metrics"
        text = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=10).read().decode())
        found = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, Counter())[sample.labels.get("outcome", sample.labels.get("column"))] += (
                    int(sample.value) if sample.name.endswith("_total") else 0
                )
        return found

    async def _answered(self, count):
        """Wait until both workers have answered so many requests; return their metrics."""
        until = time.monotonic() + _ANSWERED_S
        while True:
            found = {way: await self._metrics(way) for way in self._ways}
            # Prometheus has no line of a counter with labels before its first request.
            answered = {way: each.get("hotswap_requests_total", Counter()).total() for way, each in found.items()}
            if min(answered.values()) >= count:
                return found
            late = min(answered, key=answered.get)
            assert time.monotonic() < until, (answered, count, self._ways[late].log(late)[-2_000:])
            await asyncio.sleep(_LOOK_S)

    # ---- in

    async def _play(self, name, count, writers, before):
        messages, taken, answer, configuration = CASES[name]
        source = proto(messages + answer, taken)
        (operation,) = compile_proto(source).operations.values()
        requests = Requests(operation, seed=self._chance.randrange(1 << 32))
        await self._swap(Change(model=_MODEL, proto=Proto.inline(source), configuration=configuration))
        for kind in (GOOD, ODD):
            begun, sealed = writers.committed, (await self._metrics("raw"))["test_sealed_total"].total()
            left = count if kind == ODD else count // 5
            if self._chance.random() < _HELD_BACK_SHARE:
                writers.hold_back(Record(value=requests.good(1)[0]))
            while left > 0:
                size = min(left, self._chance.choice(_SIZES))
                make = self._good if kind == GOOD else self._odd
                await writers.write(make(requests, size, operation), is_odd=kind == ODD)
                left -= size
            writers.end()
            found = await self._answered(writers.committed - before)
            self._asked[kind] += writers.committed - begun
            self._sealed[kind] += found["raw"]["test_sealed_total"].total() - sealed

    def _good(self, requests, count, _):
        return [
            Record(value=value, key=self._key(), headers=self._headers(_NAMES, _VALUES))
            for value in requests.good(count)
        ]

    def _odd(self, requests, count, operation):
        return [self._odd_one(value, requests, operation) for value in requests.take(count)]

    def _odd_one(self, value, requests, operation):
        draw, key = self._chance.random(), self._key()
        if draw < 0.7:
            return Record(value=value, key=key)
        if draw < 0.71:
            return Record(value=None, key=key, headers=self._headers(_NAMES, _VALUES))
        if draw < 0.712:
            return Record(value=value + bytes(_MAX_REQUEST_BYTES), key=key)
        if draw < 0.73:
            message = operation.input.FromString(requests.good(1)[0])
            headers = ((b"content-type", b"application/json"), (b"x-y", b"1"))
            return Record(value=json_format.MessageToJson(message).encode(), key=key, headers=headers)
        if draw < 0.75:
            return Record(value=value, key=key, headers=((b"not-after", b"1700000000000"),))
        is_repeated = draw < 0.78
        headers = self._repeated() if is_repeated else self._headers(_NAMES * 3 + _READ_NAMES, _READ_VALUES)
        return Record(value=value, key=key, headers=headers)

    def _key(self):
        return self._chance.choice(_KEYS)

    def _headers(self, names, values):
        count = self._chance.choice((0, 0, 1, 2))
        return tuple((self._chance.choice(names), self._chance.choice(values)) for _ in range(count))

    def _repeated(self):
        """A header that a request may have once, up to three times, among others."""
        name, count = self._chance.choice(_ONCE), self._chance.choice((1, 2, 2, 3))
        ours = [(name, self._chance.choice(_READ_VALUES)) for _ in range(count)]
        headers = [*ours, *self._headers(_NAMES, _VALUES)]
        self._chance.shuffle(headers)
        return tuple(headers)

    # ---- the verdict

    async def _check_counts(self, expected):
        found = await self._answered(expected)
        for name in ("hotswap_requests_total", "hotswap_unknown_categories_total"):
            raw, plain = (found[way].get(name, Counter()) for way in ("raw", "plain"))
            if raw != plain:
                self._figures.find(f"{name}: {dict(raw - plain)} more the raw way, {dict(plain - raw)} the plain one")
        counts = found["raw"]["hotswap_requests_total"]
        self._figures.outcomes += counts
        if counts.total() != expected:
            self._figures.find(f"{expected} requests have {counts.total()} answers")
        if sealed := found["plain"]["test_sealed_total"].total():
            self._figures.find(f"{sealed} requests went the raw way where none should")

    def _check_shares(self):
        figures, shares = self._figures, {kind: self._sealed[kind] / self._asked[kind] for kind in (GOOD, ODD)}
        figures.raw_share_of_good, figures.raw_share_of_odd = (round(share, 4) for share in shares.values())
        if not _GOOD_SHARE < shares[GOOD] <= 1:
            figures.find(f"{shares[GOOD]:.1%} of the good requests went the raw way")

    async def _check_answers(self):
        audits = {way: await deployment.audit() for way, deployment in self._ways.items()}
        for way, audit in audits.items():
            if audit.faults:
                found = {name: len(places) for name, places in audit.faults.items()}
                self._figures.find(f"the {way} way: {found}")
            if audit.asked != self._figures.requests:
                self._figures.find(f"{self._figures.requests} requests were published, and {audit.asked} are there")
        for topic in ("predictions", "dead_letters"):
            raw, plain = (by_partition(getattr(audit, topic)) for audit in audits.values())
            for difference in differences(raw, plain):
                self._figures.find(f"{topic}: {difference}")
        self._expected = audits["raw"].predictions
        self._figures.read_by_java = len(self._expected)

    def check_by_java(self, kafka_folder, codecs):
        """Read the predictions of the raw way with Kafka's own Java, and dump them as they are on the broker's disk."""
        figures, deployment = self._figures, self._ways["raw"]
        topic, count = deployment.settings.topics.predictions, len(self._expected)
        expected = {
            number: [as_printed(*record) for record in records]
            for number, records in by_partition(self._expected).items()
        }
        found = consume(deployment.kafka.bootstrap, topic, count)
        figures.read_by_java = sum(map(len, found.values()))
        if found != expected:
            figures.find(f"Java's consumer reads {figures.read_by_java} of {count} predictions, or others")
        figures.batches_by_codec, dumped, wrong = dump(kafka_folder, topic)
        if dumped != count:
            figures.find(f"the segments have {dumped} of {count} predictions")
        if set(figures.batches_by_codec) != set(codecs):
            figures.find(f"the segments' codecs are {set(figures.batches_by_codec)}")
        for line in wrong:
            figures.find(line)


def by_partition(messages):
    """Return key, value and headers of each message, by its partition and in the order of its offset."""
    found = {}
    for message in messages:
        record = message.key(), message.value(), message.headers() or []
        found.setdefault(message.partition(), []).append(record)
    return found


def differences(raw, plain):
    """Yield what differs between the records of two topics: one difference of each partition."""
    for number in sorted(raw.keys() | plain.keys()):
        ours, theirs = raw.get(number, []), plain.get(number, [])
        if len(ours) != len(theirs):
            yield f"partition {number} has {len(ours)} records the raw way, and {len(theirs)} the plain one"
        for one, other in zip(ours, theirs, strict=False):
            if _comparable(one) != _comparable(other):
                yield f"partition {number} has {one} the raw way, and {other} the plain one"[:2_000]
                break


def _comparable(record):
    key, value, headers = record
    return key, value, [(name, _LATE.sub(b"", held) if name == "message" else held) for name, held in headers]
