"""Output messages as the content of a response: a message, a JSON document or a table."""

import io
import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple, TypeAlias

from google.protobuf.message import Message

from hotswap.batch import Format
from hotswap.codec import messages
from hotswap.codec.proto import Operation
from hotswap.codec.text.layout import Layout
from hotswap.codec.text.writer import CsvTable
from hotswap.gateway.problems import Problem
from hotswap.gateway.work import Work, cost_of


async def write(answers: Sequence[bytes], accept: Format, operation: Operation, work: Work) -> bytes:
    """Return output messages as one body: a message, or its JSON, where one message can hold all, or a table.

    Raises:
        Problem: 406, several messages are no one message; or as `Work.do`.

    """
    cost = cost_of(sum(map(len, answers)), len(answers))
    many = Layout(operation.input).holds_many
    return await work.do(cost, _write, answers, accept, operation.output, many)


def _write(answers: Sequence[bytes], accept: Format, message: type[Message], many: bool) -> bytes:  # noqa: FBT001
    if accept is Format.CSV:
        text = io.StringIO(newline="")
        table = CsvTable(text, message, has_rows=many)
        for answer in answers:
            table.write({}, message.FromString(answer))
        return text.getvalue().encode()
    if len(answers) == 1 or many:
        whole = messages.join(message, answers)
        return whole if accept is Format.PROTOBUF else json.dumps(as_json(message.FromString(whole))).encode()
    if accept is Format.JSON:
        return json.dumps([as_json(message.FromString(answer)) for answer in answers]).encode()
    name = message.DESCRIPTOR.full_name
    count = len(answers)
    detail = f"{count} rows have {count} messages {name}: accept text/csv or application/json, or send one row"
    raise Problem(HTTPStatus.NOT_ACCEPTABLE, detail)


class Good(NamedTuple):
    """A prediction: its facts, and the serialized output message."""

    facts: Mapping[str, Any]
    value: bytes


Item: TypeAlias = Mapping[str, Any] | Good
"""What is wrong with a row, or its prediction."""


async def write_items(items: Sequence[Item], operation: Operation, work: Work) -> bytes:
    """Return items as JSON, separated by commas. Raises Problem as `Work.do`."""
    cost = cost_of(sum(len(item.value) for item in items if isinstance(item, Good)), len(items))
    return await work.do(cost, _write_items, items, operation.output)


def _write_items(items: Sequence[Item], message: type[Message]) -> bytes:
    return b",".join(dumps(_document(item, message) if isinstance(item, Good) else item) for item in items)


def _document(item: Good, message: type[Message]) -> Mapping[str, Any]:
    return {**item.facts, "prediction": as_json(message.FromString(item.value))}


def dumps(document: Any) -> bytes:
    """Return JSON as Starlette's own response does, but protobuf's NaN and Infinity are texts already."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def as_json(message: Message) -> Any:
    """Return a message as a JSON document with the proto's own names, as answers on the stream have it."""
    return messages.to_document(message, has_defaults=True)
