"""The plan of flat rows: decodes requests, scores their rows and encodes the answers in the JVM, from bytes to bytes.

Rows (a request, or the elements of its one repeated field) are flat if their columns are scalar fields of the row
itself, and answers are flat if they consist of labels and of numbers that a BlockScorer returns. The JVM declines any
request that is unusual in some way; a RowPlan, the fallback, answers it. So the rules and the messages of refusals are
written once, and both paths return the same bytes (FlatRows.java, FlatRecords.java).
"""

from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any, Final

import jpype

from hotswap.batch import ScoredBatch
from hotswap.codec.packed import Buffer
from hotswap.codec.sources import FieldSource
from hotswap.runtimes.flat.answers import Part, answer_writer
from hotswap.runtimes.flat.batch import java_batch, read_answers, with_fallback
from hotswap.runtimes.flat.bridge import own
from hotswap.runtimes.flat.requests import row_reader
from hotswap.runtimes.rows import RowPlan


class FlatPlan:
    """One operation of a model whose rows are flat. `fallback` answers the requests that the JVM declines."""

    def __init__(
        self,
        fallback: RowPlan,
        scorer: Any,
        *,
        sources: Sequence[FieldSource],
        parts: Sequence[Part],
        width: int,
        texts: Any = None,
    ) -> None:
        """`scorer` is a BlockScorer, whose columns come from `sources`, and which returns `width` numbers a row.

        `parts` make up the answer to a row; `texts` numbers the texts of columns that hold any. Raises NotFlat.
        """
        self.problems = fallback.problems
        self.used = fallback.used
        self.invent = partial(fallback.invent_for, sources)
        self.path: Final = "in the JVM"
        self.reads: Final = fallback.reads
        self.fields: Final = fallback.fields
        self._fallback = fallback
        reader = row_reader(fallback.decoder, sources, texts)
        self.writer: Final = answer_writer(fallback.encoder, parts, width)
        self._engine = (scorer, reader, self.writer)
        self._answer = own("flat.FlatRows")(*self._engine).answer

    def answer(self, values: Sequence[bytes]) -> ScoredBatch:
        """Answer a batch of requests."""
        answers, declined = read_answers(self._answer(java_batch(values)), len(values))
        if not declined:
            return ScoredBatch(answers, {})
        others, unknown = self._fallback.answer([values[position] for position in declined])
        return ScoredBatch(with_fallback(answers, declined, others), unknown)


class SealingFlatPlan(FlatPlan):
    """The fast path of a host that runs nobody else's code: it answers record batches, too."""

    def seal(self, order: Buffer) -> memoryview:
        """Execute an order (host/sealing.py). The result is valid until the next one."""
        result = self._seal(jpype.nio.convertToDirectBuffer(order))
        return memoryview(result)[: result.limit()]

    @cached_property
    def _seal(self) -> Any:
        return own("flat.FlatRecords")(*self._engine).seal
