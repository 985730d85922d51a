"""Reads a deployment's topics for the verifier, while the deployment is broken and mended."""

import asyncio
import functools
import threading
import time
import uuid
from functools import partial
from pathlib import Path

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from faults.evidence import UNREADABLE, UNREADABLE_KEY
from faults.verifier import Record
from faults.writers import are_of_one_transaction

_AT_A_TIME = 2_000
_CALL_S = 5.0
_LOOK_S = 0.25
_CATCH_UP_S = 20.0


class Watcher:
    """Follows the five topics and the journal in a thread, through every fault of the broker."""

    def __init__(self, *, bootstrap, names, group, verifier, journal=None):
        """`group`: the workers' consumer group. `journal`: the publisher's file, None if there is none."""
        settings = {
            "bootstrap.servers": bootstrap,
            "topic.metadata.refresh.interval.ms": 2_000,
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
        }
        self._names = names
        self._group = group
        self._verifier = verifier
        verifier.is_one_transaction = functools.cache(partial(are_of_one_transaction, bootstrap))
        self._journal = _Journal(journal) if journal else None
        self._admin = AdminClient(settings)
        self._reading = settings | {
            "group.id": uuid.uuid4().hex,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 5,
            "fetch.wait.max.ms": 50,
        }
        self._partitions = []
        self._ends = {}
        self._seen = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._error = None

    def start(self):
        """Start at the beginning of every topic; the topics must exist."""
        self._consumer = Consumer(self._reading)
        found = self._consumer.list_topics(timeout=_CALL_S).topics
        self._partitions = [(topic, number) for topic in self._names for number in found[topic].partitions]
        first = {place: offset + 1 for place, offset in self._seen.items()}
        self._consumer.assign([TopicPartition(*at, first.get(at, OFFSET_BEGINNING)) for at in self._partitions])
        self._thread = threading.Thread(target=self._run, name="watcher")
        self._thread.start()

    def start_again(self, made_anew=()):
        """Go on with the partitions that there are now; topics that were made anew are read from their beginning."""
        self._end()
        for read in (self._seen, self._ends):
            for place in [place for place in read if place[0] in made_anew]:
                del read[place]
        self._stopping.clear()
        self.start()

    def _end(self):
        self._stopping.set()
        self._thread.join()
        self._consumer.close()

    def stop(self):
        """Stop the thread; an error in it is raised here."""
        self._end()
        if self._journal:
            self._journal.close()
        if self._error:
            raise self._error

    async def settle(self, timeout_s, sought=None):
        """Return the findings, once everything is answered, committed and stable, or on time-out.

        If a finding of the kind `sought` is all that matters, once there is one.
        """
        return await asyncio.to_thread(self._settle, timeout_s, sought)

    def look(self, question):
        """Return what a function finds in the verifier, which receives nothing meanwhile."""
        with self._lock:
            return question(self._verifier)

    # ---- the thread

    def _run(self):
        try:
            while not self._stopping.is_set():
                self._turn()
        except Exception as error:  # noqa: BLE001 - it is raised by `settle` and `stop`
            self._error = error

    def _turn(self):
        messages = self._consumer.consume(_AT_A_TIME, timeout=0.1)
        arrived_s = time.time()
        with self._lock:
            for message in messages:
                self._receive(message, arrived_s)
            self._read_journal()

    def _read_journal(self):
        for line in self._journal.read() if self._journal else ():
            partition, offset, digest = line.split()[:3]
            self._verifier.acknowledged(int(partition), int(offset), digest)

    def _receive(self, message, arrived_s):
        place = message.topic(), message.partition()
        if message.error():
            # Other errors only mean that the broker is away; librdkafka retries by itself.
            if message.error().code() == KafkaError._PARTITION_EOF:
                self._ends[place] = message.offset()
            return
        # A log that has become shorter is read from its beginning again. Commands are then passed on again, as workers
        # read them again, too; requests and answers are passed on once.
        if message.offset() <= self._seen.get(place, -1) and place[0] != self._names.control:
            return
        self._seen[place] = message.offset()
        self._verifier.receive(_record(message, self._names.requests), arrived_s)

    # ---- the end

    def _settle(self, timeout_s, sought):
        deadline = time.monotonic() + timeout_s
        committed, ends = {}, {}
        while self._error is None:
            try:
                ends, committed = self._all_ends(), self.committed()
                if self._is_at_rest(committed, ends) or self._has_found(sought):
                    break
            except KafkaException:
                pass  # the broker, or its coordinator, is not back yet
            if time.monotonic() > deadline:
                break
            time.sleep(_LOOK_S)
        self._catch_up(ends)
        if self._error:
            raise self._error
        with self._lock:
            self._read_journal()
            ends = {topic: where for topic, where in ends.items() if topic not in self._inputs}
            return self._verifier.finish(committed, ends)

    @property
    def _inputs(self):
        """Topics in which an open transaction is the publisher's own."""
        return self._names.requests, self._names.control

    def _is_at_rest(self, committed, ends):
        with self._lock:
            lasts, outstanding = self._verifier.last_requests, self._verifier.outstanding
        are_stable = all(
            stable == end for topic in set(ends) - set(self._inputs) for stable, end in ends[topic].values()
        )
        is_answered = outstanding == 0 and all(committed[number][0] > last for number, last in lasts.items())
        return are_stable and is_answered and self._has_read_to(ends)

    def _has_found(self, kind):
        with self._lock:
            return self._verifier.counts[kind] > 0

    def _catch_up(self, ends):
        """Wait until the reader has reached the ends that were seen last: there may be unexpected answers."""
        deadline = time.monotonic() + _CATCH_UP_S
        while self._error is None and time.monotonic() < deadline:
            if self._has_read_to(ends):
                return
            time.sleep(0.02)

    def _has_read_to(self, ends):
        return all(
            stable <= self._ends.get((topic, number), 0)
            for topic, partitions in ends.items()
            for number, (stable, _) in partitions.items()
        )

    def _all_ends(self):
        """Topic -> partition -> last stable offset and end."""
        asked = {TopicPartition(*place): OffsetSpec.latest() for place in self._partitions}
        stable, end = (
            self._admin.list_offsets(asked, isolation_level=level, request_timeout=_CALL_S)
            for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
        )
        ends = {}
        for place in asked:
            found = stable[place].result().offset, end[place].result().offset
            ends.setdefault(place.topic, {})[place.partition] = found
        return ends

    def committed(self):
        """Partition -> offset and metadata that the workers' group has committed; (-1, None): none."""
        places = [TopicPartition(*place) for place in self._partitions if place[0] == self._names.requests]
        asked = [ConsumerGroupTopicPartitions(self._group, places)]
        answer = self._admin.list_consumer_group_offsets(asked, request_timeout=_CALL_S)[self._group].result()
        for place in answer.topic_partitions:
            if place.error:
                raise KafkaException(place.error)
        return {place.partition: (max(place.offset, -1), _metadata(place)) for place in answer.topic_partitions}


class _Journal:
    """Reads the complete lines of a growing file."""

    def __init__(self, path):
        self._path = Path(path)
        self._file = None
        self._rest = ""

    def read(self):
        """Return the lines that were added since the last call."""
        if self._file is None:
            if not self._path.exists():
                return []
            self._file = self._path.open()
        *lines, self._rest = (self._rest + self._file.read()).split("\n")
        return lines

    def close(self):
        if self._file:
            self._file.close()


def _metadata(place):
    # confluent-kafka returns librdkafka's buffer up to the next zero byte, but the buffer has a length and no
    # terminator: what follows our JSON is arbitrary, and need not be text.
    try:
        text = place.metadata or ""
    except UnicodeDecodeError as error:
        text = error.object.decode(errors="replace")
    return text[: text.find("}") + 1]


def _record(message, requests):
    # confluent-kafka returns a broken list if a header name is invalid UTF-8, so it is not called then.
    is_odd = message.topic() == requests and message.key() == UNREADABLE_KEY
    headers = UNREADABLE if is_odd else tuple(message.headers() or ())
    return Record(
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        headers,
    )
