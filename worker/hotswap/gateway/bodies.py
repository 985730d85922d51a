"""Request bodies: bounded reading, multipart parts, and content negotiation."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from time import monotonic
from typing import IO, Any, NamedTuple

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from hotswap.batch import Format
from hotswap.gateway.problems import Problem
from hotswap.generation import MOST

_SILENT_S = 20.0
_SLOWEST = 16 << 10
"""Bytes a second of a body, once it has taken `_SILENT_S`."""
_FORM_BYTES = 8 << 20
"""How much of a form is in memory: larger parts are files on disk."""
_DIGITS = 20  # the most that a 64-bit number has
_LAST_OFFSET = (1 << 63) - 1
_NAMES = {
    "application/json": Format.JSON,
    "text/json": Format.JSON,
    "text/csv": Format.CSV,
    "application/csv": Format.CSV,
    "application/x-protobuf": Format.PROTOBUF,
    "application/protobuf": Format.PROTOBUF,
    "application/vnd.google.protobuf": Format.PROTOBUF,
    "application/octet-stream": Format.PROTOBUF,
}


def bounded(request: Request, most: int, *, in_memory: int | None = None) -> Request:
    """Return the request with a body of at most so many bytes, whose sender may neither pause for long nor be slow.

    The first `in_memory` bytes of it, or all, count as held for the caller. Reading it raises Problem: 413 or 408; 429
    or 503, too much is held.
    """
    receive, size, began = request.receive, 0, monotonic()
    hold: Callable[[int], None] = request.scope.get("hold", lambda _: None)
    if (length := request.headers.get("content-length", "")).isdecimal() and whole(length, most) is None:
        raise _too_large(most)

    async def next_part() -> Message:
        nonlocal size
        left_s = min(_SILENT_S, began + _SILENT_S + size / _SLOWEST - monotonic())
        try:
            async with asyncio.timeout(left_s):
                message = await receive()
        except TimeoutError:
            raise _too_slow(left_s) from None
        more = len(message.get("body", b""))
        hold(more if in_memory is None else max(min(size + more, in_memory) - size, 0))
        size += more
        if size > most:
            raise _too_large(most)
        return message

    return Request(request.scope, next_part)


def _too_slow(waited_s: float) -> Problem:
    if waited_s == _SILENT_S:
        return Problem(HTTPStatus.REQUEST_TIMEOUT, f"nothing more of the body came for {_SILENT_S:g} s")
    detail = f"after {_SILENT_S:g} s, a body must come at {_SLOWEST:,} bytes/s at least"
    return Problem(HTTPStatus.REQUEST_TIMEOUT, detail)


def _too_large(most: int) -> Problem:
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has more than {most:,} bytes", limit=most)


async def body(request: Request, most: int) -> bytes:
    """Return the body, of at most so many bytes."""
    try:
        return await bounded(request, most).body()
    except ClientDisconnect:
        raise Problem(HTTPStatus.BAD_REQUEST, "the client disconnected before the body was complete") from None


class PredictCall(NamedTuple):
    """A call to predict: rows or one serialized message, their format, and the format of the reply."""

    value: bytes
    content: Format
    accept: Format
    headers: Sequence[tuple[str, bytes]]
    """Of its requests on the stream."""

    @property
    def is_whole(self) -> bool:
        """Whether the reply is one message or table: a refused row has no place in it."""
        return self.accept is not Format.JSON

    @property
    def is_object(self) -> bool:
        """Whether the body is JSON objects, not a list."""
        return self.content is Format.JSON and self.value.lstrip()[:1] == b"{"


async def predict_call(request: Request, most: int) -> PredictCall:
    """Read a call to predict, with a body of at most so many bytes.

    Raises:
        Problem: 415 or 406, a format is not supported; or as `body`.

    """
    content = content_of(request)
    value = await body(request, most)
    accept = accepted(request, Format.PROTOBUF if content is Format.PROTOBUF else Format.JSON)
    name = request.headers.get("request-id")
    return PredictCall(value, content, accept, [("request-id", name.encode("latin-1"))] if name else [])


@asynccontextmanager
async def form(request: Request, most: int, *, fields: int = 32) -> AsyncIterator["Form"]:
    """Yield the parts of a multipart body, of at most so many bytes together; large ones are files on disk."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body must be multipart/form-data")
    try:
        small = bounded(request, most, in_memory=_FORM_BYTES)
        async with small.form(max_files=8, max_fields=fields, max_part_size=1 << 20) as parts:
            yield Form(parts, request.query_params, request.scope.get("hold", lambda _: None))
    except ClientDisconnect:
        raise Problem(HTTPStatus.BAD_REQUEST, "the client disconnected before the body was complete") from None
    except HTTPException as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"the multipart body cannot be read: {error.detail}") from None


