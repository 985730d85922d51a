"""Defects that `make mutants` plants where record batches are read and written."""

from model.defects import Mutant

COLUMNS = ("tests/unit/recordbatch/test_alike.py",)
RAW = ("tests/unit/kafka/topics/test_raw_requests.py",)

BATCHES = [
    Mutant(
        "a part of a record batch goes over the next cut",
        "hotswap.kafka.group.inbox:Inbox.take_raw",
        "first + limit if until is None else min(first + limit, until)",
        "first + limit",
        "I4",
        RAW,
    ),
    Mutant(
        "what was passed on is taken again",
        "hotswap.kafka.topics.records:RawBatch.pass_on",
        "self._start = min(until, contents.next)",
        "pass",
        "I1",
        RAW,
    ),
    Mutant(
        "a record batch with gaps is passed on as if it had none",
        "hotswap.kafka.topics.contents:Contents.is_complete",
        "not self._has_gaps and self._count > 0",
        "self._count > 0",
        "I1",
        RAW,
    ),
    Mutant(
        "finished batches in any sequence are believed",
        "hotswap.host.sealing:_check",
        "header.producer == stamp[:3]",
        "header.producer[:2] == stamp[:2]",
        "I11",
        ("tests/unit/host/test_sealing.py",),
    ),
    Mutant(
        "finished batches with too few answers are believed",
        "hotswap.host.sealing:_parse_sealed",
        "sum(batch.records for batch in batches) != expected",
        "sum(batch.records for batch in batches) > expected",
        "I1",
        ("tests/unit/host/test_sealing.py",),
    ),
    Mutant(
        "the sequence of a batch of columns counts batches",
        "hotswap.recordbatch.alike:record_batches",
        "sequence + end - begin",
        "sequence + 1",
        "I1",
        COLUMNS,
    ),
    Mutant(
        "a run goes on where an offset takes another digit",
        "hotswap.recordbatch.alike:_records",
        "(*_DELTA_BYTES, *longer, *higher)",
        "(*_DELTA_BYTES, *higher)",
        "I1",
        COLUMNS,
    ),
    Mutant(
        "rows of other lengths take the values of the first rows",
        "hotswap.recordbatch.alike:_run",
        "_table(columns, begin, rows[places], are_all=False)",
        "_table(columns, begin, rows[: len(places)], are_all=True)",
        "I1",
        COLUMNS,
    ),
    Mutant(
        "an answer that is too large with its key is written by columns",
        "hotswap.pipeline.addressing:Address._alike",
        "not self._is_roomy or longest > self._limits.answer or any(map(_HEADERS, batch))",
        "not self._is_roomy or any(map(_HEADERS, batch))",
        "I1",
        ("tests/unit/pipeline/test_addressing.py",),
    ),
]
