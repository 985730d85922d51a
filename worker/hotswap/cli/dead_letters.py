"""`hotswap dead-letters`: lists refused requests with the reasons, and publishes them again."""

from __future__ import annotations

import heapq
import math
import re
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click

from hotswap.cli.exits import note
from hotswap.cli.late import late
from hotswap.cli.shared import (
    deployment_argument,
    json_option,
    kafka_option,
    local_time,
    make_settings,
    print_json,
    run,
    show,
)
from hotswap.errors import UsageError
from hotswap.printable import printable

with late:
    from hotswap.client.answers import Outgoing, header_texts, refused
    from hotswap.client.client import Client
    from hotswap.client.refusals import as_request, lacks_value
    from hotswap.kafka.topics.log import LogReader
    from hotswap.settings import Settings

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_CHUNK = 500
_READ_S = 0.5


@dataclass(frozen=True, slots=True)
class _Wanted:
    since_ms: int
    code: str | None

    def takes(self, record: Any) -> bool:
        return record.timestamp >= self.since_ms and (not self.code or header_texts(record).get("code") == self.code)


@click.command("dead-letters")
@deployment_argument
@click.option("--since", metavar="TIME", help="From then on: 10m, 2h, 3d ago, or 2026-05-01T12:00.")
@click.option("--code", metavar="CODE", help="Only those with this code.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the newest N.")
@click.option("--follow", "is_following", is_flag=True, help="Print new ones from now on, until Ctrl-C.")
@click.option("--all", "is_all", is_flag=True, help="With --follow: those that are there, first.")
@click.option("--replay", "is_replaying", is_flag=True, help="Publish their requests again.")
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask before the replay.")
@kafka_option
@json_option
def dead_letters(deployment: str, **given: Any) -> None:
    """List the refused requests in the order of time: when, where, by which generation, and why.

    --follow prints those that are refused from now on; with --since, --limit or --all, the earlier ones first.

    --replay publishes the original bytes, key and headers to the requests topic again and keeps the request-id, so that
    a client waiting for it is answered; the header `replay-of` names the request that was refused.
    """
    settings = make_settings(deployment=deployment, kafka=given["kafka"])
    wanted = _Wanted(parse_since(given["since"], time.time()) if given["since"] else 0, given["code"])
    if given["is_replaying"]:
        if given["is_following"] or given["is_all"] or given["limit"]:
            raise UsageError(
                "--replay can be combined with --since and --code, but not with --follow, --all or --limit"
            )
        run(_replay(settings, wanted, given))
    else:
        run(_list(settings, wanted, given))


def parse_since(text: str, now: float) -> int:
    """Return a time in ms since the epoch, given as an age (10m, 2h) or in ISO 8601 (local time without a zone).

    Raises:
        UsageError: it is neither.

    """
    if match := re.fullmatch(r"(\d+)([smhd])", text):
        return int((now - int(match[1]) * _UNITS[match[2]]) * 1000)
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        raise UsageError(f"--since {text!r} is neither an age (10m, 2h, 3d) nor an ISO 8601 time") from None


@asynccontextmanager
async def _reading(settings: Settings, offsets: Mapping[int, int] | None = None) -> AsyncIterator[LogReader]:
    reader = LogReader(settings, settings.topics.dead_letters, read_committed=True)
    try:
        await reader.start(offsets)
        yield reader
    finally:
        await reader.stop()


async def _read(settings: Settings, wanted: _Wanted) -> AsyncGenerator[Any, None]:
    """Yield the dead letters up to the current end (a replay that is refused again must not be replayed for ever)."""
    async with _reading(settings) as reader, aclosing(_up_to(reader, await reader.end())) as chunks:
        async for records in chunks:
            for record in filter(wanted.takes, records):
                yield record


async def _up_to(reader: LogReader, ends: Mapping[int, int]) -> AsyncGenerator[list[Any], None]:
    while _unread(await reader.positions(), ends):
        yield [record for record in await reader.read(_READ_S) if record.offset < ends[record.partition]]


