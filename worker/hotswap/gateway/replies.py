"""The responses of the plain API to rows: a message or a table of all, or JSON with an item for each, good or bad."""

from collections.abc import Iterator, Mapping
from heapq import merge
from itertools import islice
from typing import Any

from starlette.responses import Response

from hotswap.batch import Format
from hotswap.client.answers import Prediction, Refused
from hotswap.codec.proto import Operation
from hotswap.gateway.answered import Answered, Scored
from hotswap.gateway.bodies import PredictCall
from hotswap.gateway.documents import Good, Item, dumps, write, write_items
from hotswap.gateway.problems import bad_rows
from hotswap.gateway.rows import Rows
from hotswap.gateway.work import Work

_AT_A_TIME = 2_000
"""Rows of one piece of work: the event loop collects them before."""


async def reply_to_message(one: Answered, operation: Operation, accept: Format, work: Work) -> Response:
    """Reply to a serialized message with its prediction. Raises Problem: 422, it is refused; or as `Work.do`."""
    prediction = one.prediction
    headers = _headers(prediction) | {"Hotswap-Prediction-Id": one.prediction_id}
    return Response(await write([prediction.value], accept, operation, work), 200, headers, accept.value)


def fetched(prediction: Prediction, prediction_id: str | None = None) -> Response:
    """Return an answer that was fetched, which no cache may keep for the next caller."""
    headers = _headers(prediction) | ({"Hotswap-Prediction-Id": prediction_id} if prediction_id else {})
    return Response(prediction.value, 200, headers | {"Cache-Control": "no-store"}, Format.PROTOBUF.value)


async def reply(scored: Scored[Rows], call: PredictCall, work: Work) -> Response:
    """Reply to rows in the format that the caller accepts, with their notes.

    Raises:
        Problem: 422, a row is refused whose refusal the format has no place for; or as `Work.do`.

    """
    notes = scored.rows.headers()
    if call.is_whole:
        answers = [one.prediction.value for one in scored.answered]
        content = await write(answers, call.accept, scored.operation, work)
        return Response(content, 200, notes, call.accept.value)
    is_one = call.is_object and scored.rows.count == 1
    response = Response(await (_one if is_one else _table)(scored, work), media_type="application/json")
    response.headers.update(notes)
    return response


async def _one(scored: Scored[Rows], work: Work) -> bytes:
    """Return the prediction of a JSON object. Raises Problem: 422, it is refused."""
    if scored.rows.faults:
        raise bad_rows(scored.rows.faults, 1)
    (one,) = scored.answered
    return await write_items([Good(_facts(one), one.prediction.value)], scored.operation, work)


async def _table(scored: Scored[Rows], work: Work) -> bytes:
    """Return an item for each row of a table.

    Raises:
        Problem: 422, each row is bad, or there is none; or as `Work.do`.

    """
    rows = scored.rows
    if not rows.count:
        rows.check()
    refused = len(rows.faults) + sum(isinstance(one.answer, Refused) for one in scored.answered)
    items = _items(scored)
    if refused == rows.count:
        raise bad_rows([item for item in items if not isinstance(item, Good)], refused)
    parts = []
    while some := list(islice(items, _AT_A_TIME)):
        parts.append(await write_items(some, scored.operation, work))
    begin = dumps({"refused": refused, "notes": rows.notes})[:-1]
    return begin + b',"predictions":[' + b",".join(parts) + b"]}"


def _items(scored: Scored[Rows]) -> Iterator[Item]:
    faults = ((fault["row"], fault) for fault in scored.rows.faults)
    answered = zip(scored.rows.numbers, scored.answered, strict=True)
    others = ((number, _item(number, one)) for number, one in answered)
    return (item for _, item in merge(faults, others, key=lambda pair: pair[0]))


def _item(number: int, one: Answered) -> Item:
    if isinstance(answer := one.answer, Refused):
        detail = f"row {number}: {answer.code}: {answer.message}"
        where = {"source": answer.source, "prediction_id": one.prediction_id}
        return {"row": number, "code": answer.code, "detail": detail, **where}
    return Good({"row": number, **_facts(one)}, one.prediction.value)


def _facts(one: Answered) -> Mapping[str, Any]:
    where = {"source": str(one.place), "prediction_id": one.prediction_id}
    return {"generation": one.prediction.generation, **where}


def _headers(prediction: Prediction) -> dict[str, str]:
    return {"Hotswap-Source": prediction.source, "Hotswap-Generation": str(prediction.generation)}
