"""The JSON with which the plain API replies to rows: an item for each, good or bad, in their order."""

import json
from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

from google.protobuf.message import Message
from starlette.responses import Response

from hotswap.client.answers import Refused
from hotswap.codec.proto import Operation
from hotswap.gateway.deployment import predicted
from hotswap.gateway.desk import Answered
from hotswap.gateway.limits import Work, cost_of
from hotswap.gateway.problems import bad_rows
from hotswap.gateway.rows import Rows, as_json

_AT_A_TIME = 2_000
"""Rows of one piece of work: the event loop collects them before."""


class _Good(NamedTuple):
    facts: Mapping[str, Any]
    value: bytes


_Item: TypeAlias = Mapping[str, Any] | _Good
"""What is wrong with a row; or the facts of its prediction, and that, serialized."""


async def reply_to_one(given: Rows, operation: Operation, answered: Sequence[Answered], work: Work) -> Response:
    """Reply to a JSON object with its prediction. Raises Problem: 422, it is refused."""
    if given.faults:
        raise bad_rows(given.faults, 1)
    item = _Good(_facts(answered[0]), predicted(answered[0]).value)
    return _response(await _written([item], operation, work))


async def reply(given: Rows, operation: Operation, answered: Sequence[Answered], work: Work) -> Response:
    """Reply to a table with an item for each row.

    Raises:
        Problem: 422, each row is bad, or there is none; or as `Work.do`.

    """
    if not given.count:
        given.check()
    refused = len(given.faults) + sum(isinstance(one.answer, Refused) for one in answered)
    items = _items(given, answered)
    if refused == given.count:
        raise bad_rows([item for item in items if not isinstance(item, _Good)], refused)
    parts = []
    while some := list(islice(items, _AT_A_TIME)):
        parts.append(await _written(some, operation, work))
    begin = _dumps({"refused": refused, "notes": given.notes})[:-1]
    return _response(begin + b',"predictions":[' + b",".join(parts) + b"]}")


def _items(given: Rows, answered: Sequence[Answered]) -> Iterator[_Item]:
    faults = ((fault["row"], fault) for fault in given.faults)
    others = ((number, _item(number, one)) for number, one in zip(given.numbers, answered, strict=True))
    return (item for _, item in merge(faults, others, key=lambda pair: pair[0]))


def _item(number: int, one: Answered) -> _Item:
    if isinstance(answer := one.answer, Refused):
        detail = f"row {number}: {answer.code}: {answer.message}"
        return {"row": number, "code": answer.code, "detail": detail, "source": answer.source}
    return _Good({"row": number, **_facts(one)}, predicted(one).value)


def _facts(one: Answered) -> Mapping[str, Any]:
    return {"generation": predicted(one).generation, "source": str(one.place)}


async def _written(items: list[_Item], operation: Operation, work: Work) -> bytes:
    cost = cost_of(sum(len(item.value) for item in items if isinstance(item, _Good)), len(items))
    return await work.do(cost, _write, items, operation.output)


def _write(items: Sequence[_Item], message: type[Message]) -> bytes:
    return b",".join(
        _dumps(
            {**item.facts, "prediction": as_json(message.FromString(item.value))} if isinstance(item, _Good) else item
        )
        for item in items
    )


def _dumps(document: Any) -> bytes:
    # As Starlette's own response, but protobuf's NaN and Infinity are texts already.
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _response(content: bytes) -> Response:
    return Response(content, media_type="application/json")