class Form:
    """The parts of a multipart body, and the query's parameters, by name."""

    def __init__(self, parts: FormData, query: Mapping[str, str], hold: Callable[[int], None]) -> None:
        self._parts = parts
        self._query = query
        self._hold = hold

    def text(self, name: str) -> str | None:
        """Return a parameter, of the form or the query; None: it is not there."""
        value = self._parts.get(name, self._query.get(name))
        return value if isinstance(value, str) and value else None

    async def content(self, name: str, most: int | None = None) -> bytes:
        """Return a part's content.

        Raises:
            Problem: 400, it is not there; 413, it has more than `most` bytes.

        """
        part = self.part(name)
        if isinstance(part, str):
            return part.encode()
        if most is not None and (part.size or 0) > most:
            raise Problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the part '{name}' has more than {most:,} bytes", limit=most
            )
        self._hold(part.size or 0)
        return await part.read()

    async def some(self, name: str, most: int | None = None) -> bytes:
        """Return the content of a part that must have some. Raises Problem: 400, or as `content`."""
        content = await self.content(name, most)
        if not content:
            raise Problem(HTTPStatus.BAD_REQUEST, f"the part '{name}' is empty", part=name)
        return content

    def part(self, name: str) -> UploadFile | str:
        """Return a part. Raises Problem: 400, it is not there."""
        if name not in self._parts:
            known = ", ".join(sorted(self._parts)) or "none"
            detail = f"Required request part '{name}' is not present (the parts are: {known})"
            raise Problem(HTTPStatus.BAD_REQUEST, detail, part=name)
        return self._parts[name]

    def has(self, name: str) -> bool:
        """Whether there is such a part."""
        return name in self._parts

    async def save(self, name: str, folder: Path) -> tuple[Path, str]:
        """Write a part to a file, and return it with the name that its sender calls it, without an ending.

        Of the sender's name only a plain ending is kept, which says what the file is, and never where.
        """
        part = self.part(name)
        filename = Path((part.filename or "") if isinstance(part, UploadFile) else "")
        suffix = filename.suffix if filename.suffix[1:].isalnum() and filename.suffix.isascii() else ""
        path = folder / f"{name}{suffix}"
        if isinstance(part, str):
            path.write_text(part)
        else:
            await asyncio.to_thread(_copy, part.file, path)
        return path, filename.stem


def _copy(source: IO[Any], path: Path) -> None:
    source.seek(0)
    with path.open("wb") as file:
        while chunk := source.read(1 << 20):
            file.write(chunk)


def content_of(request: Request, default: Format | None = None) -> Format:
    """Return the format of the body. Raises Problem: 415."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not media_type and default:
        return default
    if media_type not in _NAMES:
        known = ", ".join(Format)
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the body is {media_type or 'of no type'}: it must be one of {known}"
        )
    return _NAMES[media_type]


def accepted(request: Request, default: Format) -> Format:
    """Return the format that the client prefers of ours. Raises Problem: 406."""
    accept = request.headers.get("accept", "*/*")
    ranked: list[tuple[float, int, Format]] = []
    for at, item in enumerate(accept.split(",")):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        supported = default if name in ("*/*", "application/*", "text/*", "") else _NAMES.get(name)
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        if supported and (weight := _number(quality)) > 0:
            ranked.append((-weight, at, supported))
    if not ranked:
        raise Problem(HTTPStatus.NOT_ACCEPTABLE, f"the answer can be one of {', '.join(Format)}, not {accept}")
    return min(ranked)[2]


def whole(text: str, most: int) -> int | None:
    """Return the whole number that a text says; None: it says none, or one above `most`."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= _DIGITS
    return number if is_number and (number := int(text)) <= most else None


def generation_in(text: str | None) -> int | None:
    """Return the generation that a parameter `to` names; None: none. Raises Problem: 400, it is no number of one."""
    if not text:
        return None
    number = whole(text, MOST)
    if not number:
        raise Problem(HTTPStatus.BAD_REQUEST, f"`to` is the number of a generation, not {text[:60]!r}")
    return number


def partitions_in(text: str | None) -> frozenset[int] | None:
    """Return the partitions that a parameter lists; None: it is absent. Raises Problem: 400, it is no list."""
    if not text:
        return None
    found = [whole(one, _LAST_OFFSET) for one in text.split(",")]
    if None in found:
        raise Problem(HTTPStatus.BAD_REQUEST, f"`partitions` lists numbers, as 0,3, not {text[:60]!r}")
    return frozenset(one for one in found if one is not None)


def place_in(request: Request) -> tuple[int, int] | None:
    """Return the partition and the offset that a path names; None: there can be no such."""
    partition, offset = (whole(request.path_params[name], _LAST_OFFSET) for name in ("partition", "offset"))
    return None if partition is None or offset is None else (partition, offset)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
