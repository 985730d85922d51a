"""Generated batches of raw records against a real worker: each offset gets what is due, and no partition stalls."""

import asyncio
import hashlib
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from faults.brokers import proxied_kafka
from faults.raw_batches import RawProducer, Refused
from faults.record_inputs import ABSENT, ANY, OURS, PREDICTED, UNPACKED_BYTES, items
from harness.audit import each, header, source
from harness.fleet import EXAMPLES, Deployment
from hotswap.client.change import Change
from hotswap.kafka.topics.admin import Admin

_ROUND = 5_000
_KEPT = 20
_STILL_S = 10.0
_LOOK_S = 0.5
_RESIDENT_MB = 300
_MARK = re.compile(rb"forge-(\d{9})\.")
_NOTES = {"value-size", "value-sha256", "value-size-at-least", "batch-sha256"}


@dataclass
class Figures:
    """The results of a run; `findings` is empty if every promise was kept."""

    seed: int
    kinds: Counter = field(default_factory=Counter)
    """Of the batches that the worker had to read."""
    records: int = 0
    outcomes: Counter = field(default_factory=Counter)
    seconds: float = 0.0
    stood_still_s: float = 0.0
    resident_mb: int = 0
    findings: list = field(default_factory=list)

    def find(self, text):
        if len(self.findings) < _KEPT:
            self.findings.append(text)


async def run(folder, *, seed, count, say):
    """Publish batches with `count` records in all."""
    figures = Figures(seed)
    say(f"fuzz-records: seed {seed}, {count} records")
    async with proxied_kafka(seed=seed) as (kafka, proxy):
        deployment = Deployment(kafka, folder)
        try:
            await deployment.create()
            fuzz = Fuzz(deployment, proxy, figures)
            await fuzz.play(count, say)
        finally:
            deployment.close()
    return figures


