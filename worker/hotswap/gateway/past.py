"""The history of a deployment: its last commands with their outcomes, and its refused requests."""

import asyncio
import base64
import re
from collections.abc import Mapping
from http import HTTPStatus
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from starlette.requests import Request

from hotswap.batch import Format
from hotswap.client.answers import header_texts, refused
from hotswap.client.authors import Signed, signed_of
from hotswap.client.cut_overs import read_cut_overs
from hotswap.client.refusals import OURS, Page, lacks_value, newest
from hotswap.client.serving import Served
from hotswap.errors import Doubt, StartError
from hotswap.gateway import bodies, documents
from hotswap.gateway.deployment import Deployment
from hotswap.gateway.openapi import BOOLEAN, INTEGER, STRING, Schema, a_list, an_object
from hotswap.gateway.problems import Problem
from hotswap.kafka.topics.log import LogRecord
from hotswap.settings import Settings

_CUT_OVERS_S = 2.0
_LIMIT = 100
_MOST = 1_000
_PARTITIONS = (1 << 31) - 1
_BEFORE = re.compile(r"[0-9]{1,10}-[0-9]{1,19}(,[0-9]{1,10}-[0-9]{1,19})*")

_MAYBE: Schema = {"type": ["string", "null"]}
_WHEN: Schema = {"type": ["integer", "null"]}
MODEL = an_object(name=STRING, kind=STRING, sha256=STRING)
HISTORY = an_object(
    deployment=STRING,
    serving={**INTEGER, "description": "0: nothing."},
    is_paused=BOOLEAN,
    commands=a_list(
        an_object(
            command_id=STRING,
            title=STRING,
            at_ms=INTEGER,
            generation=INTEGER,
            verdict=STRING,
            code=STRING,
            message=STRING,
            offset={**INTEGER, "description": "In the control topic."},
            key={**STRING, "description": "Id of the key that the command names; empty: it is not signed."},
            author={**STRING, "description": "Name of that key; empty: the signature is not verified."},
            cut={"type": "object", "description": "Partition -> first offset that it may answer; others: any."},
            served_from={
                "type": ["object", "null"],
                "description": "Partition -> first offset that its generation answered; null: Kafka did not tell.",
            },
            model={"oneOf": [MODEL, {"type": "null"}]},
            workers={
                "type": "object",
                "description": "Worker -> outcome, code, message, runtime, cpu, at_ms, phase_seconds.",
            },
            served_from_ms={**_WHEN, "description": "When the first worker served it; null: not known, or never."},
            served_until_ms={**_WHEN, "description": "When the next one came to serve."},
        )
    ),
)
LETTERS = an_object(
    dead_letters=a_list(
        an_object(
            source=STRING,
            partition=INTEGER,
            offset=INTEGER,
            at_ms=INTEGER,
            generation=INTEGER,
            code=STRING,
            message=STRING,
            headers=a_list(
                an_object(required=["name"], name=STRING, value=_MAYBE, base64={**STRING, "description": "Not UTF-8."})
            ),
            key={**_MAYBE, "description": "In base64."},
            value={**_MAYBE, "description": "The request, in base64."},
            is_value_kept=BOOLEAN,
            fields={"description": "The request, if the serving proto can read it; else null."},
        )
    ),
    next={**_MAYBE, "description": "The path of the next page, which has older ones; null: there are none."},
)


async def history(deployment: Deployment) -> dict[str, Any]:
    """Return the last hundred commands, newest first: author, verdict and the outcomes of workers."""
    cut_overs = await _cut_overs(deployment.settings)
    is_paused, serving = deployment.seen.history.timeline.is_paused, deployment.generation
    commands = deployment.seen.commands()
    signed = await asyncio.to_thread(signed_of, commands, deployment.guard, cut_overs or {})
    served = sorted((at, one.entry.offset) for one in commands if (at := one.served_at))
    until = {offset: later for (_, offset), (later, _) in pairwise(served)}
    return {
        "deployment": deployment.name,
        "serving": serving,
        "is_paused": is_paused,
        "commands": [
            _command(one)
            | ({"served_from": None} if cut_overs is None else {})
            | {
                "served_from_ms": _ms(one.view.served_at),
                "served_until_ms": _ms(until.get(one.view.entry.offset, 0.0)),
            }
            for one in signed
        ],
    }


