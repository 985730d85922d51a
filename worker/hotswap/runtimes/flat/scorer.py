"""The fast path of a model that is scored in Python: the JVM decodes and encodes, and calls Python once for a block."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import jpype
import numpy as np

from hotswap.codec.outputs import Output
from hotswap.codec.proto import Operation
from hotswap.codec.sources import FieldSource
from hotswap.codec.values import Matrix, Table
from hotswap.generation import Configuration
from hotswap.runtimes.flat.answers import LABEL, Part, parts_of
from hotswap.runtimes.flat.bridge import NotFlat
from hotswap.runtimes.flat.plan import SealingFlatPlan
from hotswap.runtimes.flat.requests import as_number
from hotswap.runtimes.rows import RowModel, RowPlan

_EXACT: Final = float(1 << 53)
"""Every whole number below it is a double."""


def plan_of(
    model: RowModel, operation: Operation, configuration: Configuration, used: Callable[[Sequence[Output]], RowModel]
) -> RowPlan | SealingFlatPlan:
    """Return the plan of an operation: the fast path in the JVM if its rows are flat, else the fallback.

    `used` returns the model that scores these outputs only.
    """
    plan = RowPlan(model, operation, configuration)
    if plan.problems:
        return plan
    plan = RowPlan(used(plan.used), operation, configuration)
    try:
        return _flat(plan)
    except NotFlat as reason:
        plan.path = f"through Python: {reason}"
        return plan


def _flat(fallback: RowPlan) -> SealingFlatPlan:
    model = fallback.model
    if objects := [output.name for output in fallback.used if output.is_in_objects]:
        raise NotFlat(f"output `{objects[0]}` is a text, a list or a whole number of any size")
    width = max(output.stop for output in model.outputs)
    is_scored = Output("", width, width + 1)
    # A part without bytes: a row that the model cannot be given has none of its classes, and so no answer.
    parts = [Part(LABEL, is_scored, labels=[b""]), *parts_of(fallback.encoder, fallback.encoder.fills, width)]
    sources = [_source(source) for source in fallback.decoder.sources]
    return SealingFlatPlan(fallback, _scorer(model, width), sources=sources, parts=parts, width=is_scored.stop)


def _source(source: FieldSource) -> FieldSource:
    """Return the source of a column's numbers. Raises NotFlat."""
    if number := as_number(source):
        return number
    raise NotFlat(f"column `{source.column.name}` is {source.column.kind}, from field `{source.path}`")


def _scorer(model: RowModel, width: int) -> Any:
    """Return a BlockScorer, which adds to the scores of each row the class of a row that was scored."""
    columns = len(model.columns)
    wholes = [place for place, column in enumerate(model.columns) if column.type == "whole"]

    def score(rows: Any, count: int, scores: Any) -> None:
        results = np.full((count, width + 1), np.nan)
        # No exception may cross into Java: JPype 1.7.1 was seen to lose one, and the block before gave its scores.
        # Rows that were not scored have no class instead, and the fallback finds the request that made the model raise.
        with contextlib.suppress(Exception):
            matrix = np.frombuffer(memoryview(rows), np.float64, count * columns).reshape(count, columns)
            table, is_scored = _table(matrix, wholes)
            results[:, :width] = model.score(table).matrix
            results[is_scored, width] = 0.0
        scores[: results.size] = results.ravel()

    return jpype.JProxy("hotswap.flat.BlockScorer", dict={"score": score})


def _table(matrix: Matrix, wholes: Sequence[int]) -> tuple[Table, Any]:
    """Return the table of these rows, and which of them it holds as they are."""
    numbers = matrix[:, wholes]
    is_whole = (np.abs(numbers) < _EXACT) & (numbers == np.floor(numbers))
    whole = np.where(is_whole, numbers, 0.0).astype(np.int64)
    return Table(matrix, {place: whole[:, index].tolist() for index, place in enumerate(wholes)}), is_whole.all(axis=1)
