"""The JSON with which the plain API replies to rows: an item for each, good or bad, in their order."""

from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from itertools import islice
from typing import Any

from starlette.responses import Response

from hotswap.client.answers import Refused
from hotswap.codec.proto import Operation
from hotswap.gateway.deployment import predicted
from hotswap.gateway.desk import Answered
from hotswap.gateway.problems import bad_rows
from hotswap.gateway.rows import Good, Item, Rows, dumps, write_items
from hotswap.gateway.work import Work

_AT_A_TIME = 2_000
"""Rows of one piece of work: the event loop collects them before."""


async def reply_to_one(given: Rows, operation: Operation, answered: Sequence[Answered], work: Work) -> Response:
    """Reply to a JSON object with its prediction. Raises Problem: 422, it is refused."""
    if given.faults:
        raise bad_rows(given.faults, 1)
    item = Good(_facts(answered[0]), predicted(answered[0]).value)
    return _response(await write_items([item], operation, work))


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
        raise bad_rows([item for item in items if not isinstance(item, Good)], refused)
    parts = []
    while some := list(islice(items, _AT_A_TIME)):
        parts.append(await write_items(some, operation, work))
    begin = dumps({"refused": refused, "notes": given.notes})[:-1]
    return _response(begin + b',"predictions":[' + b",".join(parts) + b"]}")


def _items(given: Rows, answered: Sequence[Answered]) -> Iterator[Item]:
    faults = ((fault["row"], fault) for fault in given.faults)
    others = ((number, _item(number, one)) for number, one in zip(given.numbers, answered, strict=True))
    return (item for _, item in merge(faults, others, key=lambda pair: pair[0]))


def _item(number: int, one: Answered) -> Item:
    if isinstance(answer := one.answer, Refused):
        detail = f"row {number}: {answer.code}: {answer.message}"
        where = {"source": answer.source, "prediction_id": one.prediction_id}
        return {"row": number, "code": answer.code, "detail": detail, **where}
    return Good({"row": number, **_facts(one)}, predicted(one).value)


def _facts(one: Answered) -> Mapping[str, Any]:
    where = {"source": str(one.place), "prediction_id": one.prediction_id}
    return {"generation": predicted(one).generation, **where}


def _response(content: bytes) -> Response:
    return Response(content, media_type="application/json")