class Fuzz:
    """One run against one worker behind the proxy."""

    def __init__(self, deployment, proxy, figures):
        self._deployment = deployment
        self._proxy = proxy
        self._figures = figures
        self._forged = {}
        self._left = {}
        self._due = {}
        self._ends = {}
        """Partition -> what is due for the last offset that was published there."""
        self._wire = {}
        """Place of an offset -> SHA-256 of its batch as the worker had it, where its dead letter may name that."""

    async def play(self, count, say):
        began, figures = time.monotonic(), self._figures
        worker = await self._serve()
        made = items(figures.seed, 0)
        async with RawProducer(int(self._deployment.kafka.bootstrap.rpartition(":")[2])) as producer:
            while figures.records < count:
                upto = min(count, figures.records + _ROUND)
                while figures.records < upto or self._has_a_loose_end:
                    await self._publish(producer, next(made), len(self._due) % 4)
                if not await self._answered(worker):
                    break
                say(f"{figures.records} records, {len(figures.findings)} findings")
        figures.seconds = round(time.monotonic() - began, 1)
        figures.resident_mb = _peak_mb(worker.pid)
        if figures.resident_mb > _RESIDENT_MB:
            figures.find(f"the worker has had {figures.resident_mb} MB")
        if worker.poll() is None and (code := await self._deployment.stop()):
            figures.find(f"the worker ended with {code} when it was asked to")
        if "host.died" in self._deployment.log():
            figures.find("the model host died")
        await asyncio.to_thread(self._check_answers)

    async def _serve(self):
        self._proxy.change = self._change
        worker = self._deployment.start(
            HOTSWAP_KAFKA=self._proxy.bootstrap, HOTSWAP_MAX_UNPACKED_BYTES=str(UNPACKED_BYTES)
        )
        async with self._deployment.client() as client:
            change = Change(model=EXAMPLES / "models" / "iris_gbm.zip", proto=EXAMPLES / "protos" / "iris.proto")
            answer = await client.await_swap(await client.swap(change))
            assert answer.is_good, (answer, self._deployment.log()[-3000:])
        return worker

    # ---- in

    @property
    def _has_a_loose_end(self):
        """Whether a partition ends with what is no record, as a control batch: no answer tells that it is passed."""
        return any(ABSENT in due.outcomes for due in self._ends.values())

    async def _publish(self, producer, item, partition):
        figures, topic = self._figures, self._deployment.settings.topics.requests
        published = item.placeholder or item.made
        if item.is_forged:
            number = int(_MARK.search(published.at(0))[1])
            self._forged[number] = item
            self._left[number] = item.fetches
        try:
            base = await producer.send(topic, partition, published.at(0))
        except Refused as error:
            figures.find(f"{item.kind} is refused by the broker, {error}: it belongs to the forged ones")
            return
        self._ends[partition] = item.due[-1]
        digest = hashlib.sha256(item.at(base)).hexdigest()
        for delta, due in enumerate(item.due):
            self._due[partition, base + delta] = item.kind, due
            self._wire[partition, base + delta] = digest
        figures.records += len(item.due)
        if not item.is_forged:
            figures.kinds[item.kind] += 1

    def _change(self, topic, _, batch):
        found = _MARK.search(batch) if topic == self._deployment.settings.topics.requests else None
        if not found or (item := self._forged.get(int(found[1]))) is None:
            return batch
        number, base = int(found[1]), int.from_bytes(batch[:8], "big")
        self._figures.kinds[f"forged: {item.kind}"] += 1
        if not item.fetches:
            return item.at(base)
        self._left[number] -= 1
        return batch[:-1] + bytes([batch[-1] ^ 1]) if self._left[number] >= 0 else batch

    # ---- out

    async def _answered(self, worker):
        """Wait until everything is answered; return whether it was. A partition that stalls is a finding."""
        settings, moved = self._deployment.settings, {}
        async with Admin.connect(settings) as admin:
            while True:
                ends = await admin.end_offsets(settings.topics.requests)
                found = await admin.committed(settings.group_id, settings.topics.requests)
                now = time.monotonic()
                committed = {number: max(at.offset, 0) for number, at in found.items()}
                behind = [number for number, end in ends.items() if committed[number] < end]
                for number, offset in committed.items():
                    if moved.get(number, (-1, 0))[0] != offset or number not in behind:
                        moved[number] = offset, now
                still = {number: now - at for number, (_, at) in moved.items()}
                self._figures.stood_still_s = round(max(self._figures.stood_still_s, *still.values()), 1)
                if not behind:
                    return True
                if worker.poll() is not None:
                    self._figures.find(f"the worker ended with {worker.returncode}: {self._last_words()}")
                    return False
                for number in behind:
                    if still[number] > _STILL_S:
                        kind, _ = self._due.get((number, committed[number]), ("?", None))
                        self._figures.find(
                            f"partition {number} stands at {committed[number]}, {kind}: {self._last_words()}"
                        )
                        return False
                await asyncio.sleep(_LOOK_S)

    def _last_words(self):
        return self._deployment.log()[-1_000:]

    # ---- the verdict

    def _check_answers(self):
        topics, bootstrap = self._deployment.settings.topics, self._deployment.kafka.bootstrap
        open_places, last = set(self._due), {}
        for topic in (topics.predictions, topics.dead_letters):
            for message in each(bootstrap, topic):
                place = source(message)
                kind, due = self._due.get(place, ("", None))
                if place not in open_places:
                    self._figures.find(f"{kind} at {place} is answered {'twice' if due else 'and was never asked'}")
                    continue
                open_places.discard(place)
                if message.partition() != place[0] or place[1] <= last.get((topic, place[0]), -1):
                    self._figures.find(f"{kind} at {place} is answered out of its order")
                last[topic, place[0]] = place[1]
                outcome = PREDICTED if topic == topics.predictions else header(message, "code")
                self._figures.outcomes[outcome] += 1
                if outcome not in due.outcomes:
                    self._figures.find(f"{kind} at {place}: {outcome}, due is {set(due.outcomes)}")
                elif wrong := self._wrong(message, place, due, outcome):
                    self._figures.find(f"{kind} at {place}, {outcome}: {wrong}")
        for place in sorted(open_places):
            kind, due = self._due[place]
            if ABSENT not in due.outcomes:
                self._figures.find(f"{kind} at {place} has no answer, due is {set(due.outcomes)}")

    def _wrong(self, message, place, due, outcome):
        """What is not right about an answer whose outcome is."""
        notes = {name: held for name, held in message.headers() if name in _NOTES and held}
        value = message.value()
        if outcome == "UNREADABLE":
            told = value, message.key(), notes.get("batch-sha256", b"").decode()
            return "" if told == (None, None, self._wire[place]) else f"it has {told}"
        if due.size == ANY and outcome != PREDICTED:
            return ""
        copied = tuple((name, held) for name, held in message.headers() if name not in OURS | _NOTES)
        if (message.key(), copied) != (due.key, due.headers):
            return f"key {due.key} and headers {due.headers} have become {message.key()} and {copied}"[:2_000]
        if outcome == PREDICTED:
            return ""
        told = None if value is None else len(value), hashlib.sha256(value or b"").hexdigest()
        if value is None and due.size is not None:
            told = int(notes.get("value-size", -1)), notes.get("value-sha256", b"").decode()
        return "" if told == (due.size, due.sha256) else f"another value, or notes of it: {notes}"


def _peak_mb(pid):
    """The most that a process has had in memory."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return int(status.partition("VmHWM:")[2].split()[0]) // 1_000
