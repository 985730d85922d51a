"""The verifier: finds what broke the promise, and where, from the topics' records and the publisher's journal alone.

It shares no code with the worker. It receives everything in any order that keeps the order of each partition: an answer
may come before its request, or before the command of its generation. It reports at once what can be decided at once;
what may still be made good (a missing answer, a generation that nobody accepted) is left to `finish`. The kinds:

    lost          a request without an answer, although the partition has moved past it
    torn          the same, inside a batch whose other requests are answered; or a first batch without its announcement
                  on the status topic, or the reverse
    twice         more than one answer to a request
    phantom       an answer to a request that does not exist
    reordered     answers of an output partition in an order different from that of their requests
    misplaced     an answer in a partition other than its request's
    went_back     an older generation after a newer one along a partition
    mixed         two generations in one transaction
    wrong_cut     a generation before its cut, or an older one after it, unless a worker could not load the newer one
    wrong_generation  a generation that was never accepted, or a model other than the generation's
    wrong_answer  not what the generation's model predicts
    wrong_code    a good request refused, or a bad one predicted, or refused with an unexpected code
    altered       a key, a header or a dead letter's bytes differ from the request; a request from the publisher's
    vanished      an acknowledged request that is not in the topic
    unacknowledged    a request that is in no journal
    stale_offset  the committed offset or its generation does not match the last answer
    lagging       requests that no worker has reached yet
    hanging       a transaction that never ends
"""

from array import array
from collections import Counter
from itertools import chain

from google.protobuf.message import DecodeError

from faults.answer_checks import findings_of
from faults.cuts import Cuts
from faults.evidence import (
    UNJOURNALED,
    Answer,
    Behind,
    CutOffs,
    Finding,
    Ledger,
    Names,
    Output,
    Partition,
    Record,
    Request,
    at,
    fingerprint,
)
from faults.final_checks import cut_overs, digest_of, hanging, missing, stale, unacknowledged, written_twice
from faults.fold import FAILED, Fold, Status

__all__ = ["Finding", "Names", "Record", "Verifier"]


