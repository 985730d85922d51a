"""The law that the model holds the workers to: a second implementation, independent of worker/hotswap/swap.py.

`Fold` interprets the control log, `is_due` decides which generation may answer a request, and `Verifier` checks that
what becomes visible in Kafka keeps the promises I1 to I5 and I11 of ARCHITECTURE.md.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from hotswap.batch import Headers, Record
from hotswap.generation import Configuration, Model, Proto
from hotswap.settings import Topics
from hotswap.swap.command import PauseCommand, RollbackCommand, SwapCommand
from hotswap.v1 import control_pb2 as wire
from model.broker import OFFSETS, Place, Request

Command: TypeAlias = SwapCommand | RollbackCommand | PauseCommand
"""What the model commands; no batch of it is damaged, so there is none to skip."""


class Accepted(NamedTuple):
    """An accepted generation: its three parts, where it takes over, and the command that made it."""

    model: Model
    proto: Proto
    configuration: Configuration
    cut: dict[int, int]
    command_id: str


class Meaning(NamedTuple):
    """The meaning of a prefix of the control log: the accepted generations by number, and whether there is a pause.

    `is_held`: to whom it means no more, being of an older version than one of its commands needs.
    """

    accepted: dict[int, Accepted]
    is_paused: bool
    is_held: bool = False


class Fold:
    """The control log, and the meaning of each prefix of it."""

    def __init__(self) -> None:
        self.records: list[tuple[int, bytes]] = []
        """(timestamp in ms, value) of each record, in the order of the topic."""
        self.commands: list[Command | None] = []
        """The command in each record; None if there is none for this deployment."""
        self._meanings = [Meaning({}, is_paused=False)]
        self._ids: dict[str, Command] = {}
        self.later: int | None = None
        """Place of the first command that needs version 2; None: there is none."""

    @property
    def now(self) -> Meaning:
        return self._meanings[-1]

    def at(self, length: int, version: int) -> Meaning:
        """What the first `length` records mean to a worker of this version, 1 or 2."""
        if version == 1 and self.later is not None and length > self.later:
            return self._meanings[self.later]._replace(is_held=True)
        return self._meanings[length]

    def append(self, timestamp_ms: int, value: bytes, command: Command | None) -> None:
        self.records.append((timestamp_ms, value))
        self.commands.append(command)
        self._meanings.append(self._next(command, timestamp_ms))

    def _next(self, command: Command | None, timestamp_ms: int) -> Meaning:
        before = self.now
        if command is None or not command.command_id or command.command_id in self._ids:
            return before
        self._ids[command.command_id] = command
        if isinstance(command, PauseCommand):
            return before._replace(is_paused=command.is_paused)
        newest = max(before.accepted, default=0)
        if command.generation <= newest:
            return before
        made = self._make(command, before.accepted, newest, timestamp_ms)
        return before if made is None else before._replace(accepted={**before.accepted, command.generation: made})

    def _make(
        self, command: SwapCommand | RollbackCommand, accepted: dict[int, Accepted], newest: int, timestamp_ms: int
    ) -> Accepted | None:
        if isinstance(command, RollbackCommand):
            old = accepted.get(command.to)
            return old and old._replace(cut=dict(command.cut), command_id=command.command_id)
        if command.not_after_ms is not None and command.not_after_ms < timestamp_ms:
            return None
        base = accepted.get(command.base or newest)
        if base is None:
            if command.base or command.model is None or command.proto is None:
                return None
            base = Accepted(command.model, command.proto, Configuration(), {}, "")
        return Accepted(
            command.model or base.model,
            command.proto or base.proto,
            command.configuration or base.configuration,
            dict(command.cut),
            command.command_id,
        )


class Case(NamedTuple):
    """Everything that decides which generation may answer a request, at the moment when a worker takes the batch."""

    meaning: Meaning
    partition: int
    offset: int
    floor: int
    ready: frozenset[int]
    failed: frozenset[int]


def is_due(case: Case, number: int) -> bool:
    """Whether the generation may answer here: no generation that supersedes it is due (I2, I3, I5)."""
    accepted = case.meaning.accepted
    if case.meaning.is_held:
        return False
    if case.meaning.is_paused or number not in accepted or number not in case.ready or number < case.floor:
        return False
    if accepted[number].cut.get(case.partition, 0) > case.offset:
        return False
    for newer, made in accepted.items():
        cut = made.cut.get(case.partition, 0)
        if newer <= number or cut > case.offset or newer in case.failed:
            continue
        if newer in case.ready or case.partition in made.cut:
            return False
    return True


def end_of(case: Case, number: int) -> int | None:
    """The first offset that the generation may not answer, as far as this worker has read; None if there is none."""
    cuts = [
        made.cut[case.partition]
        for newer, made in case.meaning.accepted.items()
        if newer > number and newer not in case.failed and made.cut.get(case.partition, 0) > case.offset
    ]
    return min(cuts, default=None)


def answer(generation: int, model: str | Path, proto: bytes, configuration: Configuration, value: bytes) -> bytes:
    """The answer of the model's hosts: it names every part that produced it."""
    tag = configuration.runtime.get("tag", "")
    return b"|".join([b"%d" % generation, str(model).encode(), proto, tag.encode(), value])


