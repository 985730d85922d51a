"""The whole contract of the control plane in the judge's hands: a fold with verdicts, commands sent, statuses followed.

Nothing here is the worker's code: a defect in its reading or folding of commands must not be repeated by its judge.
"""

import asyncio
import contextlib
import hashlib
import re
import uuid
from collections import defaultdict
from typing import NamedTuple

from confluent_kafka import Consumer, Producer, TopicPartition
from faults.accepted_log import Command, Status
from google.protobuf.message import DecodeError
from harness.audit import read

OUTCOMES = {
    value.number: value.name.removeprefix("OUTCOME_")
    for value in Status.DESCRIPTOR.file.enum_types_by_name["Outcome"].values
}
_SHA256 = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)
_TIMES_S = range(-62_135_596_800, 253_402_300_800)  # what a google.protobuf.Timestamp may be: the years 1 to 9999
_LONGEST_ID = 200


class Verdict(NamedTuple):
    """What a command was worth, or what a worker says became of it; `outcome` is empty where it was accepted."""

    command_id: str
    generation: int
    outcome: str
    code: str = ""


class Parts(NamedTuple):
    """What a generation is made of: the model's URI, SHA-256 and kind, the proto's SHA-256, the rest serialized."""

    model: tuple[str, str, str]
    proto: str
    configuration: bytes
    samples: tuple[bytes, ...]


class Refused(Exception):
    """The command is not valid; its text is the code."""


class Fold:
    """The state that a control log gives, by control.proto: what every worker must come to."""

    def __init__(self, deployment):
        self.accepted = {}
        self.cuts = {}
        self.is_paused = False
        self.verdicts = []
        self.trace = []
        """After each verdict: the newest generation, and whether there is a pause."""
        self._deployment = deployment
        self._first = {}

    @property
    def newest(self):
        return next(reversed(self.accepted), 0)

    def receive(self, value, timestamp_ms):
        """Fold the next record; its verdict, None where there is nobody to answer."""
        try:
            command = Command.FromString(value or b"")
        except DecodeError:
            return None
        if command.deployment != self._deployment:
            return None
        kind = command.WhichOneof("kind")
        generation = getattr(getattr(command, kind), "generation", 0) if kind else 0
        verdict = Verdict(command.command_id[:_LONGEST_ID], generation, *self._judge(command, kind, timestamp_ms))
        self.verdicts.append(verdict)
        self.trace.append((self.newest, self.is_paused))
        return verdict

    def _judge(self, command, kind, timestamp_ms):
        if not 0 < len(command.command_id) <= _LONGEST_ID:
            return "REFUSED", "MALFORMED"
        # What says nothing that could be done uses up no id: its sender may mend it and send it again.
        if wrong := _wrong(command, kind):
            return "REFUSED", wrong
        content = command.SerializeToString(deterministic=True)
        if command.command_id in self._first:
            first, code = self._first[command.command_id]
            return ("DUPLICATE", code) if first == content else ("REFUSED", "EQUIVOCATION")
        try:
            outcome, code = self._apply(command, kind, timestamp_ms), ""
        except Refused as refused:
            outcome, code = "REFUSED", str(refused)
        self._first[command.command_id] = content, code
        return outcome, code

    def _apply(self, command, kind, timestamp_ms):
        if kind in ("pause", "resume"):
            self.is_paused = kind == "pause"
            return "APPLIED"
        order = getattr(command, kind)
        if order.generation <= self.newest:
            raise Refused("STALE")
        self.accepted[order.generation] = (
            self._of(order.to) if kind == "rollback" else self._inherit(order, timestamp_ms)
        )
        self.cuts[order.generation] = dict(order.cut_over.offsets)
        return ""

    def _of(self, number):
        if number not in self.accepted:
            raise Refused("UNKNOWN_BASE")
        return self.accepted[number]

    def _inherit(self, swap, timestamp_ms):
        until = swap.not_after
        if swap.HasField("not_after") and timestamp_ms > until.seconds * 1_000 + until.nanos // 1_000_000:
            raise Refused("EXPIRED")
        base = self._of(swap.base or self.newest) if swap.base or self.accepted else None
        if base is None and not (swap.HasField("model") and swap.HasField("proto")):
            raise Refused("INCOMPLETE")
        model, proto, configuration = base[:3] if base else ((), "", b"")
        if swap.HasField("model"):
            model = swap.model.uri, swap.model.sha256.lower(), swap.model.kind or "h2o"
        if swap.HasField("proto"):
            proto = _digest(swap.proto)
        if swap.HasField("configuration"):
            configuration = swap.configuration.SerializeToString(deterministic=True)
        return Parts(model, proto, configuration, tuple(swap.samples))


