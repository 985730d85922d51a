"""Writes requests as publishers do: by librdkafka with each codec, in transactions or not, and in batches by hand."""

from collections import Counter
from functools import partial

from confluent_kafka import Producer

from faults.raw_batches import CODECS, RawProducer, batch
from faults.record_inputs import odd_batch

BY_HAND = "by hand"
_KINDS = {
    "plain": {"acks": 1},
    "idempotent": {"enable.idempotence": True},
    "transactional": {"transactional.id": "writes with %s"},
}
_HOLDING = "holding back", "none"
_CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
_SECONDS = 60


class Writers:
    """All of them. Transactions stay open while they and others write on; `end` ends those that still are."""

    def __init__(self, *, bootstrap, topic, partitions, chance):
        self.committed = 0
        """How many requests readers see."""
        self.aborted = 0
        self.kinds = Counter()
        """Requests by who wrote them."""
        self._topic = topic
        self._partitions = partitions
        self._chance = chance
        self._by_hand = RawProducer(int(bootstrap.rpartition(":")[2]))
        self._producers = {
            (kind, codec): _producer(bootstrap, codec, given) for kind, given in _KINDS.items() for codec in _CODECS
        }
        self._producers[_HOLDING] = _producer(bootstrap, "none", {"transactional.id": "holds back"})
        self._open = Counter()
        """Requests in each open transaction, by its producer's kind and codec."""

    async def __aenter__(self):
        await self._by_hand.__aenter__()
        return self

    async def __aexit__(self, *_):
        await self._by_hand.__aexit__()

    async def write(self, records, *, is_odd):
        """Have one of them write the records to a partition; one that is odd may add what no client would write."""
        kind = self._chance.choice([*_KINDS, BY_HAND])
        codec = self._chance.choice([*CODECS] if kind == BY_HAND else _CODECS)
        partition = self._chance.randrange(self._partitions)
        self.kinds[f"{kind}, {codec}"] += len(records)
        if kind != BY_HAND:
            self._produce((kind, codec), records, partition)
            return
        made = [batch(records, codec)]
        if is_odd and self._chance.random() < 0.3:
            made.append(odd_batch(self._chance))
        for each in made:
            await self._by_hand.send(self._topic, partition, each.at(0))
            self.committed += each.count

    def hold_back(self, record):
        """Write a record to each partition in a transaction that holds back from readers what comes after, until `end`.

        Then there is a backlog at once, whose record batches are among markers and what was aborted.
        """
        producer = self._producers[_HOLDING]
        producer.begin_transaction()
        for partition in range(self._partitions):
            self._send(producer, [record], partition)
        self._open[_HOLDING] = self._partitions

    def end(self):
        """Commit or abort the transactions that are open."""
        for which in list(self._open):
            self._end(which)

    def _produce(self, which, records, partition):
        producer = self._producers[which]
        is_transactional = which[0] == "transactional"
        if is_transactional and which not in self._open:
            producer.begin_transaction()
        self._send(producer, records, partition)
        if not is_transactional:
            self.committed += len(records)
            return
        self._open[which] += len(records)
        if self._chance.random() < 0.6:
            self._end(which)

    def _send(self, producer, records, partition):
        failures = []
        for record in records:
            headers = [(name.decode(), value) for name, value in record.headers]
            note = partial(_note, failures)
            producer.produce(self._topic, record.value, record.key, partition, note, headers=headers)
        assert not producer.flush(_SECONDS), f"nothing was written for {_SECONDS} s"
        assert not failures, failures

    def _end(self, which):
        count, producer = self._open.pop(which), self._producers[which]
        if self._chance.random() < 0.4:
            producer.abort_transaction(_SECONDS)
            self.aborted += count
        else:
            producer.commit_transaction(_SECONDS)
            self.committed += count


def _producer(bootstrap, codec, given):
    named = {key: value.replace("%s", codec) if isinstance(value, str) else value for key, value in given.items()}
    # A linger, so that all that is flushed at once is one batch.
    made = Producer(
        {"bootstrap.servers": bootstrap, "compression.type": codec, "linger.ms": 100, "log_level": 0, **named}
    )
    if "transactional.id" in named:
        made.init_transactions(_SECONDS)
    return made


def _note(failures, error, _):
    failures.extend([error] if error else [])