def _named(offsets: Sequence[tuple[int, str]], floor: int) -> int:
    """The generation that an offset without an answer names: a partition without requests has cut over to it."""
    return int(json.loads(offsets[-1][1])["generation"]) if offsets else floor


def refusal(kind: str, made: Accepted) -> str | None:
    """The code with which this generation refuses a request of this kind; None: it answers it."""
    limit = made.configuration.max_request_bytes
    if kind == "large":
        return "TOO_LARGE" if limit else None
    if kind == "other proto":
        return "PROTO_MISMATCH" if made.proto.source != b"proto 0" else None
    return {
        "undecodable": "UNDECODABLE",
        "no value": "UNDECODABLE",
        "no operation": "UNKNOWN_OPERATION",
        "expired": "EXPIRED",
    }.get(kind)


@dataclass
class Standing:
    """How far a partition is answered, and by which generation last."""

    answered: int = 0
    floor: int = 0
    last: int | None = None
    """The last request that was answered."""


class Verifier:
    """Checks each transaction at the moment when readers can see it; `broken` lists the promises that were not kept."""

    def __init__(
        self, *, topics: Topics, fold: Fold, requests: Callable[[], list[list[Request | None]]], partitions: int
    ) -> None:
        self.broken: list[str] = []
        self.standing = [Standing() for _ in range(partitions)]
        self._topics = topics
        self._fold = fold
        self._requests = requests

    def unanswered(self) -> dict[int, int]:
        """Partition -> offset of its first request without an answer."""
        logs = enumerate(zip(self.standing, self._requests(), strict=True))
        first = {n: [r.offset for r in log[standing.answered :] if r is not None][:1] for n, (standing, log) in logs}
        return {number: offsets[0] for number, offsets in first.items() if offsets}

    def find(self, is_wrong: object, text: str, *facts: object) -> None:
        """Records a broken promise; the facts fill the braces of the text."""
        if is_wrong:
            self.broken.append(text.format(*facts))

    def committed(self, visible: Mapping[Place, list[Any]]) -> None:
        """A transaction became visible: its items by place."""
        status = Place(self._topics.status, 0)
        partitions = {place.partition for place in visible if place.topic != status.topic}
        for partition in partitions:
            self._commit(
                partition,
                visible.get(Place(self._topics.predictions, partition), []),
                visible.get(Place(self._topics.dead_letters, partition), []),
                [wire.Status.FromString(value).cut_over for _, value, _ in visible.get(status, [])],
                visible.get(Place(OFFSETS, partition), []),
            )

    def _commit(
        self,
        partition: int,
        predictions: Sequence[Record],
        dead_letters: Sequence[Record],
        cut_overs: Sequence[wire.CutOverDone],
        offsets: Sequence[tuple[int, str]],
    ) -> None:
        standing = self.standing[partition]
        answered = [(self._source(record, partition), record) for record in predictions]
        refused = [(self._source(record, partition), record) for record in dead_letters]
        for kind in (answered, refused):
            numbers = [number for number, _ in kind]
            self.find(numbers != sorted(numbers), "I1 order: partition {} answers {} in this order", partition, numbers)
        batch = sorted([*answered, *refused], key=lambda pair: pair[0])
        first, floor = standing.answered, standing.floor
        end = batch[-1][0] + 1 if batch else (offsets[-1][0] if offsets else first)
        log = self._requests()[partition]
        due = [offset for offset in range(first, end) if offset < len(log) and log[offset] is not None]
        numbers = [number for number, _ in batch]
        self.find(numbers != due, "I1 once: partition {} answers {} where {} was due", partition, numbers, due)
        generations = {dict(record[2]).get("generation", b"") for _, record in batch}
        self.find(len(generations) > 1, "I2 one generation per batch: partition {} mixes {}", partition, generations)
        generation = int(max(generations, default=b"") or _named(offsets, floor))
        self.find(generation < floor, "I3 never back: partition {} went from {} to {}", partition, floor, generation)
        for offset, record in answered:
            self._prediction(partition, offset, record, generation)
        for offset, record in refused:
            self._dead_letter(partition, offset, record, generation)
        begun = [(cut.generation, cut.partition, cut.first_offset) for cut in cut_overs]
        wanted = [(generation, partition, numbers[0] if numbers else end)] if generation != floor else []
        self.find(begun != wanted, "I4 cut-over with its commit: {} was announced where {} was due", begun, wanted)
        if wanted and not numbers:
            self._case(partition, end, generation)
        self._offset(partition, end, generation, offsets)
        standing.answered, standing.floor = end, generation
        standing.last = numbers[-1] if numbers else standing.last

    def _offset(self, partition: int, end: int, generation: int, offsets: Sequence[tuple[int, str]]) -> None:
        for offset, metadata in offsets[-1:]:
            found, wanted = (offset, json.loads(metadata)["generation"]), (end, generation)
            self.find(found != wanted, "I11 whole: partition {} {} != {}", partition, found, wanted)

    def _source(self, record: Record, partition: int) -> int:
        topic, number, offset = dict(record[2]).get("source", b"--").decode().rsplit("-", 2)
        self.find((topic, number) != (self._topics.requests, str(partition)), "I1 phantom: {}", record)
        return int(offset or -1)

    def _prediction(self, partition: int, offset: int, record: Record, generation: int) -> None:
        request, made = self._case(partition, offset, generation)
        if request is None or made is None:
            return
        key, value, headers = record
        assert made.proto.source is not None
        wanted = answer(generation, made.model.uri, made.proto.source, made.configuration, request.value or b"")
        self.find(value != wanted, "I2 parts of one fold: {}-{} is {}, not {}", partition, offset, value, wanted)
        self.find(refusal(request.kind, made), "I1 refusal: {}-{} ({}) was answered", partition, offset, request.kind)
        self._copied(request, key, headers)

    def _dead_letter(self, partition: int, offset: int, record: Record, generation: int) -> None:
        request, made = self._case(partition, offset, generation)
        if request is None or made is None:
            return
        key, value, headers = record
        code, wanted = dict(headers).get("code", b"").decode(), refusal(request.kind, made)
        self.find(
            code != wanted, "I1 refusal: {}-{} ({}) has code {}, not {}", partition, offset, request.kind, code, wanted
        )
        self.find(value != request.value, "I1 refusal: {}-{} has other bytes than its request", partition, offset)
        self._copied(request, key, headers)

    def _copied(self, request: Request, key: bytes | None, headers: Headers) -> None:
        self.find(key != request.key, "I1 key: {} answers {}", key, request.key)
        own = [header for header in request.headers if header[0] == "own"]
        self.find([header for header in headers if header[0] == "own"] != own, "I1 headers: {}", headers)

    def _case(self, partition: int, offset: int, generation: int) -> tuple[Request | None, Accepted | None]:
        log, made = self._requests()[partition], self._fold.now.accepted.get(generation)
        self.find(made is None, "I5 refused generations: {}-{} was scored by {}", partition, offset, generation)
        if made is None or not 0 <= offset < len(log):
            return None, None
        cut = made.cut.get(partition, 0)
        self.find(
            offset < cut, "I4 cuts: {}-{} was scored by {}, which begins at {}", partition, offset, generation, cut
        )
        self.find(
            "broken" in made.model.uri, "I5 failed generations: {}-{} scored by {}", partition, offset, generation
        )
        return log[offset], made
