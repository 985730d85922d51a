"""The law that the model holds the workers to: a second implementation, independent of the worker's own.

meaning.py interprets the control log, `is_due` decides which generation may answer a request, and `Verifier` checks
that what becomes visible in Kafka keeps the promises I1 to I5 and I11 of ARCHITECTURE.md.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hotswap.batch import Headers, Record
from hotswap.generation import Configuration
from hotswap.settings import Topics
from hotswap.v1 import control_pb2 as wire
from model.broker import OFFSETS, Place, Request
from model.meaning import Accepted, Fold, Meaning


class Case(NamedTuple):
    """Everything that decides which generation may answer a request, at the moment when a worker takes the batch."""

    meaning: Meaning
    partition: int
    offset: int
    floor: int
    ready: frozenset[int]
    failed: frozenset[int]


def may_come(case: Case, number: int) -> bool:
    """Whether the log lets the partition come to a generation that has not scored it, at this offset or another one."""
    made = case.meaning.accepted[number]
    return number > case.floor >= made.instead_of and not made.is_abandoned


def may_answer(case: Case, number: int) -> bool:
    """Whether the log lets the generation answer here if no other one does, whether it is ready or not."""
    begins = case.meaning.accepted[number].begins(case.partition)
    if number == case.floor:  # it is the partition's own, whatever the log has lost of how it came to be
        return begins is None or begins <= case.offset
    return may_come(case, number) and begins is not None and begins <= case.offset


def is_due(case: Case, number: int) -> bool:
    """Whether the generation may answer here: no generation that supersedes it is due (I2, I3, I5)."""
    accepted = case.meaning.accepted
    if case.meaning.is_held or case.meaning.is_paused:
        return False
    if number not in accepted or number not in case.ready or not may_answer(case, number):
        return False
    for newer, made in accepted.items():
        if newer <= number or newer in case.failed or not may_answer(case, newer):
            continue
        if newer in case.ready or case.partition in made.cut:
            return False
    return True


def ahead(case: Case, number: int) -> int | None:
    """The offset behind this one at which the partition comes to the generation; None: it does not, as known so far."""
    begins = case.meaning.accepted[number].begins(case.partition)
    return begins if begins is not None and begins > case.offset and may_come(case, number) else None


def end_of(case: Case, number: int) -> int | None:
    """The first offset that the generation may not answer, as far as this worker has read; None if there is none."""
    newer = (one for one in case.meaning.accepted if one > number and one not in case.failed)
    return min((cut for cut in (ahead(case, one) for one in newer) if cut is not None), default=None)


def may_be_wanted(case: Case, number: int) -> bool:
    """Whether the partition may want the generation: now, at a cut that lies ahead, or once it is promoted."""
    newest = max(case.meaning.accepted)
    is_open = number == newest and case.meaning.accepted[number].begins(case.partition) is None
    return is_due(case, number) or ahead(case, number) is not None or (is_open and may_come(case, number))


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
        self._came(partition, generation, floor)
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

    def _came(self, partition: int, generation: int, floor: int) -> None:
        """A partition stays with its generation, or comes to one that the log has for it."""
        made = self._fold.now.accepted.get(generation)
        if made is None or generation == floor:
            return
        is_cut = made.begins(partition) is not None or generation in self._fold.lost
        self.find(not is_cut, "I4 staged: {} took partition {}, which nothing cut to it", generation, partition)
        is_heir = floor >= made.instead_of
        self.find(not is_heir, "I4 abandoned: {} took partition {} from {}", generation, partition, floor)

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
        cut = made.begins(partition) or 0
        self.find(
            offset < cut, "I4 cuts: {}-{} was scored by {}, which begins at {}", partition, offset, generation, cut
        )
        self.find(
            "broken" in made.model.uri, "I5 failed generations: {}-{} scored by {}", partition, offset, generation
        )
        return log[offset], made
