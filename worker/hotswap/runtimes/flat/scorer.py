"""The fast path of a model that is scored in Python: the JVM decodes and encodes, and calls Python once for a block."""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any, Final, NamedTuple

import jpype
import numpy as np
import numpy.typing as npt

from hotswap.codec.outputs import Output
from hotswap.codec.packed import Packed
from hotswap.codec.proto import Operation
from hotswap.codec.sources import FieldSource
from hotswap.codec.values import Matrix, Table
from hotswap.generation import Configuration
from hotswap.runtimes.flat.answers import LABEL, Part, parts_of
from hotswap.runtimes.flat.bridge import NotFlat, java_bytes, own
from hotswap.runtimes.flat.plan import SealingFlatPlan
from hotswap.runtimes.flat.requests import as_number, is_text, width_of
from hotswap.runtimes.rows import RowModel, RowPlan

_EXACT: Final = float(1 << 53)
"""Every whole number below it is a double."""
_MAX_ROWS: Final = 4_096
"""Of a block: libraries take some 100 µs a call, whatever the rows."""
_MAX_NUMBERS: Final = 1 << 20
_MAX_TEXTS: Final = 1 << 16
_MAX_BYTES: Final = 1 << 24
"""Of the texts of an output, which are kept."""


def plan_of(
    model: RowModel,
    operation: Operation,
    configuration: Configuration,
    used: Callable[[Sequence[Output]], RowModel],
    *,
    invents: bool = True,
) -> RowPlan | SealingFlatPlan:
    """Return the plan of an operation: the fast path in the JVM if its rows are flat, else the fallback.

    `used` returns the model that scores these outputs only; `invents`: it may be called with made-up rows.
    """
    plan = RowPlan(model, operation, configuration)
    if plan.problems:
        return plan
    plan = RowPlan(used(plan.used), operation, configuration, invents=invents)
    try:
        return _flat(plan)
    except NotFlat as reason:
        plan.path = f"through Python: {reason}"
        return plan


def _flat(fallback: RowPlan) -> SealingFlatPlan:
    model = fallback.model
    if lists := [output.name for output in fallback.used if output.is_in_objects and output.is_vector]:
        raise NotFlat(f"output `{lists[0]}` is a list")
    width = max(output.stop for output in model.outputs)
    is_scored = Output("", width, width + 1)
    # A part without bytes: a row that the model cannot be given has none of its classes, and so no answer.
    parts = [
        Part(LABEL, is_scored, labels=[b""]),
        *parts_of(fallback.encoder, fallback.encoder.fills, width, adds_labels=True),
    ]
    sources = [_source(source) for source in fallback.decoder.sources]
    wholes = [output.start for output in fallback.used if _is_whole(output)]
    written = [_WrittenTexts(place, part) for place, part in enumerate(parts) if part.write]
    texts = own("flat.Texts")()
    columns = _Columns.of(sources)
    scorer = _scorer(_Blocks(model, columns, wholes, written, width), columns, width, texts)
    plan = SealingFlatPlan(fallback, scorer, sources=sources, parts=parts, width=is_scored.stop, texts=texts)
    for each in written:
        each.writer = plan.writer
    return plan


def _is_whole(output: Output) -> bool:
    return output.is_object and output.is_whole and not output.is_vector


class _WrittenTexts:
    """The texts that an output has had, by their numbers, which are those of labels of an AnswerWriter."""

    def __init__(self, place: int, part: Part) -> None:
        """`place` is that of the part among the writer's."""
        self.start: Final = part.output.start
        self.writer: Any = None
        self._place = place
        self._write = part.write
        self._numbers: dict[str | None, float] = {None: 0.0}
        self._bytes = 0

    def numbers(self, texts: Sequence[str | None]) -> Sequence[float]:
        """Return the number of each text; NaN for one that there is no room for, or that the field cannot hold."""
        if new := set(texts) - self._numbers.keys():
            self._add(new)
        return [*map(self._numbers.get, texts, repeat(np.nan))]

    def _add(self, texts: Iterable[str | None]) -> None:
        labels = []
        for text in texts:
            if text is None or len(self._numbers) >= _MAX_TEXTS or self._bytes >= _MAX_BYTES or not self._write:
                continue
            with contextlib.suppress(KeyError):  # a name that the enum does not have: the fallback refuses it
                labels.append(self._write(text))
                self._bytes += len(labels[-1])
                self._numbers[text] = float(len(self._numbers))
        if labels:
            self.writer.addLabels(self._place, jpype.JArray(jpype.JByte, 2)([*map(java_bytes, labels)]))


def _source(source: FieldSource) -> FieldSource:
    """Return the source of a column as the JVM reads it. Raises NotFlat."""
    if number := as_number(source):
        return number
    if is_text(source) or width_of(source):
        return source
    raise NotFlat(f"column `{source.column.name}` is {source.column.kind}, from field `{source.path}`")


