"""Compares a fresh host's answers with the golden ones of its generation, before it serves."""

import json
from collections.abc import Iterator
from typing import Final

from hotswap.batch import Answer, Format, Refusal
from hotswap.codec.golden import GoldenAnswers, GoldenRow
from hotswap.codec.proto import Operation, Schema
from hotswap.codec.text import wire
from hotswap.errors import SwapCode, SwapError
from hotswap.generation import TextOptions
from hotswap.host.dispatcher import Dispatcher
from hotswap.host.warm import answers_to
from hotswap.printable import counted

_MOST_LINES: Final = 10


def check_golden(dispatcher: Dispatcher, schema: Schema, content: bytes) -> None:
    """Score the rows of golden answers as requests, and compare each answer with the expected one.

    Raises SwapError: GOLDEN_MISMATCH, with the first differences; ARTIFACT_INVALID, it is no such document.
    """
    try:
        golden = GoldenAnswers.parse(content)
    except ValueError as error:
        raise SwapError(SwapCode.ARTIFACT_INVALID, f"the golden answers cannot be read: {error}") from error
    operation = schema.operations.get(golden.operation or next(iter(schema.operations)))
    if operation is None:
        known = ", ".join(schema.operations)
        raise SwapError(
            SwapCode.GOLDEN_MISMATCH,
            f"the golden answers are of operation {golden.operation}, which the proto does not have: it has {known}",
        )
    rows, lines, left = set[int](), list[str](), 0
    for number, (row, answer) in enumerate(zip(golden.rows, _answers(dispatcher, operation, golden), strict=True), 1):
        for line in _lines(golden, row, operation, answer):
            rows.add(number)
            if len(lines) < _MOST_LINES:
                lines.append(f"row {number}, {line}")
            else:
                left += 1
    if rows:
        more = [f"and {left} more"] if left else []
        what = f"{len(rows)} of {counted(len(golden.rows), 'golden row')} got another answer than expected:"
        raise SwapError(SwapCode.GOLDEN_MISMATCH, "\n".join([what, *lines, *more]))


def _answers(dispatcher: Dispatcher, operation: Operation, golden: GoldenAnswers) -> Iterator[Answer]:
    # Read by the proto's own names, and not by those of the model's columns, which the text of a deployment may have.
    read = [wire.read(json.dumps(row.request).encode(), Format.JSON, operation, TextOptions()) for row in golden.rows]
    answers = answers_to(dispatcher, operation.name, [value for value in read if isinstance(value, bytes)])
    for value in read:
        yield value if isinstance(value, Refusal) else next(answers)


def _lines(golden: GoldenAnswers, row: GoldenRow, operation: Operation, answer: Answer) -> Iterator[str]:
    """Yield a line for each difference of an answer."""
    if isinstance(answer, Refusal):
        yield f"refused: {answer.code}: {' '.join(answer.message.split())}"  # in a line of its own
    else:
        yield from map(str, golden.differences(row, operation.output.FromString(answer)))