async def _cut_overs(settings: Settings) -> Mapping[int, Mapping[int, int]] | None:
    """Return where generations took over; None: Kafka does not answer, and all else is known here."""
    try:
        async with asyncio.timeout(_CUT_OVERS_S):
            return await read_cut_overs(settings)
    except (TimeoutError, Doubt, StartError):
        return None


def _command(signed: Signed) -> dict[str, Any]:
    order = signed.view.entry.command
    model = getattr(order, "model", None)
    document = signed.document()
    del document["workers"]  # here they say when, and how long each phase took
    return {
        **document,
        "model": model and {"name": model.name, "kind": model.kind, "sha256": model.sha256},
        "workers": {
            worker: {
                "outcome": outcome.outcome,
                "code": outcome.code,
                "message": outcome.message,
                "runtime": outcome.runtime,
                "cpu": outcome.cpu,
                "at_ms": _ms(outcome.at),
                "phase_seconds": dict(outcome.phase_seconds),
            }
            for worker, outcome in signed.view.told.items()
        },
    }


def _ms(seconds: float) -> int | None:
    return round(seconds * 1000) if seconds else None


async def dead_letters(deployment: Deployment, request: Request) -> dict[str, Any]:
    """Return a page of the refused requests, the newest first, and the path of the next one.

    Raises:
        Problem: 400, a parameter is wrong.
        Doubt: they could not be read in time.

    """
    query = request.query_params
    partition = _whole(query, "partition", _PARTITIONS)
    limit = _whole(query, "limit", _MOST, least=1)
    page = await newest(
        deployment.settings,
        _LIMIT if limit is None else limit,
        before=before_in(query.get("before")),
        code=query.get("code") or None,
        partition=partition,
    )
    served = deployment.served if deployment.is_serving else None
    letters = await asyncio.to_thread(lambda: [_letter(record, served) for record in page.records])  # megabytes
    return {"dead_letters": letters, "next": _next(request, page)}


def _whole(query: Mapping[str, str], name: str, most: int, least: int = 0) -> int | None:
    if name not in query:
        return None
    number = bodies.whole(query[name], most)
    if number is None or number < least:
        detail = f"`{name}` is a whole number from {least} to {most}, not {query[name][:60]!r}"
        raise Problem(HTTPStatus.BAD_REQUEST, detail)
    return number


def before_in(text: str | None) -> dict[int, int] | None:
    """Return the offsets below which a page begins, as its address names them. Raises Problem: 400."""
    if text is None:
        return None
    if not _BEFORE.fullmatch(text):
        detail = f"`before` has a partition and an offset, as 0-17, or several: 0-17,1-4; not {text[:60]!r}"
        raise Problem(HTTPStatus.BAD_REQUEST, detail)
    pairs = (pair.split("-") for pair in text.split(","))
    return {int(partition): int(offset) for partition, offset in pairs}


def written(before: Mapping[int, int]) -> str:
    """Return offsets below which a page begins, as its address names them."""
    return ",".join(f"{partition}-{offset}" for partition, offset in sorted(before.items()))


def _next(request: Request, page: Page) -> str | None:
    if page.before is None:
        return None
    query = urlencode({**request.query_params, "before": written(page.before)}, safe=",")
    return f"{request.url.path}?{query}"


def _letter(record: LogRecord, served: Served | None) -> dict[str, Any]:
    why = refused(record)
    return {
        "source": why.source,
        "partition": record.partition,
        "offset": record.offset,
        "at_ms": record.timestamp,
        "generation": why.generation,
        "code": why.code,
        "message": why.message,
        "headers": [_header(name, value) for name, value in record.headers if name not in OURS],
        "key": _base64(record.key),
        "value": _base64(record.value),
        "is_value_kept": not lacks_value(record),
        "fields": fields_in(record, served) if served else None,
    }


def _header(name: str, value: bytes | None) -> dict[str, Any]:
    try:
        return {"name": name, "value": value and value.decode()}
    except UnicodeDecodeError:
        return {"name": name, "base64": _base64(value)}


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def fields_in(record: LogRecord, served: Served) -> Any:
    """Return a refused message as the serving proto reads it, or None."""
    headers = header_texts(record)
    name = headers.get("operation") or served.schema.default
    operation = served.schema.operations.get(name or "")
    if record.value is None or not operation or headers.get("content-type", Format.PROTOBUF) != Format.PROTOBUF:
        return None
    try:
        return documents.as_json(operation.input.FromString(record.value))
    except (
        DecodeError,
        json_format.Error,
        ValueError,
    ):  # a message that is read need not have JSON: a Timestamp of the year 10,000
        return None
