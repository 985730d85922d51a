"""Dead letters: the list by code and time, a single one in full, and the replay of one or many."""

import re
import shlex
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hotswap.batch import Code, Format
from hotswap.client.answers import ID_HEADER, Refused, header_texts, refused
from hotswap.client.client import Client
from hotswap.client.refusals import as_request, lacks_value, newest
from hotswap.console.rows import cells_of
from hotswap.console.shared import Shared, address
from hotswap.gateway import bodies
from hotswap.gateway.deployment import Deployment
from hotswap.gateway.past import before_in, fields_in, written
from hotswap.gateway.problems import Problem
from hotswap.kafka.topics.log import LogRecord
from hotswap.settings import Settings

TAB = "dead-letters"
_FORM_BYTES = 1 << 20
_ON_A_PAGE = 50
_AT_ONCE = 500
_MOST = 10_000
"""The most that are replayed at once; the command has no such bound."""
_SINCE = {"10m": "the last 10 minutes", "1h": "the last hour", "1d": "the last day", "7d": "the last 7 days"}
_UNITS = {"m": 60, "h": 3_600, "d": 86_400}
_MOST_BYTES = 4 << 10
_WIDTH = 16
_LATEST_MS = (1 << 63) - 1


class Letter(NamedTuple):
    """A dead letter, and why its request was refused."""

    record: LogRecord
    why: Refused
    is_kept: bool


class LetterSelection(NamedTuple):
    """A selection of dead letters: of a code (empty: any), since some time ago (empty: ever), below these offsets."""

    code: str
    since: str
    since_ms: int
    before: Mapping[int, int] | None

    def query(self, before: Mapping[int, int] | None = None) -> str:
        """Return the query string of this selection, or of the page below other offsets."""
        known = {"code": self.code, "since": self.since, "before": written(before) if before else ""}
        return urlencode({name: value for name, value in known.items() if value}, safe=",")

    def options(self) -> str:
        """Return the equivalent options of the command."""
        code = f" --code {shlex.quote(self.code)}" if self.code else ""
        return code + (f" --since {self.since}" if self.since else "")