class Verifier:
    """Checks the promise; keeps a few hundred bytes for each request, no records."""

    fold_of = Fold

    def __init__(self, *, topics, deployment, oracle, delivery="exactly_once", cut_grace_s=2.0):
        """`cut_grace_s`: how long after a command a request may be published and still be answered as if before it.

        No worker can honour a cut before it has read the command, and there are requests after a cut "after the
        backlog" by the time that the command is in the log.
        """
        self.asked = self.answered = self.refused = self.repeated = 0
        self.generations = Counter()
        self.longest_gaps: dict[int, float] = {}
        self.arrivals = array("d")  # of each first answer, seconds since the epoch …
        self.latencies = array("d")  # … and how long after its request
        self._topics = topics
        self._deployment = deployment
        self._oracle = oracle
        self._is_once = delivery == "exactly_once"
        self.cut_offs = CutOffs(cut_grace_s * 1000)
        self._online, self._final = Ledger(), Ledger()
        self._fold = self.fold_of(deployment)
        self._partitions: dict[int, Partition] = {}
        self._outputs: dict[tuple[str, int], Output] = {}
        self._unasked: dict[tuple[int, int], list[Answer]] = {}
        self._unaccepted: dict[int, list[Answer]] = {}
        self._acknowledged: dict[tuple[int, int], str] = {}
        self._announced: dict[tuple[int, int], int] = {}
        self._joined: list[tuple[Answer, str]] = []  # without a gap, and of two generations
        self.is_one_transaction = lambda *_: True  # (topic, partition, offset) and the offset before it
        self.behind = Behind()
        self._cuts = Cuts(fold=self._fold, part=self._part, behind=self.behind, cut_offs=self.cut_offs)
        self._values: dict[bytes | None, bytes | None] = {}
        self._has_journal, self._open = False, 0

    @property
    def findings(self):
        """The findings so far, up to twenty of each kind."""
        return list(chain.from_iterable(ledger.kept for ledger in self._ledgers))

    @property
    def counts(self):
        """Kind of finding -> how many."""
        return sum((ledger.counts for ledger in self._ledgers), Counter())

    @property
    def _ledgers(self):
        return self._online, *self.behind.ledgers, self._final

    @property
    def outstanding(self):
        """The number of requests that are published, as far as is known, and not answered."""
        return self._open + len(self._acknowledged)

    @property
    def transactions(self):
        """The number of transactions seen, counted in each output topic separately."""
        return sum(len(output.firsts) for output in self._outputs.values())

    @property
    def written_twice(self):
        """The number of requests that their publisher's client wrote once more; each copy is to be answered, too."""
        return sum(len(written_twice(part)) for part in self._partitions.values()) if self._has_journal else 0

    @property
    def last_requests(self):
        """Partition -> offset of its last request."""
        return {number: part.last_request for number, part in self._partitions.items() if part.requests}

    # ---- input

    def acknowledged(self, partition, offset, digest):
        """Receive a line of the journal: an acknowledged request (16 digits of its SHA-256; offset -1: not known)."""
        self._has_journal = True
        part = self._part(partition)
        if offset < 0:
            part.placeless[digest] += 1
        elif offset in part.requests:
            part.unacknowledged.discard(offset)
            self._check_digest(partition, offset, digest)
        else:
            self._acknowledged[partition, offset] = digest

    def receive(self, record, arrived_s):
        """Receive a record of one of the five topics, in partition order; `arrived_s` in seconds since the epoch."""
        if record.topic == self._topics.requests:
            self._request(record)
        elif record.topic == self._topics.control:
            self._command(record)
        elif record.topic == self._topics.status:
            self._status(record)
        else:
            self._answer(record, arrived_s)

    def _request(self, record):
        partition, offset = record.partition, record.offset
        part, headers = self._part(partition), dict(record.headers)
        expect = (headers.get("expect") or b"").decode() or None
        operation = next((value for name, value in record.headers if name == "operation"), None)
        value = self._values.setdefault(record.value, record.value)
        part.requests[offset] = Request(value, expect, operation, fingerprint(record), record.timestamp_ms)
        part.last_request = offset
        self.asked += 1
        self._open += offset not in part.answered
        if (digest := self._acknowledged.pop((partition, offset), None)) is not None:
            self._check_digest(partition, offset, digest)
        elif UNJOURNALED not in headers:
            part.unacknowledged.add(offset)
        for answer in self._unasked.pop((partition, offset), ()):
            self._sort(answer)

    def _command(self, record):
        verdict = self._fold.receive(record.value, record.timestamp_ms)
        if verdict is None or (made := self._fold.accepted.get(verdict.generation)) is None:
            return
        for answer in self._unaccepted.pop(verdict.generation, ()):
            self._check(answer)
        if verdict.outcome == "APPLIED":
            self._cuts.command(made, self._partitions.values())

    def _status(self, record):
        try:
            status = Status.FromString(record.value or b"")
        except DecodeError:
            return
        done, swap = status.cut_over, status.swap
        if done.deployment == self._deployment:
            self._announced[done.partition, done.generation] = done.first_offset
        elif swap.deployment == self._deployment and swap.outcome == FAILED:
            self.behind.fail(swap.generation)

    def _answer(self, record, arrived_s):
        headers = dict(record.headers)
        try:
            topic, partition, offset = (headers["source"] or b"").decode().rsplit("-", 2)
            answer = Answer(record, int(partition), int(offset), int(headers["generation"]), headers, arrived_s)
        except (KeyError, ValueError, TypeError):
            topic = ""
        if topic != self._topics.requests:
            self._say("phantom", record.partition, None, f"{at(record)} names no request or generation: {headers}")
            return
        self._follow(answer)
        self._place(answer)

    # ---- checked at once

    def _follow(self, answer):
        """Follow transactions: offsets without a gap, as each marker takes one; those of two producers may overlap."""
        record = answer.record
        output = self._outputs.setdefault((record.topic, record.partition), Output())
        if record.offset != output.offset + 1 or not self._is_once:
            output.firsts.append(answer.offset)
            output.lasts.append(answer.offset)
        elif answer.generation != output.generation:
            text = f"{at(record)} is by generation {answer.generation}, before it in the same transaction"
            self._joined.append((answer, f"{text} is one by {output.generation}"))
        output.lasts[-1] = max(output.lasts[-1], answer.offset)
        output.offset, output.generation = record.offset, answer.generation

    def _place(self, answer):
        record, partition, offset = answer.record, answer.partition, answer.offset
        part = self._part(partition)
        output = self._outputs[record.topic, record.partition]
        if offset not in part.requests and offset <= part.last_request:
            self._say("phantom", partition, offset, f"{at(record)} answers what was never asked")
            return
        if offset in part.answered:
            self.repeated += 1
            if self._is_once:
                self._say("twice", partition, offset, f"{at(record)} is another answer")
            self._sort(answer._replace(is_first=False))
            return
        part.answered.add(offset)
        self._open -= offset in part.requests
        if record.partition != partition:
            self._say("misplaced", partition, offset, f"its answer is {at(record)}")
        elif offset <= output.source:
            self._say("reordered", partition, offset, f"{at(record)} comes after the answer to {output.source}")
        output.source = offset
        self._sort(answer)

    def _sort(self, answer):
        """Check an answer once its request and its generation are known."""
        part = self._part(answer.partition)
        if answer.offset not in part.requests:
            self._unasked.setdefault((answer.partition, answer.offset), []).append(answer)
            return
        # At least once, a batch that is answered again may be answered by a newer generation.
        if answer.is_first and not part.course.answered(answer.offset, answer.generation) and self._is_once:
            text = f"answered by generation {answer.generation}; an older request was by a newer one, or the reverse"
            self._say("went_back", answer.partition, answer.offset, text)
        self._check(answer)

    def _check(self, answer):
        accepted = self._fold.accepted.get(answer.generation)
        if accepted is None:
            self._unaccepted.setdefault(answer.generation, []).append(answer)
            return
        request = self._part(answer.partition).requests[answer.offset]
        if answer.is_first:
            self._count(answer, request)
        for kind, text in findings_of(answer, request, accepted, self._topics, self._oracle):
            self._say(kind, answer.partition, answer.offset, text)
        self.generations[answer.generation] += 1
        self._cuts.answered(answer, accepted)

    # ---- checked for each answer

    def _count(self, answer, request):
        is_refusal = answer.record.topic == self._topics.dead_letters
        self.refused += is_refusal
        self.answered += not is_refusal
        part = self._part(answer.partition)
        asked_s = request.timestamp_ms / 1000
        gap = answer.arrived_s - max(part.heard_s, asked_s)
        self.longest_gaps[answer.partition] = max(gap, self.longest_gaps.get(answer.partition, 0.0))
        part.heard_s = answer.arrived_s
        self.arrivals.append(answer.arrived_s)
        self.latencies.append(answer.arrived_s - asked_s)

    def _check_digest(self, partition, offset, digest):
        value = self._part(partition).requests[offset].value
        if digest_of(value) != digest:
            self._say("altered", partition, offset, "the topic holds other bytes than the publisher's journal")

    # ---- at the end

    def finish(self, committed, ends):
        """Return all findings, now that nothing more will come; may be called again if it does.

        `committed`: partition -> offset and metadata. `ends`: topic -> partition -> (last stable offset, end).
        """
        self._final = Ledger()
        for answer, text in self._joined:
            if self.is_one_transaction(answer.record.topic, answer.record.partition, answer.record.offset):
                self._final.say("mixed", answer.partition, answer.offset, text)
        for number, part in sorted(self._partitions.items()):
            offset, metadata = committed.get(number, (-1, ""))
            if self._open:
                self._close(missing(number, part, offset, self._outputs_of(number), is_once=self._is_once))
            self._close(stale(number, part, offset, metadata, self._announced, is_once=self._is_once))
            self._close(unacknowledged(number, part) if self._has_journal else ())
        for (partition, offset), digest in self._acknowledged.items():
            self._final.say("vanished", partition, offset, f"acknowledged ({digest}), and not in the topic")
        self._undecided()
        self._close(self._cuts.early())
        if self._is_once:
            self._close(self._cuts.final(self._partitions, self._announced))
            self._close(cut_overs(self._partitions, self._announced, committed))
        self._close(hanging(ends))
        return self.findings

    def _close(self, found):
        for finding in found:
            self._final.say(*finding)

    def _undecided(self):
        for answer in chain.from_iterable(self._unasked.values()):
            text = f"{at(answer.record)} answers what was never asked"
            self._final.say("phantom", answer.partition, answer.offset, text)
        for answer in chain.from_iterable(self._unaccepted.values()):
            text = f"generation {answer.generation} was never accepted"
            self._final.say("wrong_generation", answer.partition, answer.offset, text)

    def _outputs_of(self, number):
        topics = self._topics.predictions, self._topics.dead_letters
        return [self._outputs[topic, number] for topic in topics if (topic, number) in self._outputs]

    def _part(self, number):
        part = self._partitions.get(number)
        if part is None:
            part = self._partitions[number] = Partition()
        return part

    def _say(self, kind, partition, offset, text):
        self._online.say(kind, partition, offset, text)