def _wrong(command, kind):
    """The code for what is wrong with a command whatever the log says before it; empty where nothing is."""
    if kind != "swap":
        return "" if kind else "MALFORMED"
    swap = command.swap
    until, source = swap.not_after, swap.proto.WhichOneof("source")
    is_good = (
        not swap.HasField("not_after") or (until.seconds in _TIMES_S and 0 <= until.nanos < 1_000_000_000),
        not swap.HasField("model") or (swap.model.uri and _SHA256.fullmatch(swap.model.sha256)),
        not swap.HasField("proto") or source,
        source != "uri" or _SHA256.fullmatch(swap.proto.sha256),
    )
    if not all(is_good):
        return "MALFORMED"
    is_inline = source in ("text", "descriptor_set")
    return "DIGEST_MISMATCH" if is_inline and swap.proto.sha256.lower() not in ("", _digest(swap.proto)) else ""


def _digest(proto):
    """SHA-256 of a proto's source."""
    if proto.WhichOneof("source") == "uri":
        return proto.sha256.lower()
    return hashlib.sha256(proto.text.encode() or proto.descriptor_set).hexdigest()


def replay(deployment, log):
    """The fold of a whole control log, (value, timestamp in ms) by record."""
    fold = Fold(deployment)
    for value, timestamp_ms in log:
        fold.receive(value, timestamp_ms)
    return fold


async def read_log(deployment):
    """Every record of the control topic: (value, timestamp in ms)."""
    messages = await asyncio.to_thread(read, deployment.kafka.bootstrap, deployment.settings.topics.control)
    return [(message.value(), message.timestamp()[1]) for message in messages]


class ControlPlane:
    """Commands in, statuses out: `publish` appends as it is told, and one reader follows the status topic."""

    def __init__(self, deployment):
        self.said = defaultdict(list)
        """By worker: its verdicts in the order in which they were written."""
        self.workers = {}
        """By worker: its last WorkerStatus."""
        self.records = self.bytes = 0
        self._topics = deployment.settings.topics
        servers = {"bootstrap.servers": deployment.kafka.bootstrap, "topic.metadata.refresh.interval.ms": 2_000}
        self._producer = Producer(servers | {"enable.idempotence": True})
        self._consumer = Consumer(
            servers | {"group.id": uuid.uuid4().hex, "enable.auto.commit": False, "fetch.queue.backoff.ms": 5}
        )
        self._following = None
        self._is_closing = False

    async def __aenter__(self):
        self._consumer.assign([TopicPartition(self._topics.status, 0, 0)])
        self._following = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_):
        self._is_closing = True
        await self._following
        await asyncio.to_thread(self._consumer.close)

    async def publish(self, commands):
        """Append (key, value) records to the control topic; return once they are acknowledged."""
        errors = []

        def acknowledge(error, _):
            errors.extend([error] if error else [])

        for key, value in commands:
            self._producer.produce(self._topics.control, value, key=key, partition=0, callback=acknowledge)
        await asyncio.to_thread(self._producer.flush, 30)
        assert not errors, errors

    async def until(self, is_so, timeout_s):
        """Wait until it is so; whether it came to it in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not is_so():
                    if self._following.done():
                        self._following.result()
                    await asyncio.sleep(0.02)
                return True
        return False

    async def _follow(self):
        while not self._is_closing:
            for message in await asyncio.to_thread(self._consumer.consume, 1_000, 0.05):
                assert message.error() is None, message.error()
                self._receive(message.value())

    def _receive(self, value):
        self.records += 1
        self.bytes += len(value)
        status = Status.FromString(value)
        if status.WhichOneof("kind") == "worker":
            self.workers[status.worker.worker] = status.worker
        elif status.WhichOneof("kind") == "swap":
            swap = status.swap
            verdict = Verdict(swap.command_id, swap.generation, OUTCOMES[swap.outcome], swap.code)
            self.said[swap.worker].append(verdict)
