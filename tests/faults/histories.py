"""Good histories of a deployment, generated in memory: the topics' content after a run in which nothing went wrong."""

import json
import random
from dataclasses import dataclass, field, replace

from faults.final_checks import digest_of
from faults.fold import Command, Status
from faults.verifier import Names, Record
from harness.fleet import EXAMPLES

TOPICS = Names("d.requests", "d.predictions", "d.dead-letters", "d.control", "d.status")
DEPLOYMENT = "d"
DIGESTS = {
    file.removesuffix(".zip"): digest
    for digest, file in (line.split() for line in (EXAMPLES / "models" / "DIGESTS").read_text().splitlines())
}
MODELS = {1: DIGESTS["iris_gbm"], 2: DIGESTS["iris_glm"], 3: DIGESTS["iris_gbm"]}
CUT = {0: 61, 1: 83}
"""Where generation 2 takes over; generation 3 is a rollback that does so at once, after LAST."""
LAST = {0: 140, 1: 151}
REQUESTS = 200
PARTITIONS = (0, 1)

_BEGAN_MS = 1_700_000_000_000
_EVERY_MS = 100  # between two requests of a partition
_MARKERS = 37  # each so many offsets of the requests are the marker of somebody's transaction


def choose(partition, offset):
    """The generation that must answer."""
    return 3 if offset >= LAST[partition] else 2 if offset >= CUT[partition] else 1


@dataclass
class History:
    """Topic -> records in the order of each partition, the journal, and Kafka's offsets at the end."""

    records: dict[str, list[Record]] = field(default_factory=dict)
    journal: list[tuple[int, int, str]] = field(default_factory=list)
    committed: dict[int, tuple[int, str]] = field(default_factory=dict)
    ends: dict[str, dict[int, tuple[int, int]]] = field(default_factory=dict)

    def of(self, topic, partition):
        return [record for record in self.records[topic] if record.partition == partition]

    def change(self, record, **changes):
        """Replace a record by another."""
        records = self.records[record.topic]
        records[records.index(record)] = replace(record, **changes)

    def drop(self, record):
        self.records[record.topic].remove(record)

    def feed(self, verifier, seed=0):
        """Feed all of it to a verifier, the topics mixed at random; return the findings at the end."""
        streams = [[("journal", line) for line in self.journal]]
        for topic, records in self.records.items():
            streams += (
                [("record", record) for record in self.of(topic, partition)]
                for partition in {record.partition for record in records}
            )
        turns = [told for stream in streams for told in [iter(stream)] * len(stream)]
        random.Random(seed).shuffle(turns)
        for kind, content in map(next, turns):
            if kind == "journal":
                verifier.acknowledged(*content)
            else:
                verifier.receive(content, content.timestamp_ms / 1000 + 0.05)
        return verifier.finish(self.committed, self.ends)


def make(oracle, *, seed=0, chosen=choose, is_mixed=False):
    """Return a history in which `chosen` picks the generation of each answer; `is_mixed`: within a batch, too."""
    history = History(records={topic: [] for topic in TOPICS})
    dice = random.Random(seed)
    history.records[TOPICS.control] = _commands()
    for partition in PARTITIONS:
        requests = _requests(history, partition, oracle, dice)
        offsets = dict.fromkeys((TOPICS.predictions, TOPICS.dead_letters), 0)
        newest = 0
        while requests:
            count = dice.randint(1, 8)
            if not is_mixed:
                first = chosen(partition, requests[0].offset)
                count = next((n for n, r in enumerate(requests[:count]) if chosen(partition, r.offset) != first), count)
            batch, requests = requests[:count], requests[count:]
            _transaction(history, batch, [chosen(partition, request.offset) for request in batch], offsets, oracle)
            for request in batch:
                if chosen(partition, request.offset) > newest:
                    newest = chosen(partition, request.offset)
                    announce(history, partition, newest, request.offset)
        metadata = json.dumps({"generation": chosen(partition, batch[-1].offset)})
        history.committed[partition] = batch[-1].offset + 1, metadata
        for topic, end in offsets.items():
            history.ends.setdefault(topic, {})[partition] = end, end
    return history