def _unread(positions: Mapping[int, int], ends: Mapping[int, int]) -> list[int]:
    return [partition for partition, end in ends.items() if positions[partition] < end]


async def _by_time(reader: LogReader, ends: Mapping[int, int], wanted: _Wanted) -> AsyncGenerator[dict[str, Any], None]:
    """Yield what to print of the dead letters below `ends`, merged by time: each partition is in that order itself."""
    waiting: list[tuple[int, int, int, dict[str, Any]]] = []
    last_ms = dict.fromkeys(ends, -1)
    async for records in _up_to(reader, ends):
        for record in records:
            last_ms[record.partition] = record.timestamp
            if wanted.takes(record):
                heapq.heappush(waiting, (record.timestamp, record.partition, record.offset, _document(record)))
        unread = _unread(await reader.positions(), ends)
        until = min((last_ms[partition] for partition in unread), default=math.inf)
        while waiting and waiting[0][0] <= until:
            yield heapq.heappop(waiting)[-1]


async def _list(settings: Settings, wanted: _Wanted, given: dict[str, Any]) -> None:
    count = 0
    newest = deque[dict[str, Any]](maxlen=given["limit"] or 0)
    is_from_now_on = given["is_following"] and not (given["since"] or given["limit"] or given["is_all"])
    async with _reading(settings) as reader:
        ends = await reader.end()
        async with aclosing(_by_time(reader, {} if is_from_now_on else ends, wanted)) as documents:
            async for document in documents:
                if given["limit"]:
                    newest.append(document)
                else:
                    _print(document, given)
                    count += 1
    for document in newest:
        _print(document, given)
    if given["is_following"]:
        await _follow(settings, ends, wanted, given)
    note(f"{count + len(newest)} dead letters")


async def _follow(settings: Settings, ends: Mapping[int, int], wanted: _Wanted, given: dict[str, Any]) -> None:
    """Print the dead letters from these offsets on, until Ctrl-C."""
    async with _reading(settings, ends) as reader:
        while True:
            for record in sorted(await reader.read(_READ_S), key=lambda record: record.timestamp):
                if wanted.takes(record):
                    _print(_document(record), given)


def _document(record: Any) -> dict[str, Any]:
    why, headers = refused(record), header_texts(record)
    return {
        "at_ms": record.timestamp,
        "partition": record.partition,
        "offset": record.offset,
        "source": why.source,
        "code": why.code,
        "message": why.message,
        "generation": why.generation,
        "operation": headers.get("operation", ""),
        "request_id": headers.get("request-id", ""),
        "bytes": len(record.value or b""),
        "is_value_kept": not lacks_value(record),
    }


def _print(document: dict[str, Any], given: dict[str, Any]) -> None:
    if given["is_json"]:
        print_json(document)
        return
    gone = "" if document["is_value_kept"] else "  (value not kept)"
    why = "  ".join([document["source"], f"generation {document['generation']}", document["code"], document["message"]])
    show(printable(f"{local_time(document['at_ms'])}  {why}{gone}"))


async def _replay(settings: Settings, wanted: _Wanted, given: dict[str, Any]) -> None:
    if not given["is_sure"]:
        async with aclosing(_read(settings, wanted)) as records:
            count = sum([1 async for record in records if not lacks_value(record)])
        question = f"publish {count} refused requests to {settings.topics.requests} again?"
        if not count or not click.confirm(printable(question), err=True):
            note(f"{count} dead letters, none published again")
            return
    published = refused_here = 0
    async with Client(settings) as client, aclosing(_read(settings, wanted)) as records:
        chunk: list[Outgoing] = []
        async for record in records:
            if lacks_value(record):
                refused_here += 1
                note(f"{refused(record).source} cannot be published again: value not kept")
                continue
            chunk.append(as_request(record))
            if len(chunk) == _CHUNK:
                published += len(await client.publish(chunk))
                chunk.clear()
        published += len(await client.publish(chunk))
    if given["is_json"]:
        print_json({"published": published} | ({"not_kept": refused_here} if refused_here else {}))
    else:
        show(f"{published} requests published to {settings.topics.requests} again")
