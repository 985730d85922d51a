"""Output messages as text: a line of CSV for each row, or an object of JSON for each message."""

import base64
import csv
import json
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from google.protobuf import json_format
from google.protobuf.message import Message

from worker.codec.fields import is_map
from worker.codec.layout import Layout


class CsvTable:
    """Writes messages of one type as CSV; nested fields are dotted, several values of one field are a JSON array."""

    def __init__(self, file: TextIO, message: type[Message]) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._layout = Layout(message)
        self._leaves = list(_leaves(self._layout.row.DESCRIPTOR, (), frozenset()))
        self._has_header = False

    def write(self, facts: Mapping[str, Any], message: Message) -> None:
        """Write a message: `facts` (always the same ones) come first; a line for each row of it."""
        if not self._has_header:
            self._writer.writerow([*facts, *(".".join(path) for path in self._leaves)])
            self._has_header = True
        rows = getattr(message, self._layout.rows_field) if self._layout.rows_field else [message]
        for row in rows:
            self._writer.writerow([*facts.values(), *(_cell(row, path) for path in self._leaves)])


class JsonTable:
    """Writes messages as JSON, one object a line: `facts`, and the message as `prediction` (proto3's mapping)."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, facts: Mapping[str, Any], message: Message) -> None:
        """Write a message."""
        content = json_format.MessageToDict(message, preserving_proto_field_name=True)
        print(json.dumps({**facts, "prediction": content}, ensure_ascii=False), file=self._file)


def _leaves(message: Any, above: tuple[str, ...], seen: frozenset[str]) -> Iterator[tuple[str, ...]]:
    for part in message.fields:
        inner = part.message_type
        is_opened = inner and not part.is_repeated and inner.fields and inner.full_name not in seen
        if is_opened and not inner.file.name.startswith("google/protobuf/"):
            yield from _leaves(inner, (*above, part.name), seen | {message.full_name, inner.full_name})
        else:
            yield (*above, part.name)


def _cell(message: Any, path: tuple[str, ...]) -> str:
    *parents, last = path
    for name in parents:
        if not message.HasField(name):
            return ""
        message = getattr(message, name)
    part = message.DESCRIPTOR.fields_by_name[last]
    if part.has_presence and not message.HasField(last):
        return ""
    value = getattr(message, last)
    if not part.is_repeated:
        return _text(value, part)
    if is_map(part) or part.message_type:
        return json.dumps(json_format.MessageToDict(message).get(part.json_name, []), ensure_ascii=False)
    texts = [_text(item, part) for item in value]
    return texts[0] if len(texts) == 1 else json.dumps(texts if _is_text(part) else list(value), ensure_ascii=False)


def _is_text(part: Any) -> bool:
    return bool(part.enum_type) or part.type == part.TYPE_BYTES


def _text(value: Any, part: Any) -> str:
    if part.message_type:
        content = json_format.MessageToJson(value, indent=None)
        return content.strip('"')
    if part.enum_type:
        named = part.enum_type.values_by_number.get(value)
        return named.name if named else str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value).lower() if isinstance(value, bool) else str(value)