class LetterPages:
    """The pages of each deployment under /d/{deployment}/dead-letters."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/d/{deployment}/dead-letters", self.show_all, methods=["GET"]),
            Route("/d/{deployment}/dead-letters/replay", self.ask, methods=["GET"]),
            Route("/d/{deployment}/dead-letters/replay", self.replay, methods=["POST"]),
            Route("/d/{deployment}/dead-letters/{partition}/{offset}", self.show, methods=["GET"]),
            Route("/d/{deployment}/dead-letters/{partition}/{offset}", self.replay_one, methods=["POST"]),
        ]

    async def show_all(self, request: Request) -> Response:
        """Show a page of them, the newest first."""
        deployment, wanted = self._shared.deployment(request), _selection(request.query_params)
        page = await newest(deployment.settings, _ON_A_PAGE, before=wanted.before, code=wanted.code or None)
        letters = [_letter(record) for record in page.records if record.timestamp >= wanted.since_ms]
        is_last = page.before is None or len(letters) < len(page.records)
        return await self._shared.page(
            request,
            "letters",
            TAB,
            letters=letters,
            wanted=wanted,
            older="" if is_last else wanted.query(page.before),
            codes=[code.value for code in Code],
            times=_SINCE,
            command=f"hotswap dead-letters {shlex.quote(deployment.name)}{wanted.options()}",
        )

    async def show(self, request: Request) -> Response:
        """Show one, with its headers, decoded fields and bytes."""
        return await self._one(request, "")

    async def replay_one(self, request: Request) -> Response:
        """Publish the request of one again."""
        deployment = self._shared.deployment(request)
        async with self._shared.pages.form(request, _FORM_BYTES):
            letter = await self._find(request, deployment)
        if not letter.is_kept:
            raise Problem(HTTPStatus.CONFLICT, f"{letter.why.source} cannot be published again: value not kept")
        async with Client(deployment.settings) as client:
            (place,) = await client.publish([as_request(letter.record)])
        return await self._one(request, str(place))

    async def ask(self, request: Request) -> Response:
        """Show the number of requests that would be published again."""
        deployment, wanted = self._shared.deployment(request), _selection(request.query_params)
        records, is_all = await _gather(deployment.settings, wanted)
        view = (await self._shared.watch.first(deployment.name)).view
        ends = {lag.partition: 0 for lag in view.lags} if view else {}
        for record in records:
            ends[record.partition] = max(ends.get(record.partition, 0), record.offset + 1)
        return await self._replay_page(request, wanted, records, is_all=is_all, ends=ends, published=None)

    async def replay(self, request: Request) -> Response:
        """Publish the counted requests again, and no later ones."""
        deployment = self._shared.deployment(request)
        async with self._shared.pages.form(request, _FORM_BYTES) as form:
            query = {name: form.text(name) or "" for name in ("code", "since", "since_ms", "before")}
            count = form.text("count") or ""
        wanted = _selection(query)
        if not wanted.before:
            raise Problem(HTTPStatus.BAD_REQUEST, "nothing was counted: look at the dead letters again")
        records, is_all = await _gather(deployment.settings, wanted)
        if not is_all or str(len(records)) != count:
            detail = (
                f"{len(records)} dead letters are there now, and {count or 'none'} were counted: look at them again"
            )
            raise Problem(HTTPStatus.CONFLICT, detail)
        published = 0
        async with Client(deployment.settings) as client:
            for at in range(0, len(records), _AT_ONCE):
                published += len(await client.publish([as_request(record) for record in records[at : at + _AT_ONCE]]))
        return await self._replay_page(request, wanted, records, is_all=True, ends={}, published=published)

    async def _replay_page(
        self,
        request: Request,
        wanted: LetterSelection,
        records: list[LogRecord],
        *,
        is_all: bool,
        ends: Mapping[int, int],
        published: int | None,
    ) -> Response:
        name = shlex.quote(self._shared.deployment(request).name)
        return await self._shared.page(
            request,
            "replay",
            TAB,
            wanted=wanted,
            count=len(records),
            is_all=is_all,
            ends=written(ends),
            published=published,
            times=_SINCE,
            most=_MOST,
            command=f"hotswap dead-letters {name}{wanted.options()} --replay",
        )

    async def _find(self, request: Request, deployment: Deployment) -> Letter:
        if place := bodies.place_in(request):
            partition, offset = place
            page = await newest(deployment.settings, 1, before={partition: offset + 1}, partition=partition)
            if page.records and page.records[0].offset == offset:
                return _letter(page.records[0])
        raise Problem(HTTPStatus.NOT_FOUND, "not found, or expired: no dead letter of this partition and offset")

    async def _one(self, request: Request, published: str) -> Response:
        deployment = self._shared.deployment(request)
        letter = await self._find(request, deployment)
        record = letter.record
        fields = fields_in(record, deployment.served) if deployment.is_serving else None
        content = header_texts(record).get("content-type", "")
        is_text = content in (Format.CSV, Format.JSON)
        since = "" if letter.why.code not in set(Code) else f" --code {letter.why.code}"
        return await self._shared.page(
            request,
            "letter",
            TAB,
            letter=letter,
            headers=[(name, _shown(value)) for name, value in record.headers if name != ID_HEADER],
            fields=None if fields is None else cells_of(fields),
            text=(record.value or b"")[:_MOST_BYTES].decode(errors="replace") if is_text else None,
            key=None if record.key is None else _shown(record.key),
            dump=dump_of((record.value or b"")[:_MOST_BYTES]),
            size=len(record.value or b""),
            most=_MOST_BYTES,
            back=address(request, deployment.name, TAB),
            published=published,
            command=f"hotswap dead-letters {shlex.quote(deployment.name)}{since} [--replay]",
        )


def _selection(query: Mapping[str, str]) -> LetterSelection:
    since = query.get("since", "")
    if since and since not in _SINCE:
        raise Problem(HTTPStatus.BAD_REQUEST, f"`since` is one of {', '.join(_SINCE)}, not {since[:60]!r}")
    ago_s = int(since[:-1]) * _UNITS[since[-1]] if since else time.time()
    # A form says when it was counted, for "the last hour" is another one now.
    text = query.get("since_ms") or str(int((time.time() - ago_s) * 1000))
    if (since_ms := bodies.whole(text, _LATEST_MS)) is None:
        raise Problem(HTTPStatus.BAD_REQUEST, f"`since_ms` is a time in milliseconds, not {text[:60]!r}")
    return LetterSelection(query.get("code", ""), since, since_ms, before_in(query.get("before") or None))


async def _gather(settings: Settings, wanted: LetterSelection) -> tuple[list[LogRecord], bool]:
    """Return the dead letters that can be replayed, oldest first, and whether these are all and not too many."""
    since_ms, before, records = wanted.since_ms, wanted.before, list[LogRecord]()
    while True:
        page = await newest(settings, _AT_ONCE, before=before, code=wanted.code or None)
        recent = [record for record in page.records if record.timestamp >= since_ms]
        records += [record for record in recent if not lacks_value(record)]
        if len(records) > _MOST:
            return records[:_MOST], False
        if page.before is None or len(recent) < len(page.records):
            return records[::-1], True
        before = page.before


def _letter(record: Any) -> Letter:
    return Letter(record, refused(record), not lacks_value(record))


def _shown(value: bytes | None) -> str:
    """Return bytes as text if they are UTF-8, otherwise as hexadecimal digits."""
    if value is None:
        return "none"
    try:
        return value.decode()
    except UnicodeDecodeError:
        return "0x" + value.hex()


def dump_of(value: bytes) -> list[tuple[str, str, str]]:
    """Return bytes line by line: the offset, the bytes in hexadecimal, and as ASCII where it can be printed."""
    return [
        (f"{at:06x}", chunk.hex(" "), re.sub(r"[^\x20-\x7e]", ".", chunk.decode("latin-1")))
        for at in range(0, len(value), _WIDTH)
        if (chunk := value[at : at + _WIDTH])
    ]