def _commands():
    first = Command(command_id="c1", deployment=DEPLOYMENT)
    first.swap.generation = 1
    first.swap.model.uri, first.swap.model.sha256 = "file:///one", MODELS[1]
    first.swap.proto.text = (EXAMPLES / "protos" / "iris.proto").read_text()
    second = Command(command_id="c2", deployment=DEPLOYMENT)
    second.swap.generation = 2
    second.swap.model.uri, second.swap.model.sha256 = "file:///two", MODELS[2]
    second.swap.cut_over.offsets.update(CUT)
    third = Command(command_id="c3", deployment=DEPLOYMENT)
    third.rollback.generation, third.rollback.to = 3, 1
    stale = Command(command_id="c4", deployment=DEPLOYMENT)
    stale.rollback.generation, stale.rollback.to = 3, 2
    forged = Command(command_id="c5", deployment=DEPLOYMENT)
    forged.swap.generation = 9
    forged.swap.model.uri, forged.swap.model.sha256 = "file:///nine", "no digest"
    other = Command(command_id="c6", deployment="another")
    other.rollback.generation, other.rollback.to = 7, 1
    values = [command.SerializeToString() for command in (first, first, second, third, stale, forged, other)]
    return [
        Record(TOPICS.control, 0, offset, _BEGAN_MS + 1_000 * offset, None, value)
        for offset, value in enumerate([*values, b"\xff", None])
    ]


def _requests(history, partition, oracle, dice):
    values = oracle.values(MODELS[1])
    requests = []
    for offset in range(REQUESTS):
        if offset % _MARKERS == _MARKERS - 1:
            continue
        value, headers = dice.choice(values), [("request-id", b"%d" % offset)]
        if dice.random() < 0.2:
            value = b"\xff" + dice.randbytes(4)
            headers += [("expect", b"UNDECODABLE"), ("operation", b"Classify")]
        time = _BEGAN_MS + _EVERY_MS * offset
        requests.append(
            Record(TOPICS.requests, partition, offset, time, b"%d" % offset, value, tuple(headers)),
        )
        history.journal.append((partition, offset, digest_of(value)))
    history.records[TOPICS.requests] += requests
    return requests


def answer(request, generation, offset, oracle):
    """Return a worker's answer to a request, at this offset of its output topic."""
    given = tuple(header for header in request.headers if header[0] != "operation")
    ours = (
        ("operation", b"Classify"),
        ("generation", b"%d" % generation),
        ("model-digest", MODELS[generation].encode()),
        ("source", f"{request.topic}-{request.partition}-{request.offset}".encode()),
    )
    topic, value = TOPICS.predictions, oracle.expected(MODELS[generation], request.value)
    if value is None:
        topic, value = TOPICS.dead_letters, request.value
        ours += (("code", b"UNDECODABLE"), ("message", b"no Iris"))
    return Record(topic, request.partition, offset, request.timestamp_ms + 20, request.key, value, given + ours)


def _transaction(history, batch, generations, offsets, oracle):
    written = set()
    for request, generation in zip(batch, generations, strict=True):
        record = answer(request, generation, 0, oracle)
        history.records[record.topic].append(replace(record, offset=offsets[record.topic]))
        offsets[record.topic] += 1
        written.add(record.topic)
    for topic in written:
        offsets[topic] += 1  # the marker


def announce(history, partition, generation, first):
    """Append a CutOverDone."""
    status = Status()
    done = status.cut_over
    done.deployment, done.generation, done.partition, done.first_offset = DEPLOYMENT, generation, partition, first
    _report(history, status, _BEGAN_MS + first * _EVERY_MS)


def report(history, generation, outcome, deployment=DEPLOYMENT):
    """Append a worker's SwapStatus."""
    status = Status()
    status.swap.deployment, status.swap.generation, status.swap.worker = deployment, generation, "w1"
    status.swap.outcome = outcome
    _report(history, status, _BEGAN_MS)


def _report(history, status, at_ms):
    records = history.records[TOPICS.status]
    records.append(Record(TOPICS.status, 0, 2 * len(records), at_ms, None, status.SerializeToString()))
