"""Defects that `make mutants` plants where record batches are read and written."""

from model.defects import ADDRESSING, CONTENTS, INBOX, RECORDS, Mutant

ALIKE, COLUMNS = "worker/hotswap/recordbatch/alike.py", ("tests/unit/recordbatch/test_alike.py",)
SEALING, RAW = "worker/hotswap/host/sealing.py", ("tests/unit/kafka/topics/test_raw_requests.py",)

BATCHES = [
    Mutant(
        "a part of a record batch goes over the next cut",
        INBOX,
        "end = first + limit if until is None else min(first + limit, until)",
        "end = first + limit",
        "I4",
        RAW,
    ),
    Mutant(
        "what was passed on is taken again",
        RECORDS,
        "self._start = min(until, contents.next)",
        "pass",
        "I1",
        RAW,
    ),
    Mutant(
        "a record batch with gaps is passed on as if it had none",
        CONTENTS,
        "return not self._has_gaps and self._count > 0",
        "return self._count > 0",
        "I1",
        RAW,
    ),
    Mutant(
        "finished batches in any sequence are believed",
        SEALING,
        "is_stamped = header.producer == stamp[:3]",
        "is_stamped = header.producer[:2] == stamp[:2]",
        "I11",
        ("tests/unit/host/test_sealing.py",),
    ),
    Mutant(
        "finished batches with too few answers are believed",
        SEALING,
        "!= expected:",
        "> expected:",
        "I1",
        ("tests/unit/host/test_sealing.py",),
    ),
    Mutant(
        "the sequence of a batch of columns counts batches",
        ALIKE,
        "begin, sequence = end, (sequence + end - begin) % SEQUENCES",
        "begin, sequence = end, (sequence + 1) % SEQUENCES",
        "I1",
        COLUMNS,
    ),
    Mutant(
        "a run goes on where an offset takes another digit",
        ALIKE,
        "*_DELTA_BYTES, *longer, *higher",
        "*_DELTA_BYTES, *higher",
        "I1",
        COLUMNS,
    ),
    Mutant(
        "rows of other lengths take the values of the first rows",
        ALIKE,
        "_table(columns, begin, rows[places], are_all=False)",
        "_table(columns, begin, rows[: len(places)], are_all=True)",
        "I1",
        COLUMNS,
    ),
    Mutant(
        "an answer that is too large with its key is written by columns",
        ADDRESSING,
        "or longest > self._limits.answer or",
        "or",
        "I1",
        ("tests/unit/pipeline/test_addressing.py",),
    ),
]
