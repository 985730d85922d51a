"""The plan of flat values: answers a batch of requests by calls of a jar's method in the JVM, from bytes to bytes.

Values are flat if a call takes scalars, arrays of them, or objects that are made of scalars alone (or the rows as CSV),
and returns such, too. The JVM declines any request that is unusual in some way; a JavaPlan, the fallback, answers it.
So the rules and the messages of refusals are written once, and both paths return the same bytes. They also make the
same calls in the same order, as a jar may count them: the JVM stops at a declined request until it is answered, and
hands over what its calls have returned or raised (JarCalls.java).
"""

from collections.abc import Sequence
from typing import Any, Final

import jpype

from hotswap.batch import Answer, ScoredBatch
from hotswap.runtimes.flat.batch import java_batch, read_answers, with_fallback
from hotswap.runtimes.flat.bridge import NotFlat, own
from hotswap.runtimes.java.classes import type_of
from hotswap.runtimes.java.flat_answers import describe_results
from hotswap.runtimes.java.flat_requests import describe_method, describe_reader, parts_of
from hotswap.runtimes.java.objects import ReadObject, elements_of
from hotswap.runtimes.java.plan import JavaPlan, raised


class FlatMethodPlan:
    """One operation of a jar whose values are flat. `fallback` answers the requests that the JVM declines."""

    def __init__(self, fallback: JavaPlan) -> None:
        """Describe the method, its arguments and its results to the JVM. Raises NotFlat."""
        self.problems = fallback.problems
        self.invent = fallback.invent
        self.path: Final = "in the JVM"
        self.reads: Final = fallback.reads
        self.fields: Final = fallback.fields
        self._fallback = fallback
        calls, results = fallback.fitted
        try:
            parts = parts_of(calls, fallback.table)
            reader = describe_reader(parts, fallback.table, is_text=bool(calls.text))
            method = describe_method(fallback, calls)
            returned = type_of(fallback.method.getGenericReturnType())
            writer = describe_results(results, returned, is_each_row=calls.is_each_row)
        except jpype.JException as error:  # what a foreign class has is not accessible from outside
            raise NotFlat(f"Java raised {error}") from error
        self._row_fields = [part.name for part in results.row_fields]
        self._calls = own("java.JarCalls")(fallback.classes.loader, reader, method, writer)

    def answer(self, values: Sequence[bytes]) -> ScoredBatch:
        """Answer a batch of requests."""
        calls, others = self._calls, list[Answer]()
        position = calls.begin(java_batch(values))
        while position >= 0:
            others.append(self._answer_declined(values[position]))
            position = calls.resume()
        answers, declined = read_answers(calls.answers(), len(values))
        return ScoredBatch(with_fallback(answers, declined, others) if declined else answers, {})

    def _answer_declined(self, value: bytes) -> Answer:
        calls = self._calls
        why = calls.why()
        if why == calls.RAISED:
            return raised(calls.raised())
        if why == calls.RETURNED:
            results = list(calls.returned())
            if not self._fallback.fitted[0].is_each_row:
                elements = elements_of(results[0])
                whole = self._known(results[0]) if elements is None else [*map(self._known, elements)]
                return self._fallback.encode([whole], calls.rows())
            return self._fallback.encode([*map(self._known, results)], len(results))
        return self._fallback.answer_one(value)

    def _known(self, value: Any) -> Any:
        """Return a result, or the properties of an object if they have been read."""
        read = None if isinstance(value, (int, float, str)) else self._calls.readOf(value)
        return value if read is None else ReadObject(value, dict(zip(self._row_fields, read, strict=True)))
