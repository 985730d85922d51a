"""The defects that `make mutants` plants in how transactions are sent."""

from model.defects import Mutant

PRODUCER, VERDICTS, ALTERNATING = (
    f"worker/hotswap/kafka/transactions/{name}.py" for name in ("producer", "verdicts", "alternating")
)

SENDING = [
    Mutant(
        "a stamp forgets what is queued",
        PRODUCER,
        "self._sequences[key] = (self._sequences[key] + batch.records) % SEQUENCES",
        "pass",
        "I11",
        ("tests/unit/kafka/partition/test_outbox.py",),
    ),
    Mutant(
        "one transactional id per worker",
        ALTERNATING,
        'f"{settings.group_id}-{settings.topics.requests}-{partition}"',
        'f"{settings.group_id}-{settings.worker_id}-{partition}"',
        "I1",
    ),
    Mutant(
        "what ends a transaction is sent again when the connection breaks",
        VERDICTS,
        "or call in (Call.OFFSET, Call.END)",
        "or call in ()",
        "I1",
    ),
    Mutant(
        "of a partition's two ids only one is taken from its last owner",
        ALTERNATING,
        "await asyncio.gather(*(producer.init() for producer in self.producers))",
        "await self.now.init()\n        self.producers = [self.now]",
        "I1",
    ),
    Mutant(
        "an epoch goes on after its transaction",
        PRODUCER,
        "if kind is EndTransactionAndEpoch:",
        "if not kind:",
        "I1",
        ("tests/unit/kafka/transactions/test_producer.py",),
    ),
    Mutant(
        "an offset of an older membership passes for committed",
        VERDICTS,
        "return Verdict.REJOINED",
        "return Verdict.DONE",
        "I1",
        ("tests/unit/kafka/transactions/test_verdicts.py",),
    ),
    Mutant(
        "no look at what became of the records",
        PRODUCER,
        "            await asyncio.shield(sent)\n",
        "            pass\n",
        "I1",
    ),
]