class _Columns(NamedTuple):
    """Where the values of a row's columns are among its numbers (requests.row_reader)."""

    size: int
    """Of a row's numbers."""
    scalars: int
    wholes: Sequence[int]
    texts: Sequence[int]
    vectors: Sequence[tuple[int, slice, bool]]
    """Of each vector: its column, its numbers, and whether they are whole."""

    @classmethod
    def of(cls, sources: Sequence[FieldSource]) -> "_Columns":
        """Return the columns that come from these sources."""
        size, vectors = len(sources), []
        for source in sources:
            if width := width_of(source):
                vectors.append((source.index, slice(size, size + width), source.column.type == "wholes"))
                size += width
        wholes = [source.index for source in sources if source.column.type == "whole"]
        return cls(size, len(sources), wholes, [source.index for source in sources if is_text(source)], vectors)

    def table(self, rows: Matrix, known: npt.NDArray[Any]) -> tuple[Table, npt.NDArray[np.bool_]]:
        """Return the table of rows, and which of them it holds as they are; `known` has the texts by their numbers."""
        valid = np.ones(len(rows), np.bool_)
        objects: dict[int, Any] = {}
        for place in self.wholes:
            whole, is_exact = _exact(rows[:, place])
            objects[place] = whole.tolist()
            valid &= is_exact
        for place in self.texts:
            numbers = rows[:, place]
            is_there = ~np.isnan(numbers)
            objects[place] = known[np.where(is_there, numbers, -1).astype(np.int64)]  # the last one is None
        for place, slots, is_whole in self.vectors:
            objects[place] = rows[:, slots]
            if is_whole:
                objects[place], are_exact = _exact(rows[:, slots])
                valid &= are_exact.all(axis=1)
        return Table(rows[:, : self.scalars], objects), valid


def _exact(numbers: Matrix) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return whole numbers, and which of them are exact."""
    is_exact = (np.abs(numbers) < _EXACT) & (numbers == np.floor(numbers))
    return np.where(is_exact, numbers, 0.0).astype(np.int64), is_exact


class _Blocks:
    """Scores blocks of rows, and adds to the scores of each row the class of a row that was scored."""

    def __init__(
        self, model: RowModel, columns: _Columns, wholes: Sequence[int], written: Sequence[_WrittenTexts], width: int
    ) -> None:
        self.most: Final = max(1, min(_MAX_ROWS, _MAX_NUMBERS // max(1, columns.size)))
        self.shared: Final = [bytearray(8 * self.most * count) for count in (columns.size, width + 1)]
        self._rows, self._scores = (np.frombuffer(memory, np.float64).reshape(self.most, -1) for memory in self.shared)
        self._model = model
        self._columns = columns
        self._wholes = wholes
        self._written = written
        self._width = width
        self._known = np.array([None], object)

    def score(self, count: int, first: int, more: Any) -> None:
        """Score the first rows of the block (CallbackScorer.java)."""
        self._scores[:count] = np.nan
        # No exception may cross into Java: JPype 1.7.1 was seen to lose one, and the block before gave its scores.
        # Rows that were not scored have no class instead.
        with contextlib.suppress(Exception):
            if more is not None:
                new = [text.decode() for text in Packed(bytes(more))]
                self._known = np.array([*self._known[:first], *new, None], object)
            table, is_held = self._columns.table(self._rows[:count], self._known)
            self._score_good(table, 0, count)
            scored = self._scores[:count, self._width]
            self._scores[:count, self._width] = np.where(is_held, scored, np.nan)

    def _score_good(self, table: Table, start: int, stop: int) -> None:
        """Score rows, by halves if some of them make the model raise."""
        try:
            results = self._model.score(table.part(slice(start, stop)))
            for place in self._wholes:
                results.matrix[:, place] = results.objects[place]
            for each in self._written:
                results.matrix[:, each.start] = each.numbers(results.objects[each.start])
            self._scores[start:stop, : self._width] = results.matrix
            self._scores[start:stop, self._width] = 0.0
        except Exception:  # noqa: BLE001 - the fallback finds the request that made the model raise, and reports it
            middle = (start + stop) // 2
            if start < middle:
                self._score_good(table, start, middle)
                self._score_good(table, middle, stop)


def _scorer(blocks: _Blocks, columns: _Columns, width: int, texts: Any) -> Any:
    """Return a BlockScorer."""
    callback = jpype.JProxy("hotswap.flat.CallbackScorer$Callback", dict={"score": blocks.score})
    buffers = [jpype.nio.convertToDirectBuffer(memory) for memory in blocks.shared]
    return own("flat.CallbackScorer")(callback, texts, *buffers, columns.size, width + 1, blocks.most)
