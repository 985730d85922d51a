"""The defects that `make mutants` plants in how transactions are sent."""

from model.defects import Mutant

SENDING = [
    Mutant(
        "a stamp forgets what is queued",
        "hotswap.kafka.transactions.producer:Producer.produce",
        "self._sequences[key] = (self._sequences[key] + batch.records) % SEQUENCES",
        "pass",
        "I11",
        ("tests/unit/kafka/partition/test_outbox.py",),
    ),
    Mutant(
        "one transactional id per worker",
        "hotswap.kafka.transactions.alternating:transactional_ids",
        "settings.topics.requests",
        "settings.worker_id",
        "I1",
    ),
    Mutant(
        "what ends a transaction is sent again when the connection breaks",
        "hotswap.kafka.transactions.verdicts:unanswered",
        "(Call.OFFSET, Call.END)",
        "()",
        "I1",
    ),
    Mutant(
        "of a partition's two ids only one is taken from its last owner",
        "hotswap.kafka.transactions.alternating:Alternating.init",
        "await asyncio.gather(*(producer.init() for producer in self.producers))",
        "await self.now.init()\nself.producers = [self.now]",
        "I1",
    ),
    Mutant(
        "an epoch goes on after its transaction",
        "hotswap.kafka.transactions.producer:Producer.end",
        "kind is EndTransactionAndEpoch",
        "not kind",
        "I1",
        ("tests/unit/kafka/transactions/test_producer.py",),
    ),
    Mutant(
        "an offset of an older membership passes for committed",
        "hotswap.kafka.transactions.verdicts:verdict",
        "Reaction.REJOINED",
        "Reaction.DONE",
        "I1",
        ("tests/unit/kafka/transactions/test_verdicts.py",),
    ),
    Mutant(
        "no look at what became of the records",
        "hotswap.kafka.transactions.producer:Producer.acknowledged",
        "await asyncio.shield(sent)",
        "pass",
        "I1",
    ),
]
